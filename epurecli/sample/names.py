"""Modes and components as people name them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from epurecli.errors import UsageError
from epurecli.types import Mode

_FORBIDDEN = frozenset('/\\:*?"<>|')  # not allowed in file names on one system or another


def check_file_name(name: str, what: str) -> None:
    """Whether a name can be part of a file's, on any system. Raises: UsageError."""
    if not name or not name.isprintable() or not _FORBIDDEN.isdisjoint(name):
        raise UsageError(
            f"{what} name {name!r} cannot be part of a file name",
            f"use none of {' '.join(sorted(_FORBIDDEN))} and no line breaks",
        )


def parse_mode(text: str) -> Mode:
    """Raises: UsageError, naming the modes there are."""
    name = text.strip().lower().replace("_", "-")
    names = [m.value for m in Mode]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        raise UsageError(
            f"no mode {text!r}" + (f" - did you mean {near[0]!r}?" if near else ""), hint=f"modes: {', '.join(names)}"
        )
    return Mode(name)


def parse_component(text: str | int, components: Sequence[str]) -> int:
    """A component's name or, where none is called so, number. Raises: UsageError, naming the components there are."""
    text = str(text).strip()
    if text in components:
        return components.index(text)
    if text.isdecimal() and int(text) < len(components):
        return int(text)
    near = difflib.get_close_matches(text, components, n=1)
    known = ", ".join(f"{i} {name}" for i, name in enumerate(components))
    raise UsageError(
        f"no component {text!r}" + (f" - did you mean {near[0]!r}?" if near else ""), hint=f"components: {known}"
    )
