"""Partly drawn designs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.data.partial import read_observed
from epurecli.data.toy import COMPONENTS, draw
from epurecli.errors import DataError, NotFound

PATTERN = "{prefix}_{component}.png"
SIZE = (64, 32)


def test_what_is_missing_is_not_observed(folder: Path, image):
    image(2, "bt").unlink()
    image(3, "group_nc").unlink()
    image(3, "fpu").unlink()
    seen = read_observed(folder, COMPONENTS, SIZE, PATTERN)
    images, _ = draw(3, 0, 16)
    expected = np.ones((16, 5), bool)
    expected[2, 2] = expected[3, 0] = expected[3, 3] = False
    assert np.array_equal(seen.mask, expected)
    assert np.array_equal(seen.images, images * expected[:, :, None, None])
    assert seen.prefixes[3] == "toy_0000003"


def test_hidden_components_are_not_read(folder: Path, image):
    image(2, "bt").write_bytes(b"broken, but hidden")
    seen = read_observed(folder, COMPONENTS, SIZE, PATTERN, hidden=frozenset({2}))
    assert not seen.mask[:, 2].any()
    assert seen.mask[:, [0, 1, 3, 4]].all()
    assert not seen.images[:, 2].any()


def test_a_folder_may_hold_few_components_and_other_files(folder: Path, tmp_path: Path, image):
    target = tmp_path / "mine" / "train" / "group_nc"
    target.mkdir(parents=True)
    image(6, "group_nc").rename(target / "sketch one_group_nc.png")
    (target / "notes.txt").write_text("x")
    (target / "_group_nc.png").write_bytes(b"")  # no prefix: no design
    seen = read_observed(tmp_path / "mine", COMPONENTS, SIZE, PATTERN)
    assert seen.prefixes == ("sketch one",)
    assert seen.mask.tolist() == [[True, False, False, False, False]]
    assert np.array_equal(seen.images[0, 0], draw(3, 6, 1)[0][0, 0])


def test_faults_name_the_file(folder: Path, image):
    Image.new("L", (32, 32)).save(image(1))
    with pytest.raises(DataError, match=r"bt/toy_0000001_bt\.png: is 32 x 32"):
        read_observed(folder, COMPONENTS, SIZE, PATTERN)
    image(1).write_bytes(image(2).read_bytes()[:70])
    with pytest.raises(DataError, match="truncated"):
        read_observed(folder, COMPONENTS, SIZE, PATTERN)


def test_nothing_to_observe(folder: Path, tmp_path: Path):
    with pytest.raises(NotFound):
        read_observed(tmp_path / "nowhere", COMPONENTS, SIZE, PATTERN)
    with pytest.raises(DataError, match="no images of the model's components") as caught:
        read_observed(folder, ("rim", "spoke"), SIZE, PATTERN)
    assert "rim/NAME_rim.png" in caught.value.hint


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_may_not_leave_the_folder(folder: Path, tmp_path: Path, image):
    image(1).rename(tmp_path / "outside.png")
    image(1).symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match="leaves the folder"):
        read_observed(folder, COMPONENTS, SIZE, PATTERN)
