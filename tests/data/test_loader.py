"""Epochs: every design once, in an order that only the generator decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from epurecli.config.schema import DataConfig, ToySpec
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.loader import epoch_batches, epoch_rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    cache: Path = tmp_path_factory.mktemp("cache")
    return open_dataset(DataConfig(toy=ToySpec(count=100), condition_columns=("d_cons", "d_life")), cache_dir=cache)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def order_of(dataset: Dataset, **options: object) -> tuple[list[int], list[int]]:
    """Designs in the order of an epoch (recognised by their conditions), and batch sizes."""
    known = {tuple(row): i for i, row in enumerate(dataset.scaler.encode(dataset.conditions).tolist())}
    assert len(known) == len(dataset)
    batches = [dataset.batch(rows) for rows in epoch_rows(dataset.train, 10, **options)]
    return [known[tuple(row)] for batch in batches for row in batch.condition.tolist()], [
        len(batch) for batch in batches
    ]


def test_a_shuffled_epoch_visits_every_design_once(dataset: Dataset):
    order, sizes = order_of(dataset, rng=seeded(0))
    assert sorted(order) == dataset.train.tolist()
    assert order != dataset.train.tolist()
    assert sizes == [10] * (len(dataset.train) // 10) + [len(dataset.train) % 10]


def test_the_generator_decides_the_order(dataset: Dataset):
    first, _ = order_of(dataset, rng=seeded(4))
    assert order_of(dataset, rng=seeded(4))[0] == first
    assert order_of(dataset, rng=seeded(5))[0] != first
    rng = seeded(4)
    assert order_of(dataset, rng=rng)[0] == first
    assert order_of(dataset, rng=rng)[0] != first  # the next epoch


def test_without_a_generator_the_order_is_kept(dataset: Dataset):
    assert order_of(dataset, rng=None)[0] == dataset.train.tolist()


def test_skip_resumes_in_the_middle(dataset: Dataset):
    whole, _ = order_of(dataset, rng=seeded(1))
    rest, sizes = order_of(dataset, rng=seeded(1), skip=3)
    assert rest == whole[30:]
    assert len(sizes) == 6


def test_drop_last(dataset: Dataset):
    order, sizes = order_of(dataset, rng=seeded(1), drop_last=True)
    assert sizes == [10] * 8
    assert order == order_of(dataset, rng=seeded(1))[0][:80]


def test_images_and_conditions_stay_together(dataset: Dataset):
    levels = torch.from_numpy(np.array(dataset.images))
    conditions = torch.from_numpy(dataset.scaler.encode(dataset.conditions))
    for batch in epoch_batches(dataset, dataset.train, 16, seeded(2)):
        assert batch.image.dtype == torch.float32
        assert batch.image.min() == 0.0
        assert batch.image.max() == 1.0
        for image, condition in zip(batch.image, batch.condition, strict=True):
            index = int((conditions == condition).all(dim=1).nonzero()[0])
            assert torch.equal((image * 255).round().to(torch.uint8), levels[index])


def test_levels_survive_the_way_to_floats_and_back():
    from epurecli.data.batch import to_batch

    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    batch = to_batch(levels, np.zeros((1, 0), np.float32))
    assert torch.equal((batch.image * 255).round().to(torch.uint8), torch.from_numpy(levels))
    assert torch.equal(batch.image, torch.from_numpy(levels).float() / 255)
