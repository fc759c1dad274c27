"""Between people's units and the network's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epurecli.data.conditions import ConditionScaler, fit_scaler
from epurecli.errors import DataError

TRAIN = np.arange(6)
RAW = np.array([49.0, 52.0, 60.0, 64.0, 55.0, 58.0, 999.0])  # the last row is for testing


def test_norm_columns_are_reproduced():
    table = {"w": RAW, "w_norm": RAW / 64, "h": RAW, "h_norm": 3.0 - 0.5 * RAW}
    scaler = fit_scaler(("w", "h"), table, TRAIN, normalized=True)
    raw = np.stack([RAW, RAW], axis=1)
    np.testing.assert_allclose(scaler.encode(raw), np.stack([RAW / 64, 3.0 - 0.5 * RAW], axis=1), rtol=1e-6)
    assert scaler.encode(raw).dtype == np.float32
    assert scaler.maximum == (64.0, 64.0)  # of the training rows


def test_without_norms_training_statistics_standardise():
    scaler = fit_scaler(("w",), {"w": RAW, "w_norm": RAW / 64}, TRAIN, normalized=False)
    encoded = scaler.encode(RAW[:, None])[TRAIN]
    assert abs(encoded.mean()) < 1e-6
    assert abs(encoded.std() - 1) < 1e-6
    assert fit_scaler(("w",), {"w": RAW}, TRAIN, normalized=True) == scaler


def test_a_norm_column_named_as_the_condition_passes_through():
    table = {"d_cons_norm": RAW}
    assert fit_scaler(("d_cons_norm",), table, TRAIN, normalized=True).encode(RAW[:, None])[0, 0] == 49.0
    assert fit_scaler(("d_cons_norm",), table, TRAIN, normalized=False).shift != (0.0,)


def test_a_constant_column_is_only_shifted():
    scaler = fit_scaler(("w",), {"w": np.full(7, 5.0)}, TRAIN, normalized=True)
    assert scaler.encode([[5.0], [7.0]]).tolist() == [[0.0], [2.0]]
    both = fit_scaler(("w",), {"w": np.full(7, 5.0), "w_norm": np.full(7, 0.5)}, TRAIN, normalized=True)
    assert both.encode([[5.0]]).tolist() == [[0.5]]


@pytest.mark.parametrize("norm", [np.log(RAW), np.full(7, 0.5)], ids=["curved", "constant"])
def test_a_norm_that_raw_values_cannot_reach_is_refused(norm: np.ndarray):
    with pytest.raises(DataError, match="'w_norm' is no affine function of 'w'") as caught:
        fit_scaler(("w",), {"w": RAW, "w_norm": norm}, TRAIN, normalized=True)
    assert "data.normalized" in caught.value.hint


def test_outside_names_column_value_and_range():
    scaler = ConditionScaler(("w", "h"), (0.0, 0.0), (1.0, 1.0), (49.0, 45.0), (64.0, 59.0))
    assert scaler.outside([[49, 45], [64, 59]]) == []
    warnings = scaler.outside([[70, 50], [20, 50], [50, 44]])
    assert warnings == [
        "w=20 and 1 more lies outside the training range 49 to 64",
        "h=44 lies outside the training range 45 to 59",
    ]


finite = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=5), finite, st.floats(1e-3, 1e3))
def test_decode_undoes_encode_and_json_keeps_everything(rows: list, shift: float, scale: float):
    scaler = ConditionScaler(("a", "b"), (shift, 0.1), (scale, -2.0), (0.0, 1 / 3), (1.0, 2.0))
    again = ConditionScaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    assert again == scaler
    tolerance = 1e-6 * (np.abs(rows).max() + abs(shift) + 1)
    np.testing.assert_allclose(scaler.decode(scaler.encode(rows)), rows, atol=tolerance)


def test_no_conditions_at_all():
    scaler = fit_scaler((), {}, TRAIN, normalized=True)
    assert scaler.encode(np.empty((3, 0))).shape == (3, 0)
    assert scaler.outside(np.empty((3, 0))) == []
