"""How a table is cut to the width there is: words wrap, columns go to a second table below; a figure or a file name is
never cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from epurecli.text import printable

if TYPE_CHECKING:
    from rich.table import Table

Cell = str | Text
_FRAME = 3  # characters that a column's border and padding take; one more closes the table


def tables(
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    width: int | None,
    *,
    title: str | None = None,
    prose: Collection[str] = (),
    figures: Collection[str] = (),
) -> list[tuple[Table, int]]:
    """One table, or as many as are needed, each with the first column in front; and how wide each is.

    Args:
        heads: column names.
        rows: a cell for each column, or one cell alone: a heading above the rows that follow.
        width: characters there are; None = any number.
        prose: columns whose cells may break between words. All others stay whole, even where they alone are wider
            than `width`.
        figures: columns that stand right.
    """
    from rich.table import Table

    cells = [[_text(row[i]) for row in rows if i < len(row)] for i in range(len(heads))]
    natural = [max(_longest(Text(head)), *map(_longest, column), 0) for head, column in zip(heads, cells, strict=True)]
    least = [
        max(_longest_word(Text(head)), *map(_longest_word, column), 0) if head in prose else full
        for head, column, full in zip(heads, cells, natural, strict=True)
    ]
    made = []
    for columns in _split(least, width):
        widths = _widths([least[i] for i in columns], [natural[i] for i in columns], width)
        table = Table(title=None if made else title)
        for i, fixed in zip(columns, widths, strict=True):
            justify = "right" if heads[i] in figures else "left"
            table.add_column(heads[i], width=fixed, justify=justify, no_wrap=heads[i] not in prose, overflow="fold")
        for row in rows:
            if len(row) == len(heads):
                table.add_row(*(_text(row[i]) for i in columns))
            else:
                table.add_section()
                table.add_row(Text(str(row[0]), style="bold"))
        made.append((table, sum(widths) + _FRAME * len(widths) + 1))
    return made


def _split(least: Sequence[int], width: int | None) -> list[list[int]]:
    """Columns of each table: the first in every one, the others in order, as many as fit (at least one)."""
    parts: list[list[int]] = [[0]]
    for i in range(1, len(least)):
        taken = sum(least[k] + _FRAME for k in (*parts[-1], i)) + 1
        if width is not None and taken > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(i)
    return parts


def _widths(least: Sequence[int], natural: Sequence[int], width: int | None) -> list[int]:
    """Each column's width: what it would like; where that is too much, the widest that can give way give way first."""
    widths = list(natural)
    while width is not None and sum(widths) + _FRAME * len(widths) + 1 > width:
        yielding = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not yielding:
            break
        widths[max(yielding, key=lambda i: widths[i])] -= 1
    return widths


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _longest(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")))


def _longest_word(text: Text) -> int:
    return max(map(cell_len, text.plain.split()), default=0)
