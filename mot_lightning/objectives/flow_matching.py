"""Flow matching on straight paths (rectified flow, arXiv 2209.03003): the velocity from data to noise is learned."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mot_lightning.objectives.denoiser import Denoiser
from mot_lightning.objectives.scheduler import make_scheduler


class FlowMatching(Denoiser):
    """x_t = (1 - t) x_0 + t noise, and the target is its velocity noise - x_0; t is uniform."""

    default_scheduler: ClassVar = {"class_path": "diffusers.FlowMatchEulerDiscreteScheduler"}

    def __init__(
        self, time: Literal["norm", "token"] = "norm", scheduler: dict[str, Any] | str | None = None, steps: int = 25
    ) -> None:
        super().__init__(time, scheduler, steps)
        made = make_scheduler(self.scheduler)
        flows = type(made).__name__.startswith("FlowMatch") or made.config.get("prediction_type") == "flow_prediction"
        if not flows:
            raise ValueError(f"scheduler {type(made).__name__} integrates no flow, wanted one of FlowMatch...Scheduler")

    def draw_times(self, cap: Tensor, generator: torch.Generator) -> Tensor:
        return cap * torch.rand(cap.shape, generator=generator, device=cap.device)  # (k,)

    def corrupt(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return (1 - t) * x_0 + t * noise, noise - x_0  # (n, latent_dim)
