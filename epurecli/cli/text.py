"""Text from outside, on its way to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Control characters and lone surrogates of names and messages are shown (`\\x1b`), not obeyed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
