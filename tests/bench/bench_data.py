"""What data costs: first pass, cached epochs, memory while the set grows tenfold.

    python tests/bench/bench_data.py [--data DIR] [--count 40000]

Prints one JSON line per measurement. Resident memory has two parts: `anonymous` is what the process itself allocated;
`file` is mapped files that the kernel takes back when room is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from epurecli.config.schema import DataConfig, ToySpec
from epurecli.data.check import check
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.describe import infer_config
from epurecli.data.loader import epoch_batches
from epurecli.data.toy import draw, make_toy
from epurecli.threads import cores


def report(what: str, **figures: object) -> None:
    print(json.dumps({"what": what, **figures}), flush=True)


def resident_mb() -> dict[str, float]:
    """Resident memory by kind, from /proc (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kib = {
        line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmHWM", "RssAnon", "RssFile"))
    }
    return {"anonymous": kib["RssAnon"] / 1024, "file": kib["RssFile"] / 1024, "peak": kib["VmHWM"] / 1024}


def epoch_rate(dataset: Dataset, batch_size: int, rng: torch.Generator) -> float:
    """Designs/s of one shuffled pass over all designs."""
    start = time.perf_counter()
    count = sum(len(batch) for batch in epoch_batches(dataset, np.arange(len(dataset)), batch_size, rng))
    return count / (time.perf_counter() - start)


def bench_memory(count: int, cache: Path) -> None:
    """Run in a process of its own: open (packing if need be), two epochs, resident memory."""
    before = resident_mb()
    start = time.perf_counter()
    dataset = open_dataset(DataConfig(toy=ToySpec(count=count)), cache_dir=cache)
    opened = time.perf_counter() - start
    rng = torch.Generator().manual_seed(0)
    rates = [epoch_rate(dataset, 128, rng) for _ in range(2)]
    after = resident_mb()
    report(
        "memory",
        designs=count,
        data_mb=round(dataset.images.nbytes / 2**20),
        pack_s=round(opened, 2),
        designs_per_s=round(max(rates)),
        grown_mb={name: round(after[name] - before[name]) for name in after},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="also time this folder")
    parser.add_argument("--count", type=int, default=40000, help="toy designs of the largest set")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        bench_memory(args.memory_of, args.cache)
        return

    start = time.perf_counter()
    draw(0, 0, 4096)
    report("draw", designs_per_s_one_core=round(4096 / (time.perf_counter() - start)))
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch) / "toy", Path(scratch) / "cache"
        start = time.perf_counter()
        make_toy(folder, 4000, 0)
        report(
            "make-toy, PNGs on all cores",
            cores=len(cores()),
            designs_per_s=round(4000 / (time.perf_counter() - start)),
        )
        for root in filter(None, (folder, args.data)):
            bench_folder(root, cache)
        for count in (args.count // 10, args.count):
            command = [sys.executable, __file__, "--memory-of", str(count), "--cache", str(cache)]
            subprocess.run(command, check=True, env=os.environ)


def bench_folder(root: Path, cache: Path) -> None:
    """First pass, later opening, cached epochs of a folder of PNGs."""
    config = infer_config(root)
    start = time.perf_counter()
    dataset = open_dataset(config, cache_dir=cache)
    first = time.perf_counter() - start
    start = time.perf_counter()
    open_dataset(config, cache_dir=cache)
    again = time.perf_counter() - start
    images = len(dataset) * len(dataset.components)
    report(
        "open", folder=root.name, first_s=round(first, 2), images_per_s=round(images / first), again_s=round(again, 3)
    )
    start = time.perf_counter()
    check(config)
    report("check", folder=root.name, seconds=round(time.perf_counter() - start, 2))
    rng = torch.Generator().manual_seed(0)
    for batch_size in (32, 128, 512):
        best = max(epoch_rate(dataset, batch_size, rng) for _ in range(3))
        shape = list(dataset.images.shape[1:])
        report("epoch", folder=root.name, shape=shape, batch_size=batch_size, designs_per_s=round(best))


if __name__ == "__main__":
    main()
