"""The sampler: the same design in whatever batch, span or number of draws; what goes to the writer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from epurecli.data.conditions import ConditionScaler
from epurecli.sample.drawn import Drawn
from epurecli.sample.sampler import BLOCK, Request, cut, draw, grouped
from epurecli.types import Mode, Noise, Query

C, H, W, D, N = 3, 8, 4, 2, 5
CPU = torch.device("cpu")
SCALER = ConditionScaler(("width", "height"), (50.0, 60.0), (10.0, 20.0), (40.0, 30.0), (60.0, 90.0))
MATRIX = torch.randn(N, C * H * W, generator=torch.Generator().manual_seed(0))
queries: list[Query] = []


def generate(query: Query, noise: Sequence[Noise]) -> Tensor:  # -> (S, B, C, H, W)
    """A model in one line; like a network's, its bits depend on the place in the batch and on the batch's size."""
    queries.append(query)
    shift = (query.condition * query.present).sum(1)[None, :, None]
    place = 1e-6 * torch.arange(len(query))[None, :, None] + 1e-7 * len(query)
    drawn = torch.stack([n.normal(N) for n in noise])  # (S, B, N)
    images = (drawn @ MATRIX + shift + place).sigmoid().unflatten(2, (C, H, W))
    if query.observed is None:
        return images
    return torch.where(query.mask[..., None, None], query.observed, images)


def request_of(count: int, mode: Mode = Mode.CONDITIONAL, **options) -> Request:
    rng = np.random.default_rng(0)
    names = [f"d{i}" for i in range(count)]
    if mode is Mode.CONDITIONAL:
        options["conditions"] = rng.uniform(40, 60, (99, D))[:count]
    if mode.observes:
        options["images"] = rng.integers(0, 256, (120, C, H, W), dtype=np.uint8)
        options["rows"] = rng.permutation(120)[:count].astype(np.int64)
        options["mask"] = rng.random((99, C))[:count] < 0.5
    return Request(mode, names, 11, **options)


def everything(request: Request, **options) -> Drawn:
    (whole,) = grouped(draw(request, generate, SCALER, CPU, **options), 10**9)
    return whole


def arrays(drawn: Drawn) -> dict[str, NDArray]:
    fields = ("images", "mask", "observed", "spread", "draws", "truth", "conditions")
    return {f: getattr(drawn, f) for f in fields if getattr(drawn, f) is not None}


def assert_same(one: Drawn, other: Drawn) -> None:
    assert list(one.names) == list(other.names)
    assert arrays(one).keys() == arrays(other).keys()
    for key, value in arrays(one).items():
        assert np.array_equal(value, arrays(other)[key]), key


@pytest.mark.parametrize("mode", [Mode.UNCONDITIONAL, Mode.CONDITIONAL, Mode.INPAINTING])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_a_design_is_the_same_however_many_are_asked_for(mode: Mode, count: int) -> None:
    options = {"draws": 3, "keep_draws": True, "has_truth": True} if mode.observes else {}
    many, few = everything(request_of(60, mode, **options)), everything(request_of(count, mode, **options))
    for key, value in arrays(few).items():
        assert np.array_equal(value, arrays(many)[key][:count]), key


@pytest.mark.parametrize("batch_sz", [1, 7, 16, 64, 1000])
def test_the_batch_size_only_groups(batch_sz: int) -> None:
    request = request_of(50, Mode.INPAINTING, draws=2)
    groups = list(grouped(draw(request, generate, SCALER, CPU), batch_sz))
    sizes = [len(group) for group in groups]
    assert sum(sizes) == 50
    assert all(size >= min(batch_sz, BLOCK) for size in sizes[:-1])
    assert max(sizes) < batch_sz + BLOCK
    (joined,) = grouped(iter(groups), 10**9)
    assert_same(joined, everything(request))


@pytest.mark.parametrize("mode", [Mode.UNCONDITIONAL, Mode.CONDITIONAL, Mode.INPAINTING])
@pytest.mark.parametrize("place", [16, 32, 48])
def test_shares_make_up_the_whole(mode: Mode, place: int) -> None:
    request = request_of(50, mode, **({"has_truth": True} if mode.observes else {}))
    parts = [everything(cut(request, *span)) for span in ((0, place), (place, 50))]
    (joined,) = grouped(iter(parts), 10**9)
    assert_same(joined, everything(request))


def test_a_share_of_a_share_counts_on() -> None:
    assert cut(cut(request_of(50), 16, 50), 16, 20).first == 32


def test_a_share_starts_with_a_block() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        next(draw(cut(request_of(50), 5, 50), generate, SCALER, CPU))


def test_more_draws_keep_the_first_ones() -> None:
    few = everything(request_of(20, Mode.INPAINTING, draws=2, keep_draws=True))
    many = everything(request_of(20, Mode.INPAINTING, draws=5, keep_draws=True))
    assert many.draws.shape == (20, 5, C, H, W)
    assert np.array_equal(many.draws[:, :2], few.draws)
    assert not np.array_equal(many.draws[:, 2], many.draws[:, 1])


def test_the_seed_decides() -> None:
    one = everything(request_of(20))
    other = everything(Request(Mode.CONDITIONAL, [f"d{i}" for i in range(20)], 12, conditions=one.conditions))
    assert not np.array_equal(one.images, other.images)


def test_mean_and_spread_of_the_draws() -> None:
    found = everything(request_of(20, Mode.INPAINTING, draws=4, keep_draws=True))
    np.testing.assert_allclose(found.images, found.draws.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.spread, found.draws.std(1), atol=1e-6)
    seen = np.broadcast_to(found.mask[:, :, None, None], found.spread.shape)
    assert found.spread[seen].max() < 1e-6
    assert found.spread[~seen].min() > 0


def test_what_is_handed_on() -> None:
    request = request_of(20, Mode.INPAINTING, draws=1, has_truth=True)
    found = everything(request)
    levels = request.images[request.rows]
    assert found.spread is None
    assert found.draws is None
    assert np.array_equal(found.observed, levels)
    assert np.array_equal(found.truth, levels)
    assert np.array_equal(found.mask, request.mask)
    seen = np.broadcast_to(found.mask[:, :, None, None], levels.shape)
    assert np.array_equal(np.rint(found.images[seen] * 255).astype(np.uint8), levels[seen])
    assert everything(request_of(20, Mode.INPAINTING)).truth is None
    plain = everything(request_of(3, Mode.UNCONDITIONAL))
    assert arrays(plain).keys() == {"images"}


def test_the_model_is_asked_in_its_own_units_and_whole_blocks() -> None:
    queries.clear()
    request = request_of(20)
    everything(request)
    assert [len(query) for query in queries] == [BLOCK, BLOCK]
    np.testing.assert_allclose(queries[0].condition, SCALER.encode(request.conditions[:BLOCK]))
    assert queries[0].condition.dtype == torch.float32
    queries.clear()
    request = request_of(20, Mode.INPAINTING)
    everything(request)
    assert not queries[1].present.any()
    assert torch.equal(queries[1].observed[:4], torch.from_numpy(request.images[request.rows[16:]]) / 255)
    assert torch.equal(queries[1].mask[:4], torch.from_numpy(request.mask[16:]))


def test_crisp_parts_do_not_overlap() -> None:
    soft, hard = everything(request_of(20)), everything(request_of(20, crisp=True))
    assert set(np.unique(hard.images)) <= {0.0, 1.0}
    assert hard.images.sum(1).max() <= 1
    owner = np.concatenate([np.clip(1 - soft.images.sum(1, keepdims=True), 0, None), soft.images], 1).argmax(1)
    assert np.array_equal(hard.images.argmax(1)[owner > 0], owner[owner > 0] - 1)
    assert not hard.images.sum(1)[owner == 0].any()


def test_crisp_leaves_a_mean_of_several_draws_grey_and_makes_each_draw_crisp() -> None:
    found = everything(request_of(20, Mode.INPAINTING, draws=3, keep_draws=True, crisp=True))
    soft = everything(request_of(20, Mode.INPAINTING, draws=3, keep_draws=True))
    assert np.array_equal(found.images, soft.images)
    assert set(np.unique(found.draws)) <= {0.0, 1.0}
