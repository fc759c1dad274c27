"""Several processes that draw: what they return, and what happens when one dies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from epurecli.data.conditions import ConditionScaler
from epurecli.errors import EpureError, NumericalError
from epurecli.sample.parallel import draw_in_processes
from epurecli.sample.sampler import Generate, Request, draw, grouped
from epurecli.types import Mode, Noise, Query

SCALER = ConditionScaler((), (), (), (), ())
BLOCK, N = 4, 3


def generate(query: Query, noise: Sequence[Noise], die_at: float = 9e9) -> Tensor:
    drawn = torch.stack([n.normal(N) for n in noise])
    if drawn.abs().max() > die_at:
        os._exit(1)
    return drawn.sigmoid()[..., None, None]


def engine(device: str, die_at: float = 9e9) -> Generate:
    assert device == "cpu"
    return partial(generate, die_at=die_at)


def refuse(device: str) -> Generate:
    def never(query: Query, noise: Sequence[Noise]) -> Tensor:
        raise NumericalError("not finite", "train again")

    return never


def request_of(count: int) -> Request:
    return Request(Mode.UNCONDITIONAL, [f"d{i}" for i in range(count)], 3)


@pytest.mark.parametrize("count", [1, 70])
def test_same_designs_in_order(count: int) -> None:
    request = request_of(count)
    blocks = draw_in_processes(request, engine, SCALER, ["cpu"] * 2, BLOCK)
    (shared,) = grouped(blocks, 10**9)
    (alone,) = grouped(draw(request, generate, SCALER, torch.device("cpu"), BLOCK), 10**9)
    assert shared.names == alone.names
    assert shared.images.tobytes() == alone.images.tobytes()


def test_a_killed_process_is_named() -> None:
    blocks = draw_in_processes(request_of(200), partial(engine, die_at=2.0), SCALER, ["cpu"] * 2, BLOCK)
    with pytest.raises(EpureError, match="ended before its work was done"):
        list(blocks)


def test_an_error_keeps_its_kind() -> None:
    with pytest.raises(NumericalError, match="not finite"):
        list(draw_in_processes(request_of(9), refuse, SCALER, ["cpu"], BLOCK))
