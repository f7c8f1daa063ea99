"""Denoising diffusion (DDPM, arXiv 2006.11239) with epsilon-prediction: the noise is learned."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mot_lightning.objectives.denoiser import Denoiser
from mot_lightning.objectives.scheduler import make_scheduler


class Diffusion(Denoiser):
    """x_t = sqrt(alpha_t) x_0 + sqrt(1 - alpha_t) noise, where alpha_t is the schedule's cumulative product.

    Args:
        time: where t enters: "norm" adapts the norms of the segment's tokens, "token" is added to each token.
        scheduler: the diffusers scheduler that samples, as class_path and init_args; its noise schedule is the
            one trained on.
        steps: sampling steps.
    """

    alphas_cumprod: Tensor
    default_scheduler: ClassVar = {
        "class_path": "diffusers.DDIMScheduler",
        "init_args": {"beta_schedule": "squaredcos_cap_v2", "clip_sample_range": 2.0, "timestep_spacing": "trailing"},
    }

    def __init__(
        self, time: Literal["norm", "token"] = "norm", scheduler: dict[str, Any] | str | None = None, steps: int = 50
    ) -> None:
        super().__init__(time, scheduler, steps)
        schedule = make_scheduler(self.scheduler)
        if schedule.config.get("prediction_type", "epsilon") != "epsilon":
            raise ValueError(f"scheduler predicts {schedule.config.prediction_type!r}, wanted 'epsilon'")
        if not hasattr(schedule, "alphas_cumprod"):
            raise ValueError(f"{type(schedule).__name__} has no alphas_cumprod, wanted a diffusion scheduler")
        self.register_buffer("alphas_cumprod", schedule.alphas_cumprod, persistent=False)  # (T,)

    def draw_times(self, cap: Tensor, generator: torch.Generator) -> Tensor:
        steps = len(self.alphas_cumprod)
        share = torch.rand(cap.shape, generator=generator, device=cap.device)
        return (cap * share * steps).floor().clamp(max=steps - 1) / steps  # (k,), the schedule's own steps over T

    def corrupt(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_t = self.alphas_cumprod[(t * len(self.alphas_cumprod)).round().long()]  # (n, 1)
        return alpha_t.sqrt() * x_0 + (1 - alpha_t).sqrt() * noise, noise  # (n, latent_dim)
