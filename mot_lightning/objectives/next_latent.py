"""Next-latent prediction: each latent by flow matching, from all that precede it (MAR, arXiv 2406.11838)."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.errors import require
from mot_lightning.initialisation import init_linear
from mot_lightning.noise import Noise
from mot_lightning.objectives.base import Context, Embedded, Embeddings, Objective, Request, RowsOfLatents
from mot_lightning.objectives.flow_head import FlowHead
from mot_lightning.objectives.flow_matching import FlowMatching
from mot_lightning.objectives.schedulers import (
    check_flow,
    check_scheduler,
    make_scheduler,
    scheduler_config,
    takes_generator,
)
from mot_lightning.sequence import Latents, ModalityBatch, Tokens


class NextLatent(Objective):
    """Causal over latents; a small head learns the distribution of the next one, given the hidden state before it.

    As in MAR's causal variant (arXiv 2406.11838, section 3) with the flow head of NextStep-1 (arXiv 2508.10711): the
    loss is the squared error of the velocity noise - x_0 at x_t = (1 - t) x_0 + t noise, t = 0 is data. The backbone
    runs once for each latent, the head `steps` times.

    Args:
        head_dim: width of the head; 0 takes that of the hidden states.
        head_depth: its residual blocks.
        noise_levels: times that each latent is scored at in a step, with other noise (MAR, section 4.1: 4); the
            backbone runs once for all of them.
        scheduler: the diffusers scheduler that samples, as class_path and init_args, or its name.
        steps: sampling steps of each latent.
    """

    causal = True
    discrete = False
    default_scheduler: ClassVar[dict[str, Any]] = FlowMatching.default_scheduler

    def __init__(
        self,
        head_dim: int = 0,
        head_depth: int = 3,
        noise_levels: int = 4,
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 25,
    ) -> None:
        super().__init__()
        require("head_dim", head_dim, "0 or more", head_dim >= 0)
        for name, value in (("head_depth", head_depth), ("noise_levels", noise_levels), ("steps", steps)):
            require(name, value, "at least 1", value >= 1)
        self.head_dim, self.head_depth, self.noise_levels, self.steps = head_dim, head_depth, noise_levels, steps
        self.scheduler = scheduler_config(self.default_scheduler, scheduler)
        check_flow(self.scheduler)
        check_scheduler(self.scheduler, steps)

    def build(self, dim: int, tokens: Tokens) -> None:
        assert tokens.latent_dim is not None
        self.tokens = tokens
        self.input = init_linear(nn.Linear(tokens.latent_dim, dim))
        self.head = FlowHead(dim, tokens.latent_dim, self.head_dim or dim, self.head_depth)

    def embed(self, part: ModalityBatch, noise: Noise) -> Embedded:
        latent_dim = part.tokens.shape[1]
        times = [noise.token_uniform() for _ in range(self.noise_levels)]  # (n,) each
        noises = [noise.token_normal(latent_dim) for _ in range(self.noise_levels)]  # (n, latent_dim) each
        # a segment has as many targets as latents: it ends by its length, so that no stop is predicted
        return Embedded(self._embed(part.tokens), part.target, skip=(torch.stack(times), torch.stack(noises)))

    def embed_clean(self, tokens: RowsOfLatents) -> tuple[Embeddings, None]:
        return self._embed(tokens), None  # (r, n, d)

    def _embed(self, latents: Tensor) -> Tensor:
        return self.input(latents.to(self.input.weight.dtype))  # (..., d)

    def loss(self, hidden: Float[Tensor, "t d"], embedded: Embedded) -> Float[Tensor, " t"]:
        t, noise = embedded.skip  # (levels, t), (levels, t, latent_dim); float32 whatever the precision of the weights
        x_0 = embedded.target.float().expand_as(noise)
        x_t = torch.lerp(x_0, noise, t[..., None])  # (levels, t, latent_dim)
        hidden = hidden.expand(len(t), *hidden.shape)  # (levels, t, d)
        velocity = self.head(*(x.flatten(0, 1) for x in (x_t, t, hidden))).view_as(x_t)
        return (velocity - (noise - x_0)).square().mean((0, 2))  # (t,)

    def sample(self, context: Context, request: Request) -> list[Latents]:
        assert request.length is not None
        assert self.tokens.latent_dim is not None
        scheduler, device = make_scheduler(self.scheduler), context.last.device
        options = {"generator": list(request.generators)} if takes_generator(scheduler) else {}
        latents: list[Tensor] = []
        for _ in range(request.length):
            noise = [
                torch.randn(self.tokens.latent_dim, generator=g, device=device, dtype=torch.float32)
                for g in request.generators
            ]
            x_t = torch.stack(noise)  # (r, latent_dim)
            scheduler.set_timesteps(self.steps)  # also starts its count of steps
            times = (scheduler.timesteps / scheduler.config.num_train_timesteps).to(device)  # (steps,)
            for timestep, t in zip(scheduler.timesteps, times, strict=True):
                rows = request.both(x_t)
                velocity = request.guide(self.head(rows, t.expand(len(rows)), context.last))  # (r, latent_dim)
                x_t = scheduler.step(velocity, timestep, x_t, **options).prev_sample
            latents.append(x_t)
            context.append(request.both(self._embed(x_t)[:, None]))
        return list(torch.stack(latents, 1))  # (r, n, latent_dim)
