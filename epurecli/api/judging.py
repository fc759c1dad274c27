"""Samples every mode of a trained model and has the images judged: where the sampler and the judge meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from epurecli.api.engines import parse_device
from epurecli.api.sampling import sampling_of
from epurecli.checkpoint import TrainedModel, read_metrics
from epurecli.data.dataset import Dataset
from epurecli.data.loader import epoch_batches
from epurecli.errors import DataError, UsageError
from epurecli.evaluate import (
    Better,
    Designs,
    Inpainted,
    LossCurve,
    Metric,
    Reference,
    Report,
    evaluate,
    fit_reference,
    portray,
    requests_beyond,
)
from epurecli.evaluate.completions import (
    completion_metrics,
    floors,
    judge_completions,
    mask_of,
    real_features,
    subsets,
)
from epurecli.evaluate.images import as_bits
from epurecli.evaluate.interval import mean_metric
from epurecli.models.registry import models_with_a_bound
from epurecli.nn.noise import generator_noise
from epurecli.sample.drawn import Drawn
from epurecli.sample.sampler import BLOCK, Numbered, Request
from epurecli.types import Mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOUND_BATCH = 32
DRAWS = 10  # of each completed design
COMPLETED = 3000  # designs that are completed to judge the draws, shared by the subsets of given components
FEWEST = 100  # of one subset
FEWEST_WHOLE = 10  # designs that lack nothing
BEYOND = 0.1  # requests beyond the training range, as a share of all


def reference_of(dataset: Dataset, most: int = 5000) -> Reference:
    """The whole designs that samples are held against: the test split, and up to `most` training designs."""
    whole, test = dataset.whole(dataset.train), dataset.whole(dataset.test)
    for name, rows, kept in (("training", dataset.train, whole), ("test", dataset.test, test)):
        if len(kept) < min(len(rows), FEWEST_WHOLE):
            problem = f"{len(kept)} of the {len(rows):,} {name} designs lack no component"
            raise DataError(f"{problem}: sets are judged on whole designs, {FEWEST_WHOLE} at least")
    train = whole[:: max(1, len(whole) // most)]
    real = [Designs(dataset.raw_images(rows), dataset.conditions[rows]) for rows in (test, train)]
    return fit_reference(real[0], real[1], dataset.components, dataset.scaler.columns, np.random.default_rng(0))


def judge_model(
    trained: TrainedModel,
    dataset: Dataset,
    reference: Reference,
    count: int,
    seed: int,
    device: str,
    *,
    nll: bool = False,
    completions: int = COMPLETED,
) -> Report:
    """Unconditional designs as a set, conditional ones at the test designs' conditions (and beyond), and completions.

    Completions hide one component of each test design in turn, drawn ten times; a design that lacks some is judged by
    the hidden one. All else is judged on whole designs. `nll` adds the held-out bound.

    Args:
        completions: test designs that are completed at most; every subset of given components gets `FEWEST` of them.
    """
    bound = (held_out_bound(trained, dataset, seed, device),) if nll else ()  # first: it may refuse
    free = Request(Mode.UNCONDITIONAL, Numbered(count), seed, crisp=_crisp(trained))
    samples = _drawn(trained, free, device).images
    conditional = inpainted = None
    if dataset.scaler.columns and Mode.CONDITIONAL in trained.model.modes:
        rng = np.random.default_rng(seed)
        beyond = requests_beyond(
            dataset.conditions[dataset.train], range(dataset.conditions.shape[1]), int(BEYOND * count), rng
        )
        asked = np.concatenate([dataset.conditions[rng.choice(dataset.test, count - len(beyond))], beyond])
        request = Request(Mode.CONDITIONAL, Numbered(count), seed, crisp=_crisp(trained), conditions=asked)
        conditional = Designs(_drawn(trained, request, device).images, asked)
    if len(dataset.components) > 1 and Mode.INPAINTING in trained.model.modes:
        rows = _some(_in_parts(dataset), completions)
        known = dataset.there(rows)
        mask = one_hidden(known)
        draws = complete(trained, dataset, rows, mask, seed, device)
        inpainted = Inpainted(draws, dataset.raw_images(rows), mask, ~known)
    name = trained.config.model.type
    honest = _completions(trained, dataset, reference, seed, device, completions) if inpainted is not None else ()
    report = evaluate(
        samples, reference, conditional=conditional, inpainted=inpainted, model=name, seed=trained.config.training.seed
    )
    lacking, count = len(dataset.test) - len(reference.test), len(dataset.test)
    note = f"{lacking:,} of {count:,} test designs lack components: only completions are judged on them."
    album = portray(samples, reference, conditional=conditional, inpainted=inpainted)
    return replace(
        report,
        metrics=(*report.metrics, *honest, *bound),
        notes=(*report.notes, *([note] if lacking else [])),
        losses=losses_of(trained),
        album=album,
        weights=trained.digest,
        data=dataset.digest,
    )


def blocks_to_draw(dataset: Dataset, count: int, completions: int = COMPLETED) -> int:
    """Draws of blocks of designs that judging takes: free and conditional ones, and completions from all subsets."""
    chosen, whole = len(subsets(len(dataset.components))), len(dataset.whole(dataset.test))
    one_each = min(len(_in_parts(dataset)), completions)
    completed = min(whole, max(FEWEST, completions // max(1, chosen)))
    draws = DRAWS * (chosen * -(-completed // BLOCK) + -(-one_each // BLOCK))
    return draws + 2 * -(-count // BLOCK)


def one_hidden(known: NDArray[np.bool_]) -> NDArray[np.bool_]:  # (B, C) -> (B, C)
    """What is given of designs of which one component is hidden, another one from design to design.

    Args:
        known: the components that each design has, one at least.
    """
    order = known.cumsum(1)  # of the known ones, from 1
    chosen: NDArray[np.int64] = np.arange(len(known)) % known.sum(1) + 1
    given: NDArray[np.bool_] = known & (order != chosen[:, None])
    return given


def _in_parts(dataset: Dataset) -> NDArray[np.int64]:
    """The test designs that have a component to give and another to hide."""
    rows: NDArray[np.int64] = dataset.test[dataset.there(dataset.test).sum(1) > 1]
    return rows


def _some(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """`most` rows, evenly spread, or all there are."""
    return rows[:: max(1, len(rows) // most)][:most]


def _completions(
    trained: TrainedModel, dataset: Dataset, reference: Reference, seed: int, device: str, completions: int
) -> tuple[Metric, ...]:
    """Whether completions from every subset of components (or many of them) are honest draws."""
    chosen = subsets(len(dataset.components))
    rows = _some(dataset.whole(dataset.test), max(FEWEST, completions // len(chosen)))
    truth = as_bits(dataset.raw_images(rows), "test designs")
    real, found = real_features(reference, len(rows)), []
    for given in chosen:
        draws = complete(trained, dataset, rows, mask_of(given, truth), seed, device)
        found.append(judge_completions(as_bits(draws, "completions", 5), truth, given, reference.pixel, real))
    return completion_metrics(found, floors(truth, DRAWS, chosen, reference), dataset.components, DRAWS)


def losses_of(trained: TrainedModel) -> tuple[LossCurve, ...]:
    """How a model was trained: each objective's loss and what ranked its epochs, stage by stage."""
    rows = read_metrics(trained.path.parent)
    curves = []
    for stage in trained.model.stages():
        mine = [row for row in rows if row["stage"] == stage.name]
        named = {f"train_{o.name}": o.name if len(stage.objectives) > 1 else "training" for o in stage.objectives}
        for key, name in (named | {"val_total": "validation"}).items():
            points = [(row["epoch"], row[key]) for row in mine if key in row]
            if points:
                curves.append(LossCurve(stage.name, name, stage.unit, *zip(*points, strict=True)))
    return tuple(curves)


def complete(
    trained: TrainedModel,
    dataset: Dataset,
    rows: NDArray[np.int64],
    mask: NDArray[np.bool_],
    seed: int,
    device: str,
    draws: int = DRAWS,
) -> NDArray[np.float32]:  # (B, S, C, H, W)
    """Every draw of the completions of some designs."""
    names = Numbered(len(rows))
    request = Request(
        Mode.INPAINTING, names, seed, draws, True, _crisp(trained), None, dataset.images, rows, mask, True
    )
    found = _drawn(trained, request, device).draws
    assert found is not None
    return found


def held_out_bound(trained: TrainedModel, dataset: Dataset, seed: int, device: str, samples: int = 64) -> Metric:
    """The importance-weighted bound on -log p(design | condition) of the test designs."""
    where = parse_device(device)
    model = trained.model.to(where)
    if model.bound_name is None:
        raise UsageError(
            f"--nll: {trained.config.model.type} has no bound on the likelihood of a design",
            hint=f"models that have one: {', '.join(models_with_a_bound())}",
        )
    rng, bounds = torch.Generator().manual_seed(seed), []
    for batch in epoch_batches(dataset, dataset.test, BOUND_BATCH, None, where):
        bounds.append(model.bound(batch, generator_noise(rng, len(batch), samples, where)).cpu())
    name = f"{model.bound_name}-{samples} bound"
    return mean_metric(name, "likelihood", -torch.cat(bounds).numpy(), "nats", Better.LOWER)


def _crisp(trained: TrainedModel) -> bool:
    return trained.config.sampling.crisp


def _drawn(trained: TrainedModel, request: Request, device: str) -> Drawn:
    return sampling_of(trained, request, device).drawn()
