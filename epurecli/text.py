"""Text from outside on its way out: to a terminal, which obeys control characters, and to a spreadsheet, which
computes formulas."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # or what stands for one
_ESCAPED = re.compile(r"'(?='*[=+\-@\t\r])")


def printable(text: str) -> str:
    """Control characters and lone surrogates of names and messages are shown (`\\x1b`), not obeyed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def csv_cell(text: str) -> str:
    """A name as a CSV cell: where a spreadsheet would take it for a formula, an apostrophe stands before it.

    Source: OWASP, "CSV Injection".
    """
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """The inverse of `csv_cell`."""
    return cell[1:] if _ESCAPED.match(cell) else cell
