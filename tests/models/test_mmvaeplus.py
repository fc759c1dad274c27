"""The mixture of experts against densities written out, and what the bound of one expert is made of."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical as Choice
from torch.distributions import Independent, Laplace, MixtureSameFamily, Normal

from epurecli.config import load_config
from epurecli.models.mmvaeplus.experts import Experts, StandardPrior, standard
from epurecli.models.mmvaeplus.model import MMVAEPlus
from epurecli.models.registry import build, schema_of
from epurecli.nn.step import Step
from epurecli.types import Batch

FAMILIES = pytest.mark.parametrize("family", ["normal", "laplace"])
LAWS = {"normal": Normal, "laplace": Laplace}
MASK = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()


def experts(family: str) -> Experts:
    """Three designs of three components, two shared and one private latent."""
    rng = torch.Generator().manual_seed(0)
    shapes = ((3, 3, 2), (3, 3, 2), (3, 3, 1), (3, 3, 1))
    made = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]
    return Experts(made[0], 0.3 * made[1], made[2], 0.3 * made[3], MASK, family)


@FAMILIES
def test_density_is_the_mixture_of_what_is_observed(family: str) -> None:
    q, law = experts(family), LAWS[family]
    latents = torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = q.log_prob(latents)
    for b, seen in enumerate(MASK):
        z, w, choice = latents[:, b, :2], latents[:, b, 2:5], latents[:, b, 5]
        if seen.any():
            each = Independent(law(q.shared[b, seen], q.shared_log[b, seen].exp()), 1)
            shared = MixtureSameFamily(Choice(torch.ones(int(seen.sum()))), each).log_prob(z)
        else:
            shared = law(torch.zeros(2).double(), torch.ones(2).double()).log_prob(z).sum(-1)
        place, scale = torch.where(seen, q.private[b, :, 0], 0.0), torch.where(seen, q.private_log[b, :, 0], 0.0).exp()
        own = law(place, scale).log_prob(w).sum(-1)
        torch.testing.assert_close(found[:, b], shared + own + Normal(0.0, 1.0).log_prob(choice))


@FAMILIES
def test_samples_have_the_moments_that_are_said(family: str) -> None:
    q = experts(family)
    noise = torch.randn(200_000, 3, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    drawn = q.sample(noise)
    torch.testing.assert_close(drawn.mean(0), q.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.std(0), q.deviation, atol=0.04, rtol=0.02)
    prior = StandardPrior(torch.zeros(1, 6).double(), family)
    torch.testing.assert_close(prior.sample(noise[:, 0]).std(0), prior.deviation[0], atol=0.03, rtol=0)
    torch.testing.assert_close(q.log_prob(drawn)[:5, 2], prior.log_prob(drawn[:5, 2]))  # nothing observed


def test_quantiles_of_a_laplace() -> None:
    noise = torch.linspace(-4, 4, 81, dtype=torch.float64)
    law = Laplace(torch.zeros(1).double(), torch.ones(1).double())
    torch.testing.assert_close(standard(noise, "laplace"), law.icdf(Normal(0.0, 1.0).cdf(noise)), rtol=1e-5, atol=1e-6)


def model_of(*more: str) -> MMVAEPlus:
    torch.manual_seed(0)
    return build(load_config("mmvaeplus_toy_test", schema_of, ["data.component_dirs=[a, b, c]", *more])).eval()


@FAMILIES
def test_the_bound_of_one_expert_is_that_of_the_paper(family: str, random_parts) -> None:
    """Written out for each expert with torch's own laws: the mean over experts is what many draws give."""
    model, batch, law = (
        model_of(f"model.family={family}", "model.cond_dropout=0").double(),
        random_parts(3),
        LAWS[family],
    )
    batch = Batch(batch.image.double(), batch.condition.double())
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            model.auxiliary.log_scale.fill_(-0.5)
            q, present = model.posterior(model.encode_whole(batch)), torch.ones(3, 1)
            repeated = Batch(batch.image.repeat(400, 1, 1, 1), batch.condition.repeat(400, 1))
            step = Step(torch.Generator().manual_seed(0), model.config.training)
            found = model._by_one_expert(repeated, torch.ones(1200, 1), 1.0, step).total.item()
            rng = torch.Generator().manual_seed(1)
            embedding, total = model.conditioning(batch.condition, present), 0.0
            zero, one = torch.zeros(1), torch.ones(1)
            for m in range(3):
                expert = law(q.shared[:, m], q.shared_log[:, m].exp())
                own = law(q.private[:, m], q.private_log[:, m].exp())
                for _ in range(130):
                    noise = standard(torch.randn(3, model.latent_size - 1, generator=rng), family)
                    size = model.config.model.shared_dim
                    z = q.shared[:, m] + q.shared_log[:, m].exp() * noise[:, :size]
                    w = torch.exp(torch.tensor(-0.5)) * noise[:, size:].unflatten(1, (3, -1))
                    w[:, m] = q.private[:, m] + q.private_log[:, m].exp() * noise[:, size:].unflatten(1, (3, -1))[:, m]
                    latents = torch.cat([z, w.flatten(1), torch.zeros(3, 1)], 1)
                    nats = model.likelihood.log_prob(model.maps(latents, embedding), batch.image).sum(1)
                    mixed = torch.stack(
                        [law(q.shared[:, k], q.shared_log[:, k].exp()).log_prob(z).sum(1) for k in range(3)]
                    )
                    kl = mixed.logsumexp(0) - torch.log(torch.tensor(3.0)) - law(zero, one).log_prob(z).sum(1)
                    kl = kl + (own.log_prob(w[:, m]) - law(zero, one).log_prob(w[:, m])).sum(1)
                    total = total - (nats - kl).mean().item() / 390
            del expert
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == pytest.approx(total, rel=2e-3)


def test_scales_are_free_and_two_observed_parts_are_both_experts(random_parts) -> None:
    model, batch = model_of(), random_parts(12)
    q = model.posterior(model.encode_whole(batch))
    assert q.shared_log.exp().sum(2).std() > 0, "scales that add up to something cannot all be sharp"
    mask = torch.tensor([[True, True, False]]).expand(12, 3)
    two = model.posterior(model.encode(batch.image, mask))
    assert two.weights[:, :2].unique().tolist() == [0.5]
    for part in (0, 1):
        other = batch.image.clone()
        other[:, part] = other[:, part].flip(-1)
        assert not torch.equal(model.posterior(model.encode(other, mask)).mean, two.mean)
