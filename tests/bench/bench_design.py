"""Inverse design, judged by the formulas of the built-in toy tyres on the crisp bits. The search cannot see them.

    python tests/bench/bench_design.py RUN... [--briefs 200] [--seed 0] [--parts targets,free,fixed,ranges,front,...]

RUN: runs on the toy tyres, conditioned on all six columns (epure train vae_toy_perf). Floors: the nearest training
design, and the best of 1,024 conditional samples by the same predictor.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import epurecli as epure
from epurecli.api.designing import Designed, Designer, Simulated
from epurecli.data import toy
from epurecli.design.brief import Brief
from epurecli.design.predictor import fit_predictor
from epurecli.errors import Infeasible
from epurecli.evaluate.neighbours import differing_pixels

PERFORMANCES = ("d_cons", "d_rigid", "d_life", "d_stab")
SIZES = ("width_px", "height_px")
COLUMNS = (*SIZES, *PERFORMANCES)


def true_figures(images: np.ndarray) -> np.ndarray:  # (B, 6)
    table = toy.measure(images)
    return np.stack([np.asarray(table[name], float) for name in COLUMNS], 1)


def line(name: str, *figures: str) -> None:
    print(f"{name:44s}" + "".join(f"{figure:>14s}" for figure in figures), flush=True)


class Judge:
    """A run, its test designs' figures, and the spread in which misses are told."""

    def __init__(self, run: epure.Run, briefs: int, seed: int) -> None:
        self.run, self.seed = run, seed
        test = run.test
        self.test = test[: min(briefs, len(test))]
        self.wanted = true_figures(self.test.images)
        known = run._designer.known
        self.train = known.bits.astype(np.uint8) * 255
        self.figures = true_figures(self.train)
        self.sd = self.figures.std(0)

    def answers(
        self, briefs: Sequence[dict], fixes: Sequence[epure.Designs | None] | None = None
    ) -> Iterator[Designed | None]:
        self.seconds: list[float] = []
        for place, brief in enumerate(briefs):
            start = time.perf_counter()
            try:
                found = self.run.design(**brief, fix=fixes[place] if fixes else None, count=8, seed=self.seed)
            except Infeasible:
                found = None
            self.seconds.append(time.perf_counter() - start)
            yield found

    def miss(self, images: np.ndarray, wanted: np.ndarray, columns: Sequence[str]) -> np.ndarray:  # (B,)
        at = [COLUMNS.index(name) for name in columns]
        return (abs(true_figures(images) - wanted)[:, at] / self.sd[at]).max(1)


def targets(judge: Judge, columns: Sequence[str] = COLUMNS, title: str = "all six") -> None:
    """Figures of test designs as targets."""
    briefs = [{"target": {c: float(row[COLUMNS.index(c)]) for c in columns}} for row in judge.wanted]
    hit = [name for name in columns if name in PERFORMANCES]
    best, mean, sizes, apart, valid, none = [], [], [], [], [], 0
    for row, found in zip(judge.wanted, judge.answers(briefs), strict=True):
        if found is None:
            none += 1
            best.append(np.inf)
            continue
        images = found.designs.images
        missed = judge.miss(images, row, hit)
        best.append(missed.min())
        mean.append(missed.mean())
        sizes.append((abs(true_figures(images) - row)[:, :2] <= 1).all(1).mean())
        distances = differing_pixels(images >= 128, images >= 128)[np.triu_indices(len(images), 1)]
        apart.append(distances.min() if len(images) == 8 else 0)
        valid.append(judge.run._designer.known.valid(images >= 128).mean())
    nearest = [
        judge.miss(judge.train, row, hit)[(abs(judge.figures - row)[:, :2] <= 1).all(1)].min() for row in judge.wanted
    ]
    line(
        f"targets, {title}: best within .10 sd",
        f"{np.mean(np.array(best) < 0.1):.3f}",
        f"floor {np.mean(np.array(nearest) < 0.1):.3f}",
    )
    line("  mean of the 8, sd (median over briefs)", f"{np.median(mean):.3f}", f"max {max(mean):.3f}")
    line("  mean of the 8 within .15 sd", f"{np.mean(np.array(mean) < 0.15):.3f}")
    line("  sizes within 1 px", f"{np.mean(sizes):.3f}")
    line("  8 designs, all 200 px apart", f"{np.mean(np.array(apart) >= 200):.3f}", f"median {np.median(apart):.0f}")
    line("  valid; briefs without an answer", f"{np.mean(valid):.3f}", f"{none}")
    line(
        "  seconds a brief, median and 95 %",
        f"{np.median(judge.seconds):.2f}",
        f"{np.percentile(judge.seconds, 95):.2f}",
    )
    samples(judge, hit)


def samples(judge: Judge, hit: Sequence[str]) -> None:
    """The floor: the best of 1,024 conditional samples, as the predictor sees it."""
    best = []
    for row in judge.wanted[:20]:
        drawn = judge.run.sample(1024, conditions=dict(zip(COLUMNS, map(float, row), strict=True)), crisp=True)
        said = judge.run.predict(drawn)[list(hit)].to_numpy()
        at = [COLUMNS.index(name) for name in hit]
        first = (abs(said - row[at]) / judge.sd[at]).max(1).argmin()
        best.append(judge.miss(drawn.images[[first]], row, hit)[0])
    line("  floor, best of 1,024 samples (20 briefs)", f"{np.mean(np.array(best) < 0.1):.3f}")


def fixed(judge: Judge) -> None:
    """One part of the test design is kept."""
    rng = np.random.default_rng(judge.seed)
    parts = [str(rng.choice(judge.run.components)) for _ in judge.wanted]
    fixes = [design.only(part) for design, part in zip(judge.test, parts, strict=True)]
    briefs = [{"target": dict(zip(COLUMNS, map(float, row), strict=True))} for row in judge.wanted]
    best, same = [], []
    for row, part, own, found in zip(judge.wanted, parts, judge.test, judge.answers(briefs, fixes), strict=True):
        best.append(np.inf if found is None else judge.miss(found.designs.images, row, PERFORMANCES).min())
        if found is not None:
            c = judge.run.components.index(part)
            same.append((found.designs.images[:, c] == own.images[:, c]).all())
    line("one part kept: best within .10 sd", f"{np.mean(np.array(best) < 0.1):.3f}")
    line("  bits of the part untouched", f"{np.mean(same):.3f}")


def ranges(judge: Judge) -> None:
    """Windows of half a standard deviation around the figures of test designs."""
    briefs = []
    for row in judge.wanted:
        briefs.append(
            {
                "ranges": {
                    c: (float(v - s / 4), float(v + s / 4)) for c, v, s in zip(COLUMNS, row, judge.sd, strict=True)
                }
            }
        )
    met = []
    for row, found in zip(judge.wanted, judge.answers(briefs), strict=True):
        if found is None:
            met.append(False)
            continue
        away = abs(true_figures(found.designs.images) - row) / judge.sd
        met.append(bool((away <= 0.25 + 1e-6).all(1).any()))
    line("ranges only: met by one of 8", f"{np.mean(met):.3f}")


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Area that points (B, 2) dominate beyond the reference; more is better."""
    kept = points[(points > reference).all(1)]
    total, up = 0.0, reference[1]
    for x, y in kept[np.argsort(-kept[:, 0])]:
        if y > up:
            total += (x - reference[0]) * (y - up)
            up = y
    return total


FRONT = {"maximise": ("d_cons", "d_rigid"), "ranges": {"width_px": (53.0, 59.0), "height_px": (49.0, 55.0)}}


def front_volume(judge: Judge, images: np.ndarray) -> float:
    """Of designs that are valid and truly within the constraints, in standard deviations from (-2, -2)."""
    figures = true_figures(images)
    inside = (figures[:, 0] >= 53) & (figures[:, 0] <= 59) & (figures[:, 1] >= 49) & (figures[:, 1] <= 55)
    inside &= (figures[:, 4] >= np.median(judge.figures[:, 4])) & (figures[:, 5] >= np.median(judge.figures[:, 5]))
    inside &= judge.run._designer.known.valid(images >= 128)
    scaled = (figures[inside][:, [2, 3]] - judge.figures[:, [2, 3]].mean(0)) / judge.sd[[2, 3]]
    return hypervolume(scaled, np.array([-2.0, -2.0]))


def front(judge: Judge) -> None:
    """Two figures maximised, two and the sizes constrained."""
    bounds = {name: float(np.median(judge.figures[:, COLUMNS.index(name)])) for name in ("d_life", "d_stab")}
    start = time.perf_counter()
    found = judge.run.design(**FRONT, at_least=bounds, count=64, seed=judge.seed)
    spent = time.perf_counter() - start
    table = found.table[list(COLUMNS)].to_numpy()
    gap = abs(table - true_figures(found.designs.images))[:, 2:4] / judge.sd[2:4]
    drawn = judge.run.sample(
        4096,
        seed=judge.seed,
        mode="conditional",
        conditions={"width_px": (53.0, 59.0), "height_px": (49.0, 55.0)},
        crisp=True,
    )
    line(
        "front: hypervolume",
        f"{front_volume(judge, found.designs.images):.2f}",
        f"training {front_volume(judge, judge.train):.2f}",
        f"4,096 drawn {front_volume(judge, drawn.images):.2f}",
    )
    line("  predicted against true, sd (mean, max)", f"{gap.mean():.3f}", f"{gap.max():.3f}")
    line("  designs; seconds", str(len(found)), f"{spent:.1f}")


def few_labels(judge: Judge, count: int = 300) -> None:
    """The same front from few labels with noise of a tenth of a standard deviation."""
    designer = noisy(judge, count)
    bounds = {name: float(np.median(judge.figures[:, COLUMNS.index(name)])) for name in ("d_life", "d_stab")}
    brief = Brief.of({"maximise": FRONT["maximise"], "range": FRONT["ranges"], "at_least": bounds})
    found = designer.design(brief, None, 64, judge.seed)
    gap = abs(found.table[list(COLUMNS)].to_numpy() - true_figures(found.designs.images))[:, 2:4] / judge.sd[2:4]
    valid = judge.run._designer.known.valid(found.designs.images >= 128).mean()
    line(
        f"front from {count} noisy labels: hypervolume",
        f"{front_volume(judge, found.designs.images):.2f}",
        f"valid {valid:.2f}",
        f"gap {gap.mean():.3f}",
    )


def noisy(judge: Judge, count: int, noise: float = 0.1) -> Designer:
    """A designer that knows the figures of some training designs only, roughly."""
    rng = np.random.default_rng(judge.seed)
    known = judge.run._designer.known
    values = np.full(known.values.shape, np.nan)
    rows = rng.choice(len(values), count, replace=False)
    own = [known.columns.index(name) for name in COLUMNS]
    values[np.ix_(rows, own)] = judge.figures[rows] + noise * judge.sd * rng.standard_normal((count, 6)) * (
        np.arange(6) > 1
    )
    designer = Designer(judge.run.trained, judge.run._dataset, judge.run.listener)
    vars(designer)["known"] = type(known)(known.bits, known.columns, values, known.limits, known.furthest)
    images = known.bits[rows].astype(np.uint8) * 255
    vars(designer)["predictor"] = fit_predictor(images, values[rows], known.columns, judge.run.components)
    return designer


def calibration(judge: Judge) -> None:
    """Coverage of the 90 % intervals, of test designs and of designs that the search returns."""
    said = judge.run.predict(judge.run.test)
    truth = true_figures(judge.run.test.images)
    line(
        "intervals cover test designs",
        *(
            f"{c[2:]} {((said[f'{c}_low'] <= truth[:, k + 2]) & (said[f'{c}_high'] >= truth[:, k + 2])).mean():.3f}"
            for k, c in enumerate(PERFORMANCES)
        ),
    )
    inside = []
    for row in judge.wanted[:50]:
        try:
            found = judge.run.design(target=dict(zip(COLUMNS, map(float, row), strict=True)), count=8, seed=judge.seed)
        except Infeasible:
            continue
        figures = true_figures(found.designs.images)
        for k, c in enumerate(PERFORMANCES):
            inside.append(
                (found.table[f"{c}_low"] <= figures[:, k + 2]) & (found.table[f"{c}_high"] >= figures[:, k + 2])
            )
    line("intervals cover returned designs", f"{np.mean(np.concatenate(inside)):.3f}")


def impossible(judge: Judge) -> None:
    """Briefs with one wish beyond what there is, beside wishes that any model meets."""
    low, high = judge.figures.min(0), judge.figures.max(0)
    recognised = right = total = 0
    for k, name in enumerate(COLUMNS):
        for sign in (+1, -1):
            reach = (high[k] - low[k]) * 0.6
            wish = (
                {"at_least": {name: float(high[k] + reach)}} if sign > 0 else {"at_most": {name: float(low[k] - reach)}}
            )
            others = [c for c in COLUMNS if c != name]
            for other in (others[k % 5], others[(k + 2) % 5]):
                if total == 20:
                    break
                middle = float(np.median(judge.figures[:, COLUMNS.index(other)]))
                spread = float(judge.sd[COLUMNS.index(other)])
                total += 1
                try:
                    judge.run.design(**wish, ranges={other: (middle - spread, middle + spread)}, seed=judge.seed)
                except Infeasible as error:
                    recognised += 1
                    right += f"{name} at" in error.message
    line("impossible briefs: recognised, right reason", f"{recognised}/{total}", f"{right}/{total}")


def loop(judge: Judge, rounds: int = 3, batch: int = 50, start: int = 200) -> None:
    """From few labels, rounds of designs that are simulated and learnt from, against as many random samples."""
    bounds = {name: float(np.median(judge.figures[:, COLUMNS.index(name)])) for name in ("d_life", "d_stab")}
    brief = Brief.of({"maximise": FRONT["maximise"], "range": FRONT["ranges"], "at_least": bounds})
    designer = noisy(judge, start, 0.0)
    everything = np.empty((0, *judge.train.shape[1:]), np.uint8)
    volumes, randoms = [], []
    for turn in range(rounds):
        simulated = None
        if len(everything):
            designs = judge.run.test[[0] * len(everything)]
            told = epure.Designs(everything, judge.run.components, tuple(f"d{i}" for i in range(len(everything))))
            simulated = Simulated(told, true_figures(everything), COLUMNS)
            del designs
        found = designer.design(brief, None, batch, judge.seed + turn, simulated=simulated)
        everything = np.concatenate([everything, found.designs.images])
        volumes.append(front_volume(judge, everything))
        drawn = judge.run.sample(
            (turn + 1) * batch,
            seed=judge.seed,
            mode="conditional",
            conditions={"width_px": (53.0, 59.0), "height_px": (49.0, 55.0)},
            crisp=True,
        )
        randoms.append(front_volume(judge, drawn.images))
    line(f"loop from {start} labels, {batch} a round", *(f"{v:.2f}" for v in volumes))
    line("  random conditional samples, as many", *(f"{v:.2f}" for v in randoms))


PARTS = {
    "targets": targets,
    "free": lambda judge: targets(judge, (*SIZES, "d_cons", "d_rigid"), "two free"),
    "fixed": fixed,
    "ranges": ranges,
    "front": front,
    "few": few_labels,
    "calibration": calibration,
    "impossible": impossible,
    "loop": loop,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--briefs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default=",".join(PARTS))
    asked = parser.parse_args()
    for path in asked.runs:
        judge = Judge(epure.load(path), asked.briefs, asked.seed)
        print(f"\n{path}: {judge.run.model}, {len(judge.wanted)} briefs, seed {asked.seed}")
        for part in asked.parts.split(","):
            PARTS[part](judge)


if __name__ == "__main__":
    main()
