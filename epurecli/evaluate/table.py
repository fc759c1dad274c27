"""A plain table beside the figures: of parameters, of runs, of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from epurecli.evaluate.plot import number

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of words and numbers."""

    key: str  # in compare.json
    title: str
    text: str  # what its columns mean
    heads: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]  # a value for each head; None = unknown

    def records(self) -> list[dict[str, Value]]:
        """A dict a row, as JSON takes it."""
        return [dict(zip(self.heads, row, strict=True)) for row in self.rows]


def shown(value: Value) -> str:
    """A value as people read it: whole numbers in full, others in four digits."""
    match value:
        case str():
            return value
        case int():
            return f"{value:,}"
    return number(value)


def section(table: Table) -> str:
    """The table as HTML, with its title."""
    words = [any(isinstance(row[i], str) for row in table.rows) for i in range(len(table.heads))]
    heads = "".join(f'<th scope="col"{_kind(w)}>{escape(h)}</th>' for h, w in zip(table.heads, words, strict=True))
    rows = "\n".join(f"<tr>{''.join(_cells(row, words))}</tr>" for row in table.rows)
    return (
        f"<h2>{escape(table.title)}</h2><p>{escape(table.text)}</p>"
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _cells(row: Sequence[Value], words: Sequence[bool]) -> list[str]:
    return [f"<td{_kind(w)}>{escape(shown(value))}</td>" for value, w in zip(row, words, strict=True)]


def _kind(words: bool) -> str:
    return ' class="text"' if words else ""
