"""A folder at a glance, and the config that fits it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.data.check import check
from epurecli.data.dataset import open_dataset
from epurecli.data.describe import describe, find_csv, infer, infer_config, ordered_components
from epurecli.data.toy import COMPONENTS
from epurecli.errors import DataError, NotFound


def test_components_come_in_their_usual_order():
    assert ordered_components(["tpc", "zebra", "bt", "group_nc", "Alpha"]) == (
        "group_nc",
        "bt",
        "tpc",
        "Alpha",
        "zebra",
    )


def test_describe_a_flat_folder(folder: Path):
    seen = describe(folder)
    assert seen.components == COMPONENTS
    assert seen.images == dict.fromkeys(COMPONENTS, 16)
    assert seen.image_sizes == {(64, 32): 80}
    assert seen.modes == {"L": 80}
    assert (seen.rows, seen.train, seen.test) == (16, 14, 2)
    assert seen.layout == "<component>/<prefix>_<component>.png"
    width = next(column for column in seen.columns if column.name == "width_px")
    assert 49 <= width.minimum < width.maximum <= 64
    assert {"matching", "train"}.isdisjoint(column.name for column in seen.columns)


PLANNED = ("width_px", "height_px", "d_cons", "d_rigid", "d_life", "d_stab")


def test_a_split_folder_of_three_components(folder: Path, cache: Path):
    """As the public toy set is found: RGBA under train/ and test/, three components, two conditions."""
    for component in ("bt", "tpc"):
        shutil.rmtree(folder / component)
    for path in folder.glob("*/*.png"):
        branch = "test" if int(path.name.split("_")[1]) % 8 == 7 else "train"
        target = folder / branch / path.parent.name
        target.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGBA").save(target / path.name)
        path.unlink()
    seen = describe(folder)
    assert seen.components == ("group_nc", "group_km", "fpu")
    assert seen.modes == {"RGBA": 48}
    assert seen.layout.startswith("<train|test>/")
    config = infer_config(folder)
    assert config.component_dirs == ("group_nc", "group_km", "fpu")
    assert config.condition_columns == PLANNED
    assert open_dataset(config, cache_dir=cache).images.shape == (16, 3, 64, 32)


def test_conditions_are_those_the_csv_has(folder: Path, edit_csv):
    edit_csv(lambda lines: [lines[0].replace("height_px", "tall"), *lines[1:]])
    assert infer_config(folder).condition_columns == (PLANNED[0], *PLANNED[2:])
    for name in (PLANNED[0], *PLANNED[2:]):
        edit_csv(lambda lines, name=name: [lines[0].replace(name, f"my_{name}"), *lines[1:]])
    others = infer_config(folder).condition_columns
    assert others[:2] == ("my_width_px", "tall")  # where no column of the plan is there, all that hold numbers


def test_the_csv_may_have_any_name_if_it_is_the_only_one(folder: Path, cache: Path):
    (folder / "performances.csv").rename(folder / "table.csv")
    assert find_csv(folder) == folder / "table.csv"
    assert len(open_dataset(infer_config(folder), cache_dir=cache)) == 16
    shutil.copy(folder / "table.csv", folder / "other.csv")
    with pytest.raises(DataError, match=r"other\.csv, table\.csv"):
        infer_config(folder)


def test_folders_that_hold_no_data(folder: Path, tmp_path: Path):
    with pytest.raises(NotFound, match="does not exist"):
        describe(tmp_path / "nowhere")
    with pytest.raises(NotFound, match="is a file"):
        describe(folder / "performances.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no component folders"):
        infer_config(tmp_path / "empty")
    (folder / "performances.csv").unlink()
    assert describe(folder).csv is None
    with pytest.raises(DataError, match="no CSV"):
        infer_config(folder)


def test_damaged_images_are_counted_not_raised(folder: Path, image):
    image(0).write_bytes(b"")
    assert describe(folder).modes == {"L": 79, "unreadable": 1}


@pytest.mark.parametrize("name", ["full", "whole_section"])
def test_pictures_of_whole_designs_are_no_component(folder: Path, name: str):
    (folder / name).mkdir()
    for path in (folder / "bt").iterdir():
        prefix = path.name.removesuffix("_bt.png")
        parts = [np.asarray(Image.open(folder / c / f"{prefix}_{c}.png")) for c in COMPONENTS]
        Image.fromarray(np.maximum.reduce(parts)).save(folder / name / f"{prefix}_{name}.png")
    found = infer(folder)
    assert found.config.component_dirs == COMPONENTS
    assert f"{name}/ is taken for pictures of whole designs" in found.warnings[0]
    assert infer(folder, {"component_dirs": ["bt", name]}).config.component_dirs == ("bt", name)


def test_hidden_folders_are_no_components(folder: Path):
    shutil.copytree(folder / "bt", folder / ".thumbnails")
    assert infer_config(folder).component_dirs == COMPONENTS


def test_columns_are_found_by_what_they_hold(folder: Path, edit_csv):
    """A CSV with names of its own, for files without the component in their names."""
    for path in folder.rglob("*.png"):
        path.rename(path.with_name(f"{path.stem.rsplit('_', path.parent.name.count('_') + 1)[0]}.png"))
    rows = [line.split(",")[:4] for line in (folder / "performances.csv").read_text().splitlines()[1:]]
    told = [f"{name};{'train' if part == 'True' else 'test'};{a},5;{b}" for name, part, a, b in rows]
    edit_csv(lambda lines: ["Nom;Split;Largeur;Hauteur", *told])
    found = infer(folder)
    config = found.config
    assert (config.prefix_column, config.split_column, config.filename_pattern) == ("Nom", "Split", "{prefix}.png")
    assert config.condition_columns == ("Largeur", "Hauteur")
    assert len(found.notes) == 4
    assert check(folder).ok


def test_other_formats_are_named(folder: Path):
    (folder / "performances.csv").rename(folder / "Pneus.XLSX")
    with pytest.raises(DataError, match=r"Pneus\.XLSX is a workbook"):
        infer(folder)
    for path in list(folder.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    with pytest.raises(DataError, match=r"\.jpg is a JPG file; images must be PNGs"):
        infer(folder)
