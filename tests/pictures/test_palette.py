from __future__ import annotations

import re
from pathlib import Path

import epurecli
from epurecli.pictures.palette import OKABE_ITO, colour, css, line_colour


def test_components_and_curves_share_seven_colours() -> None:
    assert {colour(i) for i in range(7)} == {line_colour(i) for i in range(7)} == set(OKABE_ITO)


def test_nine_models_have_nine_colours() -> None:
    assert len({line_colour(i) for i in range(14)} | {colour(i) for i in range(7)}) == 14
    assert line_colour(14) == line_colour(0)


def test_components_beyond_the_palette_are_paler_and_not_alike() -> None:
    assert len({colour(i) for i in range(14)}) == 14
    assert all(a < b or b == 255 for one, two in zip(range(7), range(7, 14), strict=True)
               for a, b in zip(colour(one), colour(two), strict=True))  # fmt: skip


def test_no_other_file_has_a_palette_of_its_own() -> None:
    blue = re.compile("#0072b2|0, 114, 178", re.IGNORECASE)
    files = Path(epurecli.__file__).parent.rglob("*.py")
    assert [p.name for p in files if blue.search(p.read_text(encoding="utf-8"))] == ["palette.py"]
    assert css((0, 114, 178)) == "#0072b2"
