from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.errors import EpureError, NumericalError, UsageError
from epurecli.pictures.section import Side
from epurecli.sample.drawn import Drawn
from epurecli.sample.sinks import Background
from epurecli.sample.writer import SampleWriter

COMPONENTS = ("crown", "belt", "bead_wire")
COLUMNS = ("width_px", "mass")
PROVENANCE = {
    "model": "vae",
    "mode": "inpainting",
    "seed": "7",
    "checkpoint": "runs/1/best.safetensors",
    "digest": "c0ffee",
}
SHAPE = (3, 16, 8)  # (C, H, W)


def drawn(count: int = 5, seed: int = 0, draws: int = 3) -> Drawn:
    """An inpainted block with everything in it; each design observes another subset."""
    rng = np.random.default_rng(seed)
    return Drawn(
        names=[f"toy_{i:05d}" for i in range(count)],
        images=rng.random((count, *SHAPE), dtype=np.float32),
        mask=np.array([[i % 2 == 0, i % 3 == 0, False] for i in range(count)]),
        observed=rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8),
        spread=rng.random((count, *SHAPE), dtype=np.float32) * 0.5,
        draws=rng.random((count, draws, *SHAPE), dtype=np.float32),
        truth=rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8),
        conditions=np.array([[40.0 + i, 0.1 + i] for i in range(count)]),
    )


def part(block: Drawn, rows: slice) -> Drawn:
    fields = {name: getattr(block, name) for name in Drawn.__slots__}
    return Drawn(**{name: None if value is None else value[rows] for name, value in fields.items()})


def save(out: Path, *blocks: Drawn, **options: object) -> Path:
    with SampleWriter(out, COMPONENTS, COLUMNS, provenance=PROVENANCE, **options) as writer:
        for block in blocks:
            writer.write(block)
    return out


def write_and_raise(writer: SampleWriter, error: BaseException) -> None:
    with writer:
        writer.write(drawn())
        raise error


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image)


def test_a_png_for_each_component_and_design(tmp_path: Path) -> None:
    block = Drawn(["a", "b"], np.random.default_rng(1).random((2, *SHAPE), dtype=np.float32))
    out = save(tmp_path / "out", block)
    expected = {f"{c}/{n}_{c}.png" for c in COMPONENTS for n in "ab"}
    assert set(tree(out)) == {*expected, "manifest.csv", "contact_sheet.png"}
    for b, name in enumerate("ab"):
        for c, component in enumerate(COMPONENTS):
            written = pixels(out / component / f"{name}_{component}.png")
            assert np.array_equal(written, np.rint(255 * block.images[b, c]))


def test_observed_components_come_back_bit_identical(tmp_path: Path) -> None:
    block = drawn()
    out = save(tmp_path / "out", block)
    for b, name in enumerate(block.names):
        for c, component in enumerate(COMPONENTS):
            files = [out / component, *(out / "draws" / str(k) / component for k in range(3))]
            for k, folder in enumerate(files):
                written = pixels(folder / f"{name}_{component}.png")
                sampled = block.images[b, c] if k == 0 else block.draws[b, k - 1, c]
                expected = block.observed[b, c] if block.mask[b, c] else np.rint(255 * sampled)
                assert np.array_equal(written, expected)


def test_uncertainty_is_scaled_from_half_to_white(tmp_path: Path) -> None:
    spread = np.zeros((1, *SHAPE), dtype=np.float32)
    spread[0, 1, 0, :4] = [0, 0.1, 0.5, 0.6]
    block = Drawn(["a"], np.zeros((1, *SHAPE), dtype=np.float32), spread=spread)
    out = save(tmp_path / "out", block)
    assert pixels(out / "uncertainty" / "belt" / "a_belt.png")[0, :4].tolist() == [0, 51, 255, 255]


def test_manifest_has_a_row_for_each_design(tmp_path: Path) -> None:
    conditions = np.array([[58.0, 0.1], [np.nan, 1 / 3]])
    mask = np.array([[True, False, True], [False, False, False]])
    images = np.zeros((2, *SHAPE))
    block = Drawn(["é,1", "b"], images, mask, images.astype(np.uint8), conditions=conditions)
    out = save(tmp_path / "out", block)
    assert b"\r" not in (out / "manifest.csv").read_bytes()  # the same bytes on every system
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["name", "model", "mode", "seed", "width_px", "mass", "observed", "checkpoint", "digest"],
        ["é,1", "vae", "inpainting", "7", "58", "0.1", "crown+bead_wire", "runs/1/best.safetensors", "c0ffee"],
        ["b", "vae", "inpainting", "7", "", repr(1 / 3), "", "runs/1/best.safetensors", "c0ffee"],
    ]


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_block_size_and_threads_change_no_byte(tmp_path: Path, kind: str) -> None:
    block = drawn(40)
    whole = tree(save(tmp_path / "whole", block, format=kind, workers=1))
    for size, workers in ((1, 2), (7, 3), (64, 4)):
        blocks = [part(block, slice(k, k + size)) for k in range(0, 40, size)]
        assert tree(save(tmp_path / f"by{size}", *blocks, format=kind, workers=workers)) == whole


def test_shards_hold_the_same_as_the_pngs(tmp_path: Path) -> None:
    blocks = [drawn(700, seed=k, draws=1) for k in range(3)]
    out = save(tmp_path / "out", *blocks, format="npz")
    shards = [np.load(out / f"samples_{k:05d}.npz", allow_pickle=False) for k in range(3)]
    assert set(tree(out)) == {"manifest.csv", "contact_sheet.png", *(f"samples_{k:05d}.npz" for k in range(3))}
    assert [len(s["images"]) for s in shards] == [1024, 1024, 52]
    assert all(s["components"].tolist() == list(COMPONENTS) for s in shards)
    assert all(s["columns"].tolist() == list(COLUMNS) for s in shards)

    def joined(key: str) -> np.ndarray:
        return np.concatenate([s[key] for s in shards])

    mask = np.concatenate([b.mask for b in blocks])
    sampled = np.rint(255 * np.concatenate([b.images for b in blocks]))
    given = np.concatenate([b.observed for b in blocks])
    assert joined("names").tolist() == [name for b in blocks for name in b.names]
    assert np.array_equal(joined("observed"), mask)
    assert np.array_equal(joined("images"), np.where(mask[:, :, None, None], given, sampled))
    assert np.array_equal(joined("conditions"), np.concatenate([b.conditions for b in blocks]))
    assert np.array_equal(joined("uncertainty"), np.rint(510 * np.concatenate([b.spread for b in blocks])))
    assert joined("draws").shape == (2100, 1, *SHAPE)


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_arrays_may_be_changed_after_write(tmp_path: Path, kind: str) -> None:
    expected = tree(save(tmp_path / "kept", drawn(), format=kind))
    with SampleWriter(tmp_path / "out", COMPONENTS, COLUMNS, provenance=PROVENANCE, format=kind) as writer:
        block = drawn()
        writer.write(block)
        for name in ("images", "mask", "observed", "spread", "draws", "truth", "conditions"):
            getattr(block, name)[...] = 0
    assert tree(tmp_path / "out") == expected


def test_the_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with SampleWriter(out, COMPONENTS, COLUMNS, provenance=PROVENANCE) as writer:
        writer.write(drawn())
        assert not out.exists()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]
    assert (out / "manifest.csv").exists()


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_an_exception_leaves_nothing(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "new" / "deep" / "out"
    writer = SampleWriter(out, COMPONENTS, COLUMNS, provenance=PROVENANCE, format=kind)
    with pytest.raises(KeyboardInterrupt):
        write_and_raise(writer, KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    expected = tree(save(tmp_path / "other", drawn()))
    (tmp_path / "out").mkdir()
    assert tree(save(tmp_path / "out", drawn())) == expected


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_overwrite_replaces_an_earlier_result_whole(tmp_path: Path, kind: str) -> None:
    new = drawn(2, seed=1)
    expected = tree(save(tmp_path / "other", new, format=kind))
    out = save(tmp_path / "out", drawn(9))
    save(out, new, format=kind, overwrite=True)
    assert tree(out) == expected  # nothing stale: no third design, no draws of it
    save(out, new, format=kind, overwrite=True)
    assert tree(out) == expected


def test_overwriting_that_fails_keeps_the_earlier_result(tmp_path: Path) -> None:
    out = save(tmp_path / "out", drawn())
    before = tree(out)
    writer = SampleWriter(out, COMPONENTS, COLUMNS, provenance=PROVENANCE, overwrite=True)
    with pytest.raises(RuntimeError, match="stop"):
        write_and_raise(writer, RuntimeError("stop"))
    assert tree(out) == before


def test_two_designs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"same file toy_00000_crown\.png"):
        save(tmp_path / "out", drawn(1), drawn(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a\\b", "C:a", "a\nb", "a*"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    block = Drawn([name], np.zeros((1, *SHAPE)))
    with pytest.raises(UsageError, match="design name"):
        save(tmp_path / "deep" / "out", block)
    with pytest.raises(UsageError, match="component name"):
        SampleWriter(tmp_path / "out", (name,), (), provenance={})
    assert list(tmp_path.iterdir()) == []


def test_names_that_clash_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="component cannot be called 'Draws'"):
        SampleWriter(tmp_path / "out", ("crown", "Draws"), (), provenance={})
    with pytest.raises(UsageError, match="condition 'seed' has the name"):
        SampleWriter(tmp_path / "out", COMPONENTS, ("seed",), provenance=PROVENANCE)


def test_a_write_that_fails_names_the_file(tmp_path: Path) -> None:
    block = Drawn(["x" * 300], np.zeros((1, *SHAPE)))  # longer than file systems allow
    with pytest.raises(EpureError, match=r"cannot write .*x{300}_crown\.png"):
        save(tmp_path / "out", block)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["images", "spread", "draws"])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, field: str) -> None:
    block = drawn()
    value = getattr(block, field)
    value[(2, 1, 2, 0, 0) if field == "draws" else (2, 2, 0, 0)] = np.nan
    with pytest.raises(NumericalError, match="of toy_00002, component bead_wire"):
        save(tmp_path / "out", block)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("images", np.zeros((2, 2, 4, 4))),
        ("mask", np.zeros((2, 2), dtype=bool)),
        ("truth", np.zeros((2, 3, 4, 5), dtype=np.uint8)),
        ("truth", np.zeros((2, 3, 4, 4))),
        ("draws", np.zeros((2, 3, 4, 4))),
        ("conditions", np.zeros((2, 3))),
    ],
)
def test_shapes_are_checked(tmp_path: Path, field: str, value: np.ndarray) -> None:
    fields = {
        "images": np.zeros((2, 3, 4, 4)),
        "observed": np.zeros((2, 3, 4, 4), np.uint8),
        "mask": np.zeros((2, 3), bool),
    }
    with pytest.raises(ValueError, match=f"{field}: expected"):
        save(tmp_path / "out", Drawn(["a", "b"], **{**fields, field: value}))


def test_the_sheet_shows_the_first_designs(tmp_path: Path) -> None:
    plain = Drawn([f"s{i}" for i in range(30)], np.random.default_rng(0).random((30, *SHAPE)))
    full = save(tmp_path / "a", plain) / "contact_sheet.png"
    first = save(tmp_path / "b", part(plain, slice(0, 24))) / "contact_sheet.png"
    few = save(tmp_path / "c", plain, sheet_rows=2) / "contact_sheet.png"
    turned = save(tmp_path / "d", plain, mirror=Side.BOTTOM) / "contact_sheet.png"
    sizes = []
    for path in (full, first, few, turned):
        with Image.open(path) as image:
            sizes.append(image.size)
    assert sizes[0] == sizes[1]
    assert sizes[2][1] < sizes[0][1]
    assert sizes[3] != sizes[0]  # sections of 32 x 8 instead of 16 x 16


def test_writing_never_falls_behind_by_more_than_the_threads() -> None:
    background, done = Background(2), []
    for submitted in range(1, 20):
        background.submit(lambda: (time.sleep(0.002), done.append(1)))
        assert submitted - len(done) <= 2
    background.wait()
    background.close()
    assert len(done) == 19
