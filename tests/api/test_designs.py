"""Designs: frozen arrays, parts and sums of them, how they look, and the way to disk and back."""

from __future__ import annotations

import io
from dataclasses import FrozenInstanceError, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import epurecli as epure
from epurecli.errors import DataError, NotFound, UsageError

COMPONENTS = ("crown", "belt", "wall")


def designs(count: int = 5, seed: int = 0, completed: bool = True) -> epure.Designs:
    rng = np.random.default_rng(seed)
    shape = (count, 3, 16, 8)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    given = rng.random((count, 3)) < 0.5
    draws = rng.integers(0, 256, (count, 2, *shape[1:]), dtype=np.uint8)
    extra = {
        "given": given,
        "spread": (rng.integers(0, 256, shape) / 255 * 0.5).astype(np.float32),
        "draws": np.where(given[:, None, :, None, None], images[:, None], draws),
    }
    return epure.Designs(
        images=images,
        components=COMPONENTS,
        names=tuple(f"d{i:03d}" for i in range(count)),
        columns=("width_px", "mass"),
        values=rng.uniform(40, 60, (count, 2)),
        provenance={"model": "vae", "mode": "inpainting", "seed": "3", "checkpoint": "runs/1"},
        **(extra if completed else {}),
    )


def same(one: epure.Designs, other: epure.Designs) -> bool:
    fields = ("images", "given", "spread", "draws", "values")
    pairs = [(getattr(one, name), getattr(other, name)) for name in fields]
    arrays = all((a is None) == (b is None) and (a is None or np.array_equal(a, b, equal_nan=name)) for (a, b), name in
                 zip(pairs, (False, False, False, False, True), strict=True))  # fmt: skip
    return arrays and one.names == other.names and one.components == other.components


def test_nothing_in_designs_changes() -> None:
    source = designs()
    for name in ("images", "values", "given", "spread", "draws"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(source, name)[...] = 0
    with pytest.raises(FrozenInstanceError):
        source.names = ()
    with pytest.raises(TypeError):
        source.provenance["model"] = "other"
    frame = source.conditions
    frame.iloc[:] = 0
    assert source.conditions.to_numpy().min() > 1
    images = np.zeros((1, 3, 4, 4), np.uint8)
    made = epure.Designs(images, COMPONENTS, ("a",))
    images[...] = 255
    assert made.images.max() == 0


def test_parts_and_sums() -> None:
    whole = designs(9)
    assert same(whole[:4] + whole[4:], whole)
    assert same(whole[2], whole[2:3])
    assert same(whole[-1], whole[8])
    assert same(whole[[3, 1]], whole[3] + whole[1])
    assert same(whole[np.arange(9) % 2 == 0], whole[::2])
    assert [d.names[0] for d in whole] == list(whole.names)
    assert len(whole[5:5]) == 0
    with pytest.raises(IndexError, match="there are 9 designs"):
        whole[9]


def test_a_sum_keeps_what_both_have_and_tells_equal_names_apart() -> None:
    full, bare = designs(2), designs(3, completed=False)
    both = full + bare
    assert both.names == ("d000", "d001", "d000-2", "d001-2", "d002")
    assert (both.spread, both.draws) == (None, None)
    assert np.array_equal(both.images, np.concatenate([full.images, bare.images]))
    assert list(both.conditions.columns) == ["width_px", "mass"]
    with pytest.raises(UsageError, match="differ in components"):
        full + full.reordered(["wall", "crown", "belt"])
    with pytest.raises(UsageError, match="partial designs cannot be joined"):
        bare + bare.only("crown")
    with pytest.raises(TypeError):
        _ = full + 1


def test_partial_designs_show_only_what_is_given() -> None:
    whole = designs(4)
    part = whole.only("belt", 2)
    assert part.partial
    assert part.given.tolist() == [[False, True, True]] * 4
    assert part.images[:, 0].max() == 0
    assert np.array_equal(part.images[:, 1:], whole.images[:, 1:])
    assert np.array_equal(part.truth, whole.images)
    assert (part.spread, part.draws) == (None, None)
    assert same(part, whole.without("crown"))
    assert part.without("wall").given.tolist() == [[False, True, False]] * 4
    with pytest.raises(UsageError, match="nothing of a design"):
        part.only("crown")


def test_labels_give_each_pixel_one_owner() -> None:
    images = np.zeros((1, 3, 1, 4), np.uint8)
    images[0, :, 0] = [[255, 100, 0, 120], [0, 130, 0, 130], [0, 0, 20, 0]]
    found = epure.Designs(images, COMPONENTS, ("a",)).labels
    assert found.dtype == np.uint8
    assert found.tolist() == [[[1, 2, 0, 2]]]


def test_frames_for_people() -> None:
    whole = designs(3)
    frame = whole.to_frame()
    assert list(frame.index) == list(whole.names)
    assert frame["crown_px"].tolist() == (whole.images[:, 0] >= 128).sum((1, 2)).tolist()
    expected = ["+".join(c for c, g in zip(COMPONENTS, row, strict=True) if g) for row in whole.given]
    assert frame["given"].tolist() == expected


@pytest.mark.parametrize("form", ["png", "npz"])
@pytest.mark.parametrize("completed", [True, False])
def test_to_disk_and_back(form: str, completed: bool, tmp_path: Path) -> None:
    source = designs(7, completed=completed)
    found = epure.read(source.save(tmp_path / "out", format=form), COMPONENTS)
    assert same(found, source)
    assert found.columns == source.columns
    assert dict(found.provenance) == dict(source.provenance)
    found.save(tmp_path / "again", format=form)
    for path in (tmp_path / "out").rglob("*.*"):
        assert (tmp_path / "again" / path.relative_to(tmp_path / "out")).read_bytes() == path.read_bytes()


def test_saving_replaces_nothing_unasked(tmp_path: Path) -> None:
    designs(2).save(tmp_path / "out")
    with pytest.raises(UsageError, match="is not empty"):
        designs(3).save(tmp_path / "out")
    designs(3).save(tmp_path / "out", overwrite=True)
    assert len(epure.read(tmp_path / "out")) == 3


def test_own_drawings_are_partial(tmp_path: Path) -> None:
    for name, parts in (("a", ("wall",)), ("b", ("belt", "wall"))):
        for part in parts:
            (tmp_path / part).mkdir(exist_ok=True)
            Image.fromarray(np.full((16, 8), 200, np.uint8)).save(tmp_path / part / f"{name}_{part}.png")
    found = epure.read(tmp_path)
    assert (found.partial, found.components, found.names) == (True, ("belt", "wall"), ("a", "b"))
    assert found.given.tolist() == [[False, True], [True, True]]
    assert found.images[1].min() == 200


def test_folders_without_designs_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        epure.read(tmp_path / "none")
    with pytest.raises(DataError, match="holds no samples"):
        epure.read(tmp_path)
    designs(2).save(tmp_path / "out")
    with pytest.raises(DataError, match="holds no samples of rim"):
        epure.read(tmp_path / "out", ("rim",))
    (tmp_path / "out" / "belt" / "d001_belt.png").unlink()
    with pytest.raises(DataError, match="d001 has no image"):
        epure.read(tmp_path / "out")
    (tmp_path / "samples_00000.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not what sampling writes"):
        epure.read(tmp_path)


def test_arrays_that_do_not_fit_are_refused() -> None:
    source = designs(2)
    with pytest.raises(UsageError, match=r"expected \(B, 3, H, W\) uint8"):
        replace(source, images=source.images.astype(np.float32))
    with pytest.raises(UsageError, match="1 names for 2 designs"):
        replace(source, names=("a",))


# --- in a notebook ----------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)


@pytest.mark.parametrize("count", [0, 1, 7, 3000])
def test_a_cell_is_small_however_many_designs(count: int) -> None:
    cell = designs(count, completed=False)._repr_html_()
    assert len(cell.encode()) < 100_000
    assert ("<img" in cell) == (count > 0)
    if count > 8:
        assert f"and {count - 8:,} more" in cell


def test_a_cell_escapes_names_and_leaves_colours_to_the_page() -> None:
    evil = "<script>alert(1)</script>"
    source = replace(designs(2), components=(evil, "b", "c"), names=(evil, "x"), columns=(evil, "y"))
    cell = source._repr_html_()
    parser = Tags()
    parser.feed(cell)
    assert "script" not in parser.tags
    assert cell.count("&lt;script&gt;") >= 3
    assert "color:#" not in cell.replace("background:#", "")  # text takes the page's colour, dark or light
    assert "background:#fff" in cell  # ink is drawn on paper


def test_pictures() -> None:
    whole = designs(10)
    assert whole[3].pil().size == (16 * 4, 16 * 4)
    data = Image.open(io.BytesIO(whole._repr_png_()))
    assert data.size == whole.pil().size
    assert whole.sheet().size[0] > 640
    assert designs(0)._repr_png_() is None
    with pytest.raises(UsageError, match="no design"):
        designs(0).sheet()
    assert repr(whole).startswith("<Designs: 10 designs of crown, belt, wall; 16 x 8 px")
