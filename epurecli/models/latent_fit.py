"""The last stage of models with a latent: p(z | given parts, condition) is fitted to what the encoder says."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from epurecli.config.latent import LatentRunConfig
from epurecli.config.schema import StageConfig
from epurecli.models.contract import Objective, Stage
from epurecli.nn.borders import Borders, honest_width
from epurecli.nn.conditioning import ConditionEmbedding
from epurecli.nn.distributions import Density, Distribution
from epurecli.nn.flow import ConditionalFlow
from epurecli.nn.labels import owned
from epurecli.nn.likelihoods import ImageLikelihood
from epurecli.nn.masking import subset_of
from epurecli.nn.step import Step
from epurecli.nn.subset_gaussian import Given, SubsetGaussian, nothing_given
from epurecli.types import Batch, Losses

LATENT_PRIOR = "latent-prior"  # the stage's name
SUBSETS = 14  # of a design's parts that it is encoded for: all of four components
FITTED = 20_000  # latents that the closed-form part is fitted to at least, several of a design where designs are few
FREE = 0.6  # of the training rows show no part: that is the hardest to learn
BARE = 0.25  # of those have no condition either
BORDERS = 2048  # designs that show a subset of their parts, in all, by which borders are fitted
BORDERS_PER_S = 16  # the same for a second of training.budget_s: that takes a twentieth of it or so
DRAWS = 4  # of each of them
VALUES = 2**26  # of their images that are looked at together: a quarter of a gigabyte
EVALUATED = 5  # epochs between evaluations, which look at each subset in turn and take as long as an epoch


class Coder(Protocol):
    """What the fit asks of a model (see `epurecli.models.latent.LatentModel`)."""

    config: LatentRunConfig
    components: tuple[str, ...]
    conditioning: ConditionEmbedding
    flow: ConditionalFlow | None
    condition_law: SubsetGaussian | None
    borders: Borders | None
    likelihood: ImageLikelihood

    @property
    def latent_size(self) -> int: ...

    def encode_whole(self, batch: Batch) -> Tensor: ...

    def shown(self, batch: Batch) -> Tensor: ...

    def infer(self, observed: Tensor, mask: Tensor) -> Distribution: ...

    def posterior(self, code: Tensor) -> Density: ...

    def conditional(self, observed: Tensor, mask: Tensor, condition: Tensor, present: Tensor) -> Distribution: ...

    def maps(self, z: Tensor, embedding: Tensor) -> Tensor: ...


class LatentFit:
    """Losses of the density, on designs as `views` gives them: the encoder is frozen, and asked once."""

    def __init__(self, model: Coder) -> None:
        assert model.flow is not None
        self.model, self.flow = model, model.flow
        self.parts, self.size = len(model.components), model.latent_size
        self.every = 2**self.parts - 2  # subsets that show something and hide something
        self.number = min(self.every, SUBSETS)  # R
        self.chooser = torch.Generator().manual_seed(0)

    def stage(self) -> Stage:
        spec = self.model.config.model.latent_prior
        settings = StageConfig(
            epochs=spec.epochs,
            batch_size=spec.batch_size,
            lr=spec.lr,
            weight_decay=spec.weight_decay,
            scheduler="cosine",
            ema_decay=spec.ema_decay,
            eval_every=EVALUATED,
            share=spec.share,
        )
        trained: list[nn.Module] = [self.flow]
        if self.model.condition_law is not None:
            trained.append(self.model.condition_law)
        fit = Objective("flow", tuple(trained), self.loss)
        return Stage(
            LATENT_PRIOR,
            settings,
            (fit,),
            self.validate,
            encode=self.views,
            prepare=self.prepare,
            finish=self.finish,
        )

    def views(self, batch: Batch) -> Tensor:  # -> (B, K + R (C + 2 N))
        """The code of all that designs have, then of R subsets of their parts the mask, and the means and deviations
        that the model infers from them. Each design has its own subsets where there are more of them than R."""
        rows = [self.model.encode_whole(batch)]
        for number in range(self.number):
            chosen = torch.full((len(batch), 1), number + 1)
            if self.every > self.number:
                chosen = torch.randint(1, self.every + 1, (len(batch), 1), generator=self.chooser)
            mask = subset_of(chosen.to(batch.image.device), self.parts) & self.model.shown(batch)
            answer = self.model.infer(batch.image, mask)
            rows += [mask.to(answer.mean.dtype), answer.mean, answer.deviation]
        return torch.cat(rows, dim=1)

    def split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Rows of `views` as codes (B, K) and views (B, R, C + 2 N)."""
        each = self.parts + 2 * self.size
        code, views = batch.image.tensor_split((batch.image.shape[1] - self.number * each,), dim=1)
        return code, views.unflatten(1, (self.number, each))

    def prepare(self, designs: Batch, step: Step) -> None:
        """The closed-form parts, from all training designs."""
        code, views = self.split(designs)
        posterior, times = self.model.posterior(code), max(1, min(4, FITTED // len(designs)))
        z = [posterior.sample(step.randn(len(designs), self.size)) for _ in range(times)]
        known = self._every(views, designs.condition, torch.ones_like(code[:, :1]))
        together = Given(*(torch.cat([getattr(g, f.name) for g in known for _ in z]) for f in fields(Given)))
        self.flow.fit(torch.cat([sample for _ in known for sample in z]), together)
        if self.model.condition_law is not None:
            bare = replace(together, condition=together.condition[:, :0])
            self.model.condition_law.fit(together.condition, bare)

    def loss(self, batch: Batch, step: Step) -> Losses:
        """-log p(z | given parts, condition) of samples of whole designs' posteriors, nats per design: some rows with
        nothing given, the others with a subset of their parts."""
        count, device = len(batch), batch.image.device
        code, views = self.split(batch)
        free, bare = step.rand(count, 1) < FREE, step.rand(count, 1) < BARE
        present = torch.where(free, (~bare).float(), self.model.conditioning.draw_presence(count, step))
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                z = self.model.posterior(code).sample(step.randn(count, self.size))
            known = nothing_given(self.parts, self.size, batch.condition, present)
            if self.number:
                chosen = step.randint(0, self.number, count)
                seen = self._seen(views[torch.arange(count, device=device), chosen], batch.condition, present)
                known = replace(seen, mask=seen.mask & ~free)
            nll = -self.flow.log_prob(z, known).mean()
        return Losses(nll, {"nll": nll})

    def validate(self, batch: Batch, step: Step) -> Losses:
        """The same with conditions, of each subset of the parts in turn; weighed as in training."""
        code, views = self.split(batch)
        present = torch.ones_like(code[:, :1])
        with torch.autocast(present.device.type, enabled=False):
            z = self.model.posterior(code).sample(step.randn(len(batch), self.size))
            known = self._every(views, batch.condition, present)
            free, *given = (-self.flow.log_prob(z, one).mean() for one in known)
        if not given:
            return Losses(free, {"nll": free})
        mean = torch.stack(given).mean()
        total = FREE * free + (1 - FREE) * mean
        return Losses(total, {"nll": total, "nll free": free, "nll given": mean})

    def finish(self, designs: Batch, step: Step) -> dict[str, Tensor]:
        """How far borders move, for each group of subsets: until draws differ as much as the designs do."""
        borders = self.model.borders
        if borders is None:
            return {}
        whole = slice(None) if designs.known is None else designs.known.all(1)
        image, condition = designs.image[whole], designs.condition[whole]
        borders.width.zero_()
        groups = range(1, self.flow.base.groups - 1)  # neither nothing nor all is given
        budget_s = self.model.config.training.budget_s
        every = BORDERS if budget_s is None else min(BORDERS, round(BORDERS_PER_S * budget_s))
        count = min(len(image), -(-every // max(len(groups), 1)), max(1, VALUES // (DRAWS * image[:1].numel() or 1)))
        for number, group in enumerate(groups) if count else ():
            rows = (torch.arange(count, device=image.device) + number * count) % len(image)
            mask = self._subsets(group, count, step).to(image.device)
            borders.width[group] = self._honest_width(image[rows], mask, condition[rows], step)
        return {"borders.width": borders.width}

    def _subsets(self, group: int, count: int, step: Step) -> Tensor:  # -> (B, C) bool
        """Masks that belong to a group."""
        if self.flow.base.each:
            return subset_of(torch.full((count, 1), group), self.parts)
        return step.rand(count, self.parts).argsort(1) < group

    def _honest_width(self, image: Tensor, mask: Tensor, condition: Tensor, step: Step) -> Tensor:  # -> (C,)
        count, likelihood = len(image), self.model.likelihood
        present = (torch.arange(count, device=image.device) % 2).unsqueeze(1).to(image.dtype)  # half know their figures
        observed = torch.where(mask[..., None, None], image, 0.0)
        law = self.model.conditional(observed, mask, condition, present)
        z = law.sample(step.randn(DRAWS, count, self.size)).transpose(0, 1).flatten(0, 1)  # a design's draws together
        embedding = self.model.conditioning(condition, present)
        observed, mask, embedding = (x.repeat_interleave(DRAWS, 0) for x in (observed, mask, embedding))
        maps = self.model.maps(z, embedding).unflatten(0, (count, DRAWS))
        noise = step.randn(count, DRAWS, self.parts)
        return honest_width(maps, noise, owned(image), lambda moved: owned(likelihood.complete(moved, observed, mask)))

    def _seen(self, view: Tensor, condition: Tensor, present: Tensor) -> Given:  # (B, C + 2 N), (B, D), (B, 1)
        mask, mean, deviation = view.tensor_split((self.parts, self.parts + self.size), dim=1)
        return Given(mask > 0, mean, deviation, condition, present)

    def _every(self, views: Tensor, condition: Tensor, present: Tensor) -> list[Given]:
        """What is known where nothing is given, and for each view."""
        seen = [self._seen(view, condition, present) for view in views.unbind(1)]
        return [nothing_given(self.parts, self.size, condition, present), *seen]
