"""Partly drawn designs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.config.schema import DataConfig
from epurecli.data.partial import Observed, read_observed
from epurecli.data.toy import COMPONENTS, draw
from epurecli.errors import DataError, NotFound
from epurecli.listener import Quiet

SIZE = (64, 32)


def seen_in(folder: Path, components: tuple[str, ...] = COMPONENTS, **options: object) -> Observed:
    return read_observed(folder, DataConfig(root_dir=folder, component_dirs=components), SIZE, **options)


def test_what_is_missing_is_not_observed(folder: Path, image):
    image(2, "bt").unlink()
    image(3, "group_nc").unlink()
    image(3, "fpu").unlink()
    seen = seen_in(folder)
    images, _ = draw(3, 0, 16)
    expected = np.ones((16, 5), bool)
    expected[2, 2] = expected[3, 0] = expected[3, 3] = False
    assert np.array_equal(seen.mask, expected)
    assert np.array_equal(seen.images, images * expected[:, :, None, None])
    assert seen.prefixes[3] == "toy_0000003"


def test_hidden_components_are_not_read(folder: Path, image):
    image(2, "bt").write_bytes(b"broken, but hidden")
    seen = seen_in(folder, hidden=frozenset({2}))
    assert not seen.mask[:, 2].any()
    assert seen.mask[:, [0, 1, 3, 4]].all()
    assert not seen.images[:, 2].any()


def test_a_folder_may_hold_few_components_and_other_files(folder: Path, tmp_path: Path, image):
    target = tmp_path / "mine" / "train" / "group_nc"
    target.mkdir(parents=True)
    image(6, "group_nc").rename(target / "sketch one_group_nc.png")
    (target / "notes.txt").write_text("x")
    (target / "_group_nc.png").write_bytes(b"")  # no prefix: no design
    seen = seen_in(tmp_path / "mine")
    assert seen.prefixes == ("sketch one",)
    assert seen.mask.tolist() == [[True, False, False, False, False]]
    assert np.array_equal(seen.images[0, 0], draw(3, 6, 1)[0][0, 0])


def test_faults_name_the_file(folder: Path, image):
    Image.new("L", (32, 32)).save(image(1))
    with pytest.raises(DataError, match=r"bt/toy_0000001_bt\.png: is 32 x 32"):
        seen_in(folder)
    image(1).write_bytes(image(2).read_bytes()[:70])
    with pytest.raises(DataError, match="truncated"):
        seen_in(folder)


def test_nothing_to_observe(folder: Path, tmp_path: Path):
    with pytest.raises(NotFound):
        seen_in(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no images of the model's components") as caught:
        seen_in(folder, components=("rim", "spoke"))
    assert "rim/NAME_rim.png" in caught.value.hint


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_to_files_and_to_nothing_else(folder: Path, tmp_path: Path, image):
    """Stores of large files (DVC, git-annex, hubs) put links in the place of files."""
    before = seen_in(folder)
    image(1).rename(tmp_path / "outside.png")
    image(1).symlink_to(tmp_path / "outside.png")
    assert np.array_equal(seen_in(folder).images, before.images)
    image(1).unlink()
    os.mkfifo(image(1))
    assert not seen_in(folder).mask[1, 2]


def test_what_systems_leave_beside_files_is_not_read(folder: Path, image):
    image(1).with_name(f"._{image(1).name}").write_bytes(b"Mac OS X")
    image(2).rename(image(2).with_suffix(".PNG"))
    assert len(seen_in(folder).prefixes) == 16
    assert seen_in(folder).mask.all()


def test_other_folders_are_said(folder: Path):
    class Heard(Quiet):
        def warn(self, text: str) -> None:
            heard.append(text)

    heard: list[str] = []
    (folder / "tpc").rename(folder / "tcp")
    seen_in(folder, listener=Heard())
    assert "tcp" in heard[0]


def test_black_on_white_is_read_as_it_is_meant(folder: Path):
    before = seen_in(folder)
    for path in folder.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    assert np.array_equal(seen_in(folder).images, before.images)
