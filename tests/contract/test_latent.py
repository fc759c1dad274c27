"""What every model with a latent must do beside what all models do."""

from __future__ import annotations

import copy

import pytest
import torch

from epurecli.checkpoint import load_weights, save_weights
from epurecli.models.latent import LatentModel
from epurecli.models.latent_fit import LatentFit
from epurecli.nn import subset_gaussian
from epurecli.nn.distributions import kl_divergence
from epurecli.nn.masking import subset_of
from epurecli.nn.noise import GivenNoise, RecordedNoise
from epurecli.nn.step import Step
from epurecli.types import Batch, Query


@pytest.mark.parametrize("kind", ["model", "flow"])
def test_the_prior_has_the_density_of_what_it_draws(latent: str, kind: str, tools) -> None:
    """Change of variables, with the Jacobian that autograd finds."""
    model = tools.model_of(tools.config_of(latent, f"model.latent_prior={kind}")).double().eval()
    with torch.no_grad():
        for parameter in model.flow.parameters() if kind == "flow" else ():
            parameter.copy_(0.1 * torch.randn_like(parameter))  # it starts as the identity
    condition, present = torch.randn(1, model.cond_dim).double(), torch.ones(1, 1).double()
    noise = torch.randn(1, model.latent_size).double()
    jacobian = torch.autograd.functional.jacobian(lambda n: model.from_prior(n, condition, present), noise)
    stretch = torch.linalg.slogdet(jacobian[0, :, 0]).logabsdet
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum() - stretch
    z = model.from_prior(noise, condition, present)
    torch.testing.assert_close(model.prior_log_prob(z, condition, present)[0], expected)


def test_the_importance_bound_rises_from_the_elbo(latent: str, tools) -> None:
    """With one sample it is an unbiased ELBO; with more it is tighter, and the mean of the weights is what it takes."""
    model = tools.model_of(tools.config_of(latent)).eval()
    batch = tools.batch_for(model, 4)
    drawn = torch.randn(256, 4, model.latent_size, generator=torch.Generator().manual_seed(0))
    single = torch.stack([model.bound(batch, [GivenNoise([n])]) for n in drawn])  # (256, B)
    bound = model.bound(batch, [GivenNoise([n]) for n in drawn])
    torch.testing.assert_close(bound, single.logsumexp(0) - torch.tensor(256.0).log())
    present = torch.ones(4, 1)
    with torch.no_grad():
        posterior = model.posterior(model.encode_whole(batch))
        embedding = model.conditioning(batch.condition, present)
        samples = [posterior.sample(n) for n in drawn]
        nats = [model.likelihood.log_prob(model.maps(z, embedding), batch.image).sum(1) for z in samples]
        elbo = torch.stack(nats).mean(0) - kl_divergence(posterior, model.prior(), samples[0])
    error = 5 * single.std(0) / 16
    assert ((single.mean(0) - elbo).abs() < error + 1e-3).all()
    assert (bound > elbo).all()


def test_the_posterior_of_whole_designs_is_what_is_inferred_from_all_components(latent: str, tools) -> None:
    model = tools.model_of(tools.config_of(latent)).eval()
    batch = tools.batch_for(model, 4)
    image = batch.image
    with torch.no_grad():
        whole = model.posterior(model.encode_whole(batch)).mean
        inferred = model.infer(image, torch.ones(image.shape[:2], dtype=torch.bool)).mean
    torch.testing.assert_close(whole, inferred, atol=1e-4, rtol=1e-4)


def test_a_component_that_a_design_lacks_makes_no_difference(latent: str, tools) -> None:
    """Losses are the same whatever stands in the place of what is not known, and learn nothing of it."""
    whole = tools.model_of(tools.config_of(latent)).eval()  # batch statistics see what the data has: zeros
    batch, model = tools.batch_for(whole, 6), whole
    assert model.learns_from_parts
    known = torch.ones(6, len(model.components), dtype=torch.bool)
    known[torch.arange(6), torch.arange(6) % len(model.components)] = False
    known[5] = False
    known[5, 0] = True
    for number in range(len(model.stages())):
        found = []
        for filler in (0.0, 1.0):
            model = copy.deepcopy(whole)  # a loss may teach a prior
            stage = model.stages()[number]
            if stage.encode is not None:
                continue
            image = torch.where(known[..., None, None], batch.image, filler)
            part = Batch(image, batch.condition, known)
            step = Step(torch.Generator().manual_seed(3), stage.settings, epoch=5)
            loss = stage.objectives[0].loss(part, step).total
            loss.backward()
            slopes = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
            found.append((loss.detach(), slopes))
        if found:
            torch.testing.assert_close(found[0], found[1])
            assert torch.isfinite(found[0][1]).all()


def fitted(latent: str, tools, size: int = 3) -> LatentModel:
    """A model whose density and borders are fitted to a few designs."""
    model = tools.model_of(tools.config_of(latent, "model.latent_prior=flow", components=size)).eval()
    batch = tools.batch_for(model, 24)
    fit = LatentFit(model)
    with torch.no_grad():
        views = Batch(fit.views(batch), batch.condition)
        fit.prepare(views, Step(torch.Generator().manual_seed(0)))
        found = fit.finish(batch, Step(torch.Generator().manual_seed(1)))
    assert set(found) == {"borders.width"}
    assert model.borders.width[[0, -1]].eq(0).all()  # with nothing given nothing moves, and with all nothing is drawn
    for group in range(1, 2**size - 1):
        given = subset_of(torch.tensor([[group]]), size)[0]
        assert model.borders.width[group][given].eq(0).all()
    return model


def test_completions_move_the_borders_of_what_they_draw(latent: str, tools) -> None:
    """The same latent with other numbers for its borders is another design, and free designs have none."""
    model = fitted(latent, tools)
    model.borders.width.fill_(1.5)
    batch = tools.batch_for(model, 4)
    mask = torch.tensor([[True, False, False]]).expand(4, 3)
    query = Query(batch.condition, torch.ones(4, 1), batch.image, mask)
    noise = torch.randn(4, model.noise_size)
    other = torch.cat([noise[:, : model.latent_size], -noise[:, model.latent_size :]], 1)
    one, two = model.generate(query, [GivenNoise([noise]), GivenNoise([other])])
    assert (one[:, 0] == two[:, 0]).all()
    for part in (1, 2):
        assert (one[:, part] != two[:, part]).any()
    free = RecordedNoise(1)
    model.generate(Query(batch.condition[:1], torch.ones(1, 1)), [free])
    assert free.asked == [("normal", (model.latent_size,))]


def test_weights_of_a_time_without_borders_are_read(latent: str, tools, tmp_path) -> None:
    model = fitted(latent, tools)
    older = {name: tensor for name, tensor in model.state_dict().items() if name != "borders.width"}
    save_weights(tmp_path / "older.safetensors", model, older, stage="?", epoch=1, metric=0.0)
    fresh = tools.model_of(model.config)
    load_weights(fresh, tmp_path / "older.safetensors")
    assert fresh.borders.width.eq(0).all()
    for name, tensor in older.items():
        assert torch.equal(fresh.state_dict()[name], tensor)


def test_designs_of_many_parts_share_the_borders_of_as_many_given_ones(tools, monkeypatch) -> None:
    monkeypatch.setattr(subset_gaussian, "EVERY_SUBSET", 5)
    model = tools.model_of(tools.config_of("vae", "model.latent_prior=flow", components=6)).eval()
    assert model.borders.width.shape == (7, 6)
    with torch.no_grad():
        LatentFit(model).finish(tools.batch_for(model, 8), Step(torch.Generator().manual_seed(1)))
    assert model.borders.width[1:-1].ne(0).any()
