"""The exported graphs draw what torch draws: every kind of model, every mode, any number of designs and draws."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from epurecli.export.runtime import ROWS, OnnxSampler
from epurecli.export.session import open_session
from epurecli.models.latent import LatentModel
from epurecli.types import Query

TOLERANCE = 1e-4
COUNT = 20
KINDS = (
    "vae",
    "conjugate gmrf_mvae",
    *(  # tracing takes its time
        pytest.param(kind, marks=pytest.mark.slow)
        for kind in (
            "vae with a flow, without conditions",
            "assembled gmrf_mvae",
            "meta_vae",
            "flow_matching",
            "ddpm that renews its noise",
            "mdm",
            "mdm of random labels",
            "vqvae",
            "wgan_gp",
            "mmvaeplus of Laplace",
        )
    ),
)


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, exported):
    trained, folder = exported(request.param)
    return trained, OnnxSampler(folder, cuda=False, threads=1)


def test_same_noise_same_designs(pair, tools) -> None:
    trained, sampler = pair
    for name, query in tools.queries(trained, COUNT).items():
        expected = trained.model.generate(query, tools.noise_for(3, len(query)))
        actual = sampler.generate(query, tools.noise_for(3, len(query)))
        assert actual.shape == expected.shape == (3, COUNT, 3, 64, 32), name
        same = (actual - expected).abs().amax((2, 3, 4)) < TOLERANCE
        assert same.float().mean() >= min(graph.share for graph in trained.model.graphs()), name
        drawn = torch.ones(COUNT, 3, dtype=torch.bool) if query.mask is None else ~query.mask
        assert float(expected.std(0)[drawn].mean()) > 0.01, f"{name}: nothing to compare, the draws are all alike"


def test_the_condition_matters_and_may_be_absent(exported, tools) -> None:
    _, folder = exported("vae")
    sampler = OnnxSampler(folder, cuda=False, threads=1)
    zeros, absent, there = torch.zeros(2, 2), torch.zeros(2, 1), torch.ones(2, 1)
    asked = Query(zeros, absent), Query(torch.full((2, 2), 2.0), there), Query(zeros, there)
    free, given, zero = (sampler.generate(query, tools.noise_for(1, 2)) for query in asked)
    assert float((free - given).abs().max()) > 0.01
    assert float((free - zero).abs().max()) > 0.01, "no condition is not the condition zero"


def test_observed_components_come_back_bit_for_bit_and_what_is_hidden_does_not_matter(pair, tools) -> None:
    trained, sampler = pair
    query = tools.queries(trained, 5)["completed"]
    draws = sampler.generate(query, tools.noise_for(2, 5))
    given = query.mask[..., None, None].expand(query.observed.shape)
    for draw in draws:
        assert torch.equal(draw[given], query.observed[given])
    other = torch.where(given, query.observed, 1 - query.observed)
    assert torch.equal(sampler.generate(replace(query, observed=other), tools.noise_for(2, 5)), draws)


def test_draws_do_not_depend_on_how_they_are_split_into_calls(pair, tools) -> None:
    trained, sampler = pair
    query = tools.queries(trained, 16)["completed"]
    draws = 2 * ROWS // 16 + 1
    together = sampler.generate(query, tools.noise_for(draws, 16))
    apart = torch.cat([sampler.generate(query, [noise]) for noise in tools.noise_for(draws, 16)])
    assert together.shape[0] == draws
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_the_decoder_turns_latents_into_images(pair, tools, exported) -> None:
    trained, sampler = pair
    if not isinstance(trained.model, LatentModel):
        return
    rng = torch.Generator().manual_seed(1)
    z = torch.randn(4, trained.model.latent_size, generator=rng)
    condition, present = (
        torch.randn(4, trained.model.cond_dim, generator=rng),
        torch.tensor([[1.0], [0.0], [1.0], [0.0]]),
    )
    session = open_session(sampler.folder / "decoder.onnx", cuda=False, threads=1)
    feeds = {"z": z.numpy(), "condition": condition.numpy(), "present": present.numpy()}
    actual = torch.from_numpy(session.run(None, feeds)[0])
    torch.testing.assert_close(actual, trained.model.decode(z, condition, present), atol=TOLERANCE, rtol=0)
