"""Training and sampling beside processes that keep cores busy: designs a second, alone and beside one and two of them.

    python tests/bench/bench_busy.py [--data DIR] [--config gmrf_mvae_toy] [--seconds 14] [--designs 2000]

Rows: as torch comes (`GOMP_SPINCOUNT` unset by setting libgomp's own count, all threads), and as epure sets it. Each
figure is one run of the command: training's best epoch; sampling's designs over the whole command's time less its
start-up.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPIN = "while True: pass"
LIBGOMP = {"GOMP_SPINCOUNT": "300000"}  # what libgomp does where nobody says otherwise


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that never rest."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def epure(folder: Path, environment: dict[str, str], *argv: str) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "epurecli", *argv]
    subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True)
    return time.perf_counter() - began


def trained(folder: Path, environment: dict[str, str], options: argparse.Namespace, out: str) -> float:
    """Designs a second of the best epoch."""
    data = ("--data", str(options.data.resolve())) if options.data else ()
    budget = ("--budget", f"{options.seconds}s", "--set", "model.latent_prior.kind=model")
    epure(folder, environment, "train", options.model, "--config", options.config, *data, *budget, "--out", out)
    (metrics,) = (folder / out).glob("*/metrics.csv")
    with metrics.open(encoding="utf-8") as file:
        return max(float(row["designs_per_s"]) for row in csv.DictReader(file))


def sampled(folder: Path, environment: dict[str, str], options: argparse.Namespace, backend: str) -> float:
    """Designs a second, start-up apart."""
    (run,) = (folder / "alone").iterdir()
    seconds = []
    for count in (16, options.designs):
        asked = ("--mode", "unconditional", "--format", "npz", "--num-samples", str(count), "--backend", backend)
        where = ("--checkpoint", str(run), "--out", "samples", "--overwrite")
        seconds.append(epure(folder, environment, "sample", options.model, *asked, *where))
    return (options.designs - 16) / (seconds[1] - seconds[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--config", default="gmrf_mvae_toy")
    parser.add_argument("--model", default="gmrf_mvae")
    parser.add_argument("--seconds", type=float, default=14)
    parser.add_argument("--designs", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained(folder, {}, options, "alone")  # fills the cache; its run is sampled
        (run,) = (folder / "alone").iterdir()
        epure(folder, {}, "export", options.model, "--onnx", "--checkpoint", str(run))
        print(f"{'busy':>5}{'':12}{'as torch comes':>16}{'one thread':>12}{'as set':>9}")
        for count in (0, 1, 2):
            for what in ("train", "torch", "onnx"):
                figures = []
                fixed = {**LIBGOMP, "OMP_NUM_THREADS": str(os.cpu_count())}
                for number, environment in enumerate((fixed, {"OMP_NUM_THREADS": "1"}, {})):
                    with busy(count):
                        if what == "train":
                            figures.append(trained(folder, environment, options, f"run-{count}-{number}"))
                        else:
                            figures.append(sampled(folder, environment, options, what))
                print(f"{count:>5} {what:<11}{figures[0]:>16,.0f}{figures[1]:>12,.0f}{figures[2]:>9,.0f}", flush=True)


if __name__ == "__main__":
    main()
