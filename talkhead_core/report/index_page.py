"""The page over all speakers and dubs of a workspace. It links to their files and plays the dubs from where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from talkhead_core.provenance.page_statement import PageStatement
from talkhead_core.report.html_page import render_page
from talkhead_core.report.verdict import MODEL, Verdict

__all__ = ["DubEntry", "SpeakerEntry", "index_page"]


@dataclass(frozen=True, kw_only=True)
class DubEntry:
    """One dub.

    Args:
        name: what to call it.
        video: its address relative to the page.
        report: its report's address, or None.
        poster: a data URI of what the player shows before it plays, or None.
    """

    name: str
    video: str
    report: str | None = None
    poster: str | None = None


@dataclass(frozen=True, kw_only=True)
class SpeakerEntry:
    """One speaker.

    Args:
        name: of the speaker.
        verdict: on the held-out frames.
        picture: a data URI of a held-out frame, or None.
        figures: (name, value) of the few that matter, under protocol :data:`~talkhead_core.report.verdict.MODEL`.
        report: the report's address relative to the page, or None.
        dubs: its dubs.
    """

    name: str
    verdict: Verdict
    picture: str | None
    figures: Sequence[tuple[str, str]]
    report: str | None
    dubs: Sequence[DubEntry] = field(default_factory=tuple)


def index_page(speakers: Sequence[SpeakerEntry], statement: PageStatement | None = None) -> str:
    """The page as HTML text.

    Args:
        speakers: all of them.
        statement: where the pictures come from; None where there are none.
    """
    values = {"speakers": list(speakers), "protocol": MODEL, "local_media": True, "statement": statement}
    return render_page("index_page.html", title="talkhead: speakers and dubs", **values)
