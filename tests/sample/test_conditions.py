"""What people write about conditions, as a table; and every way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epurecli.errors import DataError, NotFound, UsageError
from epurecli.sample.conditions import MAX_GRID, fill, parse_grid, parse_settings, read_conditions

COLUMNS = ("width_px", "height_px", "d_cons")
NAN = float("nan")


def test_settings() -> None:
    np.testing.assert_array_equal(parse_settings(["height_px=50", " width_px = 5.8e1"], COLUMNS), [[58, 50, NAN]])
    np.testing.assert_array_equal(parse_settings(["d_cons=-0.5"], COLUMNS), [[NAN, NAN, -0.5]])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["width=58"], "no condition 'width' - did you mean 'width_px'?"),
        (["mass=58"], "no condition 'mass'"),
        (["width_px"], "--set-condition width_px: expected name=value"),
        (["width_px=wide"], "--set-condition width_px=wide: 'wide' is not a finite number"),
        (["width_px=nan"], "not a finite number"),
        (["width_px=inf"], "not a finite number"),
        (["width_px="], "not a finite number"),
        (["width_px=1", "width_px=2"], "width_px is given twice"),
        (["=3"], "no condition ''"),
    ],
)
def test_settings_that_do_not_fit(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings(texts, COLUMNS)
    assert message in caught.value.message


def test_unknown_conditions_show_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings(["mass=1"], COLUMNS)
    assert "width_px, height_px, d_cons" in caught.value.hint
    with pytest.raises(UsageError, match="trained without conditions"):
        parse_settings(["width_px=1"], ())


def test_a_grid_is_every_combination_the_last_name_fastest() -> None:
    table = parse_grid("width_px=49:57:4, height_px=45:46:1", COLUMNS)
    assert table[:, :2].tolist() == [[49, 45], [49, 46], [53, 45], [53, 46], [57, 45], [57, 46]]
    assert np.isnan(table[:, 2]).all()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("width_px=49:64:4", [49, 53, 57, 61]),
        ("width_px=0:0.3:0.1", [0, 0.1, 0.2, 0.3]),  # the stop is included, whatever binary fractions say
        ("width_px=5:5:1", [5]),
        ("width_px=58", [58]),
        ("width_px=-1:1:1,", [-1, 0, 1]),
    ],
)
def test_axes_of_a_grid(text: str, values: list[float]) -> None:
    np.testing.assert_allclose(parse_grid(text, COLUMNS)[:, 0], values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--grid is empty"),
        (" , ", "--grid is empty"),
        ("width_px", "expected each name once"),
        ("width_px=1,width_px=2", "expected each name once"),
        ("width_px=1:2", "expected start:stop:step"),
        ("width_px=1:2:3:4", "expected start:stop:step"),
        ("width_px=2:1:1", "start <= stop"),
        ("width_px=1:2:0", "step > 0"),
        ("width_px=1:2:-1", "step > 0"),
        ("width_px=a:2:1", "'a' is not a finite number"),
        ("width_px=1::2", "'' is not a finite number"),
        ("widht_px=1", "did you mean 'width_px'?"),
        ("width_px=0:1:1e-9", f"more than {MAX_GRID}"),
        ("width_px=0:1e30:1e-30", f"more than {MAX_GRID}"),
        ("width_px=0:1999:1,height_px=0:1999:1", f"more than {MAX_GRID} combinations"),
    ],
)
def test_grids_that_do_not_fit(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_grid(text, COLUMNS)
    assert message in caught.value.message


# --- CSV --------------------------------------------------------------------------------------------------------------


def csv(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "wanted.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_csv_in_any_column_order_with_more_columns(tmp_path: Path) -> None:
    path = csv(tmp_path, "name,height_px,d_cons,width_px\na,1,2,3\nb,4,5.5,6\n")
    np.testing.assert_array_equal(read_conditions(path, COLUMNS), [[3, 1, 2], [6, 4, 5.5]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has none of the condition columns width_px, height_px, d_cons"),
        ("width_px,height_px,d_cons\n", "has no rows"),
        ("width_px,height_px,d_cons\n1,2,3\n1,x,3\n", "row 3: height_px says 'x', which is no finite number"),
        ("width_px,height_px,d_cons\n1,2,\n", "row 2: d_cons is empty"),
        ("width_px,height_px,d_cons\n\n1,inf,3\n", "row 3: height_px says 'inf', which is no finite number"),
        ("", "is empty"),
        (b"PK\x03\x04", "is an Excel workbook"),
        (b"\x00\x01\x02", "is no text"),
        ("width_px,b\n1,2\n1,2,3\n", "row 3: has 3 cells where the header names 2 columns"),
    ],
)
def test_csvs_that_do_not_fit(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_conditions(path, COLUMNS)
    assert caught.value.message.startswith(str(path))
    assert message in caught.value.message


def test_a_csv_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        read_conditions(tmp_path / "no.csv", COLUMNS)
    with pytest.raises(DataError, match="is no file"):
        read_conditions(tmp_path, COLUMNS)


# --- what is left open ------------------------------------------------------------------------------------------------


def test_what_is_not_given_is_expected_given_the_rest() -> None:
    """Against least squares on data of these moments."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 3)) + [50, 40, 3]
    mean, covariance = data.mean(0), np.cov(data.T, bias=True)
    for missing in ([2], [0, 2]):
        given = [i for i in range(3) if i not in missing]
        asked = rng.standard_normal((4, 3)) + mean
        table = asked.copy()
        table[:, missing] = np.nan
        found = fill(table, mean, covariance)
        design = np.column_stack([np.ones(500), data[:, given]])
        weights = np.linalg.lstsq(design, data[:, missing], rcond=None)[0]
        expected = np.column_stack([np.ones(4), asked[:, given]]) @ weights
        np.testing.assert_allclose(found[:, missing], expected)
        np.testing.assert_array_equal(found[:, given], asked[:, given])
        assert np.isnan(table[:, missing]).all(), "the caller's table was changed"


def test_nothing_missing_nothing_given_and_constants() -> None:
    mean, covariance = np.array([1.0, 2.0]), np.array([[4.0, 1.0], [1.0, 0.5]])
    np.testing.assert_array_equal(fill(np.array([[7.0, 8.0]]), mean, covariance), [[7, 8]])
    np.testing.assert_array_equal(fill(np.array([[NAN, NAN]]), mean, covariance), [[1, 2]])
    flat = np.array([[0.0, 0.0], [0.0, 3.0]])  # a constant condition says nothing about the others
    np.testing.assert_allclose(fill(np.array([[5.0, NAN]]), mean, flat), [[5, 2]])


def test_open_conditions_are_drawn_from_the_conditional_law() -> None:
    """Regressing them on the given ones again finds the law that they were drawn from."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    covariance, mean, rows = root @ root.T, np.array([5.0, -1.0, 2.0]), 40_000
    given = rng.multivariate_normal(mean, covariance, rows)
    table = given * [1, np.nan, np.nan]
    drawn = fill(table, mean, covariance, rng.standard_normal(table.shape))
    np.testing.assert_array_equal(drawn[:, 0], table[:, 0])
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), covariance, rtol=0.05, atol=0.05)


def test_each_row_may_have_a_law_of_its_own() -> None:
    table = np.array([[1.0, NAN], [2.0, NAN]])
    mean = np.array([[0.0, 10.0], [0.0, 20.0]])
    covariance = np.array([[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 4.0]]])
    np.testing.assert_allclose(fill(table, mean, covariance), [[1, 10.5], [2, 20]])
    drawn = fill(table, mean, covariance, np.ones((2, 2)))
    np.testing.assert_allclose(abs(drawn[:, 1] - [10.5, 20]), [0.75**0.5, 2])
