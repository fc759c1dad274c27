"""What a model costs: how fast it trains and draws, how long it took, and the most memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from epurecli.api.sampling import Sampling, sampling_of
from epurecli.checkpoint import TrainedModel, read_metrics, read_run
from epurecli.evaluate import Better, Metric
from epurecli.evaluate.metric import COST
from epurecli.sample.sampler import Numbered, Request
from epurecli.types import Mode

MIB = 1 << 20
TIMED = 8  # blocks of designs that are drawn to time it; one more comes first, to warm up


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What a run took."""

    best: float  # loss of the best epoch of the last stage
    epochs: int  # of all stages
    seconds: float  # of training steps; validation and saving come on top
    designs_per_s: float  # in the stage that took most of the time
    peak_memory: int | None  # bytes; None where it is not known

    def metrics(self) -> tuple[Metric, ...]:
        """As figures of a report."""
        found = [Metric("training speed", COST, self.designs_per_s, "designs/s", Better.HIGHER)]
        if self.peak_memory is not None:
            found.append(Metric("peak memory of training", COST, self.peak_memory / MIB, "MiB", Better.LOWER))
        return tuple(found)


def training_cost(folder: Path) -> TrainingCost:
    """Read from a finished run. Raises: CheckpointError."""
    facts, rows = read_run(folder), read_metrics(folder)
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row["stage"]] = seconds.get(row["stage"], 0.0) + row["seconds"]
    longest = max(seconds, key=lambda stage: seconds[stage])
    designs = sum(row["designs_per_s"] * row["seconds"] for row in rows if row["stage"] == longest)
    speed = designs / seconds[longest]
    return TrainingCost(facts["best"], len(rows), sum(seconds.values()), speed, facts.get("peak_memory"))


def sampling_speed(trained: TrainedModel, device: str) -> Metric:
    """Designs drawn freely in a second, after a block of them that is not counted."""

    def freely(count: int) -> Sampling:
        request = Request(Mode.UNCONDITIONAL, Numbered(count), crisp=trained.config.sampling.crisp)
        return sampling_of(trained, request, device)

    freely(1).drawn()  # as much work as a whole block
    timed = freely(TIMED * freely(1).engine.block)
    began = time.perf_counter()
    timed.drawn()
    seconds = time.perf_counter() - began
    return Metric("sampling speed", COST, len(timed.request) / seconds, "designs/s", Better.HIGHER)
