"""From noise to a design, by asking again and again where the path leads: tables of numbers, one row an evaluation.

All solvers of x_t = a x + s n that know E[x | x_t] are linear in what they have seen. With z the state, e the endpoint
that the network now sees, e' the one before it, z' a state that is held, and n fresh noise, a row says

    z <- keep z + take e + again e' + back z' + renew n

and whether z' becomes the new state (`hold` = 0) or stays (`hold` = 1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from epurecli.nn.paths import Path

Grid = Callable[[int], Tensor]  # steps -> (steps + 1,) times in float64, falling from 1 to 0
COLUMNS = ("time", "keep", "take", "again", "back", "hold", "renew")


def euler(path: Path, grid: Grid, steps: int) -> Tensor:  # (steps, 7) float64
    """First order: the noise that the endpoint implies is kept, z_u = a_u e + s_u (z - a_t e) / s_t.

    On a linear path that is Euler's method; on others it is known as DDIM, and of order one as well. Source: Song, Meng
    & Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, eq. 12.
    """
    times = grid(steps)
    time, until = times[:-1], times[1:]
    keep = path.noise(until) / path.noise(time)
    return _rows(time, keep=keep, take=path.signal(until) - path.signal(time) * keep)


def multistep(path: Path, grid: Grid, steps: int) -> Tensor:  # (steps, 7) float64
    """DPM-Solver++(2M): the endpoint is extrapolated from this and the last evaluation; order two, one evaluation a
    step. First and last step are of order one.

    Source: Lu et al., "DPM-Solver++", 2022, algorithm 2.
    """
    rows, times = euler(path, grid, steps), grid(steps)
    log_ratio = torch.log(path.signal(times) / path.noise(times))  # -inf at 1, +inf at 0
    h = log_ratio[1:] - log_ratio[:-1]
    ahead = torch.zeros_like(h)
    ahead[1:-1] = h[1:-1] / (2 * h[:-2])
    take = rows[:, COLUMNS.index("take")].clone()
    rows[:, COLUMNS.index("take")] = take * (1 + ahead)
    rows[:, COLUMNS.index("again")] = -take * ahead
    return rows


def heun(path: Path, grid: Grid, steps: int) -> Tensor:  # (steps, 7) float64
    """Order two on a linear path, two evaluations a step: an Euler step, then the mean of the slopes at both ends. The
    last of its steps (and one more, where the number of evaluations is even) are Euler's.

    Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022, algorithm
    1; slopes are (z - e) / t.
    """
    corrected = (steps - 1) // 2
    times, rows = grid(steps - corrected), euler(path, grid, steps - corrected)
    parts = []
    for i in range(steps - corrected):
        if i >= corrected:
            parts.append(rows[i])
            continue
        time, until = times[i], times[i + 1]
        first, second = (until - time) / (2 * time), (until - time) / (2 * until)
        ahead = rows[i].clone()
        ahead[COLUMNS.index("hold")] = 1
        parts += [ahead, _rows(until[None], keep=second, take=-second, again=-first, back=1 + first)[0]]
    return torch.stack(parts)


def ancestral(path: Path, grid: Grid, steps: int) -> Tensor:  # (steps, 7) float64
    """Draws from q(z_u | z_t, e) of the diffusion, noise in every step but the last.

    Source: Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, eqs. 6-7.
    """
    times = grid(steps)
    a, s = path.signal(times), path.noise(times)
    through = a[:-1] / a[1:]  # of the signal, from u to t
    added = s[:-1].square() - through.square() * s[1:].square()
    keep = through * s[1:].square() / s[:-1].square()
    take = a[1:] * added / s[:-1].square()
    renew = (added * s[1:].square() / s[:-1].square()).clamp_min(0).sqrt()
    return _rows(times[:-1], keep=keep, take=take, renew=renew)


def advance(
    state: Tensor, endpoint: Tensor, before: Tensor, held: Tensor, row: Tensor, noise: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """One row: -> (state, endpoint before, held), for the next."""
    _, keep, take, again, back, hold, renew = row.unbind()
    moved = keep * state + take * endpoint + again * before + back * held
    if noise is not None:
        moved = moved + renew * noise
    return moved, endpoint.clone(), hold * held + (1 - hold) * moved


def _rows(time: Tensor, **columns: Tensor) -> Tensor:
    zero = torch.zeros_like(time)
    return torch.stack([time, *(columns.get(name, zero) + zero for name in COLUMNS[1:])], 1)
