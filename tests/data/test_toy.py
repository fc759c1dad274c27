"""The toy tyres: what holds for every design, and what a folder of them looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from epurecli.data.toy import COLUMNS, COMPONENTS, draw, make_toy, measure
from epurecli.errors import UsageError

NC, KM, BT, FPU, TPC = range(5)
SAMPLE = Path(__file__).parents[2] / "data" / "toy"


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return draw(11, 0, 1500)


def test_images_are_binary_disjoint_and_complete(drawn):
    images, _ = drawn
    assert images.shape == (1500, 5, 64, 32)
    assert set(np.unique(images)) == {0, 255}
    assert (images > 0).sum(axis=1).max() == 1
    assert (images > 0).sum(axis=(2, 3)).min() >= 12  # no part vanishes


def test_union_is_one_object_and_parts_hold_together(drawn):
    filled = drawn[0] > 0
    assert all(ndimage.label(union)[1] == 1 for union in filled.any(axis=1))  # 4-connected
    pieces = np.array([ndimage.label(part)[1] for design in filled for part in design])
    assert (pieces == 1).mean() > 0.998


def test_sizes_cover_the_public_sets_range(drawn):
    table = drawn[1]
    assert (table["width_px"].min(), table["width_px"].max()) == (49, 64)
    assert (table["height_px"].min(), table["height_px"].max()) == (45, 59)


def test_layers_lie_in_order(drawn):
    """On the centre plane from the top: tread, belts, carcass. At the bottom: the bead. The sidewall lies outside."""
    images, _ = drawn
    centre = images[:, :, :, -1] > 0  # (n, 5, 64)
    rows = np.arange(64)

    def first(part: int) -> np.ndarray:
        return np.where(centre[:, part], rows, 99).min(axis=1)

    assert (first(KM) < first(BT)).all()
    assert (first(BT) < first(NC)).all()
    assert not centre[:, [FPU, TPC]].any()
    lowest = np.where((images > 0).any(axis=3), rows, -1).max(axis=2)  # (n, 5)
    assert (lowest.argmax(axis=1) == TPC).all()
    columns = np.arange(32)
    leftmost = np.where((images > 0).any(axis=2), columns, 99).min(axis=2)
    assert (leftmost[:, FPU] < leftmost[:, NC]).all()


def test_belts_follow_the_crown(drawn):
    """Dependent geometry: where the crown drops between centre plane and flank, the belt drops as much."""
    images, _ = drawn
    rows = np.arange(64)[:, None]
    crown = np.where(images[:, KM] > 0, rows, 99).min(axis=1)  # (n, 32): top of the tread in each column
    belt = np.where(images[:, BT] > 0, rows, 99).min(axis=1)
    seen = belt[:, 17] < 99
    crown_drop, belt_drop = ((part[:, 17] - part[:, 31])[seen] for part in (crown, belt))
    assert seen.mean() > 0.8
    assert crown_drop.std() > 0.7
    assert np.corrcoef(crown_drop, belt_drop)[0, 1] > 0.8
    assert np.abs(belt_drop - crown_drop).mean() < 1.5


def test_a_design_depends_on_seed_and_index_alone():
    whole, table = draw(5, 0, 1200)
    part, part_table = draw(5, 613, 40)
    assert np.array_equal(whole[613:653], part)
    assert all(np.array_equal(table[name][613:653], part_table[name]) for name in table)
    assert not np.array_equal(draw(6, 0, 40)[0], whole[:40])


def test_conditions_follow_their_formulas(drawn):
    images, table = drawn
    filled = images > 0
    area = filled.sum(axis=(2, 3)).astype(float)
    union = filled.any(axis=1)
    width = np.minimum(64, 2 * union.any(axis=1).sum(axis=1) + 1)
    height = union.any(axis=2).sum(axis=1) + 1
    mass = area @ [1.20, 1.15, 2.50, 1.10, 1.60]
    expected = {
        "width_px": width,
        "height_px": height,
        "d_cons": 1 - mass / 800,
        "d_rigid": (area[:, BT] + 0.25 * area[:, FPU]) / height / 1.4 - 1,
        "d_life": area[:, KM] / width / 3.5 - 1,
        "d_stab": (area[:, FPU] + 2 * area[:, TPC]) * width / height**2 / 4.2 - 1,
    }
    assert tuple(expected) == COLUMNS
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-12, atol=1e-12, err_msg=name)
        assert np.array_equal(measure(images)[name], table[name])
    for name in COLUMNS[2:]:  # standardised, and not by accident constant
        assert abs(table[f"{name}_norm"].mean()) < 0.1
        assert 0.9 < table[f"{name}_norm"].std() < 1.1
    np.testing.assert_allclose(table["width_px_norm"] * 64, width)


def test_make_toy_writes_the_plans_files(folder: Path):
    frame = pd.read_csv(folder / "performances.csv")
    images, table = draw(3, 0, 16)
    assert list(frame["matching"][:2]) == ["toy_0000000", "toy_0000001"]
    assert frame["train"].tolist() == [i % 8 != 7 for i in range(16)]
    for name in (*COLUMNS, *(f"{column}_norm" for column in COLUMNS)):
        np.testing.assert_allclose(frame[name], table[name], err_msg=name)
    for i, prefix in enumerate(frame["matching"]):
        for c, component in enumerate(COMPONENTS):
            assert np.array_equal(
                np.asarray(Image.open(folder / component / f"{prefix}_{component}.png")), images[i, c]
            )
    assert sorted(path.name for path in folder.iterdir()) == sorted([*COMPONENTS, "performances.csv"])


def test_make_toy_on_all_cores_is_the_same(tmp_path: Path):
    make_toy(tmp_path / "many", 420, seed=1)  # enough images for worker processes
    images, table = draw(1, 400, 20)
    frame = pd.read_csv(tmp_path / "many" / "performances.csv")
    assert len(frame) == 420
    np.testing.assert_allclose(frame["d_cons"][400:], table["d_cons"])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "many" / "bt" / "toy_0000419_bt.png")), images[19, BT])


def test_make_toy_refuses_a_folder_in_use(folder: Path):
    before = sorted(folder.rglob("*"))
    with pytest.raises(UsageError, match="not empty"):
        make_toy(folder, 16, 0)
    assert sorted(folder.rglob("*")) == before


def test_make_toy_refuses_a_set_without_test_designs(tmp_path: Path):
    with pytest.raises(UsageError, match="7 designs are too few"):
        make_toy(tmp_path / "few", 7, 0)
    assert not (tmp_path / "few").exists()


def test_an_interrupted_make_toy_leaves_nothing(tmp_path: Path):
    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_toy(tmp_path / "new", 16, 0, progress=interrupt)
    assert not (tmp_path / "new").exists()


def test_the_committed_sample_is_what_the_generator_draws():
    images, table = draw(0, 0, 8)
    frame = pd.read_csv(SAMPLE / "performances.csv")
    np.testing.assert_allclose(frame["d_stab_norm"], table["d_stab_norm"])
    for i, prefix in enumerate(frame["matching"]):
        for c, component in enumerate(COMPONENTS):
            assert np.array_equal(
                np.asarray(Image.open(SAMPLE / component / f"{prefix}_{component}.png")), images[i, c]
            )
