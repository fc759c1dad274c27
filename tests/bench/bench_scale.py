"""What a hundred times as many designs cost: packing, opening, the first batch, memory in training, memory in sampling.

    python tests/bench/bench_scale.py [--counts 10000,100000,1000000] [--steps 100]
    python tests/bench/bench_scale.py --samples 1000000 [--runs OUTPUTS/vae]    # needs a trained vae and its export

A million toy designs take 10 GB of cache, a million samples 0.5 GB of npz: both go to a temporary folder (`TMPDIR`).
Prints one JSON line per measurement; memory is what the process itself has allocated (`RssAnon`), in MB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from bench_data import report, resident_mb

from epurecli.checkpoint import start_run
from epurecli.config import load_config
from epurecli.data.dataset import open_dataset
from epurecli.models.registry import build, schema_of
from epurecli.training.job import TrainingJob
from epurecli.training.loop import Stopped, train


def pack(count: int, cache: Path) -> None:
    start = time.perf_counter()
    dataset = open_dataset(config_of(count).data, cache_dir=cache)
    took = time.perf_counter() - start
    size = sum(path.stat().st_size for path in cache.rglob(f"*{count}-*/*") if path.is_file())
    report("pack", designs=count, seconds=round(took, 1), designs_per_s=round(count / took), mb=round(size / 1e6))
    report("pack, each", designs=count, bytes_of_image=dataset.images[0].nbytes, bytes_in_cache=round(size / count))


def learn(count: int, cache: Path, steps: int) -> None:
    """A process that finds the cache filled: how long until a batch is there, and what training keeps in memory."""
    config = config_of(count)
    bare, start = resident_mb()["anonymous"], time.perf_counter()
    dataset = open_dataset(config.data, cache_dir=cache)
    opened = time.perf_counter() - start
    dataset.batch(np.random.default_rng(0).permutation(dataset.train)[:64])
    first = time.perf_counter() - start
    torch.manual_seed(0)
    model, done = build(config), 0

    def enough() -> bool:
        nonlocal done
        done += 1
        return done >= steps

    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(model, dataset, start_run(config, dataset, Path(folder)), 0, torch.device("cpu"))
        start = time.perf_counter()
        try:
            train(job, stop_requested=enough)
        except Stopped:
            rate = steps * config.training.batch_size / (time.perf_counter() - start)
            held = resident_mb()["anonymous"]
            report(
                "train", designs=count, open_s=round(opened, 2), first_batch_s=round(first, 2),
                designs_per_s=round(rate), anonymous_mb=round(held), grown_mb=round(held - bare),
            )  # fmt: skip


def config_of(count: int):
    return load_config("vae_toy", schema_of, [f"data.toy.count={count}"])


def sample(count: int, runs: Path) -> None:
    """`epure sample` as a person runs it; the largest resident set of the process says whether memory stays flat."""
    for some in (count // 100, count // 10, count):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "epurecli", "-q", "sample", "vae", "--runs", str(runs), "--format", "npz"]
            command += ["--backend", "onnx", "--num-samples", str(some), "--out", f"{out}/samples"]
            start = time.perf_counter()
            process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            took = time.perf_counter() - start
            size = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())
        report(
            "sample, npz, onnx", samples=some, exit=os.waitstatus_to_exitcode(status), seconds=round(took, 1),
            designs_per_s=round(some / took), peak_mb=round(usage.ru_maxrss / 1024), written_mb=round(size / 1e6),
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="10000,100000,1000000")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--runs", type=Path, default=Path("outputs/vae"))
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.samples:
        sample(options.samples, options.runs)
        return
    if options.part:
        kind, count, cache = options.part
        pack(int(count), Path(cache)) if kind == "pack" else learn(int(count), Path(cache), options.steps)
        return
    with tempfile.TemporaryDirectory() as cache:
        for count in options.counts.split(","):
            for kind in ("pack", "learn"):
                command = [sys.executable, __file__, "--steps", str(options.steps), "--part", kind, count, cache]
                subprocess.run(command, check=True)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report("largest resident set of any process, mapped files included", mb=round(children))


if __name__ == "__main__":
    main()
