"""What diffusion and flow matching share: noisy latents in, a prediction out, a diffusers scheduler to sample.

One time convention for all: t = 0 is data, t = 1 is noise. A segment has one t; a clean segment has t = 0.
"""

from abc import abstractmethod
from itertools import repeat
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.errors import require
from mot_lightning.initialisation import init_linear
from mot_lightning.noise import Noise
from mot_lightning.objectives.base import (
    Context,
    Embedded,
    Embeddings,
    Objective,
    Request,
    RowsOfLatents,
    positions_in_segment,
)
from mot_lightning.objectives.latent_projection import LatentProjection, LinearProjection, Skip, UNetProjection
from mot_lightning.objectives.schedulers import check_scheduler, make_scheduler, scheduler_config, takes_generator
from mot_lightning.sequence import Latents, ModalityBatch, Tokens

PROJECTIONS: dict[str, type[LinearProjection | UNetProjection]] = {"linear": LinearProjection, "unet": UNetProjection}


class TimeEmbedding(nn.Module):
    """t in [0, 1] -> a vector: sinusoids through an MLP, as in DDPM (arXiv 2006.11239) and DiT (arXiv 2212.09748)."""

    def __init__(self, dim: int, frequencies: int = 128) -> None:
        super().__init__()
        self.frequencies = frequencies
        first, second = init_linear(nn.Linear(2 * frequencies, dim)), init_linear(nn.Linear(dim, dim))
        self.network = nn.Sequential(first, nn.SiLU(), second)

    def forward(self, t: Float[Tensor, " k"]) -> Float[Tensor, "k d"]:
        # float32 whatever the precision of the weights, as bfloat16 would shift angles by up to a radian
        exponent = -torch.arange(self.frequencies, device=t.device, dtype=torch.float32) / self.frequencies
        angle = t[:, None].float() * (1000 * 10_000**exponent)  # (k, f); t is scaled as in a diffusion of 1000 steps
        sinusoids = torch.cat([angle.cos(), angle.sin()], dim=-1)  # (k, 2 f)
        return self.network(sinusoids.to(next(self.network.parameters()).dtype))  # (k, d)


class DenoisingObjective(Objective):
    """The latents of a segment are noised to one time t and attend to each other in both directions.

    Args:
        time_conditioning: how the network gets t. "adaln" adapts the norms of the segment's tokens (DiT), "additive"
            adds it to each token (Transfusion, section 3.2).
        scheduler: the diffusers scheduler that samples, as class_path and init_args, or its name.
        steps: sampling steps.
        patch_io: projections into and out of the backbone: "linear" per latent, "unet" by the outer blocks of a U-Net.
    """

    causal = False
    discrete = False
    default_scheduler: ClassVar[dict[str, Any]]
    projection: LatentProjection

    def __init__(
        self,
        time_conditioning: Literal["adaln", "additive"] = "adaln",
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 25,
        patch_io: Literal["linear", "unet"] = "linear",
    ) -> None:
        super().__init__()
        require("steps", steps, "at least 1", steps >= 1)
        self.adaptive_norm = time_conditioning == "adaln"
        self.scheduler = scheduler_config(self.default_scheduler, scheduler)
        self.steps = steps
        self._projection = PROJECTIONS[patch_io]
        check_scheduler(self.scheduler, steps)

    def build(self, dim: int, tokens: Tokens) -> None:
        assert tokens.latent_dim is not None
        self.tokens = tokens
        self.projection = self._projection(dim, tokens)
        longest = tokens.length or tokens.max_length
        self.position_embedding = nn.Embedding(longest, dim) if longest else None
        self.time_embedding = TimeEmbedding(dim)

    @abstractmethod
    def corrupt(self, x_0: Latents, noise: Latents, t: Float[Tensor, "n 1"]) -> tuple[Latents, Latents]:
        """(x_t, target) from clean latents, noise and the time of each."""

    @abstractmethod
    def sample_times(self, cap: Float[Tensor, " k"], noise: Noise) -> Float[Tensor, " k"]:
        """A time below the cap for each segment."""

    def loss_weight(self, t: Float[Tensor, " k"]) -> Float[Tensor, " k"] | None:
        """Weight of the loss at these times; None is 1."""
        return None

    def to_scheduler_output(
        self, prediction: RowsOfLatents, x_t: RowsOfLatents, t: Float[Tensor, "#r"]
    ) -> RowsOfLatents:
        """The network's prediction at x_t -> the model output that the scheduler expects; one t per row, or for all."""
        return prediction

    def embed(self, part: ModalityBatch, noise: Noise) -> Embedded:
        t = self.sample_times(part.noise_cap, noise) * part.loss  # (k,)
        # noise and times are float32 whatever the precision of the weights
        epsilon = noise.token_normal(part.tokens.shape[1])  # (n, latent_dim)
        x_t, target = self.corrupt(part.tokens, epsilon, t[part.segment][:, None])
        x_t = torch.where(part.loss[part.segment][:, None], x_t, part.tokens)
        time, weight = self.time_embedding(t), self.loss_weight(t)  # (k, d), (k,)
        embedding, skip = self._embed(x_t, positions_in_segment(part)[0], time, part.segment)
        condition = time if self.adaptive_norm else None
        return Embedded(embedding, target, condition, None if weight is None else weight[part.segment], skip)

    def _embed(self, x_t: Tensor, position: Tensor, time: Tensor, segment: Tensor) -> tuple[Tensor, Skip]:
        embedding, skip = self.projection.project_in(x_t, time)  # (n, d)
        if self.position_embedding is not None:
            embedding = embedding + self.position_embedding(position)
        return embedding if self.adaptive_norm else embedding + time[segment], skip

    def _embed_rows(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None, Skip]:
        """(r, n, latent_dim) at one time t (1,) -> (r, n, d), a condition (1, d) or None, and the skip."""
        r, n, _ = x_t.shape
        segment = torch.arange(r, device=x_t.device).repeat_interleave(n)
        position = torch.arange(n, device=x_t.device).repeat(r)
        time = self.time_embedding(t)  # (1, d)
        embedding, skip = self._embed(x_t.flatten(0, 1), position, time.expand(r, -1), segment)
        return embedding.view(r, n, -1), time if self.adaptive_norm else None, skip

    def embed_clean(self, tokens: RowsOfLatents) -> tuple[Embeddings, Float[Tensor, "1 d"] | None]:
        return self._embed_rows(tokens, tokens.new_zeros(1))[:2]

    def loss(self, hidden: Float[Tensor, "t d"], embedded: Embedded) -> Float[Tensor, " t"]:
        loss = (self.projection.project_out(hidden, embedded.skip).float() - embedded.target).square().mean(-1)  # (t,)
        return loss if embedded.weight is None else loss * embedded.weight

    def predict(self, context: Context, x_t: RowsOfLatents, t: Float[Tensor, "1"], condition: Any) -> RowsOfLatents:
        """The network's prediction for noisy latents at one time t, in a context.

        Args:
            condition: an item of `context.adapt` for adaptive norms, else None.
        """
        embedding, _, skip = self._embed_rows(x_t, t)
        hidden = context.peek(embedding, condition)  # (r, n, d)
        return self.projection.project_out(hidden.flatten(0, 1), skip).float().view_as(x_t)  # (r, n, latent_dim)

    def sample(self, context: Context, request: Request) -> list[Latents]:
        assert request.length is not None
        assert self.tokens.latent_dim is not None
        scheduler = make_scheduler(self.scheduler)
        scheduler.set_timesteps(self.steps)
        shape = (request.length, self.tokens.latent_dim)
        device = context.last.device
        noise = [torch.randn(shape, generator=g, device=device, dtype=torch.float32) for g in request.generators]
        x_t = torch.stack(noise)  # (r, n, latent_dim)
        x_t = x_t * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else x_t
        options = {"generator": list(request.generators)} if takes_generator(scheduler) else {}
        times = (scheduler.timesteps / scheduler.config.num_train_timesteps).to(device)  # (steps,)
        conditions = context.adapt(self.time_embedding(times)) if self.adaptive_norm else repeat(None, len(times))
        for timestep, t, condition in zip(scheduler.timesteps, times.split(1), conditions, strict=True):
            scaled = scheduler.scale_model_input(x_t, timestep) if hasattr(scheduler, "scale_model_input") else x_t
            prediction = request.guide(self.predict(context, request.both(scaled), t, condition))
            output = self.to_scheduler_output(prediction, scaled, t)
            x_t = scheduler.step(output, timestep, x_t, **options).prev_sample
        return list(x_t)
