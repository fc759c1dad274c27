"""Does the GMRF MVAE carry dependencies between components? On data whose dependence is known exactly.

Four components of two coordinates with uniform margins: coordinate 1 under a Gaussian copula with correlations
(-1)^(i + j) 0.9 between components, coordinate 2 with +0.9. A component is drawn as an image, its upper half in the
grey of coordinate 1, its lower half in that of coordinate 2, and goes through the ordinary loop, networks and sampler.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import norm, spearmanr

from epurecli.checkpoint import load_model, start_run
from epurecli.config import load_config
from epurecli.data.dataset import open_dataset
from epurecli.models.registry import build, schema_of
from epurecli.sample.sampler import Numbered, Request, draw
from epurecli.training.job import TrainingJob
from epurecli.training.loop import train
from epurecli.types import Mode

PARTS, COUNT, TEST = 4, 5000, 1000
SIGN = (-1.0) ** np.add.outer(np.arange(PARTS), np.arange(PARTS))
SIZE = 16, 8


def copula(rng: np.random.Generator, count: int) -> np.ndarray:  # (M, parts, 2) in [0, 1]
    """Uniform margins, the two coordinates independent of each other."""
    draws = []
    for sign in (SIGN, np.ones((PARTS, PARTS))):
        covariance = np.where(np.eye(PARTS, dtype=bool), 1.0, 0.9 * sign)
        draws.append(norm.cdf(rng.multivariate_normal(np.zeros(PARTS), covariance, count)))
    return np.stack(draws, 2)


def write(root: Path, values: np.ndarray) -> None:
    for part in range(PARTS):
        (root / f"part_{part}").mkdir(parents=True)
        for i, (upper, lower) in enumerate(values[:, part]):
            image = np.empty(SIZE, np.uint8)
            image[:8], image[8:] = round(255 * upper), round(255 * lower)
            Image.fromarray(image).save(root / f"part_{part}" / f"{i}_part_{part}.png")
    rows = [f"{i},{i >= TEST}" for i in range(len(values))]
    (root / "performances.csv").write_text("matching,train\n" + "\n".join(rows) + "\n")


def read(images: np.ndarray) -> np.ndarray:  # (..., parts, 16, 8) -> (..., parts, 2)
    return np.stack([images[..., :8, :].mean((-2, -1)), images[..., 8:, :].mean((-2, -1))], -1)


def rank_correlation(values: np.ndarray) -> np.ndarray:  # (M, parts, 2) -> (8, 8)
    return spearmanr(values.reshape(len(values), -1)).statistic


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """2 E|A - B| - E|A - A'| - E|B - B'| over rows. Source: Szekely & Rizzo 2013, eq. 5."""
    return float(2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean())


@pytest.mark.slow  # about a minute of training
def test_copula(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    write(tmp_path / "data", copula(rng, COUNT))
    settings = ["image_size=[16,8]", "latent_dim=2", "patch_size=4", "nf=32", "nf_max_e=32", "nf_max_d=32"]
    settings += ["reconstruction.likelihood=gaussian_calibrated", "latent_prior.kind=model", "evidence=own"]
    parts = [f"part_{i}" for i in range(PARTS)]
    data = {"root_dir": str(tmp_path / "data"), "component_dirs": parts, "condition_columns": []}
    overrides = [f"model.{s}" for s in settings] + ["training.epochs=30"]
    config = load_config("gmrf_mvae_toy", schema_of, overrides, {"data": data})
    dataset = open_dataset(config.data)
    torch.manual_seed(0)
    model = build(config)
    folder = start_run(config, dataset, tmp_path / "runs")
    train(TrainingJob(model, dataset, folder, 0, torch.device("cpu")))
    trained = load_model(folder)

    def sample(request: Request) -> list:
        network = trained.model
        return list(draw(request, network.generate, trained.scaler, torch.device("cpu")))

    # unconditional: the 8 x 8 rank correlation; without dependence between components, the same parts shuffled
    ours = read(np.concatenate([d.images for d in sample(Request(Mode.UNCONDITIONAL, Numbered(4000), 1))]))
    apart = np.stack([rng.permutation(ours[:, part]) for part in range(PARTS)], 1)
    truth, off = rank_correlation(copula(rng, 100_000)), ~np.eye(2 * PARTS, dtype=bool)
    error, independent = (np.abs(rank_correlation(found) - truth)[off].mean() for found in (ours, apart))

    # cross-modal: component 0 is given, one draw of the others, against the true joint
    mask = np.zeros((TEST, PARTS), bool)
    mask[:, 0] = True
    given = {"images": dataset.images, "rows": dataset.test, "mask": mask}
    request = Request(Mode.CROSS_MODAL, Numbered(TEST), 2, keep_draws=True, **given)
    crossed = read(np.concatenate([d.draws for d in sample(request)])[:, 0])  # (M, parts, 2)
    scores = norm.ppf(crossed.clip(1e-3, 1 - 1e-3))
    expected = 0.9 * np.stack([SIGN[0], np.ones(PARTS)], 1)[1:] * scores[:, :1]  # E[score of a part | part 0]
    deviation = np.median(np.abs(scores[:, 1:] - expected))  # robust: a grey of 0 or 1 has no score
    spread = deviation / (norm.ppf(0.75) * (1 - 0.9**2) ** 0.5)
    flat = np.concatenate([crossed[:, :1], norm.cdf(expected)], 1)  # the same without any spread
    fresh, again = copula(rng, TEST), copula(rng, TEST)
    crossing, floor, without = (
        energy_distance(found.reshape(TEST, -1), fresh.reshape(TEST, -1)) for found in (crossed, again, flat)
    )
    with capsys.disabled():
        print(
            f"\ncopula: mean absolute error of the 8x8 rank correlation {error:.3f}, independent components "
            f"{independent:.3f}; cross-modal spread {spread:.2f} of the true one, energy distance {crossing:.4f}, the "
            f"truth against itself {floor:.4f}, conditional medians without spread {without:.4f}"
        )
    assert error <= 0.05
    assert independent > 0.3
    assert 0.8 < spread < 1.25
    assert crossing < without
