"""The stage graph as ``dvc.yaml`` defines it; read in milliseconds, without loading DVC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from talkhead_core.speakers import read_yaml

__all__ = ["StageNode", "last_stages", "read_stage_graph"]


@dataclass(frozen=True, kw_only=True)
class StageNode:
    """One stage of the graph, for any speaker.

    Args:
        name: the stage's name, also of its module, section and Prefect task.
        description: one line for people.
        kind: the kind of machine it likes: ``cpu`` or ``gpu``.
        retries: how often an orchestrator may try again.
        timeout_s: the longest that it may take; None: as long as it likes.
        upstream: the stages whose outputs it reads, in the order of the file.
        inputs: paths it depends on, with ``${key}`` for the speaker.
        outputs: paths it writes, with ``${key}`` for the speaker.
        params: sections of ``params.yaml`` it depends on.
    """

    name: str
    description: str
    kind: str
    retries: int
    timeout_s: float | None
    upstream: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]


def read_stage_graph(root: Path) -> list[StageNode]:
    """Every stage of ``dvc.yaml``, each after those it depends on; in the order of the file where that is one."""
    definitions: dict[str, dict[str, Any]] = {name: entry["do"] for name, entry in read_yaml(root / "dvc.yaml")["stages"].items()}
    writer = {path: name for name, definition in definitions.items() for path in _outputs(definition)}
    nodes = {}
    for name, definition in definitions.items():
        inputs = tuple(definition["deps"])
        meta = definition.get("meta") or {}
        nodes[name] = StageNode(
            name=name,
            description=definition.get("desc", ""),
            kind=meta.get("kind", "cpu"),
            retries=int(meta.get("retries", 0)),
            timeout_s=float(meta["timeout_s"]) if "timeout_s" in meta else None,
            upstream=tuple(dict.fromkeys(writer[path] for path in inputs if path in writer)),
            inputs=inputs,
            outputs=_outputs(definition),
            params=tuple(key for entry in definition["params"] for key in entry["params.yaml"]),
        )
    order = list(nodes)
    if any(order.index(earlier) > order.index(name) for name, node in nodes.items() for earlier in node.upstream):
        order = list(TopologicalSorter({name: node.upstream for name, node in nodes.items()}).static_order())
    return [nodes[name] for name in order]


def last_stages(nodes: Sequence[StageNode], names: Iterable[str]) -> list[str]:
    """Those of ``names`` that come before no other of them: whoever asks DVC for these and what they depend on asks for all.

    Each further target costs DVC as much time as a stage that is up to date.
    """
    wanted, before = list(names), set()
    for node in reversed(nodes):
        if node.name in before or node.name in wanted:
            before |= set(node.upstream)
    return [name for name in wanted if name not in before]


def _outputs(definition: dict[str, Any]) -> tuple[str, ...]:
    entries = [*definition.get("outs", []), *definition.get("metrics", []), *definition.get("plots", [])]
    return tuple(entry if isinstance(entry, str) else next(iter(entry)) for entry in entries)
