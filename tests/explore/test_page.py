"""The file without a browser: how large it is, what it holds, what it lets act, what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import epurecli as epure
from epurecli.evaluate.validity import faults
from epurecli.explore import page as shell


def block(text: str, name: str) -> bytes:
    found = re.search(rf'<script type="application/octet-stream" id="{name}">([^<]*)</script>', text)
    assert found
    return zlib.decompress(base64.b64decode(found[1]))


def test_two_thousand_designs_are_half_a_megabyte(tmp_path: Path, tyres) -> None:
    designs = tyres(2000)
    text = designs.explorer(tmp_path / "all.html").read_text("utf-8")
    assert len(text.encode()) < 500_000
    held = sum(len(part) for part in re.findall(r'octet-stream" id="\w+">([^<]*)<', text))
    assert len(text.encode()) - held < 60_000
    labels = np.frombuffer(block(text, "maps"), np.uint8).reshape(2000, 64, 32)
    np.testing.assert_array_equal(labels, designs.labels)
    table = json.loads(block(text, "table"))
    assert table["names"] == list(designs.names)
    shown = {column["name"]: column["values"] for column in table["columns"]}
    assert list(shown)[:6] == list(designs.columns)
    for name, values in designs.conditions.items():
        np.testing.assert_allclose(shown[name], values, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(shown["bt_px"], (designs.images[:, 2] >= 128).sum((1, 2)))


def test_validity_is_that_of_the_evaluation() -> None:
    bits = np.zeros((6, 2, 12, 8), bool)
    bits[:, 0, 1:6, 2:8] = True
    bits[:, 1, 6:11, 2:8] = True
    bits[1, 1, 8] = False  # cut in two, by a slit
    bits[2, 0, 3, 4:6] = False  # a hole
    bits[3, 0, 6] = True  # overlaps the other part, and sticks out of it
    bits[4, 1] = False
    bits[5, 0, 1, 0] = True  # far off: a stray pixel, an object of its own
    found = faults(bits)
    assert found.valid.tolist() == [True, False, False, False, False, False]
    assert (found.objects.tolist(), found.empty.tolist()) == ([1, 2, 1, 1, 1, 2], [0, 0, 0, 0, 1, 0])
    assert (found.gap[2], found.overlap[3], found.stray[5], found.stray[1]) == (2, 6, 1, 12)
    known = np.ones((6, 2), bool)
    known[4, 1] = False
    assert faults(bits, known).valid.tolist() == [True, False, False, False, True, False]


def test_only_its_own_script_and_style_may_act(explorer: Path) -> None:
    text = explorer.read_text("utf-8")
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    for tag, opening in (("script", r'<script type="module">'), ("style", "<style>")):
        (content,) = re.findall(rf"{opening}(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import|\bfetch\(|import\(|innerHTML|eval\(", text)


def test_names_of_strangers_stay_text(tmp_path: Path, tyres, strangers) -> None:
    usual = tyres(4).explorer(tmp_path / "usual.html").read_text("utf-8")
    named = tyres(4, strangers).explorer(tmp_path / "hostile.html", title=strangers[0], values={strangers[1]: range(4)})
    text = named.read_text("utf-8")
    assert re.findall(r"<\w+", text) == re.findall(r"<\w+", usual)
    assert "onerror" not in text
    assert json.loads(block(text, "table"))["names"] == list(strangers)


def test_every_module_stands_in_the_file_after_those_that_it_needs() -> None:
    found = {path.stem for path in (Path(shell.__file__).parent / "web").glob("*.mjs")}
    assert found == set(shell.MODULES)
    before: set[str] = set()
    for name in shell.MODULES:
        text = (Path(shell.__file__).parent / "web" / f"{name}.mjs").read_text("utf-8")
        imports = re.findall(r"^import (.*)$", text, re.MULTILINE)
        for line in imports:
            match = re.fullmatch(r'\{ [\w, ]+ \} from "\./(\w+)\.mjs";', line)
            assert match, line
            assert match[1] in before, f"{name} needs {match[1]}"
        before.add(name)


def test_numbers_that_are_not_there_and_columns_of_one_name(tmp_path: Path, tyres) -> None:
    values = {"width_px": [1.5, np.nan, np.inf], "nothing": [np.nan] * 3}
    text = tyres(3).explorer(tmp_path / "a.html", values=values).read_text("utf-8")
    shown = {column["name"]: column["values"] for column in json.loads(block(text, "table"))["columns"]}
    assert shown["width_px (2)"] == [1.5, None, None]
    assert "nothing" not in shown


def test_what_cannot_be_is_refused(tmp_path: Path, forty: epure.Designs) -> None:
    path = forty[:2].explorer(tmp_path / "new" / "a.html")
    before = path.read_bytes()
    for problem, call in (
        ("exists already", lambda: forty.explorer(path)),
        ("is a folder", lambda: forty.explorer(tmp_path)),
        ("no design to show", lambda: forty[:0].explorer(tmp_path / "b.html")),
        ("shape \\(3,\\) for 40", lambda: forty.explorer(tmp_path / "b.html", values={"x": [1, 2, 3]})),
        ("neither numbers nor words", lambda: forty[:2].explorer(tmp_path / "b.html", values={"x": [{}, "red"]})),
    ):
        with pytest.raises(epure.EpureError, match=problem):
            call()
    assert path.read_bytes() == before
    assert not (tmp_path / "b.html").exists()
    assert forty.explorer(path, overwrite=True).stat().st_size > len(before)


def test_a_frame_of_predictions_stands_beside_the_conditions(tmp_path: Path, forty: epure.Designs, names) -> None:
    text = forty.explorer(tmp_path / "a.html", values=forty.to_frame()[["bt_px"]]).read_text("utf-8")
    names = [column["name"] for column in json.loads(block(text, "table"))["columns"]]
    assert names[6:8] == ["bt_px", "group_nc_px"]
