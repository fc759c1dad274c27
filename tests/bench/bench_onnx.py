"""What ONNX Runtime gains: decoder and sampler against torch eager and torch.compile, and `epure sample` end to end.

    python tests/bench/bench_onnx.py [--quick] [CONFIG ...]     speed, one JSON line per graph and batch size
    python tests/bench/bench_onnx.py --profile [CONFIG ...]     what each kind of node costs
    python tests/bench/bench_onnx.py --end-to-end [CONFIG ...]  10,000 designs through the command line, PNGs included

Rivals take turns within one run, so that what else the machine does hits them alike. Times are medians, and with
`--least` the shortest: on a busy machine torch's threads wait for each other, and medians measure that. Weights are
random: they cost what trained ones do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from epurecli.config import load_config
from epurecli.export.convert import example_inputs, to_onnx
from epurecli.export.session import CPU
from epurecli.models.graphs import BATCH, Graph
from epurecli.models.registry import build, schema_of

CONFIGS = ("vae_epure_full", "gmrf_mvae_epure_matched", "meta_vae_epure_matched")
BATCHES = (1, 16, 256, 1024)
CHUNK = 16
Middle = Callable[[Sequence[float]], float]
ENTRY = "from epurecli.cli import main; main()"


def report(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


def graphs_of(config: str) -> dict[str, Graph]:
    torch.manual_seed(0)
    model = build(load_config(config, schema_of)).eval().requires_grad_(False)
    for tensor in model.parameters():  # branches that start at zero would be cheaper
        if not tensor.any():
            tensor.normal_(std=0.02)
    return {graph.name: graph for graph in model.graphs()}


def session_of(graph: Graph, threads: int, profile: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(to_onnx(graph).SerializeToString(), options, providers=[CPU])


def chunked(run: Callable[[Sequence[Tensor]], object], inputs: Sequence[Tensor]) -> Callable[[], object]:
    parts = list(zip(*(value.split(CHUNK) for value in inputs), strict=True))
    return lambda: [run(part) for part in parts]


def race(rivals: dict[str, Callable[[], object]], seconds: float, middle: Middle) -> dict[str, float]:
    """Typical ms of each, in turn, until the time is up; at least three rounds after one to warm up."""
    spent: dict[str, list[float]] = defaultdict(list)
    for run in rivals.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(spent.values()))) < 3:
        for name, run in rivals.items():
            start = time.perf_counter()
            run()
            spent[name].append(1e3 * (time.perf_counter() - start))
    return {name: middle(times) for name, times in spent.items()}


def bench_speed(
    config: str,
    names: Sequence[str],
    batches: Sequence[int],
    with_compile: bool,
    threads: int,
    seconds: float,
    middle: Middle,
) -> None:
    graphs = graphs_of(config)
    for name in names:
        graph = graphs[name]
        session = session_of(graph, threads)
        ports = [port.name for port in graph.inputs]

        def onnx(inputs: Sequence[Tensor], session=session, ports=ports) -> object:
            return session.run(None, {port: value.numpy() for port, value in zip(ports, inputs, strict=True)})

        for batch in batches:
            inputs = example_inputs(graph, {BATCH: batch}, torch.Generator().manual_seed(0))
            rivals = {"eager": lambda i=inputs, m=graph.module: m(*i), "onnx": lambda i=inputs, run=onnx: run(i)}
            if batch > CHUNK:
                rivals["eager_chunks"] = chunked(lambda part, m=graph.module: m(*part), inputs)
                rivals["onnx_chunks"] = chunked(onnx, inputs)
            if with_compile:
                torch.compiler.reset()
                module = torch.compile(graph.module, dynamic=False)
                rivals["compile"] = lambda i=inputs, m=module: m(*i)
                if batch > CHUNK:
                    rivals["compile_chunks"] = chunked(lambda part, m=module: m(*part), inputs)
            with torch.inference_mode():
                ms = race(rivals, seconds, middle)
            best = {
                kind: min(t for n, t in ms.items() if n.startswith(kind))
                for kind in ("eager", "compile", "onnx")
                if kind in ms
            }
            ratios = {"whole": ms["eager"] / ms["onnx"], "best": best["eager"] / best["onnx"]}
            if "compile" in best:
                ratios["best_over_compile"] = best["compile"] / best["onnx"]
            report(
                config=config, graph=name, batch=batch, threads=threads,
                ms={n: round(t, 2) for n, t in ms.items()}, gain={n: round(r, 2) for n, r in ratios.items()},
            )  # fmt: skip


def bench_profile(config: str, threads: int, batch: int = CHUNK, runs: int = 30) -> None:
    """Median microseconds of each kind of node, and of the dearest nodes."""
    for name, graph in graphs_of(config).items():
        inputs = example_inputs(graph, {BATCH: batch, "draws": 1}, torch.Generator().manual_seed(0))
        with tempfile.TemporaryDirectory() as scratch:
            session = session_of(graph, threads, Path(scratch) / "profile")
            for _ in range(runs):
                session.run(None, {p.name: v.numpy() for p, v in zip(graph.inputs, inputs, strict=True)})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        nodes: dict[tuple[str, str], list[int]] = defaultdict(list)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                nodes[event["args"]["op_name"], event["name"].removesuffix("_kernel_time")].append(event["dur"])
        kinds: dict[str, float] = defaultdict(float)
        for (kind, _), times in nodes.items():
            kinds[kind] += statistics.median(times)
        dearest = sorted(nodes.items(), key=lambda item: -statistics.median(item[1]))[:8]
        report(
            config=config, graph=name, batch=batch,
            us_by_kind={k: round(t) for k, t in sorted(kinds.items(), key=lambda item: -item[1]) if t >= 1},
            dearest={f"{kind} {node}": round(statistics.median(times)) for (kind, node), times in dearest},
        )  # fmt: skip


def bench_end_to_end(config: str, count: int) -> None:
    """`epure sample --num-samples COUNT`: designs/s and peak memory, by backend and format."""
    model = load_config(config, schema_of).model.type
    with tempfile.TemporaryDirectory() as scratch:
        toy = ("--set", "data.root_dir=null", "--set", "data.condition_csv=null", "--set", "data.toy.count=64")
        epure(scratch, "train", model, "--config", config, *toy, "--budget", "5s")
        epure(scratch, "export", model, "--onnx")
        for backend in ("onnx", "torch"):
            for form in ("png", "npz"):
                out = f"{backend}-{form}"
                seconds, peak = epure(
                    scratch, "sample", model, "--mode", "unconditional", "--num-samples", str(count),
                    "--backend", backend, "--format", form, "--out", out,
                )  # fmt: skip
                start, _ = epure(
                    scratch, "sample", model, "--mode", "unconditional", "--num-samples", "1",
                    "--backend", backend, "--format", form, "--out", f"{out}-one",
                )  # fmt: skip
                report(
                    config=config, what="epure sample", backend=backend, format=form, designs=count,
                    seconds=round(seconds, 1), of_which_start=round(start, 1),
                    designs_per_s=round(count / seconds), peak_gb=round(peak, 2),
                )  # fmt: skip


def epure(folder: str, *argv: str) -> tuple[float, float]:
    """Seconds and peak GB (0 where the system does not tell) of one command."""
    start = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "--quiet", *argv], cwd=folder, env=env, stdout=subprocess.DEVNULL
    )
    if not hasattr(os, "wait4"):
        code, peak = process.wait(), 0.0
    else:
        _, status, usage = os.wait4(process.pid, 0)
        code = process.returncode = os.waitstatus_to_exitcode(status)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    if code:
        raise SystemExit(f"epure {' '.join(argv)}: exit code {code}")
    return time.perf_counter() - start, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    parser.add_argument("--quick", action="store_true", help="batches 1, 16 and 64, no torch.compile, 1,000 designs")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--graphs", nargs="+", default=("decoder", "sampler"))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--end-to-end", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--least", action="store_true", help="shortest times instead of medians")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4, help="per graph and batch size")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for config in args.configs:
        if args.profile:
            bench_profile(config, args.threads)
        elif args.end_to_end:
            bench_end_to_end(config, 1000 if args.quick else 10_000)
        else:
            batches = (1, 16, 64) if args.quick else args.batches
            compiled = not (args.quick or args.no_compile)
            seconds = min(args.seconds, 2) if args.quick else args.seconds
            middle = min if args.least else statistics.median
            bench_speed(config, args.graphs, batches, compiled, args.threads, seconds, middle)


if __name__ == "__main__":
    main()
