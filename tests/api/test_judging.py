"""Archives in which designs lack parts: sets are judged on whole designs, completions on what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import epurecli as epure
from epurecli.api.judging import one_hidden, reference_of
from epurecli.data.source import open_data
from epurecli.data.toy import COMPONENTS, make_toy
from epurecli.errors import DataError


@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 6))))
def test_one_part_that_is_there_is_hidden_and_each_in_turn(known: np.ndarray) -> None:
    known[:, 0] |= ~known.any(1)
    given = one_hidden(known)
    assert not (given & ~known).any()
    assert (known.sum(1) - given.sum(1) == 1).all()
    alike = np.repeat(known[:1], known[0].sum(), 0)
    assert (alike & ~one_hidden(alike)).sum(0).tolist() == known[0].astype(int).tolist()


def tyres(folder: Path, lacking: dict[int, tuple[str, ...]] | None = None) -> Path:
    make_toy(folder, 120, 0)
    for number, parts in (lacking or {}).items():
        for part in parts:
            (folder / part / f"toy_{number:07d}_{part}.png").unlink()
    return folder


@pytest.mark.slow
def test_test_designs_that_lack_parts_are_judged_by_those_they_have(tmp_path: Path) -> None:
    whole = open_data(tyres(tmp_path / "whole"))
    some, one_part = whole.test[:3].tolist(), int(whole.test[3])
    lacking = {some[0]: ("bt",), some[1]: ("bt", "fpu"), some[2]: ("tpc",), one_part: COMPONENTS[1:]}
    data = tyres(tmp_path / "tyres", lacking)
    settings = ["training.epochs=1"]
    run = epure.train("vae_toy_test", data=data, settings=settings, out=tmp_path / "runs", seed=1)
    report = run.evaluate(num_samples=20, completions=200)
    assert report.counts["test"] == len(whole.test) - 4
    assert report.counts["inpainted"] == len(whole.test) - 1
    assert report["inpainting", "observed untouched"].value == 1
    assert f"4 of {len(whole.test)} test designs lack components" in " ".join(report.notes)


def test_too_few_whole_designs_are_counted(tmp_path: Path) -> None:
    whole = open_data(tyres(tmp_path / "whole"))
    data = tyres(tmp_path / "tyres", {int(row): ("bt",) for row in whole.test[5:]})
    expected = rf"5 of the {len(whole.test)} test designs lack no component: sets are judged on whole designs, 10 at"
    with pytest.raises(DataError, match=expected):
        reference_of(open_data(data))
