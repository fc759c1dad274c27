"""Every fault of a data set, in one pass, with file and row; and data without faults passes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.data.check import CheckResult, check
from epurecli.data.dataset import open_dataset
from epurecli.data.describe import infer_config
from epurecli.data.problems import Problem
from epurecli.data.toy import COMPONENTS
from epurecli.errors import DataError, EpureError, NotFound


def only(report: CheckResult) -> Problem:
    assert len(report.problems) == 1, [str(problem) for problem in report.problems]
    problem = report.problems[0]
    assert problem.hint
    return problem


def test_good_data_has_no_problems(folder: Path, config):
    report = check(folder)
    assert report.ok
    assert (report.designs, report.images) == (16, 80)
    assert check(config()).ok


def test_designs_may_lack_components_but_not_all(folder: Path, image, cache: Path, config):
    image(5).unlink()
    found = check(folder)
    assert found.ok
    assert "1 of 16 designs lack some components (bt 1; bt/toy_0000005_bt.png is missing)" in found.warnings[0]
    dataset = open_dataset(config(), cache_dir=cache)
    assert np.argwhere(~dataset.known).tolist() == [[5, 2]]
    assert dataset.batch(np.array([4, 5])).known.tolist() == [[True] * 5, [True, True, False, True, True]]
    assert dataset.whole(np.arange(16)).tolist() == [*range(5), *range(6, 16)]
    for component in COMPONENTS:
        image(5, component).unlink(missing_ok=True)
    problem = only(check(folder))
    assert (problem.file, problem.row) == ("group_nc/toy_0000005_group_nc.png", 7)
    assert "is missing, as are its others" in problem.what


def test_a_truncated_image(folder: Path, image):
    image(5, "fpu").write_bytes(image(5, "fpu").read_bytes()[:70])
    problem = only(check(folder))
    assert (problem.file, problem.row) == ("fpu/toy_0000005_fpu.png", 7)
    assert "truncated" in problem.what


def test_an_unreadable_image(folder: Path, image):
    image(0).write_bytes(b"")
    image(1).write_text("not an image at all, but long enough")
    problems = check(folder).problems
    assert [(problem.row, problem.file) for problem in problems] == [
        (2, "bt/toy_0000000_bt.png"),
        (3, "bt/toy_0000001_bt.png"),
    ]
    assert "0 bytes" in problems[0].what
    assert "not a PNG" in problems[1].what


def test_an_image_of_another_size(folder: Path, image):
    Image.new("L", (64, 64)).save(image(9, "tpc"))
    problem = only(check(folder))
    assert problem.row == 11
    assert "64 x 64" in problem.what
    assert "64 x 32" in problem.what


def test_a_missing_folder_is_one_problem(folder: Path, config):
    shutil.rmtree(folder / "tpc")
    problem = only(check(config()))
    assert "no folder tpc" in problem.what
    assert "bt, fpu, group_km, group_nc" in problem.hint


def test_a_missing_column(folder: Path, config, edit_csv):
    problem = only(check(config(condition_columns=("width_px", "mass"))))
    assert "'mass' is missing" in problem.what
    assert "d_cons" in problem.hint
    edit_csv(lambda lines: [lines[0].replace(",d_cons,", ",cons,"), *lines[1:]])
    assert "it has d_cons_norm" in only(check(config(condition_columns=("d_cons",)))).hint


@pytest.mark.parametrize(
    ("cell", "words"),
    [("", "is empty"), ("nan", "'nan'"), ("wide", "'wide'"), ("inf", "'inf', which is no finite number")],
)
def test_a_condition_that_is_no_number(folder: Path, edit_csv, cell: str, words: str):
    def spoil(lines: list[str]) -> list[str]:
        cells = lines[3].split(",")
        cells[2] = cell
        return [*lines[:3], ",".join(cells), *lines[4:]]

    edit_csv(spoil)
    problem = only(check(folder))
    assert (problem.file, problem.row) == ("performances.csv", 4)
    assert "'width_px'" in problem.what
    assert words in problem.what


def test_a_duplicate_prefix_names_both_rows(folder: Path, edit_csv):
    edit_csv(lambda lines: [*lines, lines[6]])
    problem = only(check(folder))
    assert problem.row == 18
    assert "'toy_0000005' was used before, in row 7" in problem.what


@pytest.mark.parametrize("prefix", ["../secret", "/etc/passwd", "a/b", "C:\\x", "..", " "])
def test_a_prefix_that_leaves_the_folder(folder: Path, config, cache: Path, edit_csv, prefix: str):
    edit_csv(lambda lines: [lines[0], lines[1].replace("toy_0000000", prefix), *lines[2:]])
    problem = only(check(folder))
    assert problem.row == 2
    assert "empty" in problem.what if prefix == " " else "outside the folder" in problem.what
    with pytest.raises(DataError, match="row 2"):
        open_dataset(config(), cache_dir=cache)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_to_regular_files(folder: Path, image, tmp_path: Path, config, cache: Path):
    digest = open_dataset(config(), cache_dir=cache).digest
    image(3).rename(tmp_path / "outside.png")
    image(3).symlink_to(tmp_path / "outside.png")
    shutil.move(folder / "tpc", tmp_path / "tpc")
    (folder / "tpc").symlink_to(tmp_path / "tpc")
    assert open_dataset(config(), cache_dir=cache).digest == digest
    image(4).unlink()
    os.mkfifo(image(4))
    image(5).unlink()
    image(5).symlink_to("/dev/zero")
    image(6).unlink()
    image(6).symlink_to(tmp_path / "nothing.png")
    found = {problem.file[-11:]: problem.what for problem in check(folder).problems if "missing" not in problem.what}
    assert found == {
        "0004_bt.png": "is no regular file",
        "0005_bt.png": "is no regular file",
        "0006_bt.png": "is a link to nothing",
    }


def test_an_empty_split(folder: Path, edit_csv):
    edit_csv(lambda lines: [line.replace("False", "True") for line in lines])
    assert "no test designs" in only(check(folder)).what
    edit_csv(lambda lines: [line.replace("True", "False") for line in lines])
    assert "no training designs" in only(check(folder)).what


def test_a_split_that_is_neither(folder: Path, edit_csv):
    edit_csv(lambda lines: [*lines[:4], lines[4].replace("True", "maybe"), *lines[5:]])
    problem = only(check(folder))
    assert problem.row == 5
    assert "'maybe'" in problem.what


@pytest.mark.parametrize("words", [("1", "0"), ("yes", "no"), ("TRAIN", "test"), ("1.0", "0.0")])
def test_other_spellings_of_the_split(folder: Path, cache: Path, config, edit_csv, words: tuple[str, str]):
    edit_csv(lambda lines: [line.replace("True", words[0]).replace("False", words[1]) for line in lines])
    assert open_dataset(config(), cache_dir=cache).test.tolist() == [7, 15]


def test_a_split_column_of_another_name_is_asked_for(folder: Path, edit_csv):
    edit_csv(lambda lines: [lines[0].replace("train", "fold"), *lines[1:]])
    problem = only(check(folder))
    assert "'train' is missing" in problem.what
    assert "if column 'fold' says what designs are for: --set data.split_column=fold" in problem.hint


def test_a_mistyped_split_column_is_asked_for(folder: Path, edit_csv):
    edit_csv(lambda lines: [lines[0].replace("train", "trian"), *(line.replace("True", "1") for line in lines[1:])])
    assert "--set data.split_column=trian" in only(check(folder)).hint


def test_without_any_split_designs_are_chosen_by_name_and_it_is_said(folder: Path, cache: Path, config, edit_csv):
    edit_csv(lambda lines: [",".join(cell for cell in line.split(",") if cell not in ("train", "True", "False"))
                            for line in lines])  # fmt: skip
    found = check(folder)
    assert found.ok
    (said,) = (note for note in found.notes if "which designs test" in note)
    dataset = open_dataset(config(), cache_dir=cache)
    assert f"{len(dataset.test)} of 16" in said
    assert 0 < len(dataset.test) < 8
    assert {dataset.prefixes[row] for row in dataset.test}.isdisjoint(dataset.prefixes[row] for row in dataset.train)
    before = {dataset.prefixes[row] for row in dataset.test}
    edit_csv(lambda lines: [lines[0], *reversed(lines[1:])])
    again = open_dataset(config(), cache_dir=cache)
    assert {again.prefixes[row] for row in again.test} == before


def test_everything_at_once(folder: Path, image, edit_csv):
    """One pass names them all, and a faulty row's image is still looked at."""
    for component in COMPONENTS:
        image(1, component).unlink()
    image(2).write_bytes(b"")
    Image.new("L", (8, 8)).save(image(3))
    edit_csv(
        lambda lines: [
            *lines[:3],
            lines[3].replace("True", "perhaps"),  # the row of the empty image
            lines[4],
            lines[5].replace("toy_0000004", "../toy"),
            *lines[6:],
            lines[7],
        ]
    )
    report = check(folder)
    assert sorted((problem.row, problem.file.split("/")[-1]) for problem in report.problems) == [
        (3, "toy_0000001_group_nc.png"),
        (4, "performances.csv"),
        (4, "toy_0000002_bt.png"),
        (5, "toy_0000003_bt.png"),
        (6, "performances.csv"),
        (18, "performances.csv"),
    ]


def test_a_set_of_other_proportions(tmp_path: Path):
    """One component, 12 x 20 pixels, more designs than one job holds: rows are still right."""
    (tmp_path / "rim").mkdir()
    for i in range(600):
        Image.new("L", (20, 12), i % 256).save(tmp_path / "rim" / f"d{i}_rim.png")
    rows = [f"d{i},{i % 3 > 0}" for i in range(600)]
    (tmp_path / "performances.csv").write_text("\n".join(["matching,train", *rows]))
    dataset = open_dataset(infer_config(tmp_path), cache_dir=tmp_path / "cache")
    assert dataset.images.shape == (600, 1, 16, 24)  # padded with paper to whole eighths
    assert dataset.images[:, 0, 7, 7].tolist() == [i % 256 for i in range(600)]
    assert dataset.conditions.shape == (600, 0)
    (tmp_path / "rim" / "d555_rim.png").write_bytes(b"")
    assert str(only(check(tmp_path))).startswith("rim/d555_rim.png (row 557): is empty")


def test_check_writes_nothing(folder: Path, image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EPURE_CACHE_DIR", str(tmp_path / "cache"))
    image(2).write_bytes(b"")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    check(folder)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("name,train\na,True\n", "no column 'matching'"),
        ("matching,train\na,True,3,4\n", "row 2: has 4 cells where the header names 2 columns"),
        ("matching,train\na,True\n\nb,True,3\n", "row 4: has 3 cells"),
        ("matching,,train\na,3,True\n", "column 2 holds values but has no name"),
        ("matching,train\n\0\0\0,True\n", "is no text"),
    ],
    ids=["empty", "no-prefix", "long-rows", "one-long-row", "no-name", "binary"],
)
def test_a_csv_that_is_none(folder: Path, config, content: str, words: str):
    (folder / "performances.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(EpureError, match=words) as caught:
        check(config())
    assert "performances.csv" in caught.value.message
    assert caught.value.exit_code == 2


def test_a_column_that_stands_twice(folder: Path, edit_csv):
    edit_csv(lambda lines: [lines[0] + ",Width_px", *(line + ",99" for line in lines[1:])])
    problem = only(check(folder))
    assert (problem.row, problem.what) == (1, "2 columns are called 'width_px'")


def test_a_csv_without_rows(folder: Path, config, edit_csv):
    edit_csv(lambda lines: lines[:1])
    assert any("has no rows" in problem.what for problem in check(config()).problems)


def test_rows_are_counted_as_an_editor_does(folder: Path, edit_csv, image):
    edit_csv(lambda lines: [*lines[:3], "", *lines[3:], "", ",,,"])  # empty lines mean nothing, but count
    image(5).write_bytes(b"")
    assert only(check(folder)).row == 8


def test_a_prefix_of_digits_keeps_its_zeros(folder: Path, cache: Path, config, edit_csv):
    edit_csv(lambda lines: [line.replace("toy_000", "") for line in lines])
    for path in folder.rglob("*.png"):
        path.rename(path.with_name(path.name.replace("toy_000", "")))
    assert open_dataset(config(), cache_dir=cache).prefixes[3] == "0003"


def test_what_is_not_there(tmp_path: Path, folder: Path, config):
    with pytest.raises(NotFound):
        check(tmp_path / "nowhere")
    with pytest.raises(NotFound):
        check(config(condition_csv=folder / "other.csv"))
    with pytest.raises(DataError, match="plain folder name"):
        check(config(component_dirs=("../bt", "fpu")))


def test_a_batch_of_whole_designs_says_nothing_of_what_is_known(folder: Path, image, cache: Path, config):
    """A model that trains on whole designs only never meets the mask."""
    image(5).unlink()
    dataset = open_dataset(config(), cache_dir=cache)
    assert dataset.batch(dataset.whole(dataset.train)).known is None
    assert dataset.batch(np.array([5])).known is not None
