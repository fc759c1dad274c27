"""A batch's random numbers are the same however many processes share it."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from epurecli.nn.moments import moment_step
from epurecli.nn.step import Step


@given(whole=st.integers(1, 20), cut=st.integers(0, 20), seed=st.integers(0, 9))
def test_parts_together_are_the_whole(whole: int, cut: int, seed: int) -> None:
    cut = min(cut, whole)

    def draws(start: int, rows: int, whole: int | None) -> list[torch.Tensor]:
        step = Step(torch.Generator().manual_seed(seed), start=start, whole=whole)
        return [step.randn(rows, 3), step.rand(rows), step.randint(1, 7, rows, 2), step.randn(rows, 1)]

    alone, first, second = draws(0, whole, None), draws(0, cut, whole), draws(cut, whole - cut, whole)
    for one, *parts in zip(alone, first, second, strict=True):
        assert torch.equal(one, torch.cat(parts))


def test_moments_pool_what_the_processes_see() -> None:
    """Two shares of one batch, each with the sums of both: the step of the whole batch."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    start = torch.ones(3, dtype=torch.float64), 2 * torch.eye(3, dtype=torch.float64)
    within = [scale * torch.eye(3, dtype=torch.float64) for scale in (1.0, 3.0)]
    expected = moment_step(*start, rows, 0.3, Step(rng), within=(2 * within[0] + 5 * within[1]) / 7)
    parts, centre = [(rows[:2], within[0]), (rows[2:], within[1])], rows.mean(0)
    answers = [rows.sum(0), sum(len(r) * w + (r - centre).mT @ (r - centre) for r, w in parts)]  # of an all-reduce
    sent: list[list[torch.Tensor]] = []
    for part, own in parts:
        said: list[torch.Tensor] = []

        def total(tensor: torch.Tensor, said: list[torch.Tensor] = said) -> torch.Tensor:
            said.append(tensor)
            return answers[len(said) - 1]

        torch.testing.assert_close(
            moment_step(*start, part, 0.3, Step(rng, whole=7, total=total), within=own), expected
        )
        sent.append(said)
    torch.testing.assert_close([a + b for a, b in zip(*sent, strict=True)], answers)
