"""The tables of the two papers with their published figures, and ours beside them, in Markdown and LaTeX.

The published figures are copied as printed; a row of ours names its protocol and footage. They were measured on other
footage, so that a difference between the two says nothing; every table carries that line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talkhead_core.metrics.protocol import PAIR
from talkhead_core.report.tables import Table

__all__ = ["PAPER_TABLES", "OurRow", "PaperTable", "answered", "filled", "to_latex", "to_markdown"]

NOT_COMPARABLE = "Published figures as printed; measured on other footage under other protocols, so they do not compare with ours."


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of a paper.

    Args:
        name: how to ask for it.
        caption: paper, number and subject.
        heads: the columns' headings.
        keys: for each column the name of our figure, or empty where we have none.
        protocol: the protocol of ours that answers it; ``speech`` for speech enhancement.
        published: rows as printed; ``-`` where the paper has none.
    """

    name: str
    caption: str
    heads: Sequence[str]
    keys: Sequence[str]
    protocol: str
    published: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class OurRow:
    """One row of ours.

    Args:
        label: configuration and footage.
        system: what made it.
        protocols: ``metrics.json``'s ``protocols``, or for speech enhancement ``{"speech": {...}}``.
        training_hours: of all training stages, or None.
    """

    label: str
    system: str = "talkhead"
    protocols: Mapping[str, Mapping[str, Any]]
    training_hours: float | None = None


PAPER_TABLES = (
    PaperTable(
        name="wildtalker-1",
        caption="WildTalker, Table 1: torso reconstruction with dynamic movements and noisy audio",
        heads=("PSNR ↑", "LPIPS ↓", "LMD ↓", "AUE ↓", "LSE-C ↑", "LSE-D ↓", "Time (h)"),
        keys=("psnr_full", "lpips", "lmd_px512", "aue", "lse_c", "lse_d", "training_hours"),
        protocol="full/self",
        published=(
            ("AD-NeRF", "22.742", "0.228", "-", "0.467", "0.323", "12.071", "36.4"),
            ("RAD-NeRF", "23.736", "0.166", "1.929", "0.354", "6.329", "8.427", "4.0"),
            ("ER-NeRF", "24.183", "0.113", "2.196", "0.240", "7.199", "7.830", "2.4"),
            ("SyncTalk", "24.580", "0.101", "2.100", "0.211", "6.096", "8.402", "2.2"),
            ("WildTalker", "25.602", "0.079", "1.881", "0.176", "8.752", "6.283", "2.2"),
        ),
    ),
    PaperTable(
        name="wildtalker-2",
        caption="WildTalker, Table 2: lip synchronisation with original and corrupted audio",
        heads=("AUE ↓", "LSE-C ↑", "LSE-D ↓", "corrupted AUE ↓", "corrupted LSE-C ↑", "corrupted LSE-D ↓"),
        keys=("aue", "lse_c", "lse_d", "", "", ""),
        protocol="head/self",
        published=(
            ("Wav2Lip", "0.246", "8.447", "6.241", "0.313", "7.413", "7.330"),
            ("VideoReTalking", "0.270", "8.066", "7.075", "0.290", "7.014", "7.953"),
            ("DINet", "0.340", "6.775", "8.026", "0.355", "5.801", "8.904"),
            ("TalkLip", "0.300", "6.219", "8.378", "0.304", "5.325", "8.502"),
            ("IP-LAP", "0.294", "5.571", "8.975", "0.298", "3.845", "10.632"),
            ("AD-NeRF", "0.294", "5.005", "9.957", "0.313", "4.603", "10.212"),
            ("RAD-NeRF", "0.356", "3.598", "9.642", "0.357", "2.197", "11.591"),
            ("GeneFace", "0.266", "6.876", "7.076", "0.318", "4.587", "9.243"),
            ("ER-NeRF", "0.271", "6.808", "8.004", "0.371", "3.052", "11.130"),
            ("SyncTalk", "0.306", "7.108", "7.108", "0.278", "6.674", "9.343"),
            ("WildTalker", "0.283", "8.928", "6.126", "0.280", "7.076", "7.889"),
        ),
    ),
    PaperTable(
        name="wildtalker-3",
        caption="WildTalker, Table 3: speech enhancement on VoiceBank-DEMAND",
        heads=("PESQ ↑", "CSIG ↑", "CBAK ↑", "COVL ↑"),
        keys=("pesq_wb", "csig", "cbak", "covl"),
        protocol="speech",
        published=(
            ("Noisy", "1.97", "3.35", "2.44", "2.63"),
            ("SEGAN", "2.16", "3.48", "2.94", "2.80"),
            ("MMSE-GAN", "2.53", "3.80", "3.12", "3.14"),
            ("Metric-GAN", "2.86", "3.99", "3.18", "3.42"),
            ("HiFi-GAN", "2.94", "4.07", "3.07", "3.49"),
            ("DEMUCS", "3.07", "4.31", "3.40", "3.63"),
            ("MetricGAN+", "3.15", "4.14", "3.16", "3.64"),
            ("DPT-FSNET", "3.33", "4.58", "3.72", "4.00"),
            ("CMGAN", "3.41", "4.63", "3.94", "4.12"),
            ("MSS (WildTalker)", "3.87", "4.62", "4.16", "3.64"),
        ),
    ),
    PaperTable(
        name="rae-nerf-figures-5-6",
        caption="RAE-NeRF, Figures 5 and 6 (values from its section 4.2): speech denoising on audio of six speakers",
        heads=("SI-SDR, dB ↑", "SNRseg, dB ↑", "STOI ↑", "MCD, dB ↓", "WSS ↓"),
        keys=("si_sdr_db", "snrseg_db", "stoi", "mcd_db", "wss"),
        protocol="speech",
        published=(
            ("Noisy", "-9.05", "-1.97", "0.9982", "5.275", "3.48"),
            ("ZipEnhancer (RAE-NeRF)", "30.35", "24.53", "0.9998", "0.178", "0.57"),
        ),
    ),
    PaperTable(
        name="rae-nerf-1",
        caption="RAE-NeRF, Table 1: full-reference quality of the head reconstruction",
        heads=("PSNR ↑", "SSIM ↑", "LPIPS ↓", "FID ↓"),
        keys=("psnr_full", "ssim", "lpips", "fid"),
        protocol="head/self",
        published=(
            ("Wav2Lip", "34.849174", "0.987339", "0.016931", "5.581930"),
            ("ER-NeRF", "36.577897", "0.997066", "0.008733", "5.736807"),
            ("SyncTalk", "42.492073", "0.999254", "0.003496", "1.548124"),
            ("RAE-NeRF", "42.642164", "0.999274", "0.003332", "1.401045"),
        ),
    ),
    PaperTable(
        name="rae-nerf-2",
        caption="RAE-NeRF, Table 2: no-reference quality and synchronisation of the head reconstruction",
        heads=("LMD ↓", "BRISQUE ↓", "NIQE ↓"),
        keys=("lmd_px512", "brisque", "niqe"),
        protocol="head/self",
        published=(
            ("Wav2Lip", "2.0289", "52.9446", "7.4609"),
            ("ER-NeRF", "1.9174", "52.9446", "7.4267"),
            ("SyncTalk", "1.9961", "49.9054", "7.3830"),
            ("RAE-NeRF", "1.9090", "49.8398", "7.3829"),
        ),
    ),
)


def answered(table: PaperTable, row: OurRow) -> str | None:
    """The protocol under which a row has figures for a table: the table's own, else ``pair`` for two videos as they are; or None."""
    if table.protocol in row.protocols:
        return table.protocol
    return PAIR.name if table.protocol != "speech" and PAIR.name in row.protocols else None


def filled(table: PaperTable, ours: Sequence[OurRow]) -> Table:
    """The published rows and ours below; a figure that we do not have is ``n/a``, never another one in its place."""
    rows = [list(row) for row in table.published]
    for row in ours:
        protocol = answered(table, row)
        if protocol is None:
            continue
        figures = row.protocols[protocol]
        with_time = {**figures, "training_hours": row.training_hours}
        cells = [_figure(with_time.get(key)) if key else "n/a" for key in table.keys]
        where = "" if table.protocol == "speech" else f", {protocol}, {figures.get('frames', '?')} frames"
        rows.append([f"{row.system} ({row.label}{where})", *cells])
    return Table(caption=table.caption, head=["Methods", *table.heads], rows=rows)


def to_markdown(table: Table) -> str:
    """A Markdown table with its caption above and the line about comparability below."""
    lines = [f"**{table.caption}**", "", _markdown_row(table.head), "|" + "---|" * len(table.head)]
    return "\n".join([*lines, *(_markdown_row(row) for row in table.rows), "", NOT_COMPARABLE, ""])


def to_latex(table: Table) -> str:
    """A LaTeX ``table`` (package ``booktabs``) with the line about comparability in its caption."""
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.caption)}. {_latex(NOT_COMPARABLE)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
            r"\toprule",
            " & ".join(_latex(cell) for cell in table.head) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _figure(value: Any) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _latex(text: str) -> str:
    escaped = "".join({"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}.get(c, c) for c in text)
    for character in "&%$#_":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$")
