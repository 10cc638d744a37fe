"""Back ends by name: one file and one registry line each.

A registry maps a name to ``"module:attribute"`` and imports it on first use, so that listing the choices
loads nothing and a missing optional dependency hurts only the one who asks for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from talkhead_core.errors import NotAvailableError, ParameterError

T = TypeVar("T")

__all__ = ["Registry"]


class Registry(Generic[T]):
    """Named back ends of one kind.

    Args:
        kind: what they are, for error messages, such as ``"denoiser"``.
        entries: name -> ``"package.module:attribute"``.
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._entries)

    def get(self, name: str) -> T:
        """The back end called ``name``.

        Raises:
            ParameterError: no such name; the message lists the choices and the nearest.
            NotAvailableError: its module needs a package that is not installed.
        """
        target = self._entries.get(name)
        if target is None:
            near = difflib.get_close_matches(name, self._entries, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ParameterError(f"no {self.kind} called {name!r}; choose one of {', '.join(self._entries)}.{hint}")
        module, attribute = target.split(":")
        try:
            return cast(T, _attribute(import_module(module), attribute))
        except ImportError as error:
            raise NotAvailableError(f"{self.kind} {name!r} needs a package that is not installed: {error}") from error


def _attribute(module: Any, name: str) -> Any:
    return getattr(module, name)
