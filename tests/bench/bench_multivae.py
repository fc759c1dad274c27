"""MultiVae 1.0.3 on the same split, budget, networks and figures as `bench_quality.py`.

    python -m venv /tmp/rival && /tmp/rival/bin/pip install -c constraints.txt torch==2.13.0 . multivae==1.0.3
    /tmp/rival/bin/python tests/bench/bench_multivae.py [--models MVTCAE,MoPoE,MVAE] [--budget 180s] [--seeds 0,1,2]
    /tmp/rival/bin/python tests/bench/bench_multivae.py --speed     training images a second beside ours, in turns

Its models take the encoders and decoders that they are given: the trunks of `gmrf_mvae_toy`, and Bernoulli likelihoods.
They know no conditions, so sizes are measured on reconstructions only. Training is a plain loop over tensors in memory,
kinder to them than their trainer. Rates are component images a second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from bench_quality import DRAWS, PUBLIC, SAMPLES, Judge
from torch import Tensor, nn

from epurecli.api.training import parse_seconds
from epurecli.config import load_config
from epurecli.config.schema import DataConfig
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.source import infer_data
from epurecli.evaluate.distribution import frechet
from epurecli.models.contract import set_trainable
from epurecli.models.registry import build, schema_of
from epurecli.nn.resnet import Decoder, Encoder
from epurecli.nn.step import Step
from epurecli.training.worker import build_optimizer
from epurecli.types import Batch

WIDTHS, PATCH, LATENT, BATCH = (32, 64), 4, 32, 64


class Absent(types.ModuleType):
    """torchvision has no build for this torch; MultiVae imports it for data sets and pictures that nobody asks for."""

    __path__: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *args, **kwargs: None})


def load_multivae() -> tuple[types.ModuleType, types.ModuleType]:
    parts = ("", ".transforms", ".transforms.functional", ".utils", ".datasets", ".datasets.utils", ".models")
    for name in parts:
        sys.modules.setdefault(f"torchvision{name}", Absent(f"torchvision{name}"))
    try:
        from multivae import models
        from multivae.data.datasets import base
    except ImportError as error:
        sys.exit(f"skipped: {error}; this needs an environment of its own with multivae==1.0.3 in it")
    return models, base


def networks(size: tuple[int, int], widths: tuple[int, int] = WIDTHS) -> tuple[nn.Module, nn.Module]:
    """One component's encoder and decoder in their wrapping."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder

    class Encode(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.latent_dim = LATENT
            self.trunk = Encoder(1, size, widths, 0.0, PATCH)
            self.moments = nn.Linear(self.trunk.features, 2 * LATENT)

        def forward(self, x: Tensor) -> object:
            mean, log_variance = self.moments(self.trunk(x)).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decode(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.latent_dim = LATENT
            self.trunk = Decoder(1, size, widths[::-1], PATCH)
            self.expand = nn.Linear(LATENT, self.trunk.features)

        def forward(self, z: Tensor) -> object:
            maps = self.trunk(self.expand(z.reshape(-1, LATENT)))
            return ModelOutput(reconstruction=maps.reshape(*z.shape[:-1], *maps.shape[1:]))

    return Encode(), Decode()


class Rival:
    """A MultiVae model with the calls that the judge needs."""

    def __init__(
        self, name: str, components: tuple[str, ...], size: tuple[int, int], widths: tuple[int, int] = WIDTHS
    ) -> None:
        models, self.base = load_multivae()
        self.components = components
        pairs = {component: networks(size, widths) for component in components}
        config = getattr(models, f"{name}Config")(
            n_modalities=len(components),
            latent_dim=LATENT,
            input_dims=dict.fromkeys(components, (1, *size)),
            decoders_dist=dict.fromkeys(components, "bernoulli"),
        )
        encoders, decoders = ({component: pair[i] for component, pair in pairs.items()} for i in (0, 1))
        self.model = getattr(models, name)(config, encoders=encoders, decoders=decoders)

    def inputs(self, images: Tensor, given: tuple[int, ...] | None = None) -> object:
        chosen = range(len(self.components)) if given is None else given
        return self.base.MultimodalBaseDataset({self.components[c]: images[:, c : c + 1] for c in chosen})

    def step(self, images: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        self.model(self.inputs(images)).loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimizer.step()

    def fit(self, images: Tensor, seconds: float, seed: int) -> tuple[float, int]:
        """Component images a second, and epochs."""
        rng = torch.Generator().manual_seed(seed)
        model = self.model.train().to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
        start, seen, epochs = time.perf_counter(), 0, 0
        while (spent := time.perf_counter() - start) < seconds:
            for rows in torch.randperm(len(images), generator=rng).split(BATCH):
                share = (spent := time.perf_counter() - start) / seconds
                if share >= 1:
                    break
                for group in optimizer.param_groups:
                    group["lr"] = 3e-3 * min(1, (seen / BATCH + 1) / 20) * 0.5 * (1 + math.cos(math.pi * share))
                self.step(images[rows], optimizer)
                seen += len(rows)
            epochs += 1
        self.model.eval()
        return seen * len(self.components) / spent, epochs

    @torch.no_grad()
    def drawn(self, images: Tensor, given: tuple[int, ...], draws: int) -> np.ndarray:  # (B, S, C, H, W)
        """Posterior samples given some components, decoded; the given ones are put back."""
        parts = []
        for part in images.split(100):
            names = [self.components[c] for c in given]
            z = torch.stack([self.model.encode(self.inputs(part), cond_mod=names).z for _ in range(draws)], 1)
            maps = self.decoded(z.flatten(0, 1)).unflatten(0, (len(part), draws))
            maps[:, :, list(given)] = part[:, None, list(given)]
            parts.append(maps)
        return torch.cat(parts).numpy()

    def decoded(self, z: Tensor) -> Tensor:
        maps = [self.model.decoders[name](z).reconstruction.sigmoid() for name in self.components]
        return torch.cat(maps, dim=1)

    @torch.no_grad()
    def judged(self, judge: Judge) -> dict[str, float]:
        dataset, model = judge.dataset, self.model
        images = dataset.batch(dataset.test).image
        every = list(self.components)
        parts = images.split(100)
        whole = [self.decoded(model.encode(self.inputs(p), cond_mod=every, return_mean=True).z) for p in parts]
        whole = torch.cat(whole).numpy()
        found = judge.named((), whole) | judge.sizes(whole, "reconstructed")
        rng = torch.Generator().manual_seed(0)
        free = torch.cat([self.decoded(torch.randn(100, LATENT, generator=rng)) for _ in range(SAMPLES // 100)])
        found["frechet"] = frechet(judge.features(free.numpy() > 0.5), judge.real)
        uncertain = []
        for given in judge.subsets:
            drawn = self.drawn(images, given, DRAWS)
            found |= judge.named(given, drawn.mean(1))
            uncertain.append(judge.uncertainty(drawn, judge.mask(given)))
        return found | {key: fmean(row[key] for row in uncertain) for key in uncertain[0]}


def ours(config_name: str, data: dict, images: Tensor, conditions: Tensor, bfloat16: bool) -> Iterator[int]:
    """Training steps of one of our models; each hands back how many parameters it trains."""
    torch.manual_seed(0)
    model = build(load_config(config_name, schema_of, (), {"data": data})).to(memory_format=torch.channels_last)
    stage = model.stages()[0]
    (objective,) = stage.objectives
    optimizer, rng = build_optimizer(objective, stage.settings), torch.Generator().manual_seed(0)
    set_trainable(model, objective)
    count = sum(p.numel() for p in objective.parameters())
    for index in itertools.count():
        rows = torch.randperm(len(images))[:BATCH]
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            losses = objective.loss(Batch(images[rows], conditions[rows]), Step(rng, stage.settings, 1, index))
        optimizer.zero_grad()
        losses.total.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        yield count


def theirs(name: str, dataset: Dataset, images: Tensor, widths: tuple[int, int] = WIDTHS) -> Iterator[int]:
    """Likewise of one of MultiVae's."""
    torch.manual_seed(0)
    rival = Rival(name, dataset.components, dataset.image_size, widths)
    model = rival.model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    count = sum(p.numel() for p in model.parameters())
    while True:
        rival.step(images[torch.randperm(len(images))[:BATCH]], optimizer)
        yield count


def as_large_as(parameters: int, dataset: Dataset) -> tuple[int, int]:
    """Widths of our trunks with which a MultiVae model has about so many parameters."""
    choices = [(width, 2 * width) for width in range(32, 257, 4)]

    def count(widths: tuple[int, int]) -> int:
        return len(dataset.components) * sum(
            p.numel() for n in networks(dataset.image_size, widths) for p in n.parameters()
        )

    return min(choices, key=lambda widths: abs(count(widths) - parameters))


def race(dataset: Dataset, data: dict, names: list[str], turns: int = 12, steps: int = 15) -> None:
    """Steps in turns within one process; medians over the turns after two to warm up."""
    batch = dataset.batch(dataset.train)
    runners = {name: theirs(name, dataset, batch.image) for name in names}
    for config in ("gmrf_mvae_toy", "vae_toy"):
        for rounded in (False, True):
            name = f"{config}, {'bfloat16' if rounded else 'float32'}"
            runners[name] = ours(config, data, batch.image, batch.condition, rounded)
    widths = as_large_as(next(runners["gmrf_mvae_toy, float32"]), dataset)
    for name in names:
        runners[f"{name}, as large as gmrf_mvae_toy: {widths}"] = theirs(name, dataset, batch.image, widths)
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(turns + 2):
        for name, runner in runners.items():
            start = time.perf_counter()
            for _ in range(steps):
                next(runner)
            times[name].append((time.perf_counter() - start) / steps)
    for name, runner in runners.items():
        rate = BATCH * len(dataset.components) / median(times[name][2:])
        print(json.dumps({"model": name, "parameters": next(runner), "component images/s": round(rate)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="MVTCAE,MoPoE,MVAE")
    parser.add_argument("--budget", default="180s")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--data", type=Path, default=PUBLIC)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    load_multivae()
    if not options.data.is_dir():
        sys.exit(f"skipped: {options.data} is not here; --data DIR takes any data set")
    dataset = open_dataset(DataConfig(**infer_data(options.data)))
    if options.speed:
        return race(dataset, infer_data(options.data), options.models.split(","))
    dataset = replace(dataset, test=dataset.validation) if options.tune else dataset
    judge, seconds = Judge(dataset), parse_seconds(options.budget)
    images = dataset.batch(dataset.train).image
    for name in options.models.split(","):
        for seed in map(int, options.seeds.split(",")):
            torch.manual_seed(seed)
            rival = Rival(name, dataset.components, dataset.image_size)
            count = sum(p.numel() for p in rival.model.parameters())
            rate, epochs = rival.fit(images, seconds, seed)
            facts = {"model": name, "seed": seed, "parameters": count, "images/s": round(rate), "epochs": epochs}
            print(json.dumps(facts | {k: round(v, 4) for k, v in rival.judged(judge).items()}), flush=True)


if __name__ == "__main__":
    main()
