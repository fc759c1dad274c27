"""The report as one HTML file: style, script, plots and pictures are inside it, nothing is fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from epurecli.evaluate.comparison import rank_table
from epurecli.evaluate.conclusion import conclude
from epurecli.evaluate.metric import Better, Report
from epurecli.evaluate.plot import colour, histogram, number, strip
from epurecli.evaluate.showing import STYLE as GALLERY_STYLE
from epurecli.evaluate.showing import gallery_sections, loss_section
from epurecli.evaluate.summary import Cell, Row, Summary, summarise
from epurecli.evaluate.table import Table, section

_BETTER = {Better.LOWER: "lower", Better.HIGHER: "higher", Better.FLOOR: "nearest the floor"}

TOKENS = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #f3f5f7; --real: #b5bcc4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --paper: #15181c; --line: #3a4048; --soft: #20252b; --real: #59616a; }
}
"""  # the colours of every page, by day and by night

STYLE = (
    TOKENS
    + """
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: middle; }
th.text, td.text { text-align: left; }
thead th { position: sticky; top: 0; background: var(--soft); }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid currentColor; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
.spread { opacity: .7; font-size: .85em; white-space: nowrap; }
td:not(.text) { white-space: nowrap; }
.rank { display: inline-block; min-width: 1.6em; opacity: .7; font-size: .85em; }
.best { font-weight: 700; }
.at-floor::after { content: " \\2713"; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 1em; border-radius: 2px; }
.scroll { overflow-x: auto; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
svg text { font-size: 11px; fill: var(--ink); }
svg .real { fill: var(--real); }
svg .axis { stroke: var(--ink); }
svg .floor { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 3 2; }
"""
)

_SCRIPT = """
"use strict";
const table = document.getElementById("metrics");
const body = table.tBodies[0];
function value(row, column) {
  const given = row.cells[column].dataset.value;
  return given === "" || isNaN(given) ? given : Number(given);
}
function sort(column, ascending) {
  const rows = Array.from(body.rows);
  rows.sort(function (a, b) {
    const x = value(a, column), y = value(b, column);
    if (x === "" || y === "") return (x === "") - (y === "");  // what is missing stays last, either way
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return ascending ? order : -order;
  });
  rows.forEach(function (row) { body.appendChild(row); });
}
Array.from(table.tHead.rows[0].cells).forEach(function (head, column, heads) {
  const button = head.querySelector("button");
  if (!button) return;
  button.addEventListener("click", function () {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    sort(column, ascending);
  });
});
"""


MOST_BYTES = 3_000_000  # of a page, which is to travel by mail


def render(reports: Sequence[Report], version: str, tables: Sequence[Table] = ()) -> str:
    """The whole page; of large pictures so few that it stays below `MOST_BYTES`.

    Args:
        reports: one a model and seed.
        version: of the software, for the footer.
        tables: what else is to be told of the models.

    Raises:
        UsageError: reports that cannot stand side by side; see `summarise`.
    """
    summary = summarise(reports)
    for most in (None, 8, 4, 2, 1, 0):
        page = _page(summary, tables, gallery_sections(reports, most), loss_section(reports), version)
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def _page(summary: Summary, tables: Sequence[Table], pictures: str, training: str, version: str) -> str:
    title = escape("epure: " + ", ".join(summary.models))
    keys = "".join(
        f'<span class="key" style="background:{colour(i)}"></span>{escape(m)}' for i, m in enumerate(summary.models)
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in summary.notes)
    plots = "".join(histogram(curve) for curve in summary.curves)
    sections = [
        f"<h1>{title}</h1>",
        f'<p class="conclusion">{escape(conclude(summary))}</p>',
        section(rank_table(summary)) if len(summary.models) > 1 else "",
        pictures,
        training,
        "<h2>Figures</h2>",
        f'<p><span class="key" style="background:var(--real);margin-left:0"></span>real designs{keys}</p>',
        "<p>The floor (dashed line) is what real designs score in the model's place. A tick marks a figure as good as "
        "that, to within its interval; bold marks the best of several models. After the figure: the standard deviation "
        "over seeds, or for one seed the half-width of its 95 % interval; last, of several models, the rank. "
        "Click a heading to sort.</p>",
        f"<ul>{notes}</ul>" if notes else "",
        _table(summary),
        f'<h2>Real and generated</h2><div class="plots">{plots}</div>' if plots else "",
        *map(section, tables),
        f"<footer><p>epure {escape(version)}</p></footer>",
    ]
    width = 78 + 8 * max(0, len(summary.models) - 3)  # a column a model
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{title}</title><style>{STYLE}{GALLERY_STYLE}</style></head>\n'
        f'<body style="max-width: {width}rem">\n'
        + "\n".join(part for part in sections if part)
        + f"\n<script>{_SCRIPT}</script>\n</body></html>\n"
    )


def _table(summary: Summary) -> str:
    fixed = (("group", "text"), ("metric", "text"), ("unit", "text"), ("better", "text"), ("floor", ""))
    heads = "".join(_head(name, kind) for name, kind in fixed)
    heads += "".join(_head(model, "") for model in summary.models) + '<th class="text">floor and models</th>'
    rows = "\n".join(_row(row) for row in summary.rows)
    head, body = f"<thead><tr>{heads}</tr></thead>", f"<tbody>\n{rows}\n</tbody>"
    return f'<div class="scroll"><table id="metrics">{head}\n{body}</table></div>'


def _head(name: str, kind: str) -> str:
    return f'<th scope="col" class="{kind}"><button type="button">{escape(name)}</button></th>'


def _row(row: Row) -> str:
    words = (row.group, row.name, row.unit, _BETTER[row.better])
    cells = [f'<td class="text" data-value="{escape(word)}">{escape(word)}</td>' for word in words]
    cells.append(f'<td data-value="{_plain(row.floor)}">{number(row.floor)}</td>')
    cells += [_cell(cell, ranked=len(row.cells) > 1) for cell in row.cells]
    cells.append(f'<td class="text">{strip(row)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _cell(cell: Cell, ranked: bool) -> str:
    marks = " ".join(name for name, set_ in (("best", cell.best), ("at-floor", cell.at_floor)) if set_)
    half = cell.spread
    if half is None and cell.interval is not None:
        half = (cell.interval[1] - cell.interval[0]) / 2
    known = half is not None and not math.isnan(half)
    spread = f' <span class="spread">± {number(half, 2)}</span>' if known else ""
    shown = f'<span class="{marks}">{number(cell.mean)}</span>' if marks else number(cell.mean)
    rank = f' <span class="rank">{cell.rank}.</span>' if ranked and cell.rank is not None else ""
    return f'<td data-value="{_plain(cell.mean)}">{shown}{spread}{rank}</td>'


def _plain(value: float | None) -> str:
    """What the script sorts by; empty where there is no value."""
    return "" if value is None or math.isnan(value) else repr(value)
