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

import errno
import re
from pathlib import Path

__all__ = [
    "ConsentError",
    "FootageError",
    "InputError",
    "NotAvailableError",
    "ParameterError",
    "TalkheadError",
    "TrainingError",
    "said_of_the_system",
    "without_password",
]

_PASSWORD = re.compile(r"//[^/@\s]+@")
_ADVICE = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some of your quota and run the same command again",
    errno.EFBIG: "files may not grow so large here; raise the limit (ulimit -f) or write elsewhere",
    errno.EACCES: "check the permissions, or choose another place",
    errno.EPERM: "check the permissions, or choose another place",
    errno.EROFS: "it cannot be written to; choose another place",
    errno.ENOENT: "check the path",
    errno.EEXIST: "a file is in the way of a folder; choose another place",
    errno.ENOTDIR: "a file is in the way of a folder; choose another place",
    errno.EISDIR: "a folder is in the way of a file; choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "free some memory, or take a smaller profile",
    errno.EIO: "the disk does not read or write; check it",
}


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


def said_of_the_system(error: BaseException) -> str | None:
    """One line for a person about what the system refused: a full disk, a missing permission; None for any other error."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory; {_ADVICE[errno.ENOMEM]}"
    if type(error).__name__ == "LibsndfileError":  # libsndfile does not tell its system's errors apart
        return f"a sound file could not be read or written ({error}); check the path, the permissions and the space left"
    if not isinstance(error, OSError) or error.errno not in _ADVICE:
        return None
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or errno.errorcode[error.errno]}; {_ADVICE[error.errno]}"


def without_password(text: str) -> str:
    """``text`` without the user and password that an address in it may hold; for messages and logs."""
    return _PASSWORD.sub("//", text)
