"""Frozen dataclass configurations from plain mappings, strictly.

Every configuration in talkhead is ``@dataclass(frozen=True, kw_only=True)`` beside the class it builds, and checks
itself in ``__post_init__``. This module turns a section of ``params.yaml`` into one.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from talkhead_core.errors import ParameterError

T = TypeVar("T")

__all__ = ["from_mapping", "merged", "require"]


def merged(*layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Later layers override earlier ones; nested mappings are merged, everything else is replaced."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def from_mapping(config: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Build ``config`` from ``values``.

    Args:
        config: a keyword-only dataclass; fields that are dataclasses take nested mappings.
        values: what ``params.yaml`` holds.
        where: the section's name, for the error message.

    Raises:
        ParameterError: an unknown key (the nearest is named), a wrong type, or a value out of range.
    """
    assert dataclasses.is_dataclass(config), f"{config} is no dataclass"
    fields = {field.name: field for field in dataclasses.fields(config) if field.init}
    hints = typing.get_type_hints(config)
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(fields)}"
            raise ParameterError(f"unknown key {key!r} in {where}; {hint}")
        arguments[key] = _converted(hints[key], value, f"{where}.{key}")
    try:
        return config(**arguments)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{where}: {error}") from error


def require(condition: bool, message: str) -> None:
    """Raise ``ParameterError(message)`` unless ``condition``; for ``__post_init__`` checks."""
    if not condition:
        raise ParameterError(message)


def _converted(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_mapping(typing.cast(type[Any], hint), value, where=where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [argument for argument in arguments if argument is not type(None)]
        return _converted(inner[0], value, where) if len(inner) == 1 else value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ParameterError(f"{where} must be a list, not {value!r}")
        inner = [arguments[0]] * len(value) if len(arguments) == 2 and arguments[1] is ... else list(arguments)
        if len(inner) != len(value):
            raise ParameterError(f"{where} must have {len(inner)} entries, not {len(value)}")
        return tuple(_converted(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, value, strict=True)))
    if origin is typing.Literal:
        if value not in arguments:
            raise ParameterError(f"{where} must be one of {', '.join(map(repr, arguments))}, not {value!r}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool) and (type(value) is not hint):
        raise ParameterError(f"{where} must be {hint.__name__}, not {value!r}")
    return value
