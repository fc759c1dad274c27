"""What every model must do when it draws, whatever it is asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from epurecli.errors import UnsupportedMode
from epurecli.models.contract import GenerativeModel
from epurecli.sample.noise import DesignNoise
from epurecli.types import Batch, Mode, Query

COUNT, DRAWS = 12, 2


def masks(components: int, mode: Mode) -> Tensor:
    """Masks that differ from design to design: proper subsets, or single components."""
    if mode is Mode.CROSS_MODAL:
        return torch.eye(components, dtype=torch.bool)[torch.arange(COUNT) % components]
    code = 1 + torch.arange(COUNT) % (2**components - 2)
    return (code[:, None] >> torch.arange(components)) & 1 == 1


def query_of(tools, model: GenerativeModel, mode: Mode, batch: Batch, condition: bool | None = None) -> Query:
    if condition is None:
        condition = mode is Mode.CONDITIONAL
    given = batch.condition if condition else None
    if not mode.observes:
        return tools.ask(model, COUNT, given)
    return tools.ask(model, COUNT, given, batch.image, masks(batch.image.shape[1], mode))


def rows(query: Query, part: slice) -> Query:
    """Some designs of a query."""
    return Query(*(v if v is None else v[part] for v in (query.condition, query.present, query.observed, query.mask)))


def questions() -> list:
    asked = [(mode, None) for mode in Mode] + [(mode, True) for mode in Mode if mode.observes]
    return [pytest.param(q, id=q[0].value + ("-with-condition" if q[1] else "")) for q in asked]


@pytest.fixture(params=questions())
def asked(request: pytest.FixtureRequest, name: str, ready, tools) -> tuple[GenerativeModel, Query]:
    mode, condition = request.param
    model = ready(name)
    if mode not in model.modes:
        with pytest.raises(UnsupportedMode, match=mode.value):
            model.require(mode)
        mode = Mode.UNCONDITIONAL
    model.require(mode)
    return model, query_of(tools, model, mode, tools.batch_for(model), condition)


def test_shape_and_range(asked, tools) -> None:
    model, query = asked
    images = model.generate(query, tools.noise_for(model, COUNT, DRAWS))
    assert images.shape == (DRAWS, COUNT, len(model.components), *model.image_size)
    assert images.dtype == torch.float32
    assert torch.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_same_noise_gives_the_same_images_and_other_noise_others(asked, tools) -> None:
    model, query = asked
    noise = partial(tools.noise_for, model, COUNT, DRAWS)
    first = model.generate(query, noise())
    torch.rand(5)  # no hidden generator
    assert torch.equal(first, model.generate(query, noise()))
    assert not torch.equal(first, model.generate(query, tools.noise_for(model, COUNT, DRAWS, seed=1)))
    assert not torch.equal(first[0], first[1])


def test_observed_components_come_back_as_they_were_given(asked, tools) -> None:
    model, query = asked
    if query.observed is None:
        return
    grey = torch.randint(0, 256, query.observed.shape, generator=torch.Generator().manual_seed(0)).float().div_(255)
    images = model.generate(replace(query, observed=grey), tools.noise_for(model, COUNT, DRAWS))
    for draw in images:
        assert torch.equal(draw[query.mask], grey[query.mask])
        assert (draw[~query.mask] != grey[~query.mask]).flatten(1).any(1).all()


def test_what_the_mask_hides_is_not_looked_at(asked, tools) -> None:
    model, query = asked
    if query.observed is None:
        return
    noise = partial(tools.noise_for, model, COUNT)
    other = torch.where(query.mask[..., None, None], query.observed, 1 - query.observed)
    changed = replace(query, observed=other)
    assert torch.equal(model.generate(query, noise()), model.generate(changed, noise()))


def test_what_is_observed_matters(asked, tools) -> None:
    """In some of sixteen draws: where a draw is made of labels, a single one need not change."""
    model, query = asked
    if query.observed is None:
        return
    noise = partial(tools.noise_for, model, COUNT, 16)
    other = torch.where(query.mask[..., None, None], query.observed.flip(-1), query.observed)
    changed = model.generate(replace(query, observed=other), noise())
    before = model.generate(query, noise())
    for b in range(COUNT):
        assert not torch.equal(before[:, b][:, ~query.mask[b]], changed[:, b][:, ~query.mask[b]])


def test_designs_and_draws_do_not_see_each_other(asked, tools) -> None:
    """Each design alone, each draw alone: the same as together."""
    model, query = asked
    noise = partial(tools.noise_for, model, COUNT, DRAWS)
    together = model.generate(query, noise())
    for b in (0, COUNT - 1):
        for s in range(DRAWS):
            one = model.generate(rows(query, slice(b, b + 1)), [DesignNoise(0, [b], s)])
            torch.testing.assert_close(one[0, 0], together[s, b], atol=2e-5, rtol=1e-4)


def test_drawing_changes_nothing_in_the_model(asked, tools) -> None:
    model, query = asked
    before = {k: v.clone() for k, v in tools.tensors_of(model).items()}
    model.generate(query, tools.noise_for(model, COUNT))
    for key, value in tools.tensors_of(model).items():
        assert torch.equal(value, before[key]), key


def test_conditions_matter_after_some_training(name: str, ready, tools) -> None:
    model = ready(name)
    batch, noise = tools.batch_for(model), partial(tools.noise_for, model, COUNT)
    without = model.generate(tools.ask(model, COUNT), noise())
    given = model.generate(tools.ask(model, COUNT, batch.condition), noise())
    other = model.generate(tools.ask(model, COUNT, batch.condition + 2), noise())
    zero = model.generate(tools.ask(model, COUNT, torch.zeros_like(batch.condition)), noise())
    assert not torch.equal(given, other)
    assert not torch.equal(without, zero), "a condition of zero is not the same as none"


def test_rows_with_everything_and_with_nothing_observed(name: str, ready, tools) -> None:
    """Masks of one batch may also be full or empty: a whole design comes back whole, an empty one is drawn freely."""
    model = ready(name)
    if Mode.INPAINTING not in model.modes:
        return
    batch, mask = tools.batch_for(model), masks(len(model.components), Mode.INPAINTING)
    mask[0], mask[1] = True, False
    images = model.generate(tools.ask(model, COUNT, None, batch.image, mask), tools.noise_for(model, COUNT, DRAWS))
    assert torch.isfinite(images).all()
    assert torch.equal(images[0, 0], batch.image[0])
    assert not torch.equal(images[0, 1], images[1, 1])


@pytest.mark.parametrize("components", [1, 3, 5])
@pytest.mark.parametrize("size", [(64, 32), (32, 48)], ids=str)
def test_any_number_of_components_and_any_size(name: str, tools, components: int, size: tuple[int, int]) -> None:
    model = tools.model_of(tools.config_of(name, components=components, size=size))
    tools.trained(model, tools.batch_for(model, 8), 2)
    noise = partial(tools.noise_for, model, 3)
    assert model.generate(tools.ask(model, 3), noise()).shape == (1, 3, components, *size)
    if components > 1 and Mode.INPAINTING in model.modes:
        batch = tools.batch_for(model, 3)
        mask = torch.zeros(3, components, dtype=torch.bool)
        mask[:, 0] = True
        images = model.generate(tools.ask(model, 3, batch.condition, batch.image, mask), noise())
        assert torch.equal(images[0, :, 0], batch.image[:, 0])


@pytest.mark.parametrize("columns", [[], ["width_px"], ["width_px", "height_px", "d_cons", "d_life", "d_stab"]])
def test_any_number_of_conditions(name: str, tools, columns: list[str]) -> None:
    listed = f"data.condition_columns=[{', '.join(columns)}]"
    model = tools.model_of(tools.config_of(name, listed, "model.cond_dim=null", size=(16, 16)))
    batch = tools.batch_for(model, 8)
    tools.trained(model, batch, 2)
    assert model.cond_dim == len(columns)
    assert torch.isfinite(model.generate(tools.ask(model, 8, batch.condition), tools.noise_for(model, 8))).all()
