"""Denoising diffusion (DDPM, arXiv 2006.11239): predicts the noise, the data or a mix of both from noisy latents."""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from mot_lightning.errors import require
from mot_lightning.noise import Noise
from mot_lightning.objectives.base import RowsOfLatents
from mot_lightning.objectives.denoising import DenoisingObjective
from mot_lightning.objectives.schedulers import accepts, check_scheduler, make_scheduler
from mot_lightning.sequence import Latents


class Diffusion(DenoisingObjective):
    """x_t = sqrt(alpha_t) x_0 + sqrt(1 - alpha_t) noise (arXiv 2006.11239, eq. 4; alpha_t: the cumulative product).

    Args:
        time_conditioning, patch_io: as in `DenoisingObjective`.
        scheduler: the diffusers scheduler that samples, as class_path and init_args; its noise schedule
            (`beta_schedule`: linear, scaled_linear, squaredcos_cap_v2) is the one trained on.
        steps: sampling steps.
        prediction_type: in training and sampling, by diffusers' names: "epsilon" is the noise, "sample" the data x_0,
            "v_prediction" sqrt(alpha_t) noise - sqrt(1 - alpha_t) x_0 (arXiv 2202.00512, appendix D). For epsilon the
            network outputs v, the noise is sqrt(1 - alpha_t) x_t + sqrt(alpha_t) v, and the loss is that of the noise.
            A network that outputs the noise itself would have to copy it from its input at high noise, where small
            errors become large errors of x_0 (arXiv 2206.00364, section 5).
        min_snr_gamma: weights the loss of x_0 by min(SNR, gamma), that of epsilon by min(SNR, gamma) / SNR, and that
            of v by min(SNR, gamma) / (SNR + 1) (Min-SNR, arXiv 2303.09556, section 3.4, which uses 5). None weights all
            times equally: the squared error of x_0 then counts SNR, 1 and SNR + 1 times for epsilon, sample and v.
    """

    alphas_cumprod: Float[Tensor, " T"]
    default_scheduler: ClassVar = {
        "class_path": "diffusers.DDIMScheduler",
        # not clipped: the range of latents depends on the codec
        "init_args": {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False, "timestep_spacing": "trailing"},
    }

    def __init__(
        self,
        time_conditioning: Literal["adaln", "additive"] = "adaln",
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 50,
        patch_io: Literal["linear", "unet"] = "linear",
        prediction_type: Literal["epsilon", "v_prediction", "sample"] = "v_prediction",
        min_snr_gamma: float | None = None,
    ) -> None:
        super().__init__(time_conditioning, scheduler, steps, patch_io)
        require("min_snr_gamma", min_snr_gamma, "above 0, or null", min_snr_gamma is None or min_snr_gamma > 0)
        self.prediction_type, self.min_snr_gamma = prediction_type, min_snr_gamma
        schedule = make_scheduler(self.scheduler)
        name = type(schedule).__name__
        if not hasattr(schedule, "alphas_cumprod"):
            raise ValueError(f"{name} has no alphas_cumprod, wanted a diffusion scheduler")
        arguments = self.scheduler.get("init_args", {})
        if accepts(schedule, "prediction_type"):
            arguments = {"prediction_type": prediction_type, **arguments}
        if (predicted := arguments.get("prediction_type", "epsilon")) != prediction_type:
            raise ValueError(
                f"scheduler {name} predicts {predicted!r}, wanted {prediction_type!r}, the prediction_type"
            )
        if schedule.config.get("rescale_betas_zero_snr") and prediction_type == "epsilon":
            raise ValueError(
                "prediction_type is 'epsilon', wanted another: at zero SNR the noise does not determine x_0"
            )
        self.scheduler = {**self.scheduler, "init_args": arguments}
        check_scheduler(self.scheduler, steps)
        self.register_buffer("alphas_cumprod", schedule.alphas_cumprod, persistent=False)

    def sample_times(self, cap: Float[Tensor, " k"], noise: Noise) -> Float[Tensor, " k"]:
        steps = len(self.alphas_cumprod)
        return (cap * noise.uniform() * steps).floor().clamp(max=steps - 1) / steps  # (k,) multiples of 1 / T

    def alpha(self, t: Float[Tensor, "*of"]) -> Float[Tensor, "*of"]:
        """alpha_t at times t in [0, 1)."""
        return self.alphas_cumprod[(t * len(self.alphas_cumprod)).round().long()]

    def corrupt(self, x_0: Latents, noise: Latents, t: Float[Tensor, "n 1"]) -> tuple[Latents, Latents]:
        alpha_t = self.alpha(t)  # (n, 1)
        signal, scale = alpha_t.sqrt(), (1 - alpha_t).sqrt()
        target = x_0 if self.prediction_type == "sample" else signal * noise - scale * x_0
        return signal * x_0 + scale * noise, target  # (n, latent_dim)

    def loss_weight(self, t: Float[Tensor, " k"]) -> Float[Tensor, " k"] | None:
        alpha_t = self.alpha(t)  # (k,)
        if self.min_snr_gamma is None:  # the error of epsilon is sqrt(alpha_t) times that of v
            return alpha_t if self.prediction_type == "epsilon" else None
        snr = alpha_t / (1 - alpha_t)
        return snr.clamp(max=self.min_snr_gamma) / (1 if self.prediction_type == "sample" else snr + 1)  # (k,)

    def to_scheduler_output(
        self, prediction: RowsOfLatents, x_t: RowsOfLatents, t: Float[Tensor, "#r"]
    ) -> RowsOfLatents:
        if self.prediction_type != "epsilon":
            return prediction
        alpha_t = self.alpha(t)[:, None, None]
        return (1 - alpha_t).sqrt() * x_t + alpha_t.sqrt() * prediction  # (r, n, latent_dim)
