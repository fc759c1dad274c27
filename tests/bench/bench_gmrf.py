"""Times the Gaussian operations side by side, in one process: `python tests/bench/bench_gmrf.py [--quick]`.

Medians in milliseconds. Rivals stand in gmrf_rivals.py; "best" is the fastest of the torch ways, "compile" that way
compiled. A dash: it needs too much memory, or torch cannot do it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import gmrf_rivals as rivals  # noqa: E402

from epurecli.gmrf import (  # noqa: E402
    CoupledGaussian,
    GaussianPrior,
    assemble_covariance,
    backend,
    combine_evidence,
    condition_gaussian,
    coupling_size,
    gaussian_elbo,
)

LAYOUTS = {12: (4, 4, 4), 80: (16,) * 5, 192: (32,) * 6}
MEMORY = 6e9  # bytes that a rival may need
LARGEST_LU = 128  # at n=192 the batched LU of torch's CPU build fails, with a flood of messages from MKL


def median(work: Callable[[], object], seconds: float, before: Callable[[], object] = lambda: None) -> float:
    """Median milliseconds over at least 3 runs and about `seconds`, after one to warm up; `before` is not counted."""
    work()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - began < seconds and len(times) < 200):
        before()
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def inputs(size: int, rows: int) -> tuple[list[Tensor], GaussianPrior, tuple[int, ...]]:
    """Mean, variance, coupling, noise; a prior; component sizes."""
    sizes, rng = LAYOUTS[size], torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=rng)  # noqa: E731
    tensors = [draw(rows, size), draw(rows, size).abs() + 0.1, draw(rows, coupling_size(sizes)), draw(rows, size)]
    tril = torch.tril(0.1 * draw(size, size), -1) + torch.eye(size)
    return tensors, GaussianPrior(draw(size), tril), sizes


def step_times(size: int, rows: int, seconds: float, compiled: bool, backward: bool) -> dict[str, float]:
    """Milliseconds of one step: earlier, best, compile, native."""
    tensors, prior, sizes = inputs(size, rows)
    leaves = [*tensors, prior.mean, prior.scale_tril]
    for leaf in leaves if backward else []:
        leaf.requires_grad_(leaf is not leaves[3])
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    up = torch.ones(rows, size), torch.ones(rows)

    def timed(step: Callable) -> float:
        def run() -> None:
            outputs = step(*leaves, sizes)
            if backward:
                torch.autograd.grad(outputs, wanted, up)

        return median(run, seconds)

    def native(mean: Tensor, variance: Tensor, coupling: Tensor, noise: Tensor, m: Tensor, tril: Tensor, sizes: tuple):
        return gaussian_elbo(mean, variance, coupling, noise, GaussianPrior(m, tril), sizes)

    found = {"native": timed(native)}
    if 4 * 12 * rows * size * size > MEMORY:
        return found
    if size <= LARGEST_LU:
        found["earlier"] = timed(rivals.earlier)
    ways = {name: timed(step) for name, step in rivals.BEST.items()}
    name = min(ways, key=ways.get)
    found["best"] = ways[name]
    if compiled:
        torch._dynamo.reset()
        found["compile"] = timed(torch.compile(rivals.BEST[name]))
    return found


def show(label: str, found: dict[str, float]) -> None:
    """One row of the table, with the native body's lead over each rival."""
    native = found["native"]
    rival = min((found[k] for k in ("best", "compile") if k in found), default=None)
    cells = [f"{found[k]:10.3f}" if k in found else f"{'-':>10}" for k in ("earlier", "best", "compile", "native")]
    leads = [f"{found['earlier'] / native:8.1f}x" if "earlier" in found else f"{'-':>9}"]
    leads.append(f"{rival / native:8.1f}x" if rival else f"{'-':>9}")
    print(f"{label:34}", *cells, *leads, flush=True)


LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def keep_memory() -> None:
    """Let a large freed result serve the next one. glibc decides by what happened before whether it does or the system
    clears pages for each anew, so that a figure would be of one or the other by chance."""
    if hasattr(LIBC, "mallopt"):
        map_above, trim_above = -3, -1
        LIBC.mallopt(map_above, 32 << 20)
        LIBC.mallopt(trim_above, 1 << 30)


def give_memory_back() -> None:
    """Have the system clear pages for whatever is made next."""
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)


def ask_for_huge_pages(tensor: Tensor) -> Tensor:
    """The fresh tensor itself, on 2 MiB pages where there are any, as the native body asks for its large results."""
    if hasattr(LIBC, "madvise"):
        page, advice = 2 << 20, 14
        start, stop = -(-tensor.data_ptr() // page) * page, (tensor.data_ptr() + tensor.nbytes) // page * page
        LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), advice)
    return tensor


def conditioning_inputs() -> tuple[list[Tensor], GaussianPrior, tuple[int, ...], Tensor, Tensor]:
    """As `inputs`; observed values and random masks."""
    rng = torch.Generator().manual_seed(1)
    tensors, prior, sizes = inputs(80, 65536)
    observed = torch.randn(65536, 80, generator=rng)
    codes = torch.randint(1, 31, (65536, 1), generator=rng)
    return tensors, prior, sizes, observed, (codes >> torch.arange(5)) & 1 == 1


def condition_times(seconds: float) -> None:
    """Exact conditioning on random subsets: a shared prior, and a covariance per row."""
    tensors, prior, sizes, observed, mask = conditioning_inputs()
    covariance = prior.covariance
    shared = {
        "best": lambda: rivals.grouped_shared(prior.mean, covariance, observed, mask, tensors[3], sizes),
        "native": lambda: condition_gaussian(prior, observed, mask, sizes, tensors[3]),
    }
    for label, before in (("", lambda: None), (", fresh", give_memory_back)):
        times = {name: median(work, seconds, before) for name, work in shared.items()}
        show(f"condition, shared, B=65536{label}", times)
        shared_limit(seconds, before)
    mean, variance, coupling, noise = (x[:4096].contiguous() for x in tensors)
    belief, x, m = CoupledGaussian(mean, variance, coupling), observed[:4096].contiguous(), mask[:4096].contiguous()
    each = {
        "best": lambda: rivals.grouped_each(mean, variance, coupling, x, m, noise, sizes),
        "native": lambda: condition_gaussian(belief, x, m, sizes, noise),
    }
    show("condition, each, B=4096", {name: median(work, seconds) for name, work in each.items()})
    each_limit(seconds)


def shared_limit(seconds: float, before: Callable[[], object]) -> None:
    """What this machine needs for the bytes of it alone: two tensors read in the order of the masks, two written."""
    rng, rows, size = torch.Generator().manual_seed(1), 65536, 80
    order = torch.randperm(rows, generator=rng)
    tensors = [torch.randn(rows, size, generator=rng) for _ in range(2)]

    def gather() -> None:
        results = [ask_for_huge_pages(torch.empty_like(source)) for source in tensors]
        for source, result in zip(tensors, results, strict=True):
            torch.index_select(source, 0, order, out=result)

    print(f"{'  limit: its bytes, gathered':34} {median(gather, seconds, before):43.3f}", flush=True)


def each_limit(seconds: float) -> None:
    """What this machine needs for the multiply-adds of it alone: a factorisation a row, and its product with the
    deviations and the noise."""
    rng, side, size = torch.Generator().manual_seed(1), 1024, 80
    left, right = torch.randn(side, side, generator=rng), torch.randn(side, side, generator=rng)
    rate = 2 * side**3 / median(lambda: left @ right, seconds) / 1e6  # GFLOP/s
    flops = 4096 * (size**3 / 3 + 2 * size**2)
    print(f"{'  limit: its multiply-adds':34} {flops / rate / 1e6:43.3f}   (at {rate:.0f} GFLOP/s)", flush=True)


def evidence_times(size: int, rows: int, seconds: float, backward: bool) -> dict[str, float]:
    """The conjugate posterior under a prior that needs no gradient; the rival is the twin, its reverse pass by hand."""
    tensors, prior, sizes = inputs(size, rows)
    centre, precision, noise = tensors[0], tensors[1], tensors[3]
    mask = torch.rand(rows, len(sizes), generator=torch.Generator().manual_seed(2)) < 0.6
    wanted = [centre.requires_grad_(backward), precision.requires_grad_(backward)]
    up = torch.ones(rows, size), torch.ones(rows)

    def run() -> None:
        found = combine_evidence(prior, centre, precision, mask, sizes, noise)
        if backward:
            torch.autograd.grad((found.sample, found.kl), wanted, up)

    times, asked = {}, os.environ.get(backend.VARIABLE, "auto")
    for name, choice in (("best", "reference"), ("native", "native")):
        os.environ[backend.VARIABLE] = choice
        times[name] = median(run, seconds)
    os.environ[backend.VARIABLE] = asked
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="n=80 at B=32 and 256 and the conditioning only")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--size", type=int, nargs="*", default=None, choices=LAYOUTS)
    parser.add_argument("--rows", type=int, nargs="*", default=None)
    parser.add_argument("--seconds", type=float, default=1.0, help="time spent on each figure")
    args = parser.parse_args()
    torch.set_num_threads(2)
    keep_memory()
    print(f"torch {torch.__version__}, 2 threads, native: {backend.active()}")
    print(f"{'':34} {'earlier':>10} {'best':>10} {'compile':>10} {'native':>10} {'/earlier':>9} {'/torch':>9}")
    for size in args.size or ([80] if args.quick else list(LAYOUTS)):
        for rows in args.rows or ([32, 256] if args.quick else [32, 256, 4096, 65536]):
            for backward in (True, False):
                kind = "forward+backward" if backward else "forward"
                found = step_times(size, rows, args.seconds, not args.no_compile, backward)
                show(f"n={size}, B={rows}, {kind}", found)
    tensors, _, sizes = inputs(80, 4096)
    found = {
        "best": median(lambda: rivals.by_strips(tensors[1], tensors[2], sizes), args.seconds),
        "native": median(lambda: assemble_covariance(tensors[1], tensors[2], sizes), args.seconds),
    }
    show("assemble, n=80, B=4096, forward", found)
    condition_times(args.seconds)
    for size, rows in ((12, 64), (80, 32), (80, 256), (192, 64)):
        show(f"evidence, n={size}, B={rows}, f+b", evidence_times(size, rows, args.seconds, True))
        show(f"evidence, n={size}, B={rows}, forward", evidence_times(size, rows, args.seconds, False))


if __name__ == "__main__":
    main()
