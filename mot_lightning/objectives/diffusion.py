"""Denoising diffusion (DDPM, arXiv 2006.11239): from noisy latents, the noise, the data or a mix of both is learned."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mot_lightning.objectives.denoiser import Denoiser
from mot_lightning.objectives.scheduler import accepts, check_scheduler, make_scheduler


class Diffusion(Denoiser):
    """x_t = sqrt(alpha_t) x_0 + sqrt(1 - alpha_t) noise, where alpha_t is the schedule's cumulative product.

    Args:
        time: where t enters: "norm" adapts the norms of the segment's tokens, "token" is added to each token.
        scheduler: the diffusers scheduler that samples, as class_path and init_args; its noise schedule
            (`beta_schedule`: linear, scaled_linear, squaredcos_cap_v2) is the one trained on.
        steps: sampling steps.
        io: how latents enter and leave: "linear" one by one, "unet" through the outer blocks of a U-Net.
        prediction_type: in training and sampling, by diffusers' names: "epsilon" is the noise, "sample" the data x_0,
            "v_prediction" sqrt(alpha_t) noise - sqrt(1 - alpha_t) x_0 (arXiv 2202.00512, appendix D). For epsilon the
            network says what sqrt(1 - alpha_t) x_t lacks of the noise, over sqrt(alpha_t): that is v, at epsilon's
            loss. It would otherwise copy all noise from its input, with an error that x_0 shows 1 / sqrt(alpha_t)
            times as large (arXiv 2206.00364, section 5).
        min_snr_gamma: clips the weight that errors of x_0 have at little noise: min(SNR, gamma), divided by SNR for
            epsilon and by SNR + 1 for v (arXiv 2303.09556, section 3.4: 5). None weighs all times alike, and so an
            error of x_0 by SNR, 1 or SNR + 1, for epsilon, data and v.
    """

    alphas_cumprod: Tensor
    default_scheduler: ClassVar = {
        "class_path": "diffusers.DDIMScheduler",
        # not clipped: how far latents reach is the codec's business
        "init_args": {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False, "timestep_spacing": "trailing"},
    }

    def __init__(
        self,
        time: Literal["norm", "token"] = "norm",
        scheduler: dict[str, Any] | str | None = None,
        steps: int = 50,
        io: Literal["linear", "unet"] = "linear",
        prediction_type: Literal["epsilon", "v_prediction", "sample"] = "v_prediction",
        min_snr_gamma: float | None = None,
    ) -> None:
        super().__init__(time, scheduler, steps, io)
        if min_snr_gamma is not None and min_snr_gamma <= 0:
            raise ValueError(f"min_snr_gamma is {min_snr_gamma}, wanted above 0, or null")
        self.prediction_type, self.min_snr_gamma = prediction_type, min_snr_gamma
        schedule = make_scheduler(self.scheduler)
        name = type(schedule).__name__
        if not hasattr(schedule, "alphas_cumprod"):
            raise ValueError(f"{name} has no alphas_cumprod, wanted a diffusion scheduler")
        arguments = self.scheduler.get("init_args", {})
        if accepts(schedule, "prediction_type"):
            arguments = {"prediction_type": prediction_type, **arguments}
        if (given := arguments.get("prediction_type", "epsilon")) != prediction_type:
            raise ValueError(f"scheduler {name} predicts {given!r}, wanted {prediction_type!r}, the prediction_type")
        if schedule.config.get("rescale_betas_zero_snr") and prediction_type == "epsilon":
            raise ValueError("prediction_type is 'epsilon', wanted another: at zero SNR the noise says nothing of x_0")
        self.scheduler = {**self.scheduler, "init_args": arguments}
        check_scheduler(self.scheduler, steps)
        self.register_buffer("alphas_cumprod", schedule.alphas_cumprod, persistent=False)  # (T,)

    def draw_times(self, cap: Tensor, generator: torch.Generator) -> Tensor:
        steps = len(self.alphas_cumprod)
        share = torch.rand(cap.shape, generator=generator, device=cap.device)
        return (cap * share * steps).floor().clamp(max=steps - 1) / steps  # (k,), the schedule's own steps over T

    def alpha(self, t: Tensor) -> Tensor:
        return self.alphas_cumprod[(t * len(self.alphas_cumprod)).round().long()]

    def corrupt(self, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_t = self.alpha(t)  # (n, 1)
        signal, scale = alpha_t.sqrt(), (1 - alpha_t).sqrt()
        target = x_0 if self.prediction_type == "sample" else signal * noise - scale * x_0
        return signal * x_0 + scale * noise, target  # (n, latent_dim)

    def weigh(self, t: Tensor) -> Tensor | None:
        alpha_t = self.alpha(t)
        if self.min_snr_gamma is None:  # epsilon is wrong by sqrt(alpha_t) of what v is wrong by
            return alpha_t if self.prediction_type == "epsilon" else None
        snr = alpha_t / (1 - alpha_t)
        return snr.clamp(max=self.min_snr_gamma) / (1 if self.prediction_type == "sample" else snr + 1)  # (k,)

    def for_scheduler(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        if self.prediction_type != "epsilon":
            return prediction
        alpha_t = self.alpha(t)[:, None, None]
        return (1 - alpha_t).sqrt() * x_t + alpha_t.sqrt() * prediction  # (r, n, latent_dim)
