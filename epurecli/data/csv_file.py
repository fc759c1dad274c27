"""CSV files as people have them: any separator, decimal point or comma, UTF-8, UTF-16 or Windows-1252.

One reader for data sets and for requests. What was taken for what is in `notes`; a cell never moves to a neighbouring
column.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.errors import DataError, NotFound
from epurecli.text import from_csv_cell

MAX_BYTES = 1 << 30
_LOOKED_AT = 50  # rows that decide what separates cells
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BLANKS = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'\u2019](?=\d{3}(?!\d))")  # between groups of three digits
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ALL_PLAIN = re.compile(r"[0-9eE.+\-\n]*")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_FIRST_BYTES = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True, eq=False)
class CsvFile:
    """A table of text cells, trimmed, without empty rows and without columns that hold nothing and have no name."""

    path: Path
    names: tuple[str, ...]  # of the columns
    cells: tuple[tuple[str, ...], ...]  # row by row
    rows: NDArray[np.int64]  # (M,) each row's number in the file, as a spreadsheet counts; the header is row 1
    separator: str
    notes: tuple[str, ...]  # how it was read, where that is not the plain way
    twice: str | None = None  # what is wrong, where two columns have one name: which is meant cannot be told

    def __len__(self) -> int:
        return len(self.cells)

    def find(self, name: str) -> str | None:
        """The column that is called so, but for case, blanks and the way that accents are written."""
        if name in self.names:
            return name
        return next((own for own in self.names if fold(own) == fold(name)), None)

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        index = self.names.index(name)
        return [row[index] for row in self.cells]

    def numbers(self, name: str) -> tuple[NDArray[np.float64], list[tuple[int, str]]]:
        """A column as floats, and (position, what is wrong) for each cell that is no finite number; NaN there."""
        return parse_numbers(self.column(name), continental=self.separator in ";\t")


def fold(name: str) -> str:
    """What two spellings of one name have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()


def read_csv(path: Path) -> CsvFile:
    """Read a CSV file.

    Raises:
        NotFound: no such file.
        DataError: empty, no table, or a row with more cells than the header.
    """
    text, encoding = _decoded(path)
    notes = [] if encoding in ("utf-8", "utf-8-sig") else [f"text in {encoding}"]
    lines = (line.rstrip("\n") for line in io.StringIO(text, newline=None))
    some = list(islice((line for line in lines if line.strip()), _LOOKED_AT))
    if not some:
        raise DataError(f"{path} is empty", "the first row must name the columns")
    told = re.fullmatch(r"sep=(.)", some[0].strip("\"' "), re.IGNORECASE)  # Excel's own way to say it
    separator = told[1] if told else _separator(some)
    if separator != ",":
        notes.append(f"cells separated by {_SEPARATORS.get(separator, repr(separator))}")
    try:
        table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=False)
        trimmed = (lambda cell: from_csv_cell(cell.strip())) if "'" in text else str.strip
        records = [(number, list(map(trimmed, record))) for number, record in enumerate(table, 1)]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}", "save it as comma-separated UTF-8 text") from None
    records = [(number, record) for number, record in records if any(record)]
    if told:
        del records[0]
    if not records:
        raise DataError(f"{path} is empty", "the first row must name the columns")
    return _table(path, records, separator, notes)


def _decoded(path: Path) -> tuple[str, str]:
    """The text of a file, and its encoding."""
    if not path.is_file():
        if path.exists():
            raise DataError(f"{path} is no file", "give a CSV file with one row per design")
        raise NotFound(f"{path} does not exist", "a CSV has one row per design")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MiB", "it should have one row per design")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "check its permissions") from None
    if data[:2] == b"PK" or data[:4] == b"\xd0\xcf\x11\xe0":
        raise DataError(f"{path} is an Excel workbook, not a CSV", "save it as CSV: File > Save As > CSV UTF-8")
    known = next((name for mark, name in _FIRST_BYTES.items() if data.startswith(mark)), None)
    for encoding in filter(None, (known, "utf-8", "cp1252")):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, "Windows-1252" if encoding == "cp1252" else encoding
    raise DataError(f"{path} cannot be read as CSV: it is no text", "save it as comma-separated UTF-8 text")


def _separator(lines: Sequence[str]) -> str:
    """The separator that cuts most rows into as many cells as the header, of those that cut the header at all."""
    best, most = ",", (0.0, 0)
    for candidate in _SEPARATORS:
        widths = [len(record) for record in csv.reader(lines, delimiter=candidate, skipinitialspace=True)]
        if not widths or widths[0] < 2:
            continue
        agree = sum(width == widths[0] for width in widths) / len(widths)
        if (agree, widths[0]) > most:
            best, most = candidate, (agree, widths[0])
    return best


def _table(path: Path, records: list[tuple[int, list[str]]], separator: str, notes: list[str]) -> CsvFile:
    header, *body = records
    names = list(header[1])
    while names and not names[-1]:  # trailing separators
        names.pop()
    width = len(names)
    for number, record in body:
        if any(record[width:]):
            extra = next(cell for cell in record[width:] if cell)
            raise DataError(
                f"{path}, row {number}: has {len(record)} cells where the header names {width} columns ({extra!r} is "
                "beyond the last)",
                "quote cells that hold a separator, or name every column",
            )
    # A column without a name is nothing where it is empty.
    spare = [index for index, name in enumerate(names) if not name]
    for index in spare:
        if any(index < len(record) and record[index] for _, record in body):
            raise DataError(f"{path}: column {index + 1} holds values but has no name", "name it in the first row")
    kept = [index for index in range(width) if index not in spare]
    double = [name for name, count in Counter(fold(names[index]) for index in kept).items() if count > 1]
    spelled = [names[index] for index in kept if double and fold(names[index]) == double[0]]
    twice = f"{len(spelled)} columns are called {spelled[0]!r}" if spelled else None
    cells = tuple(tuple(record[index] if index < len(record) else "" for index in kept) for _, record in body)
    rows = np.array([number for number, _ in body], np.int64)
    return CsvFile(path, tuple(names[index] for index in kept), cells, rows, separator, tuple(notes), twice)


def parse_numbers(cells: Iterable[str], continental: bool) -> tuple[NDArray[np.float64], list[tuple[int, str]]]:
    """The cells of one column as floats, and (position, what is wrong) for each that is no finite number.

    Args:
        continental: whether `1,234` in doubt has a decimal comma, as where semicolons separate.
    """
    cells = list(cells)
    if _ALL_PLAIN.fullmatch("\n".join(cells)):  # points and digits: most columns, in one step
        with suppress(ValueError):
            values = np.array(cells, np.float64)
            if np.isfinite(values).all():
                return values, []
    cells = [_BLANKS.sub("", cell) for cell in cells]
    values = np.full(len(cells), np.nan)
    with_comma = [i for i, cell in enumerate(cells) if "," in cell]
    faults: list[tuple[int, str]] = []
    decimal = bool(with_comma) and (continental or any(not _GROUPED.fullmatch(cells[i]) for i in with_comma))
    pointed = next((i for i, cell in enumerate(cells) if "." in cell and "," not in cell), None)
    for i, cell in enumerate(cells):
        text = cell
        if "," in cell:
            if "." in cell:
                comma_last = cell.rindex(",") > cell.rindex(".")
                text = cell.replace(".", "").replace(",", ".") if comma_last else cell.replace(",", "")
            elif decimal and cell.count(",") == 1:
                if pointed is not None:
                    faults.append((i, f"says {cell!r}, where another row says {cells[pointed]!r}: comma or point?"))
                    continue
                text = cell.replace(",", ".")
            elif cell.count(",") == 1 and _GROUPED.fullmatch(cell):
                faults.append((i, f"says {cell!r}, which may be {cell.replace(',', '.')} or {cell.replace(',', '')}"))
                continue
            elif _GROUPED.fullmatch(cell):
                text = cell.replace(",", "")
        if _PLAIN.fullmatch(text) and np.isfinite(float(text)):
            values[i] = float(text)
        else:
            faults.append((i, f"says {cell!r}, which is no finite number" if cell else "is empty"))
    return values, faults
