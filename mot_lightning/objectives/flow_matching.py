"""Flow matching on straight paths (rectified flow, arXiv 2209.03003): the velocity from data to noise is learned."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mot_lightning.objectives.denoiser import Denoiser
from mot_lightning.objectives.scheduler import make_scheduler


class FlowMatching(Denoiser):
    """x_t = (1 - t) x_0 + t noise, and the target is its velocity noise - x_0.

    Args:
        time: where t enters: "norm" adapts the norms of the segment's tokens, "token" is added to each token.
        scheduler: the diffusers scheduler that samples, as class_path and init_args, or just its name.
        steps: sampling steps.
        shift: times are uniform, then moved towards noise: s t / (1 + (s - 1) t) (Stable Diffusion 3,
            arXiv 2403.03206, eq. 23). What many numbers show together stays visible under much noise. A scheduler
            that has a shift and is not given one takes this one.
    """

    default_scheduler: ClassVar = {"class_path": "diffusers.FlowMatchEulerDiscreteScheduler"}

    def __init__(
        self,
        time: Literal["norm", "token"] = "norm",
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 25,
        shift: float = 3.0,
    ) -> None:
        if shift <= 0:
            raise ValueError(f"shift is {shift}, wanted above 0")
        super().__init__(time, scheduler, steps)
        self.shift = shift
        made = make_scheduler(self.scheduler)
        flows = type(made).__name__.startswith("FlowMatch") or made.config.get("prediction_type") == "flow_prediction"
        if not flows:
            raise ValueError(f"scheduler {type(made).__name__} integrates no flow, wanted one of FlowMatch...Scheduler")
        name = next((name for name in ("shift", "flow_shift") if name in made.config), None)
        if name:
            arguments = {name: shift, **self.scheduler.get("init_args", {})}
            self.scheduler = {**self.scheduler, "init_args": arguments}

    def draw_times(self, cap: Tensor, generator: torch.Generator) -> Tensor:
        t = torch.rand(cap.shape, generator=generator, device=cap.device)  # (k,)
        return cap * self.shift * t / (1 + (self.shift - 1) * t)

    def corrupt(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return (1 - t) * x_0 + t * noise, noise - x_0  # (n, latent_dim)
