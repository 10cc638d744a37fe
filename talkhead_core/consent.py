"""Nobody is trained without having agreed: the consent record of a speaker.

It lies beside the raw video as ``consent.json``, is asked for once by ``talkhead run``, goes into ``ingest.json``, and is
checked again before every training and dub, so that expiry and withdrawal take effect at once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.errors import ConsentError, InputError, ParameterError
from talkhead_core.parameters import from_mapping, require

__all__ = ["Consent", "read_consent", "statement_hash", "write_consent"]

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Consent:
    """Who agreed to what.

    Args:
        who: the person shown, or who may speak for them.
        purpose: what the videos may be made for.
        given_on: ISO date of the agreement.
        statement_sha256: hash of the signed document, or of the statement typed in.
        until: ISO date of the last day it holds; None: until withdrawn.
        withdrawn_on: ISO date of the withdrawal.
        synthetic: the speaker is no real person.
    """

    who: str
    purpose: str
    given_on: str
    statement_sha256: str
    until: str | None = None
    withdrawn_on: str | None = None
    synthetic: bool = False

    def __post_init__(self) -> None:
        require(bool(self.who.strip()), "who agreed must be named")
        require(bool(self.purpose.strip()), "what was agreed to must be named")
        require(bool(_SHA256.fullmatch(self.statement_sha256)), "statement_sha256 must be 64 hexadecimal digits")
        for name in ("given_on", "until", "withdrawn_on"):
            value = getattr(self, name)
            require(value is None or _is_date(value), f"{name} must be a date such as 2030-01-31, not {value!r}")

    def check(self, speaker: str, today: date | None = None) -> None:
        """Raise ``ConsentError`` when it was withdrawn or has expired by ``today`` (UTC by default)."""
        now = (today or datetime.now(UTC).date()).isoformat()
        advice = f"ask {self.who} again and replace data/{speaker}/raw/consent.json"
        if self.withdrawn_on is not None:
            raise ConsentError(
                f"speaker {speaker!r}: {self.who} withdrew consent on {self.withdrawn_on}; nothing may be made with this speaker"
            )
        if self.until is not None and now > self.until:
            raise ConsentError(f"speaker {speaker!r}: consent ended on {self.until}; {advice}")

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``ingest.json`` and provenance."""
        return asdict(self)


def statement_hash(statement: str | bytes) -> str:
    """SHA-256 of a typed statement or of a document's bytes."""
    return hashlib.sha256(statement.encode() if isinstance(statement, str) else statement).hexdigest()


def read_consent(path: Path, speaker: str) -> Consent:
    """The consent record in ``path``, well-formed but not yet checked for its dates.

    Raises:
        ConsentError: there is none, or it is not a consent record.
    """
    advice = f"run 'talkhead run --speaker {speaker} --consent FILE' or give --i-have-consent \"who, what for\""
    try:
        record = read_json(path)
        if not isinstance(record, dict):
            raise ParameterError("it must hold one record")
        return from_mapping(Consent, record, where=path.name)
    except FileNotFoundError as error:
        raise ConsentError(f"speaker {speaker!r} has no consent record ({path.name}); {advice}") from error
    except InputError as error:
        raise ConsentError(f"speaker {speaker!r}: {path} is not a consent record ({error}); {advice}") from error


def write_consent(path: Path, consent: Consent) -> None:
    """Write the record, whole."""
    write_json(path, consent.as_json())


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
