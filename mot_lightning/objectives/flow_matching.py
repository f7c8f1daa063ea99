"""Flow matching on straight paths (rectified flow, arXiv 2209.03003): learns the velocity from data to noise."""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from mot_lightning.errors import require
from mot_lightning.noise import Noise
from mot_lightning.objectives.base import RowsOfLatents
from mot_lightning.objectives.denoising import DenoisingObjective
from mot_lightning.objectives.schedulers import check_flow, make_scheduler
from mot_lightning.sequence import Latents

EARLIEST = 0.05  # lower bound of t where errors of x_0 are divided by it, as in arXiv 2511.13720


class FlowMatching(DenoisingObjective):
    """x_t = (1 - t) x_0 + t noise; the loss is the squared error of the velocity noise - x_0 (arXiv 2209.03003, eq. 1).

    Args:
        time_conditioning, patch_io: as in `DenoisingObjective`.
        scheduler: the diffusers scheduler that samples, as class_path and init_args, or its name.
        steps: sampling steps.
        shift: moves times towards noise: s t / (1 + (s - 1) t) (Stable Diffusion 3, arXiv 2403.03206, eq. 23), since
            data of many dimensions stay visible under strong noise. It is also the scheduler's shift, if that has one
            and its init_args do not set it.
        timestep_sampling: how times are sampled before the shift: "uniform", or "logit_normal", which samples the
            middle of the path more often than its ends (arXiv 2403.03206, eq. 19, m = 0, s = 1).
        prediction: output of the network: "velocity", or "x_0", from which the velocity is (x_t - x_0) / t. The loss is
            that of the velocity in both cases (arXiv 2511.13720, eq. 6).
    """

    default_scheduler: ClassVar = {"class_path": "diffusers.FlowMatchEulerDiscreteScheduler"}

    def __init__(
        self,
        time_conditioning: Literal["adaln", "additive"] = "adaln",
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 25,
        shift: float = 3.0,
        patch_io: Literal["linear", "unet"] = "linear",
        timestep_sampling: Literal["uniform", "logit_normal"] = "uniform",
        prediction: Literal["velocity", "x_0"] = "velocity",
    ) -> None:
        require("shift", shift, "above 0", shift > 0)
        super().__init__(time_conditioning, scheduler, steps, patch_io)
        self.shift, self.timestep_sampling, self.prediction = shift, timestep_sampling, prediction
        check_flow(self.scheduler)
        sampler = make_scheduler(self.scheduler)
        name = next((name for name in ("shift", "flow_shift") if name in sampler.config), None)
        if name:
            arguments = {name: shift, **self.scheduler.get("init_args", {})}
            self.scheduler = {**self.scheduler, "init_args": arguments}

    def sample_times(self, cap: Float[Tensor, " k"], noise: Noise) -> Float[Tensor, " k"]:
        t = noise.uniform() if self.timestep_sampling == "uniform" else noise.normal().sigmoid()  # (k,)
        return cap * self.shift * t / (1 + (self.shift - 1) * t)

    def corrupt(self, x_0: Latents, noise: Latents, t: Float[Tensor, "n 1"]) -> tuple[Latents, Latents]:
        x_t = (1 - t) * x_0 + t * noise  # (n, latent_dim)
        return x_t, noise - x_0 if self.prediction == "velocity" else x_0

    def loss_weight(self, t: Float[Tensor, " k"]) -> Float[Tensor, " k"] | None:
        # velocity = (x_t - x_0) / t, so its error is 1 / t times that of x_0
        return None if self.prediction == "velocity" else t.clamp(min=EARLIEST) ** -2  # (k,)

    def to_scheduler_output(
        self, prediction: RowsOfLatents, x_t: RowsOfLatents, t: Float[Tensor, "#r"]
    ) -> RowsOfLatents:
        if self.prediction == "velocity":
            return prediction
        return (x_t - prediction) / t[:, None, None].clamp(min=EARLIEST)  # (r, n, latent_dim)
