"""The files: what is written can be read back, says what was measured, needs nothing outside itself, and sorts."""

from __future__ import annotations

import base64
import csv
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from epurecli.errors import DataError, NotFound, UsageError
from epurecli.evaluate import Better, Histogram, Metric, Report, read_reports, write_reports
from epurecli.evaluate.album import Album, Card, Gallery, Picture
from epurecli.evaluate.plot import number

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def album(label: str) -> Album:
    """One picture of one design."""
    return Album((label,), (Gallery("Drawn", "One.", (Card((Picture(label, PNG),), label),)),))


NASTY = "<b>&\"'</script>"


def make_report(model: str, seed: int, shift: float = 0.0) -> Report:
    metrics = (
        Metric("frechet", "distribution", 12.5 + shift, "px", Better.LOWER, 2.5, (11.0, 14.0)),
        Metric("one object", "validity", 0.96 - shift / 100, "share", Better.HIGHER, 1.0, (0.94, 0.98)),
        Metric("spread", "inpainting", math.nan, "share", Better.FLOOR, 0.5, (math.nan, math.nan)),
        Metric("width error", "conditioning", 3.25 + shift, "px", Better.LOWER, None),
    )
    histogram = Histogram("area of crown", "px", (0.0, 2.0, 4.0), (0.25, 0.75), (0.5, 0.5))
    return Report(model, seed, {"samples": 9, "test": 5, "train": 7}, metrics, (histogram,), ("A note.",))


REPORTS = [make_report(NASTY, 0), make_report(NASTY, 1, 2.0), make_report("other", 0, 8.0)]


class Page(HTMLParser):
    """Tags in order, and faults of nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_json_gives_back_what_was_measured(tmp_path: Path) -> None:
    path, _, _ = write_reports(REPORTS, tmp_path / "new" / "folder")
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    for where in (path, path.parent):
        again = read_reports(where)
        # NaN differs from itself, so the text of the records is compared.
        assert [repr(r) for r in again] == [repr(r) for r in REPORTS]


def test_csv_has_one_line_a_figure(tmp_path: Path) -> None:
    _, path, _ = write_reports(REPORTS, tmp_path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert rows[0] == {
        "model": NASTY,
        "seed": "0",
        "group": "distribution",
        "metric": "frechet",
        "value": "12.5",
        "unit": "px",
        "better": "lower",
        "floor": "2.5",
        "ci_low": "11.0",
        "ci_high": "14.0",
    }
    assert (rows[3]["floor"], rows[3]["ci_low"]) == ("", "")


def test_page_is_well_formed_complete_and_needs_nothing_else(tmp_path: Path) -> None:
    _, _, path = write_reports([replace(REPORTS[0], album=album("drawn by " + NASTY)), *REPORTS[1:]], tmp_path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert names.count("tr") == (1 + 4) + (1 + 4 + 1)  # figures; ranks in each of four groups and in all
    assert names.count("svg") == 4 + 1
    addresses = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    assert addresses == ["data:,", "data:image/png;base64," + base64.b64encode(PNG).decode()]
    assert not re.search(r"https?:|url\(|@import|fetch\(", text)
    assert "<b>" not in text
    assert text.count("</script>") == 1
    assert "A note." in text


def test_page_marks_best_and_floor_and_shows_spread(tmp_path: Path) -> None:
    at_floor = Metric("kernel", "distribution", 0.002, "1", Better.LOWER, 0.001, (0.0, 0.004))
    _, _, path = write_reports([Report("m", 0, {"test": 5, "train": 7}, (at_floor,))], tmp_path)
    assert '<span class="at-floor">0.002</span> <span class="spread">± 0.002</span>' in path.read_text(encoding="utf-8")
    _, _, path = write_reports(REPORTS, tmp_path)
    row = re.search(r"<tr><td[^>]*data-value=.distribution.*?</tr>", path.read_text(encoding="utf-8")).group()
    spread, rank = '<span class="spread">± {}</span>', '<span class="rank">{}.</span>'
    best = '<span class="best">13.5</span>'
    assert f'<td data-value="13.5">{best} {spread.format("1.4")} {rank.format(1)}</td>' in row
    assert f'<td data-value="20.5">20.5 {spread.format("1.5")} {rank.format(2)}</td>' in row


def test_nothing_is_written_where_reports_cannot_stand_together(tmp_path: Path) -> None:
    other = Report("x", 0, {"samples": 9, "test": 6, "train": 7}, REPORTS[0].metrics, REPORTS[0].histograms)
    with pytest.raises(UsageError, match="different real designs"):
        write_reports([REPORTS[0], other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "JSONDecodeError"), ("[]", "TypeError"), ('{"format": 99}', "format 99, expected 1"), ("{}", "'format'")],
)
def test_files_that_are_no_reports_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read_reports(path)
    assert str(path) in caught.value.message
    with pytest.raises(NotFound, match="no such report"):
        read_reports(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (12.5, "12.5"), (1234.56, "1235"), (100.0, "100"), (0.00123456, "0.001235"), (-2e-7, "-2.000e-07")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
    assert (number(None), number(math.nan)) == ("–", "–")


BROWSER = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)

CLICKS = """
<script>
const heads = Array.from(document.querySelectorAll("#metrics thead button"));
const said = [];
function column(i) {
  return Array.from(document.querySelectorAll("#metrics tbody tr")).map(r => r.cells[i].dataset.value).join("|");
}
for (const i of [6, 6, 1, 1, 4, 4]) {
  heads[i].click();
  const sorted = Array.from(document.querySelectorAll("#metrics thead th")).map(h => h.getAttribute("aria-sort"));
  said.push(i + ":" + sorted.filter(s => s).join() + ":" + column(i));
}
const seen = Array.from(document.querySelectorAll("svg, img")).every(e => e.getBoundingClientRect().width > 0);
const images = Array.from(document.images).map(i => i.complete && i.naturalWidth).join();
document.title = "clicked " + JSON.stringify({ said, seen, images, errors: window.faults });
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path; `apt-get install chromium`")
def test_page_renders_and_sorts_in_a_browser_without_a_network(tmp_path: Path) -> None:
    _, _, path = write_reports([replace(REPORTS[0], album=album("drawn")), *REPORTS[1:]], tmp_path)
    text = path.read_text(encoding="utf-8")
    watch = "<script>window.faults = []; window.onerror = m => { window.faults.push(String(m)); };</script>"
    path.write_text(text.replace("<head>", "<head>" + watch).replace("</body>", CLICKS + "</body>"), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    found = re.search(r"<title>clicked (.*?)</title>", done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    result = json.loads(found.group(1))
    assert (result["errors"], result["seen"], result["images"]) == ([], True, "1")
    # Column 6 is the model "other"; the spread that is not a number stays last in both directions.
    expected = sorted([20.5, 0.96 - 0.08, 11.25])
    up, down, *others = result["said"]
    for line, order, values in ((up, "ascending", expected), (down, "descending", expected[::-1])):
        column, direction, cells = line.split(":")
        assert (column, direction) == ("6", order)
        *numbers, last = cells.split("|")
        assert last == ""
        np.testing.assert_allclose([float(n) for n in numbers], values)
    assert others == [
        "1:ascending:frechet|one object|spread|width error",
        "1:descending:width error|spread|one object|frechet",
        "4:ascending:0.5|1.0|2.5|",  # the width error has no floor and stood first before the click
        "4:descending:2.5|1.0|0.5|",
    ]
