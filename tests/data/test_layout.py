"""Files that are called nearly as the CSV says are found where that leaves no doubt."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from epurecli.data.layout import BRANCHES, MISSING, file_name, locate
from epurecli.data.table import Part

PATTERN = "{prefix}_{component}.png"


def lay(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an image")
    return root.resolve()


@pytest.mark.parametrize(
    ("prefix", "file"),
    [
        ("7", "00007_bt.png"),
        ("00007", "7_bt.png"),
        ("Pneu", "pneu_bt.PNG"),
        ("été", unicodedata.normalize("NFD", "été") + "_bt.png"),
        ("toy_3", "toy_0003_bt.png"),
        ("a", "a _bt.png"),
    ],
)
def test_a_name_that_is_nearly_right_is_found_and_said(tmp_path: Path, prefix: str, file: str) -> None:
    found = locate(lay(tmp_path, f"bt/{file}"), ("bt",), (prefix, "other"), PATTERN, None)
    assert found.branch[:, 0].tolist() == [0, MISSING]
    assert found.other_names == {(0, 0): file}
    assert f"bt/{file}" in found.notes[0]
    assert not found.problems


def test_an_exact_name_wins_wherever_it_lies(tmp_path: Path) -> None:
    root = lay(tmp_path, "train/bt/007_bt.png", "test/bt/7_bt.png")
    found = locate(root, ("bt",), ("7",), PATTERN, np.array([Part.TRAIN], np.int8))
    assert BRANCHES[found.branch[0, 0]] == "test"
    assert not found.other_names
    assert found.notes == ("1 image is of no design that the CSV names, and not used: train/bt/007_bt.png",)


def test_pictures_of_no_row_are_said(tmp_path: Path) -> None:
    root = lay(tmp_path, "bt/a_bt.png", "bt/B_bt.png", "bt/x_bt.png", "bt/sheet.png")
    found = locate(root, ("bt",), ("a", "b"), PATTERN, None)
    assert found.notes[1] == "2 images are of no design that the CSV names, and not used: bt/sheet.png"
    assert not locate(root, ("bt",), ("a", "b", "x", "sheet"), "{prefix}.png", None).notes[1:]


def test_two_files_that_are_nearly_right_are_a_problem(tmp_path: Path) -> None:
    found = locate(lay(tmp_path, "bt/007_bt.png", "bt/07_bt.png"), ("bt",), ("7",), PATTERN, None)
    assert "07_bt.png" in found.problems[0].file
    assert "both called nearly as '7'" in found.problems[0].what


def test_designs_that_differ_in_zeros_alone_need_exact_names(tmp_path: Path) -> None:
    found = locate(lay(tmp_path, "bt/007_bt.png"), ("bt",), ("7", "07"), PATTERN, None)
    assert (found.branch == MISSING).all()


def test_the_split_decides_between_files_of_one_name(tmp_path: Path) -> None:
    root = lay(tmp_path, "train/bt/a_bt.png", "test/bt/a_bt.png", "val/bt/a_bt.png")
    for part, branch in ((Part.TRAIN, "train"), (Part.TEST, "test"), (Part.VALIDATION, "val")):
        found = locate(root, ("bt",), ("a",), PATTERN, np.array([part], np.int8))
        assert BRANCHES[found.branch[0, 0]] == branch


def test_a_prefix_may_hold_the_text_of_a_placeholder() -> None:
    assert file_name(PATTERN, "{component}", "bt") == "{component}_bt.png"
    assert file_name(PATTERN, "{prefix}", "bt") == "{prefix}_bt.png"
    assert file_name("{component}/{prefix}.png", "a", "bt") == "bt/a.png"
