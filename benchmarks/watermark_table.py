"""The tables of ``docs/provenance.md``, made from what ``benchmarks.watermark`` measured."""

from __future__ import annotations

from typing import Any

from benchmarks.document_section import write_section
from benchmarks.prepared_speaker import REPOSITORY

__all__ = ["tables", "write_into_document"]

DOCUMENT = REPOSITORY / "docs" / "provenance.md"


def write_into_document(results: dict[str, Any]) -> None:
    """Put the tables in their place in the document, if there is one."""
    if DOCUMENT.exists():
        write_section(DOCUMENT, tables(results))


def tables(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    return "\n\n".join(
        [
            _by_attack(results["marked"]),
            _by_length(results["lengths"], min(map(int, results["marked"]["held out"]))),
            _false_alarms(results["unmarked"]),
            _costs(results["cost"]),
            "Processor time, ms: " + "; ".join(f"{name} {value}" for name, value in results["milliseconds"].items()) + ".",
        ]
    )


def _by_attack(marked: dict[str, Any]) -> str:
    lines = ["| clips | size | attack | tries | detected | likely at least | least score | median |", "|---|" + "---|" * 7]
    lines += [
        f"| {group} | {size} px | {name} | {_scores(row)} |"
        for group, sizes in marked.items()
        for size, rows in sizes.items()
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def _by_length(lengths: dict[str, Any], size_px: int) -> str:
    lines = [
        f"| length, held out, {size_px} px | attack | tries | detected | likely at least | least score | median |",
        "|---|" + "---|" * 6,
    ]
    lines += [f"| {seconds} s | {name} | {_scores(row)} |" for seconds, rows in lengths.items() for name, row in rows.items()]
    return "\n".join(lines)


def _scores(row: dict[str, float]) -> str:
    shares = f"{100 * row['detected']:.1f} % | {100 * row['detected_at_least']:.0f} %"
    return f"{row['pieces']} | {shares} | {row['score_least']:.1f} | {row['score_median']:.1f}"


def _false_alarms(unmarked: dict[str, Any]) -> str:
    lines = ["| unmarked clips | trials | false alarms | likely at most | one in a thousand scores above | highest |", "|---|" + "---|" * 5]
    for group, row in unmarked.items():
        quantiles, most = row["score_quantiles"], f"{1000 * row['at_most']:.2f} in a thousand"
        lines.append(
            f"| {group} | {row['trials']:,} | {row['false_alarms']} | {most} | {quantiles['0.999']:.2f} | {quantiles['1.0']:.2f} |"
        )
    return "\n".join(lines)


def _costs(costs: dict[str, Any]) -> str:
    lines = [
        "| render, PSNR against the recording | without | with the mark | cost | as delivered, cost | mark alone |",
        "|---|" + "---|" * 5,
    ]
    for name, row in costs.items():
        paid = row["psnr_db"] - row["psnr_marked_db"]
        delivered = row["delivered_psnr_db"] - row["delivered_psnr_marked_db"]
        lines.append(
            f"| {name} | {row['psnr_db']:.2f} dB | {row['psnr_marked_db']:.2f} dB | {paid:.2f} dB | {delivered:.2f} dB "
            f"| {row['mark_alone_db']:.1f} dB |"
        )
    return "\n".join(lines)
