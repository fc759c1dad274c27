"""`epure explore`: any folder of designs, the columns that lie beside them, and what it refuses."""

from __future__ import annotations

import base64
import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epurecli as epure_api
from epurecli.data import toy


def held(path: Path) -> dict[str, Any]:
    """What a file holds, columns by name."""
    (text,) = re.findall(r'id="table">([^<]*)<', path.read_text("utf-8"))
    table = json.loads(zlib.decompress(base64.b64decode(text)))
    return table | {"columns": {column["name"]: column["values"] for column in table["columns"]}}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as sampling writes it."""
    images, table = toy.draw(0, 0, 6)
    columns = ("width_px", "d_rigid")
    return epure_api.Designs(
        images=images,
        components=tuple(toy.COMPONENTS),
        names=tuple(f"sample_{i:05d}" for i in range(6)),
        columns=columns,
        values=np.stack([table[c] for c in columns], 1).astype(float),
        provenance={"model": "vae", "mode": "conditional", "seed": "0"},
    ).save(tmp_path_factory.mktemp("explore") / "sampled")


def test_samples(epure, sampled: Path, tmp_path: Path) -> None:
    result = epure("explore", sampled, cwd=tmp_path)
    assert (result.code, result.out) == (0, "explorer: explorer.html\n")
    found = held(tmp_path / "explorer.html")
    assert found["names"] == [f"sample_{i:05d}" for i in range(6)]
    assert list(found["columns"])[:3] == ["width_px", "d_rigid", "group_nc_px"]
    text = (tmp_path / "explorer.html").read_text("utf-8")
    assert "<title>sampled</title>" in text
    again = epure("explore", sampled, cwd=tmp_path)
    assert (again.code, "exists already" in again.err, "--overwrite" in again.err) == (2, True, True)
    assert (tmp_path / "explorer.html").read_text("utf-8") == text
    assert epure("explore", sampled, "--most", 2, "--overwrite", cwd=tmp_path).code == 0
    assert held(tmp_path / "explorer.html")["names"] == ["sample_00000", "sample_00005"]


def test_designed_folders_bring_their_columns(epure, sampled: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sampled, tmp_path / "designed")
    lines = ["name;asked;predicted;low;high;distance;valid;rank;why;d_rigid"]
    lines += [f"sample_{i:05d};0,2;0,{i}5;0;1;{140 + i};{i != 2};{6 - i};because;{i}" for i in (5, 3, 2, 0)]
    (folder / "designs.csv").write_text("\n".join([*lines, "elsewhere;9;9;9;9;9;True;9;;9"]), "utf-8")
    (folder / "notes.csv").write_text("a,b\n1,2\n", "utf-8")
    result = epure("explore", folder, "--out", tmp_path / "a.html")
    assert result.code == 0
    assert "notes.csv: no column names the designs" in result.err
    columns = held(tmp_path / "a.html")["columns"]
    assert columns["rank"] == [6, None, 4, 3, None, 1]
    assert columns["predicted"] == [0.05, None, 0.25, 0.35, None, 0.55]
    assert columns["valid"] == [1, None, 0, 1, None, 1]
    assert columns["designs: d_rigid"] == [0, None, 2, 3, None, 5]
    (why,) = held(tmp_path / "a.html")["words"]
    assert why == {"name": "why", "values": ["because", "", "because", "because", "", "because"]}


def test_a_data_set(epure, wild: Path, tmp_path: Path) -> None:
    assert epure("explore", wild, "--out", tmp_path / "a.html").code == 0
    found = held(tmp_path / "a.html")
    assert [part["name"] for part in found["components"]] == ["carcass", "crown", "wall"]
    assert len(found["names"]) == 24
    assert list(found["columns"])[:3] == ["width_px", "height_px", "train"]


def test_drawings_of_ones_own_and_shards(epure, sampled: Path, tmp_path: Path) -> None:
    drawn = shutil.copytree(sampled, tmp_path / "drawn", ignore=shutil.ignore_patterns("*.csv", "sample_00003_bt.png"))
    assert epure("explore", drawn, "--out", tmp_path / "a.html").code == 0
    found = held(tmp_path / "a.html")
    assert (len(found["names"]), found["faults"][3][1]) == (6, 0)  # what was never drawn is not empty
    shards = epure_api.read(sampled).save(tmp_path / "shards", format="npz")
    assert epure("explore", shards, "--out", tmp_path / "b.html").code == 0
    assert held(tmp_path / "b.html")["columns"]["bt_px"][0] == found["columns"]["bt_px"][0]


@pytest.mark.parametrize(("what", "code", "said"), [("nowhere", 4, "no such folder"), ("empty", 2, "holds no samples")])
def test_no_designs(epure, tmp_path: Path, what: str, code: int, said: str) -> None:
    (tmp_path / "empty").mkdir()
    result = epure("explore", what, cwd=tmp_path)
    assert (result.code, said in result.err) == (code, True)
    assert not (tmp_path / "explorer.html").exists()


def test_a_csv_that_names_a_design_twice_is_left_out(epure, sampled: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sampled, tmp_path / "twice")
    (folder / "designs.csv").write_text("name,rank\nsample_00000,1\nsample_00000,2\n", "utf-8")
    result = epure("explore", folder, cwd=tmp_path)
    assert result.code == 0
    assert "names a design twice" in result.err
    assert "rank" not in held(tmp_path / "explorer.html")["columns"]


def test_a_design_that_lacks_a_part_is_not_at_fault_for_it(epure, designs: Path, tmp_path: Path) -> None:
    (designs / "train" / "wall" / "tyre_000_wall.png").unlink()
    result = epure("explore", designs, cwd=tmp_path)
    assert result.code == 0, result.err
    assert [faults[1] for faults in held(tmp_path / "explorer.html")["faults"]] == [0] * 24
