"""What diffusion and flow matching share: noisy latents in, a prediction out, a diffusers scheduler to sample.

One time convention for all: t = 0 is data, t = 1 is noise. A segment has one t; a clean segment has t = 0.
"""

from abc import abstractmethod
from itertools import repeat
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mot_lightning.objectives.base import Context, Objective, Request, View, places
from mot_lightning.objectives.latent_io import LatentIO, LinearIO, Skip, UNetIO
from mot_lightning.objectives.scheduler import check_scheduler, make_scheduler, scheduler_config, takes_generator
from mot_lightning.sequence import Part, Tokens


class TimeEmbedding(nn.Module):
    """t in [0, 1] -> (d,): sinusoids through a small network, as in DDPM and DiT."""

    frequency: Tensor

    def __init__(self, dim: int, frequencies: int = 128) -> None:
        super().__init__()
        # of 1000 t, as in a 1000-step diffusion
        self.register_buffer("frequency", 1000 * 10_000 ** (-torch.arange(frequencies) / frequencies), persistent=False)
        self.network = nn.Sequential(nn.Linear(2 * frequencies, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t: Tensor) -> Tensor:
        angle = t[:, None].float() * self.frequency  # (k, f)
        return self.network(torch.cat([angle.cos(), angle.sin()], dim=-1))  # (k, d)


class Denoiser(Objective):
    """Latents of a segment are shown noisy, all at one time t, and attend to each other in both directions.

    Args:
        time: where t enters. "norm" adapts the norms of the segment's tokens (DiT), "token" is added to each
            token (Transfusion's linear variant).
        scheduler: the diffusers scheduler that samples, as class_path and init_args, or just its name.
        steps: sampling steps.
        io: how latents enter and leave: "linear" one by one, "unet" through the outer blocks of a U-Net (Transfusion).
    """

    causal = False
    discrete = False
    default_scheduler: ClassVar[dict[str, Any]]
    io: LatentIO

    def __init__(
        self,
        time: Literal["norm", "token"] = "norm",
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 25,
        io: Literal["linear", "unet"] = "linear",
    ) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps is {steps}, wanted at least 1")
        self.conditions = time == "norm"
        self.scheduler = scheduler_config(self.default_scheduler, scheduler)
        self.steps = steps
        self._io = {"linear": LinearIO, "unet": UNetIO}[io]
        check_scheduler(self.scheduler, steps)  # refuse a bad one now

    def build(self, dim: int, tokens: Tokens) -> None:
        assert tokens.latent_dim is not None
        self.tokens = tokens
        self.io = self._io(dim, tokens)  # type: ignore[assignment]
        longest = tokens.length or tokens.max_length
        self.place = nn.Embedding(longest, dim) if longest else None
        self.time = TimeEmbedding(dim)

    @abstractmethod
    def corrupt(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, target), (n, latent_dim) each, from clean latents, noise and the time (n, 1) of each."""

    @abstractmethod
    def draw_times(self, cap: Tensor, generator: torch.Generator) -> Tensor:
        """A time below the cap for each segment, (k,)."""

    def weigh(self, t: Tensor) -> Tensor | None:
        """Weight of the loss at times (k,); none is 1."""
        return None

    def for_scheduler(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """What the scheduler integrates, from a prediction at x_t (r, n, latent_dim) and one time t (1,)."""
        return prediction

    def embed(self, part: Part, generator: torch.Generator) -> View:
        t = self.draw_times(part.noise_cap, generator) * part.loss  # (k,)
        noise = torch.randn(part.tokens.shape, generator=generator, device=part.tokens.device)  # (n, latent_dim)
        x_t, target = self.corrupt(part.tokens, noise, t[part.segment][:, None])
        x_t = torch.where(part.loss[part.segment][:, None], x_t, part.tokens)
        time, weight = self.time(t), self.weigh(t)  # (k, d), (k,)
        embedding, skip = self._embed(x_t, places(part)[0], time, part.segment)
        condition = time if self.conditions else None
        return View(embedding, target, condition, None if weight is None else weight[part.segment], skip)

    def _embed(self, x_t: Tensor, place: Tensor, time: Tensor, segment: Tensor) -> tuple[Tensor, Skip]:
        embedding, skip = self.io.enter(x_t, time)  # (n, d)
        if self.place is not None:
            embedding = embedding + self.place(place)
        return embedding if self.conditions else embedding + time[segment], skip

    def _embed_rows(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None, Skip]:
        """(r, n, latent_dim) at one time t (1,) -> (r, n, d), a condition (1, d) or None, and what goes past."""
        r, n, _ = x_t.shape
        segment = torch.arange(r, device=x_t.device).repeat_interleave(n)
        place = torch.arange(n, device=x_t.device).repeat(r)
        time = self.time(t)  # (1, d)
        embedding, skip = self._embed(x_t.flatten(0, 1), place, time.expand(r, -1), segment)
        return embedding.view(r, n, -1), time if self.conditions else None, skip

    def embed_clean(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._embed_rows(tokens, tokens.new_zeros(1))[:2]

    def loss(self, hidden: Tensor, view: View) -> Tensor:
        loss = (self.io.leave(hidden, view.skip).float() - view.target).square().mean(-1)  # (t,)
        return loss if view.weight is None else loss * view.weight

    def predict(self, context: Context, x_t: Tensor, t: Tensor, condition: Any) -> Tensor:
        """The network's prediction for noisy latents (r, n, latent_dim) at one time t (1,), given a context.

        Args:
            condition: what the context makes of the time, if it enters by the norms.
        """
        embedding, _, skip = self._embed_rows(x_t, t)
        hidden = context.peek(embedding, condition)  # (r, n, d)
        return self.io.leave(hidden.flatten(0, 1), skip).float().view_as(x_t)  # (r, n, latent_dim)

    def sample(self, context: Context, request: Request) -> list[Tensor]:
        assert request.length is not None
        assert self.tokens.latent_dim is not None
        scheduler = make_scheduler(self.scheduler)
        scheduler.set_timesteps(self.steps)
        shape = (request.length, self.tokens.latent_dim)
        device = context.last.device
        x_t = torch.stack([torch.randn(shape, generator=g, device=device) for g in request.generators])  # (r, n, l)
        x_t = x_t * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else x_t
        draws = {"generator": list(request.generators)} if takes_generator(scheduler) else {}
        times = (scheduler.timesteps / scheduler.config.num_train_timesteps).to(device)  # (steps,)
        conditions = context.adapt(self.time(times)) if self.conditions else repeat(None, len(times))
        for timestep, t, condition in zip(scheduler.timesteps, times.split(1), conditions, strict=True):
            seen = scheduler.scale_model_input(x_t, timestep) if hasattr(scheduler, "scale_model_input") else x_t
            prediction = request.guide(self.predict(context, request.both(seen), t, condition))
            x_t = scheduler.step(self.for_scheduler(prediction, seen, t), timestep, x_t, **draws).prev_sample
        return list(x_t)
