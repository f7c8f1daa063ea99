"""Flow matching on straight paths (rectified flow, arXiv 2209.03003): the velocity from data to noise is learned."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mot_lightning.objectives.denoiser import Denoiser
from mot_lightning.objectives.scheduler import make_scheduler

EARLIEST = 0.05  # the least time that x_0's error is divided by, as in arXiv 2511.13720


class FlowMatching(Denoiser):
    """x_t = (1 - t) x_0 + t noise, and the loss is the squared error of its velocity noise - x_0.

    Args:
        time: where t enters: "norm" adapts the norms of the segment's tokens, "token" is added to each token.
        scheduler: the diffusers scheduler that samples, as class_path and init_args, or just its name.
        steps: sampling steps.
        shift: times are moved towards noise: s t / (1 + (s - 1) t) (Stable Diffusion 3,
            arXiv 2403.03206, eq. 23). What many numbers show together stays visible under much noise. A scheduler
            that has a shift and is not given one takes this one.
        io: how latents enter and leave: "linear" one by one, "unet" through the outer blocks of a U-Net.
        times: how they are drawn before the shift: "uniform", or "logit_normal", which practises the middle of the
            path more than its ends (arXiv 2403.03206, eq. 19, m = 0, s = 1).
        prediction: what the network says: "velocity", or "x_0", from which the velocity (x_t - x_0) / t follows, with
            the loss still the velocity's (arXiv 2511.13720, eq. 6).
    """

    default_scheduler: ClassVar = {"class_path": "diffusers.FlowMatchEulerDiscreteScheduler"}

    def __init__(
        self,
        time: Literal["norm", "token"] = "norm",
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 25,
        shift: float = 3.0,
        io: Literal["linear", "unet"] = "linear",
        times: Literal["uniform", "logit_normal"] = "uniform",
        prediction: Literal["velocity", "x_0"] = "velocity",
    ) -> None:
        if shift <= 0:
            raise ValueError(f"shift is {shift}, wanted above 0")
        super().__init__(time, scheduler, steps, io)
        self.shift, self.times, self.prediction = shift, times, prediction
        made = make_scheduler(self.scheduler)
        flows = type(made).__name__.startswith("FlowMatch") or made.config.get("prediction_type") == "flow_prediction"
        if not flows:
            raise ValueError(f"scheduler {type(made).__name__} integrates no flow, wanted one of FlowMatch...Scheduler")
        name = next((name for name in ("shift", "flow_shift") if name in made.config), None)
        if name:
            arguments = {name: shift, **self.scheduler.get("init_args", {})}
            self.scheduler = {**self.scheduler, "init_args": arguments}

    def draw_times(self, cap: Tensor, generator: torch.Generator) -> Tensor:
        draw = torch.rand if self.times == "uniform" else torch.randn
        t = draw(cap.shape, generator=generator, device=cap.device)  # (k,)
        t = t if self.times == "uniform" else t.sigmoid()
        return cap * self.shift * t / (1 + (self.shift - 1) * t)

    def corrupt(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x_t = (1 - t) * x_0 + t * noise  # (n, latent_dim)
        return x_t, noise - x_0 if self.prediction == "velocity" else x_0

    def weigh(self, t: Tensor) -> Tensor | None:
        # (x_t - x) / t is wrong by 1 / t of what x is wrong by
        return None if self.prediction == "velocity" else t.clamp(min=EARLIEST) ** -2  # (k,)

    def for_scheduler(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        if self.prediction == "velocity":
            return prediction
        return (x_t - prediction) / t[:, None, None].clamp(min=EARLIEST)  # (r, n, latent_dim)
