"""What a page says of the pictures on it: a sentence for people, the same as JSON for programs.

HTML has no content credentials. The statement is not signed: the page's videos are, and its pictures bear the invisible mark.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from talkhead_core.provenance.software import software_facts
from talkhead_core.provenance.still_mark import bears_mark

__all__ = ["PageEvidence", "PageStatement", "page_evidence", "page_statement", "statement_in"]

_ID = "talkhead-provenance"
_EMBEDDED = re.compile(rf'<script type="application/json" id="{_ID}">(.*?)</script>'.encode(), re.DOTALL)
_PICTURE = re.compile(rb"data:image/jpeg;base64,([A-Za-z0-9+/=]{1,4000000})[\"']")
_MOST_PICTURES = 64
_SHOWN_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class PageStatement:
    """What stands on a page.

    Args:
        sentence: the line that a person reads.
        rows: (name, value) of everything that it rests on.
        script: the element that a program reads.
    """

    sentence: str
    rows: tuple[tuple[str, str], ...]
    script: Markup


@dataclass(frozen=True, kw_only=True)
class PageEvidence:
    """What was read from a page.

    Args:
        statement: its own words; None where it says nothing, or nothing that can be read.
        pictures: how many still pictures were looked at.
        marked: how many of them bear the mark.
    """

    statement: Mapping[str, Any] | None
    pictures: int
    marked: int

    @property
    def ai_generated(self) -> bool:
        """Whether the page says so, or one of its pictures does."""
        return self.marked > 0 or (self.statement is not None and self.statement.get("ai_generated") is True)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "statement": dict(self.statement) if self.statement is not None else None,
            "signed": False,
            "still_pictures": self.pictures,
            "still_pictures_marked": self.marked,
            "verdict": self.sentence(),
        }

    def sentence(self) -> str:
        """The verdict in one line."""
        if self.statement is None:
            says = "the page says nothing of where its pictures come from"
        else:
            says = (
                "the page says (unsigned): AI-generated" if self.statement.get("ai_generated") is True else "the page says something else"
            )
        return f"{says}; {self.marked} of {self.pictures} still pictures bear talkhead's mark"


def page_statement(origins: Sequence[Mapping[str, Any]]) -> PageStatement:
    """The statement on a page whose pictures come from ``origins``, each in the form of :meth:`Origin.facts`."""
    software = software_facts()
    content = {"ai_generated": True, "page_made_by": software, "origins": [dict(origin) for origin in origins]}
    models = ", ".join(dict.fromkeys(_model(origin) for origin in origins))
    by = ", ".join(dict.fromkeys(_software(_mapping(origin.get("software")) or software) for origin in origins))
    nobody = " No real person is shown." if origins and all(origin.get("synthetic_speaker") is True for origin in origins) else ""
    made = f"made by {by} with the model of {models}: no recording of anybody saying this"
    return PageStatement(
        sentence=f"This page contains AI-generated pictures, {made}.{nobody}",
        rows=tuple(row for origin in origins for row in _rows(origin)),
        script=Markup(f'<script type="application/json" id="{_ID}">{_harmless(content)}</script>'),  # noqa: S704
    )


def page_evidence(content: bytes, key: str) -> PageEvidence:
    """What a page says, and how many of its still pictures bear the mark of ``key``."""
    marked = pictures = 0
    for match in _PICTURE.finditer(content):
        if pictures == _MOST_PICTURES:
            break
        image = _decoded(match.group(1))
        if image is not None:
            pictures += 1
            marked += bears_mark(image, key)
    return PageEvidence(statement=statement_in(content), pictures=pictures, marked=marked)


def statement_in(content: bytes) -> Mapping[str, Any] | None:
    """What a page says of itself; None where that is nothing, or nothing that can be read."""
    found = _EMBEDDED.search(content)
    if found is None:
        return None
    try:
        statement = json.loads(found.group(1))
    except (ValueError, RecursionError):
        return None
    return statement if isinstance(statement, dict) else None


def _decoded(encoded: bytes) -> np.ndarray | None:
    try:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(encoded, validate=True), np.uint8), cv2.IMREAD_COLOR)
    except (ValueError, cv2.error):  # not base64, empty, or larger than OpenCV believes
        return None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _harmless(content: Mapping[str, Any]) -> str:
    """JSON in which nothing ends the element that it stands in."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _mapping(value: Any) -> Mapping[str, Any]:
    """A part of an origin that was read from a file, where anything may stand."""
    return value if isinstance(value, Mapping) else {}


def _model(origin: Mapping[str, Any]) -> str:
    weights = origin.get("model_sha256")
    return f"speaker {origin.get('model')!r}" + (f" (weights {_short(weights)})" if weights else "")


def _software(software: Mapping[str, Any]) -> str:
    return f"{software.get('name')} {software.get('version')} (code {_short(software.get('code_sha256'))})"


def _short(sha256: Any) -> str:
    return f"{str(sha256)[:_SHOWN_DIGITS]}…"


def _rows(origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    data, software = _mapping(origin.get("data_sha256")), _mapping(origin.get("software"))
    rows = [("model", origin.get("model")), ("weights, SHA-256", origin.get("model_sha256"))]
    rows += [(f"{name.replace('_', ' ')}, SHA-256", value) for name, value in data.items()]
    rows += [
        ("consent statement, SHA-256", origin.get("consent_sha256")),
        ("software", f"{software.get('name')} {software.get('version')}"),
    ]
    rows += [("code, SHA-256", software.get("code_sha256"))]
    return [(name, str(value)) for name, value in rows if value]
