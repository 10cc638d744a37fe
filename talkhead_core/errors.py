"""Every error that talkhead raises on purpose.

The tree::

    TalkheadError            one clear line for a person: what, where, what to do
    ├── InputError           the user's file or value cannot work (exit code 1)
    │   ├── FootageError     a video or audio file; names the file and, where known, the frame or time
    │   └── ParameterError   a key or value in params.yaml or on the command line
    ├── NotAvailableError    a back end, kernel or weight file is not here; says what to run
    ├── ConsentError         no valid consent record for a speaker
    └── TrainingError        training diverged and could not be rescued

``TalkheadError`` is for people: its message is shown as one line, without a traceback.
Programming mistakes stay ``assert`` or the built-in exceptions.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "ConsentError",
    "FootageError",
    "InputError",
    "NotAvailableError",
    "ParameterError",
    "TalkheadError",
    "TrainingError",
]


class TalkheadError(Exception):
    """Base of all errors that are meant for a person to read."""


class InputError(TalkheadError):
    """Something the user gave cannot work."""


class FootageError(InputError):
    """A video or audio file cannot be used.

    Args:
        path: the file at fault.
        problem: what is wrong with it.
        advice: what to do about it.
        where: the frame or time, such as ``"frame 12"`` or ``"0:03.2"``.
    """

    def __init__(self, path: str | Path, problem: str, advice: str, where: str | None = None) -> None:
        self.path = Path(path)
        self.problem = problem
        self.advice = advice
        self.where = where
        place = f" ({where})" if where else ""
        super().__init__(f"{path}{place}: {problem}; {advice}")


class ParameterError(InputError):
    """A parameter is unknown or out of range."""


class NotAvailableError(TalkheadError):
    """A back end, kernel or weight file is not installed here."""


class ConsentError(TalkheadError):
    """The speaker has no valid consent record."""


class TrainingError(TalkheadError):
    """Training diverged and rollback did not help."""
