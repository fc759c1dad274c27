"""Codes: every one can be reached, what is decoded is what was rounded, and a codebook follows what is near it."""

from __future__ import annotations

import pytest
import torch

from epurecli.nn.quantizers import DEAD, FiniteScalar, MovingAverage
from epurecli.nn.step import Step


def step(seed: int = 0) -> Step:
    return Step(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("levels", [(8, 8, 8), (4, 4), (3, 5), (2, 7, 4)], ids=str)
def test_every_code_is_a_vector_of_its_own_and_is_reached(levels: tuple[int, ...]) -> None:
    fsq = FiniteScalar(levels)
    codes = torch.arange(fsq.count).view(-1, 1, 1)
    vectors = fsq.decode(codes)
    assert vectors.shape == (fsq.count, len(levels), 1, 1)
    assert len({tuple(v.flatten().tolist()) for v in vectors}) == fsq.count
    # the numbers that are bounded to these levels
    half = (fsq.levels - 1) * (1 + 1e-3) / 2
    offset = torch.where(fsq.levels % 2 == 0, 0.5, 0.0)
    inverse = torch.atanh((vectors * (fsq.levels // 2) + offset) / half) - torch.atanh(offset / half)
    assert torch.equal(fsq.encode(inverse), codes)


def test_training_sees_what_is_decoded_and_gradients_pass() -> None:
    fsq = FiniteScalar((8, 5))
    vectors = (3 * torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
    seen, cost = fsq(vectors, step())
    torch.testing.assert_close(seen, fsq.decode(fsq.encode(vectors)))
    assert cost == 0
    seen.sum().backward()
    assert (vectors.grad > 0).all()


def clusters(count: int = 64) -> torch.Tensor:
    """(B, 2, 4, 4): cells near four corners."""
    rng = torch.Generator().manual_seed(1)
    corners = torch.tensor([[-3.0, -3], [-3, 3], [3, -3], [3, 3]])
    which = torch.randint(0, 4, (count, 4, 4), generator=rng)
    return (corners[which] + 0.1 * torch.randn(count, 4, 4, 2, generator=rng)).movedim(-1, 1)


def test_a_codebook_follows_the_means_and_unused_codes_are_put_where_cells_are() -> None:
    torch.manual_seed(0)
    book = MovingAverage(8, 2, decay=0.9, commitment=0.25).train()
    book.book.copy_(100 + torch.randn(8, 2))  # all far away
    book.sums.copy_(book.book)
    vectors = clusters()
    for seed in range(60):
        book(vectors, step(seed))
    cells = vectors.movedim(1, -1).reshape(-1, 2)
    nearest = torch.cdist(cells, book.book).min(1).values
    assert nearest.max() < 0.6
    used = torch.bincount(book.encode(vectors).flatten(), minlength=8)
    torch.testing.assert_close(book.uses.sum(), torch.tensor(float(len(cells))), rtol=0.05, atol=0)
    assert (used > 0).sum() >= 4
    assert (book.uses[used == 0] >= DEAD * len(cells) / 8).all() or (used > 0).all()


def test_the_commitment_is_the_distance_and_evaluation_changes_nothing() -> None:
    torch.manual_seed(0)
    book = MovingAverage(4, 2, decay=0.9, commitment=0.5).eval()
    before = {k: v.clone() for k, v in book.state_dict().items()}
    vectors = clusters(8).requires_grad_()
    seen, cost = book(vectors, step())
    found = book.decode(book.encode(vectors))
    torch.testing.assert_close(seen, found)
    torch.testing.assert_close(cost, 0.5 * (vectors - found).square().mean())
    assert all(torch.equal(before[k], v) for k, v in book.state_dict().items())
    seen.sum().backward()
    assert torch.equal(vectors.grad, torch.ones_like(vectors)), "straight through"
