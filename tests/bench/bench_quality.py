"""What a budget of training buys: reconstruction, completion from every subset, unconditional samples.

    python tests/bench/bench_quality.py CONFIG... [--set model.latent_prior.kind=flow] [--budget 180s] [--seeds 0,1,2]
        [--data DIR] [--tune] [--at-rest] [--json FILE]

IoU at 0.5, mean over designs. A completion is the mean of 10 draws given some components; beside it stand the mean of
the 20 training designs whose given components are nearest. The Frechet distance is taken on 64 principal components of
the pixels (unit: pixel^2), between 4,000 samples and the test designs; that of completions between each design's first
draw and as many training designs. The spread ratio (draw to draw by draw to truth) is honest at 1. Sizes are measured
on conditional samples at the test designs' conditions, and on reconstructions, which bound what any prior can reach.
A stage's best IoU (the
Meta-VAE's marginal decoders bound what it can reconstruct) is taken on the designs that choose the epoch. `--tune`
judges on those, the validation designs: settings are chosen there, never on the test designs. `--at-rest` judges each
model of latents a second time, the borders of its completions at rest.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from epurecli.api.sampling import sampling_of
from epurecli.api.training import parse_seconds
from epurecli.checkpoint import TrainedModel, load_model, read_metrics, start_run
from epurecli.config import load_config
from epurecli.config.schema import DataConfig
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.source import infer_data
from epurecli.evaluate.completions import Completion, judge_completions, mask_of, subsets
from epurecli.evaluate.conditioning import conditioning, learn_measures
from epurecli.evaluate.distribution import frechet
from epurecli.evaluate.features import fit_pixel_features
from epurecli.evaluate.inpainting import iou, nearest_completions
from epurecli.evaluate.shape import objects
from epurecli.models.latent import LatentModel
from epurecli.models.registry import build, schema_of
from epurecli.sample.drawn import Drawn
from epurecli.sample.sampler import Numbered, Request
from epurecli.training.job import TrainingJob
from epurecli.training.loop import in_bfloat16, train
from epurecli.types import Mode

PUBLIC = Path(__file__).parents[3] / "shared/data/toy_tyre_public"
SAMPLES, DRAWS, NEIGHBOURS = 4000, 10, 20
CPU = torch.device("cpu")


class Judge:
    """Truth, neighbours and features of one data set."""

    def __init__(self, dataset: Dataset, samples: int = SAMPLES, completed: int | None = None) -> None:
        self.dataset, count, self.samples, self.completed = dataset, len(dataset.components), samples, completed
        self.test, library = (dataset.raw_images(rows) > 127 for rows in (dataset.test, dataset.train))
        self.features = fit_pixel_features(library, np.random.default_rng(0))
        self.real = self.features(self.test)
        every = range(count)
        self.subsets = subsets(count)
        self.floor = {"frechet real": frechet(self.features(library), self.real)}
        self.measures = learn_measures(library, dataset.conditions[dataset.train], dataset.scaler.columns)
        rng = np.random.default_rng(1)
        shuffled = np.stack([library[rng.permutation(len(library)), c] for c in every], 1)
        self.floor["frechet shuffled"] = frechet(self.features(shuffled), self.real)
        self.others = self.features(library[np.random.default_rng(2).permutation(len(library))[: len(self.test)]])
        self.floor["frechet of completed, real"] = frechet(self.real[: self.completed], self.others[: self.completed])
        for given in self.subsets:
            near = nearest_completions(self.test, mask_of(given, self.test), library, NEIGHBOURS)
            self.floor |= self.named(given, near.mean(1))

    def named(self, given: tuple[int, ...], images: np.ndarray) -> dict[str, float]:
        names = self.dataset.components
        overlap = iou(images > 0.5, self.test[: len(images)]).mean(0)
        start = " + ".join(names[c] for c in given) or "reconstruction"
        return {f"{start} -> {names[c]}": float(overlap[c]) for c in range(len(names)) if c not in given}

    def sizes(self, images: np.ndarray, of: str) -> dict[str, float]:
        asked, known = (self.dataset.conditions[rows] for rows in (self.dataset.test, self.dataset.train))
        return {f"{of}: {m.name}": m.value for m in conditioning(images > 0.5, asked, known, self.measures)}

    def __call__(self, trained: TrainedModel) -> dict[str, float]:
        model, dataset = trained.model, self.dataset

        def designs(request: Request) -> Drawn:
            return sampling_of(trained, request, "cpu").drawn()

        found = {}
        if isinstance(model, LatentModel):
            with torch.no_grad():
                whole = model.reconstruct(dataset.batch(dataset.test)).numpy()
            found = self.named((), whole) | self.sizes(whole, "reconstructed")
        asked = Request(
            Mode.CONDITIONAL,
            Numbered(len(self.test)),
            crisp=trained.config.sampling.crisp,
            conditions=dataset.conditions[dataset.test],
        )
        found |= self.sizes(designs(asked).images, "asked for")
        start = time.perf_counter()
        free = designs(
            Request(Mode.UNCONDITIONAL, Numbered(self.samples), 0, crisp=trained.config.sampling.crisp)
        ).images
        found["unconditional designs/s"] = self.samples / (time.perf_counter() - start)
        found["frechet"] = frechet(self.features(free > 0.5), self.real)
        found["one object"] = float((objects((free > 0.5).any(1)).count == 1).mean())
        return found | self.completions(trained)

    def completions(self, trained: TrainedModel) -> dict[str, float]:
        found, dataset = {}, self.dataset
        uncertain, test = [], self.test[: self.completed]
        for given in self.subsets:
            request = Request(
                Mode.INPAINTING,
                Numbered(len(test)),
                draws=DRAWS,
                images=dataset.images,
                rows=dataset.test[: self.completed],
                mask=mask_of(given, test),
                keep_draws=True,
                has_truth=True,
            )
            drawn = sampling_of(trained, request, "cpu").drawn().draws  # (B, S, C, H, W)
            found |= self.named(given, drawn.mean(1))
            uncertain.append(self.uncertainty(drawn, request.mask))
            found |= self.honesty(judge_completions(drawn >= 0.5, test, given, self.features, self.others[: len(test)]))
        return found | {key: fmean(row[key] for row in uncertain) for key in uncertain[0]}

    def honesty(self, completion: Completion) -> dict[str, float]:
        """Whether completions are draws (docs/metrics.md, completions)."""
        names = self.dataset.components
        start = " + ".join(names[c] for c in completion.given)
        rows = {f"{start}: frechet of completed": completion.frechet, f"{start}: one object": completion.one_object}
        for c, value in completion.ratio.items():
            rows[f"{start} -> {names[c]}: spread ratio"] = value
            rows[f"{start} -> {names[c]}: best of {DRAWS}"] = completion.best[c]
        return rows

    def uncertainty(self, drawn: np.ndarray, mask: np.ndarray) -> dict[str, float]:
        """Squared errors on the missing components, and whether the map of half the draws tells where the others
        differ."""
        hidden = ~mask[:, :, None, None]
        truth, half = self.test[: len(drawn)].astype(np.float32), DRAWS // 2
        square = (drawn - truth[:, None]) ** 2
        spread, rest = drawn[:, :half].std(1), drawn[:, half:].std(1)
        error = np.abs(drawn.mean(1) - truth)
        seen = np.broadcast_to(hidden, truth.shape)
        return {
            "MSE of the mean of 10 draws": float(((drawn.mean(1) - truth) ** 2)[seen].mean()),
            "MSE of a single draw": float(square.mean(1)[seen].mean()),
            "correlation spread, other draws' spread": float(np.corrcoef(spread[seen], rest[seen])[0, 1]),
            "correlation spread, error of the mean": float(np.corrcoef(spread[seen], error[seen])[0, 1]),
        }


def quality(
    config_name: str, overrides: list[str], seed: int, judge: Judge, data: dict, budget: float, at_rest: bool
) -> dict:
    """Train within the budget and judge."""
    settings = [*overrides, f"training.seed={seed}", f"training.budget_s={budget}"]
    config = load_config(config_name, schema_of, settings, {"data": data})
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        model = build(config)
        run = start_run(config, judge.dataset, Path(folder))
        start = time.perf_counter()
        train(TrainingJob(model, judge.dataset, run, seed, CPU, in_bfloat16(config.training.precision, CPU)))
        took = time.perf_counter() - start
        rows = read_metrics(run)
        best = sorted((row for row in rows if "val_iou" in row), key=itemgetter("val_iou"))
        reached = {f"best IoU of stage {row['stage']}": row["val_iou"] for row in best}
        trained = load_model(run)
        found = {"seconds": took, "epochs": len(rows), **reached, **judge(trained)}
        if at_rest and isinstance(trained.model, LatentModel) and trained.model.borders is not None:
            trained.model.borders.width.zero_()
            found |= {f"at rest, {key}": value for key, value in judge.completions(trained).items()}
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--budget", default="180s")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--data", type=Path, default=PUBLIC)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="unconditional ones; a distance falls with more")
    parser.add_argument("--completed", type=int, help="judge completions of so many designs only")
    parser.add_argument("--at-rest", action="store_true", help="judge completions with unmoved borders too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"skipped: {options.data} is not here; --data DIR takes any data set")
    data = infer_data(options.data)
    dataset = open_dataset(DataConfig(**data))
    judged = replace(dataset, test=dataset.validation) if options.tune else dataset
    judge = Judge(judged, options.samples, options.completed)
    budget = parse_seconds(options.budget)
    columns, results = {"floor": judge.floor}, {}
    for name in options.configs:
        runs = []
        for seed in map(int, options.seeds.split(",")):
            runs.append(quality(name, options.overrides, seed, judge, data, budget, options.at_rest))
            print(json.dumps({"config": name, "seed": seed, **runs[-1]}), flush=True)
        results[name] = runs
        columns[name] = {key: fmean(run[key] for run in runs) for key in runs[0]}
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    print(f"\n{'':42}" + "".join(f"{name:>20}" for name in columns))
    for key in keys:
        print(
            f"{key:42}" + "".join(f"{column[key]:20.3f}" if key in column else " " * 20 for column in columns.values())
        )
    if options.json:
        options.json.write_text(json.dumps({"floor": judge.floor, "runs": results}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
