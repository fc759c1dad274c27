"""VQ-VAE with a masked-token prior. Source: van den Oord et al., "Neural Discrete Representation Learning", NeurIPS
2017; Mentzer et al., "Finite Scalar Quantization", ICLR 2024; Chang et al., "MaskGIT", CVPR 2022."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.config.latent import Likelihood
from epurecli.models.contract import GenerativeModel, Objective, Sampler, Stage
from epurecli.models.graphs import Graph, drawing_graphs
from epurecli.models.iterative import SAME_DESIGNS, Carry, solve
from epurecli.models.vqvae.config import QuantizerConfig, VQVAEConfig
from epurecli.nn import absorbing
from epurecli.nn.denoiser import Denoiser
from epurecli.nn.labels import halton_order, pick
from epurecli.nn.likelihoods import likelihood_of
from epurecli.nn.masking import draw_questions, show_none
from epurecli.nn.paths import shifted
from epurecli.nn.quantizers import FiniteScalar, MovingAverage, Quantizer
from epurecli.nn.resnet import Decoder, Encoder, coarse_grid
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses, Noise, Query


@dataclass(frozen=True, slots=True)
class Tokens:
    """The process that shows tokens in their turns, and decodes them when all are shown."""

    components: int
    count: int  # K codes; K itself is a hidden one
    turn: Tensor  # (h, w), when each is shown
    designs: Callable[[Tensor, Query], Tensor]

    @property
    def labels(self) -> int:
        return self.count + 1

    def rows(self, steps: int) -> Tensor:
        return absorbing.turns(self.turn.numel(), steps)

    def start(self, query: Query, noise: Noise) -> Carry:
        uniform = noise.uniform(*self.turn.shape)
        return torch.full_like(uniform, self.count, dtype=torch.int64), uniform

    def draws(self, noise: Noise, steps: int) -> None:
        return None

    def keep(self, state: Tensor, query: Query) -> Tensor:
        return state  # no token belongs to a part

    def step(self, carry: Carry, prediction: Tensor, row: Tensor, drawn: Tensor | None, query: Query) -> Carry:
        state, uniform = carry
        found = pick(prediction.softmax(1), uniform)
        return absorbing.shown(state, found, self.turn, row, self.count), uniform.clone()

    def finish(self, carry: Carry, query: Query) -> Tensor:
        return self.designs(carry[0].clamp(max=self.count - 1), query)


class VQVAE(GenerativeModel):
    """p(x) = sum over tokens of p(tokens | given parts, condition) p(x | tokens)."""

    config: VQVAEConfig
    bound_name = "diffusion ELBO"

    turn: Tensor

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__(config)
        model, parts = config.model, len(self.components)
        self.grid = coarse_grid(model.image_size, len(model.widths), model.patch_size)
        self.likelihood = likelihood_of(Likelihood(model.likelihood), parts)
        self.encoder = Encoder(parts, model.image_size, model.widths, patch_size=model.patch_size)
        self.decoder = Decoder(parts, model.image_size, model.widths[::-1], model.patch_size)
        self.quantizer = quantizer_of(model.quantizer)
        coarsest, width = model.widths[-1], self.quantizer.width
        self.narrow, self.widen = nn.Conv2d(coarsest, width, 1), nn.Conv2d(width, coarsest, 1)
        prior = model.prior
        self.embed = nn.Embedding(self.quantizer.count + 1, prior.widths[0])
        self.cell = model.image_size[0] // self.grid[0]
        self.look = nn.Conv2d(parts * self.cell**2, prior.widths[0], 1)  # at the parts that are given
        sizes = 2 * prior.widths[0], self.quantizer.count, parts, self.cond_dim, self.grid
        self.prior = Denoiser(*sizes, prior.widths, prior.blocks, 1, prior.heads, prior.whole, model.cond_dropout)
        self.register_buffer("turn", torch.tensor(halton_order(*self.grid)), persistent=False)

    # --- tokens and designs -------------------------------------------------------------------------------------------

    def vectors(self, image: Tensor) -> Tensor:  # (B, C, H, W) -> (B, D, h, w)
        return self.narrow(self.encoder(image).unflatten(1, (-1, *self.grid)))

    def tokens(self, image: Tensor) -> Tensor:  # (B, C, H, W) -> (B, h, w) int64
        return self.quantizer.encode(self.vectors(image).to(image.dtype))

    def maps(self, vectors: Tensor) -> Tensor:  # (B, D, h, w) -> (B, C, H, W), in the likelihood's terms
        return self.decoder(self.widen(vectors).flatten(1)).to(vectors.dtype)

    def designs(self, tokens: Tensor, query: Query) -> Tensor:  # (B, h, w) -> (B, C, H, W)
        maps = self.maps(self.quantizer.decode(tokens).to(self.embed.weight.dtype))
        return self.likelihood.answer(maps, query)

    def reconstruct(self, batch: Batch) -> Tensor:  # -> (B, C, H, W)
        """Whole designs through their tokens."""
        nothing = Query(batch.condition, torch.ones(len(batch), 1, device=batch.image.device))
        return self.designs(self.tokens(batch.image), nothing)

    # --- drawing ------------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        return self.config.sampling.steps

    def sampler(self, query: Query) -> Sampler:
        seen = self.seen(query.observed, query.mask, query.present)
        process = Tokens(len(self.components), self.quantizer.count, self.turn, self.designs)

        def network(state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
            return self.logits(state, seen, time, condition, present, mask)

        asked = self.config.sampling
        return lambda noise: solve(network, process, query, noise, asked.steps, asked.guidance, self.on_step)

    def seen(self, observed: Tensor | None, mask: Tensor | None, present: Tensor) -> Tensor:  # -> (B, E, h, w)
        """What the prior sees of the given parts, in each token's cell; hidden ones are black."""
        if observed is None or mask is None:
            return self.look(present.new_zeros(present.shape[0], self.look.in_channels, *self.grid))
        shown = torch.where(mask[..., None, None], observed, 0.0)
        return self.look(F.pixel_unshuffle(shown, self.cell))

    def logits(
        self, state: Tensor, seen: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor
    ) -> Tensor:  # (B, h, w), (B, E, h, w) -> (B, K, h, w)
        """Of every token, from those that are shown."""
        known = torch.cat([self.embed(state).movedim(-1, -3), seen.to(self.embed.weight.dtype)], 1)
        return self.prior(known, time, condition, present, mask)

    def graphs(self) -> Sequence[Graph]:
        return [replace(graph, share=SAME_DESIGNS) for graph in drawing_graphs(self)]

    # --- training -----------------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        training = self.config.training
        coder = (self.encoder, self.narrow, self.quantizer, self.widen, self.decoder)
        autoencode = Objective("autoencode", coder, self.reconstruction)
        draw = Objective("tokens", (self.embed, self.look, self.prior), self.token_loss)
        return [
            Stage("autoencoder", training.autoencoder, (autoencode,), self.reconstruction),
            Stage("prior", training.prior, (draw,), self.validate_tokens),
        ]

    def reconstruction(self, batch: Batch, step: Step) -> Losses:
        """-log p(x | tokens), and what the quantizer asks for, weighed by the pixels of a token's cell."""
        vectors, cost = self.quantizer(self.vectors(batch.image).to(batch.image.dtype), step)
        nats = -self.likelihood.log_prob(self.maps(vectors), batch.image).sum(1).mean()
        return Losses(nats + cost * self.turn.numel(), {"recon": nats})

    def token_loss(self, batch: Batch, step: Step) -> Losses:
        time = shifted(1 - step.stratified(len(batch)), self.config.model.prior.time_shift)
        return Losses(self._hidden_nats(batch, *self._asked(batch, step), time, step).mean())

    def validate_tokens(self, batch: Batch, step: Step) -> Losses:
        """The bound of the same questions: nats of the hidden tokens over the time."""
        time = 1 - step.stratified(len(batch))
        return Losses((self._hidden_nats(batch, *self._asked(batch, step), time, step) / time).mean())

    def _asked(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        training, model = self.config.training.prior, self.config.model
        return draw_questions(batch, len(self.components), training, model.cond_dropout, step)

    def _hidden_nats(self, batch: Batch, mask: Tensor, present: Tensor, time: Tensor, step: Step) -> Tensor:  # (B,)
        with torch.no_grad():
            tokens = self.tokens(batch.image)
        return self.token_nats(batch, tokens, mask, present, time, step.rand(len(batch), *self.grid))

    def token_nats(
        self, batch: Batch, tokens: Tensor, mask: Tensor, present: Tensor, time: Tensor, uniform: Tensor
    ) -> Tensor:  # -> (B,)
        """-log p of the tokens that are hidden at times (B,), given those that are shown and the given parts."""
        hidden = self.quantizer.count
        state = absorbing.hide(tokens, uniform, time, hidden)
        seen = self.seen(batch.image, mask, present)
        told = self.logits(state, seen, time, batch.condition, present, mask).float()
        nats = F.cross_entropy(told, tokens, reduction="none")
        return torch.where(state == hidden, nats, 0.0).sum((1, 2))

    @torch.no_grad()
    def bound(self, batch: Batch, noise: Sequence[Noise]) -> Tensor:  # -> (B,)
        """log p(x | its tokens) and the prior's evidence bound on log p(its tokens), nats, one stratified time a draw:
        one of the terms that log p(x) sums."""
        rows, device = len(batch), batch.image.device
        present = torch.ones(rows, 1, device=device)
        nothing = show_none(rows, len(self.components), device)
        tokens = self.tokens(batch.image)
        maps = self.maps(self.quantizer.decode(tokens).to(batch.image.dtype))
        total = torch.zeros(rows, device=device)
        for i, n in enumerate(noise):
            time = (i + 1 - n.uniform(1)[:, 0]) / len(noise)
            nats = self.token_nats(batch, tokens, nothing, present, time, n.uniform(*self.grid))
            total = total + nats / time
        return self.likelihood.log_prob(maps, batch.image).sum(1) - total / len(noise)


def quantizer_of(spec: QuantizerConfig) -> Quantizer:
    """The quantizer that a config names."""
    if spec.kind == "fsq":
        return FiniteScalar(spec.levels)
    return MovingAverage(spec.codes, spec.width, spec.decay, spec.commitment)
