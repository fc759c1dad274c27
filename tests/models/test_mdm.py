"""MDM against a law of sixteen outcomes: a 2 x 2 label map of one part, its conditionals known by counting."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from epurecli.config import load_config
from epurecli.models.iterative import solve
from epurecli.models.mdm.model import MDM
from epurecli.models.mdm.process import Absorbing, Uniform, base_of
from epurecli.models.registry import build, schema_of
from epurecli.nn import multinomial
from epurecli.nn.absorbing import turns
from epurecli.nn.labels import halton_order, labels_of, pick, planes
from epurecli.nn.noise import GeneratorNoise
from epurecli.types import Batch, Query

PART, GROUND, HIDDEN = 0, 1, 2
OUTCOMES = torch.tensor(list(product((PART, GROUND), repeat=4))).view(16, 2, 2)
LAW = 0.8 * torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(16, 0.6))) + 0.2 / 16  # far from independent
ORDER = torch.tensor([[2, 0], [3, 1]])


def log_odds(shares: Tensor) -> Tensor:  # (B, 2, 2) of the part -> maps (B, 1, 2, 2)
    return torch.logit(shares.clamp(1e-12, 1 - 1e-12)).unsqueeze(1).float()


def of_shown(state: Tensor, *_: Tensor) -> Tensor:
    """p(cell | cells that are shown), exactly."""
    fits = ((state[:, None] == OUTCOMES) | (state[:, None] == HIDDEN)).all((2, 3))  # (B, 16)
    weight = fits * LAW
    weight = weight / weight.sum(1, keepdim=True)
    return log_odds((weight[:, :, None, None] * (OUTCOMES == PART)).sum(1))


def of_scattered(state: Tensor, time: Tensor, *_: Tensor) -> Tensor:
    """p(cell | every cell kept with a probability, else random), exactly."""
    same = multinomial.kept(time.double())[:, None, None, None]
    like = torch.where(state[:, None] == OUTCOMES, same + (1 - same) / 2, (1 - same) / 2).prod(3).prod(2) * LAW
    like = like / like.sum(1, keepdim=True)
    return log_odds((like[:, :, None, None] * (OUTCOMES == PART)).sum(1))


def frequencies(process: Absorbing | Uniform, network, steps: int, count: int = 20_000) -> Tensor:
    noise = GeneratorNoise(torch.Generator().manual_seed(0), count)
    drawn = solve(network, process, Query(torch.zeros(count, 0), torch.zeros(count, 1)), noise, steps)
    labels = labels_of(drawn)
    return (labels[:, None] == OUTCOMES).all((2, 3)).double().mean(0)


def test_hidden_cells_shown_one_by_one_have_the_law() -> None:
    found = frequencies(Absorbing(1, (2, 2), ORDER), of_shown, steps=4)
    assert (found - LAW).abs().max() < 4 * (LAW.max() / 20_000) ** 0.5
    at_once = frequencies(Absorbing(1, (2, 2), ORDER), of_shown, steps=1)
    assert (at_once - LAW).abs().max() > 0.02, (
        "cells that are shown together are independent: the test would not see it"
    )


def test_random_labels_that_are_found_again_have_the_law() -> None:
    found = frequencies(Uniform(1, (2, 2)), of_scattered, steps=120)
    assert (found - LAW).abs().max() < 0.015


class Exact(MDM):
    """Knows the law."""

    def network(self, state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        return (of_shown if self.absorbs else of_scattered)(state, time)


def exact(transitions: str) -> Exact:
    extra = ["model.image_size=[8, 8]", "data.component_dirs=[one]", "data.condition_columns=[]"]
    config = load_config("mdm_toy_test", schema_of, [*extra, f"model.transitions={transitions}"])
    model = Exact(config)
    model.image_size = (2, 2)
    model.turn = ORDER
    return model


def bounds(transitions: str, copies: int = 400, draws: int = 50) -> Tensor:
    """Of each of the sixteen, the mean of many."""
    batch = Batch(planes(OUTCOMES, 1).repeat(copies, 1, 1, 1), torch.zeros(16 * copies, 0))
    noise = GeneratorNoise(torch.Generator().manual_seed(0), 16 * copies)
    return exact(transitions).bound(batch, [noise] * draws).double().view(copies, 16).mean(0)


def test_the_bound_is_the_truth_where_the_network_is() -> None:
    """Absorbing: of every design, in expectation over which cells are hidden, the bound is log p itself."""
    torch.testing.assert_close(bounds("absorbing"), LAW.log(), atol=0.15, rtol=0)


def test_the_bound_of_random_labels_is_below_the_truth_and_near() -> None:
    gap = ((bounds("uniform") - LAW.log()) * LAW).sum().item()
    assert -0.1 < gap < 0.02


@pytest.mark.parametrize("transitions", ["absorbing", "uniform"])
@pytest.mark.parametrize("given", [[0], [1], [0, 2], [0, 1, 2]], ids=str)
def test_labels_of_given_parts_appear_nowhere_else(transitions: str, given: list[int]) -> None:
    config = load_config(
        "mdm_toy_test", schema_of, ["data.component_dirs=[a, b, c]", f"model.transitions={transitions}"]
    )
    torch.manual_seed(0)
    model = build(config).eval()
    observed = torch.zeros(4, 3, 64, 32)
    for c in range(3):
        observed[:, c, 20 * c : 20 * c + 15, 4:28] = 1.0
    mask = torch.zeros(4, 3, dtype=torch.bool)
    mask[:, given] = True
    query = Query(torch.zeros(4, 2), torch.zeros(4, 1), observed, mask)
    drawn = model.sampler(query)(GeneratorNoise(torch.Generator().manual_seed(0), 4))  # before anything is pasted
    for c in given:
        assert torch.equal(drawn[:, c], observed[:, c])
    assert (drawn.sum(1) <= 1).all()


def test_what_is_hidden_moves_nothing() -> None:
    """The loss at shown cells is zero, and predictions do not depend on the labels of hidden ones."""
    config = load_config("mdm_toy_test", schema_of, ["data.component_dirs=[a, b, c]"])
    torch.manual_seed(0)
    model = build(config).eval()
    seen: list[Tensor] = []
    model.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    image = torch.zeros(2, 3, 64, 32)
    image[:, 0, 10:20] = 1.0
    other = image.clone()
    uniform = torch.ones(2, 2, 64, 32)
    uniform[:, 0, 12:14] = 0.0  # these rows are hidden
    other[:, 0, 12:14], other[:, 1, 12:14] = 0.0, 1.0
    nothing, present = torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 1)
    time = torch.full((2,), 0.5)
    nats = [model.nats(Batch(x, torch.zeros(2, 2)), nothing, present, time, uniform, "even") for x in (image, other)]
    assert torch.equal(*seen)
    assert not torch.equal(*nats)
    shown = torch.ones(2, 2, 64, 32)
    assert not model.nats(Batch(image, torch.zeros(2, 2)), nothing, present, time, shown, "even").any()


def test_a_label_without_a_share_is_never_picked() -> None:
    shares = torch.tensor([0.0, 0.3, 0.0, 0.7, 0.0]).view(1, 5, 1, 1).expand(-1, -1, 1, 101)
    uniform = torch.cat([torch.linspace(0, 1, 101)[:-1], torch.tensor([1 - 2.0**-24])]).view(1, 1, 101)
    picked = pick(shares, uniform)[0, 0]
    assert set(picked.tolist()) == {1, 3}
    assert 30 <= (picked == 1).sum() <= 31


def test_an_earlier_label_by_enumeration() -> None:
    """Bayes' rule on the chain label at 0 -> label at u -> label at t, written out."""
    time, until = torch.tensor([0.7]), torch.tensor([0.3])
    base = base_of(torch.tensor([[False, True]]))  # label 1 is given elsewhere
    keep_u, keep_t = multinomial.kept(until).item(), multinomial.kept(time).item()
    through = keep_t / keep_u
    for first, now in product((0, 2), repeat=2):
        said = multinomial.earlier(
            planes(torch.full((1, 1, 1), first), 3), planes(torch.full((1, 1, 1), now), 3), base, time, until
        )
        weight = []
        for middle in range(3):
            share = base[0, middle].item()
            to_middle = keep_u * (middle == first) + (1 - keep_u) * share
            to_now = through * (middle == now) + (1 - through) * base[0, now].item()
            weight.append(to_middle * to_now)
        torch.testing.assert_close(said.flatten(), torch.tensor(weight) / sum(weight))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 8), (64, 32)], ids=str)
def test_every_cell_has_its_turn(size: tuple[int, int]) -> None:
    order = [turn for row in halton_order(*size) for turn in row]
    assert sorted(order) == list(range(size[0] * size[1]))


@pytest.mark.parametrize(("cells", "steps"), [(2048, 64), (2048, 1), (32, 8), (4, 4), (4, 9)])
def test_turns_cover_all_cells_once(cells: int, steps: int) -> None:
    rows = turns(cells, steps)
    assert rows[0].tolist()[:2] == [1, 0]
    assert rows[-1, 2] == cells
    assert torch.equal(rows[1:, 1], rows[:-1, 2])
    assert (rows[:, 2] >= rows[:, 1]).all()
    assert (rows[: min(cells, steps), 2] > rows[: min(cells, steps), 1]).all()


def test_overlapping_parts_belong_to_the_first_and_grey_is_ground_below_a_half() -> None:
    image = torch.tensor([[1.0, 0.4, 0.5], [1.0, 0.3, 0.0]]).view(1, 2, 1, 3)
    assert labels_of(image).flatten().tolist() == [0, 2, 0]
    assert torch.equal(planes(labels_of(image), 2).sum(1), torch.tensor([[[1.0, 0.0, 1.0]]]))


def test_unknown_parts_are_hidden_from_the_network_and_not_held_against_it() -> None:
    config = load_config("mdm_toy_test", schema_of, ["data.component_dirs=[a, b, c]"])
    torch.manual_seed(0)
    model = build(config).eval()
    image = torch.zeros(1, 3, 64, 32)
    image[:, 0, 10:20], image[:, 2, 30:40] = 1.0, 1.0
    known = torch.tensor([[True, True, False]])
    nothing, present, time = torch.zeros(1, 3, dtype=torch.bool), torch.ones(1, 1), torch.full((1,), 0.5)
    batch = Batch(image, torch.zeros(1, 2), known)
    uniform = torch.rand(1, 2, 64, 32, generator=torch.Generator().manual_seed(0))
    lacking = Batch(torch.where(known[..., None, None], image, 0.0), batch.condition, known)
    both = [model.nats(b, nothing, present, time, uniform, "even") for b in (batch, lacking)]
    assert torch.equal(*both)
    whole = model.nats(replace(lacking, known=None), nothing, present, time, uniform, "even")
    assert not torch.equal(both[0], whole)
