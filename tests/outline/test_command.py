"""`epure outline` and `Designs.to_svg`, `to_dxf`, `to_geojson`: what is written, said and refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import ezdxf
import numpy as np
import pytest
import shapely
from PIL import Image
from sections import drawn_by_hand, generated

import epurecli as epure
from epurecli.data.toy import COMPONENTS, draw
from epurecli.errors import CannotWrite, UsageError


def designs(count: int = 3, **changed) -> epure.Designs:
    images, _ = draw(0, 0, count)
    facts = {"model": "vae", "seed": "3", "checkpoint": "outputs/vae/1/best.safetensors"}
    names = tuple(f"d{i}" for i in range(count))
    return epure.Designs(**{"images": images, "components": COMPONENTS, "names": names, "provenance": facts, **changed})


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return designs().save(tmp_path / "samples")


# --- the command ------------------------------------------------------------------------------------------------------


def test_outlines_of_samples(epure, samples: Path) -> None:
    argv = ("outline", samples, "--svg", "--dxf", "--geojson", "--scale", 3.5)
    result = epure(*argv, cwd=samples.parent)
    assert (result.code, result.out) == (0, f"outlines: {Path('outlines/samples-0')}\n"), result.err
    assert "3 designs as svg, dxf, geojson; full section, 3.5 mm a pixel" in result.err
    assert "warning" not in result.err
    out = samples.parent / "outlines" / "samples-0"
    assert set(tree(out)) == {"manifest.csv", *(f"d{i}.{kind}" for i in range(3) for kind in ("svg", "dxf", "geojson"))}
    labels = generated(3)
    for row, image in zip(manifest(out), labels, strict=True):
        assert (row["section"], row["scale_mm"], row["overlap_px"], row["empty"]) == ("full", "3.5", "0", "")
        for c, name in enumerate(COMPONENTS):
            assert float(row[f"{name}_mm2"]) == pytest.approx(2 * (image == c + 1).sum() * 3.5**2, rel=1e-5)
    assert epure(*argv, cwd=samples.parent).out == f"outlines: {Path('outlines/samples-1')}\n"
    data = ezdxf.readfile(out / "d0.dxf").modelspace().query("LWPOLYLINE").first.get_xdata("EPURE")
    assert (1000, "model=vae") in data
    assert (1000, "seed=3") in data


def test_outlines_of_a_data_set(epure, tmp_path: Path) -> None:
    assert epure("data", "make-toy", tmp_path / "toys", "--count", 10).code == 0
    result = epure("outline", tmp_path / "toys", "--svg", "--half", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert "half section, in pixels, whose size is not known" in result.err
    rows = manifest(tmp_path / "out")
    assert len(rows) == 10
    assert (rows[0]["section"], rows[0]["scale_mm"]) == ("half", "")
    assert float(rows[0]["bt_px2"]) == pytest.approx((generated(1)[0] == 3).sum(), rel=1e-5)


def test_overlaps_and_empty_parts_are_said(epure, tmp_path: Path) -> None:
    """Of one's own drawings: two parts over one another, one that is not there."""
    for name, part, rows in (("one", "belt", slice(2, 6)), ("one", "tread", slice(4, 8)), ("two", "belt", slice(0, 3))):
        image = np.zeros((10, 8), np.uint8)
        image[rows, 3:] = 255
        path = tmp_path / "drawings" / part / f"{name}_{part}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    result = epure("outline", tmp_path / "drawings", "--svg", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert (
        "parts overlap in 1 design (one), 10 pixels in all: each pixel went to the part that fills most" in result.err
    )
    assert "tread is empty in 1 design (two)" in result.err
    one, two = manifest(tmp_path / "out")
    assert (one["overlap_px"], one["empty"], one["belt_px2"], one["tread_px2"]) == ("10", "", "40", "20")
    assert (two["overlap_px"], two["empty"], two["tread_px2"]) == ("0", "tread", "0")


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ((), 2, ("no format was chosen", "--svg, --dxf, --geojson")),
        (("--dxf",), 2, ("a DXF is in mm: it needs the edge of a pixel", "--scale 3.5")),
        (("--svg", "--scale", "0"), 2, ("scale 0: expected the edge of a pixel",)),
        (("--svg", "--scale", "nan"), 2, ("scale nan: expected the edge of a pixel",)),
        (("--svg", "--smooth", "2"), 2, ("smooth 2: expected 0",)),
        (("--svg", "--out", "samples"), 2, ("is not empty",)),
        (
            ("--svg", "--out", "samples", "--overwrite"),
            2,
            ("cannot be overwritten", "no manifest.csv of earlier outlines"),
        ),
        (("--svg", "--out", "samples/manifest.csv"), 2, ("is a file, not a folder",)),
    ],
)
def test_what_is_refused_leaves_nothing(
    argv: tuple[str, ...], code: int, says: tuple[str, ...], epure, samples
) -> None:
    before = tree(samples.parent)
    result = epure("outline", samples, *argv, cwd=samples.parent)
    assert (result.code, result.out) == (code, ""), result.err
    for text in says:
        assert text in result.err
    assert tree(samples.parent) == before
    assert not (samples.parent / "outlines").exists()


def test_folders_that_hold_no_designs(epure, tmp_path: Path) -> None:
    assert epure("outline", tmp_path / "nothing", "--svg").code == 4
    (tmp_path / "empty").mkdir()
    assert epure("outline", tmp_path / "empty", "--svg", cwd=tmp_path).code == 2
    (tmp_path / "empty" / "run.json").write_text("{}")
    result = epure("outline", tmp_path / "empty", "--svg", cwd=tmp_path)
    assert result.code == 2
    assert "is a run, not a folder of designs" in result.err
    assert "epure sample" in result.err
    assert not (tmp_path / "outlines").exists()


def test_overwriting_takes_earlier_outlines_alone(epure, samples: Path) -> None:
    out = samples.parent / "out"
    argv = ("outline", samples, "--out", out, "--overwrite")
    assert epure(*argv, "--svg", "--geojson").code == 0
    assert epure(*argv, "--dxf", "--scale", 2).code == 0
    assert set(tree(out)) == {"manifest.csv", "d0.dxf", "d1.dxf", "d2.dxf"}
    (out / "notes.txt").write_text("mine")
    result = epure(*argv, "--svg")
    assert result.code == 2
    assert "it holds notes.txt" in result.err
    assert len(tree(out)) == 5


@pytest.mark.parametrize(("missing", "flag"), [("shapely", "--svg"), ("ezdxf", "--dxf")])
def test_a_missing_package_is_named(missing: str, flag: str, run_python, samples: Path) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom epurecli.cli import main; main()"
    before = tree(samples.parent)
    result = run_python(code, "outline", str(samples), flag, "--scale", "1", cwd=samples.parent)
    assert (result.code, result.out) == (2, ""), result.err
    assert f"the {missing} package" in result.err
    assert "pip install 'epurecli[cad]'" in result.err
    assert tree(samples.parent) == before


def test_the_same_designs_are_the_same_files(samples: Path) -> None:
    """All but the times that a DXF holds."""
    for kind in ("svg", "geojson"):
        one, other = (getattr(epure.read(samples)[1], f"to_{kind}")(scale_mm=3.5) for _ in range(2))
        assert one == other


# --- the methods ------------------------------------------------------------------------------------------------------


def test_one_design_is_a_document_or_a_file(tmp_path: Path) -> None:
    one = designs()[1]
    assert one.to_svg(tmp_path / "new" / "a.svg", scale_mm=3.5) == tmp_path / "new" / "a.svg"
    assert (tmp_path / "new" / "a.svg").read_text(encoding="utf-8") == one.to_svg(scale_mm=3.5)
    assert one.to_geojson(tmp_path / "a.geojson") == tmp_path / "a.geojson"
    assert json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8")) == json.loads(one.to_geojson())
    assert one.to_dxf(tmp_path / "A.DXF", scale_mm=3.5) == tmp_path / "A.DXF"
    assert len(ezdxf.readfile(tmp_path / "A.DXF").modelspace().query("LWPOLYLINE")) > 5
    with pytest.raises(UsageError, match="exists already"):
        one.to_svg(tmp_path / "new" / "a.svg")
    one.to_svg(tmp_path / "new" / "a.svg", half=True, overwrite=True)
    assert "half section" in (tmp_path / "new" / "a.svg").read_text(encoding="utf-8")


def test_several_are_a_folder(tmp_path: Path) -> None:
    several = designs()
    assert several.to_svg(tmp_path / "all") == tmp_path / "all"
    assert set(tree(tmp_path / "all")) == {"manifest.csv", "d0.svg", "d1.svg", "d2.svg"}
    for path in (None, tmp_path / "all.svg"):
        with pytest.raises(UsageError, match="one document holds one design, and there are 3"):
            several.to_svg(path)
    with pytest.raises(UsageError, match="is not empty"):
        several.to_geojson(tmp_path / "all")
    with pytest.raises(UsageError, match=r"ends in \.svg"):
        several[0].to_svg(tmp_path / "a.dxf")
    with pytest.raises(UsageError, match="no design"):
        several[:0].to_svg(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("names", [("a", "A", "b"), ("../x", "y", "z"), ("a\nb", "y", "z"), ("", "y", "z")])
def test_names_that_are_no_files(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name|same file"):
        designs(names=names).to_svg(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotWrite):
        designs()[0].to_svg(tmp_path / "file" / "a.svg")
    assert (tmp_path / "file").read_text() == "mine"


def test_grey_designs_are_made_crisp_first() -> None:
    """Outlines are those of `labels`, whatever shades a completed design's mean has."""
    rng = np.random.default_rng(0)
    grey = epure.Designs(rng.integers(0, 256, (1, 3, 12, 8), dtype=np.uint8), ("a", "b", "c"), ("x",))
    features = json.loads(grey.to_geojson(half=True))["features"]
    for feature in features:
        part = ord(feature["properties"]["part"]) - ord("a") + 1
        assert feature["properties"]["area_px2"] == pytest.approx((grey.labels == part).sum(), abs=1e-3)


def test_designs_of_one_s_own_outline_too() -> None:
    for labels in drawn_by_hand(3):
        images = np.stack([(labels == c + 1) * np.uint8(255) for c in range(5)])[None]
        made = epure.Designs(images, COMPONENTS, ("x",))
        shapes = shapely.from_geojson(made.to_geojson(half=True)).geoms
        assert sum(shape.area for shape in shapes) == pytest.approx((labels > 0).sum(), rel=1e-3)
