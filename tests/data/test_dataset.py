"""Opening data: both layouts, the cache, and what must never happen to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from epurecli.config.schema import DataConfig, ToySpec
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.toy import COMPONENTS, draw
from epurecli.errors import DataError, EpureError, NotFound


def opened_without_work(config: DataConfig, cache: Path) -> tuple[Dataset, bool]:
    calls: list[str] = []
    dataset = open_dataset(config, progress=lambda stage, done, total: calls.append(stage), cache_dir=cache)
    return dataset, not calls


def to_split_layout(folder: Path) -> None:
    """<component>/... becomes <train|test>/<component>/..."""
    for component in COMPONENTS:
        for path in list((folder / component).iterdir()):
            index = int(path.name.split("_")[1])
            target = folder / ("test" if index % 8 == 7 else "train") / component
            target.mkdir(parents=True, exist_ok=True)
            path.rename(target / path.name)
        (folder / component).rmdir()


def test_a_folder_opens_as_it_was_drawn(folder: Path, cache: Path, config):
    dataset = open_dataset(config(), cache_dir=cache)
    images, table = draw(3, 0, 16)
    assert np.array_equal(dataset.images, images)
    assert np.array_equal(dataset.raw_images([5, 2, 5]), images[[5, 2, 5]])
    assert dataset.components == COMPONENTS
    assert dataset.image_size == (64, 32)
    assert dataset.test.tolist() == [7, 15]
    assert sorted([*dataset.train, *dataset.validation, *dataset.test]) == list(range(16))
    assert len(dataset.validation)
    assert list(dataset.prefixes)[3] == "toy_0000003"
    np.testing.assert_array_equal(dataset.conditions[:, 0], table["width_px"])
    batch = dataset.batch([4, 1])
    assert batch.image.dtype == torch.float32
    assert torch.equal(batch.image, torch.from_numpy(images[[4, 1]] / 255).float())
    np.testing.assert_allclose(batch.condition[:, 1], table["height_px_norm"][[4, 1]], rtol=1e-6)


def test_the_toy_spec_is_the_same_data(folder: Path, cache: Path, config):
    """Drawn into the cache or read from PNGs: one digest."""
    toy = open_dataset(DataConfig(toy=ToySpec(count=16, seed=3)), cache_dir=cache)
    read = open_dataset(config(), cache_dir=cache)
    assert toy.digest == read.digest
    assert toy.prefixes[2:4] == list(read.prefixes[2:4])
    assert "toy" in toy.source
    assert toy.scaler.maximum == read.scaler.maximum


def test_a_toy_set_larger_than_a_block_is_drawn_in_order(cache: Path):
    dataset = open_dataset(
        DataConfig(toy=ToySpec(count=1300, seed=2), component_dirs=("bt", "group_nc")), cache_dir=cache
    )
    images, table = draw(2, 1200, 100)
    assert np.array_equal(dataset.images[1200:], images[:, [2, 0]])
    np.testing.assert_array_equal(dataset.conditions[1200:, 1], table["height_px"])


def test_both_layouts_give_the_same_data(folder: Path, cache: Path, config):
    flat = open_dataset(config(), cache_dir=cache)
    to_split_layout(folder)
    split = open_dataset(config(), cache_dir=cache)
    assert split.digest == flat.digest
    lines = (folder / "performances.csv").read_text().replace("matching,train,", "matching,unused,")
    (folder / "performances.csv").write_text(lines)
    by_folder = open_dataset(config(), cache_dir=cache)  # no split column: the folders say it
    assert by_folder.test.tolist() == [7, 15]


def test_the_second_opening_decodes_nothing(folder: Path, cache: Path, config):
    first, idle = opened_without_work(config(), cache)
    assert not idle
    again, idle = opened_without_work(config(), cache)
    assert idle
    assert again.digest == first.digest


@pytest.mark.parametrize("change", ["pixels", "swap", "remove", "add"])
def test_changed_files_are_noticed(folder: Path, cache: Path, change: str, edit_csv, config, image):
    pixels = np.asarray(Image.open(image(3)))
    Image.fromarray(pixels).save(image(3), compress_level=0)
    size = image(3).stat().st_size
    before, _ = opened_without_work(config(), cache)
    if change == "pixels":
        Image.fromarray(255 - pixels).save(image(3), compress_level=0)
        assert image(3).stat().st_size == size  # only the time stamps tell
    elif change == "swap":
        image(3).rename(folder / "kept")
        image(4).rename(image(3))
        (folder / "kept").rename(image(4))
    elif change == "remove":
        edit_csv(lambda lines: lines[:-1])
    else:
        for component in COMPONENTS:
            shutil.copy(image(3, component), image(99, component))
        edit_csv(lambda lines: [*lines, lines[4].replace("toy_0000003", "toy_0000099")])
    after, idle = opened_without_work(config(), cache)
    assert not idle
    assert after.digest != before.digest
    assert len(after) == {"remove": 15, "add": 17}.get(change, 16)
    packs = list(cache.rglob("images.u8"))
    assert len(packs) == 1  # the pack of the former content is gone


def test_the_digest_ignores_time_stamps_and_places(folder: Path, cache: Path, tmp_path: Path, config):
    first = open_dataset(config(), cache_dir=cache)
    shutil.copytree(folder, tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere" / "bt" / "toy_0000000_bt.png", (1, 1))
    assert open_dataset(config(root_dir=tmp_path / "elsewhere"), cache_dir=cache).digest == first.digest


def test_the_digest_covers_conditions_and_split(folder: Path, cache: Path, edit_csv, config):
    digests = {open_dataset(config(), cache_dir=cache).digest}
    edit_csv(lambda lines: [lines[0], lines[1].replace("True", "False", 1), *lines[2:]])
    digests.add(open_dataset(config(), cache_dir=cache).digest)
    digests.add(open_dataset(config(condition_columns=("d_cons",)), cache_dir=cache).digest)
    digests.add(open_dataset(config(condition_columns=()), cache_dir=cache).digest)
    assert len(digests) == 4


def test_conditions_change_without_decoding(folder: Path, cache: Path, config):
    open_dataset(config(), cache_dir=cache)
    dataset, idle = opened_without_work(config(condition_columns=("d_life", "d_stab")), cache)
    assert idle
    assert dataset.conditions.shape == (16, 2)


DAMAGES = {
    "short": lambda data: data[:-1],
    "long": lambda data: data + b"x",
    "lost": lambda data: data[: len(data) // 2].ljust(len(data), b"\0"),  # as after a power cut
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_pack_is_built_anew(damage, folder: Path, cache: Path, config):
    before = open_dataset(config(), cache_dir=cache).digest
    pack = next(cache.rglob("images.u8"))
    pack.write_bytes(damage(pack.read_bytes()))
    after, idle = opened_without_work(config(), cache)
    assert not idle
    assert after.digest == before


def test_a_damaged_table_of_a_toy_set_is_built_anew(cache: Path):
    config = DataConfig(toy=ToySpec(count=40))
    before = open_dataset(config, cache_dir=cache)
    table = next(cache.rglob("table.f64"))
    table.write_bytes(bytes(table.stat().st_size))
    after = open_dataset(config, cache_dir=cache)
    assert np.array_equal(after.conditions, before.conditions)
    assert after.digest == before.digest


def test_images_cannot_be_written_through(folder: Path, cache: Path, config):
    dataset = open_dataset(config(), cache_dir=cache)
    with pytest.raises(ValueError, match="read-only"):
        dataset.images[0, 0, 0, 0] = 1
    dataset.raw_images([0])[:] = 7  # a copy
    assert dataset.images.max() == 255
    with pytest.raises(IndexError, match="0 to 15"):
        dataset.raw_images([16])
    with pytest.raises(IndexError, match="0 to 15"):
        dataset.raw_images([-1])


def test_bad_data_is_refused_and_nothing_is_written(folder: Path, cache: Path, config, image):
    image(2).write_bytes(image(2).read_bytes()[:60])
    for index in range(4, 14):
        Image.new("L", (16, 16)).save(image(index, "fpu"))
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    with pytest.raises(DataError) as caught:
        open_dataset(config(), cache_dir=cache)
    message = caught.value.message
    assert "11 problems" in message
    assert "bt/toy_0000002_bt.png (row 4)" in message
    assert "... and 6 more" in message
    assert "epure data check" in caught.value.hint
    assert caught.value.exit_code == 2
    assert not cache.exists() or not list(cache.iterdir())
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_an_interrupted_opening_leaves_no_pack(folder: Path, cache: Path, config):
    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dataset(config(), progress=interrupt, cache_dir=cache)
    assert not cache.exists() or not list(cache.iterdir())


def test_the_data_folder_may_be_read_only(folder: Path, cache: Path, config):
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    try:
        assert len(open_dataset(config(), cache_dir=cache)) == 16
    finally:
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)


def test_an_unwritable_cache_is_named(folder: Path, tmp_path: Path, config):
    (tmp_path / "file").write_text("")
    with pytest.raises(EpureError, match="cannot be written") as caught:
        open_dataset(config(), cache_dir=tmp_path / "file" / "cache")
    assert "EPURE_CACHE_DIR" in caught.value.hint


def test_what_is_not_there_is_not_found(folder: Path, cache: Path, config):
    with pytest.raises(NotFound, match="does not exist"):
        open_dataset(config(root_dir=folder / "nowhere"), cache_dir=cache)
    (folder / "performances.csv").unlink()
    with pytest.raises(NotFound, match=r"performances\.csv does not exist"):
        open_dataset(config(), cache_dir=cache)


def test_unknown_toy_names_are_refused(cache: Path):
    with pytest.raises(DataError, match="no component 'rim'"):
        open_dataset(DataConfig(toy=ToySpec(count=10), component_dirs=("rim",)), cache_dir=cache)
    with pytest.raises(DataError, match="no condition 'mass'"):
        open_dataset(DataConfig(toy=ToySpec(count=10), condition_columns=("mass",)), cache_dir=cache)


def test_processes_that_build_the_same_cache_agree(folder: Path, cache: Path):
    """Four at once, without an `if __name__` guard, from worker-sized data; one pack comes out, whole."""
    code = f"""
from pathlib import Path
from epurecli.config.schema import DataConfig, ToySpec
from epurecli.data.dataset import open_dataset
print(open_dataset(DataConfig(toy=ToySpec(count=600, seed=9)), cache_dir=Path({str(cache)!r})).digest)
"""
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    digests = {run.communicate(timeout=120)[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0] * 4
    dataset, idle = opened_without_work(DataConfig(toy=ToySpec(count=600, seed=9)), cache)
    assert idle
    assert digests == {dataset.digest}
    assert np.array_equal(dataset.images, draw(9, 0, 600)[0])
    assert list(cache.rglob(".*")) == []  # no hidden folder, no lock
