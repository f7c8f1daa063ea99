"""Audio as continuous latents for denoising objectives: standardised log-mel frames."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.audio import Waveform
from mot_lightning.codecs.mel import FLOOR, MelCodec
from mot_lightning.errors import require
from mot_lightning.sequence import Latents

QUIET = 0.75 * math.log(FLOOR)  # log-mel; latents at the end of a segment with no band above this are padding


class MelLatents(MelCodec):
    """Mono waveform at `sample_rate` Hz <-> `length` latents, one per `frames * hop_ms` ms.

    A latent is `frames` log-mel frames, or their first principal components, minus the mean and divided by one standard
    deviation for all dimensions, so that squared errors are proportional to those of log-mels. Audio is padded with
    silence to `seconds`; decoding removes the silence.

    Args:
        seconds: duration of every segment; longer audio is cut, with a message the first time.
        latent_dim: number of principal components; null keeps all frames * n_mels values.
        sample_rate, n_mels, hop_ms, frames, griffin_lim_iterations: as in `MelCodec`.
    """

    latent_dim: int
    center: Float[Tensor, " stacked"]  # frames * n_mels
    components: Float[Tensor, "latent_dim stacked"]  # orthonormal rows
    std: Float[Tensor, ""]  # 0 until fitted

    def __init__(
        self,
        seconds: float = 1.0,
        latent_dim: int | None = None,
        sample_rate: int = 8_000,
        n_mels: int = 40,
        hop_ms: int = 10,
        frames: int = 4,
        griffin_lim_iterations: int = 32,
    ) -> None:
        super().__init__(sample_rate, n_mels, hop_ms, frames, griffin_lim_iterations)
        require("seconds", seconds, "above 0 and at most 60", 0 < seconds <= 60)
        stacked = frames * n_mels
        fits = latent_dim is None or 1 <= latent_dim <= stacked
        require("latent_dim", latent_dim, f"1 to {stacked}, of {frames} frames of {n_mels} bands", fits)
        self.seconds, self.latent_dim = seconds, latent_dim or stacked
        self.warned = False  # about audio that was cut
        self.register_buffer("center", torch.zeros(stacked))
        self.register_buffer("components", torch.eye(stacked)[: self.latent_dim].clone())
        self.register_buffer("std", torch.tensor(0.0))

    @property
    def length(self) -> int:
        return self.units(round(self.seconds * self.sample_rate))

    @torch.no_grad()
    def fit(self, media: Sequence[Waveform]) -> None:
        """Learn the mean, components and standard deviation of the training clips' frames, padding included."""
        stacked = torch.cat([self._stacked(wave) for wave in media])  # (n, frames * n_mels)
        self.center.copy_(stacked.mean(0))
        if self.latent_dim < len(self.center):
            axes = torch.linalg.eigh(torch.cov(stacked.T))[1].flip(1).T  # rows, largest variance first
            # PCA leaves signs open: the entry of largest magnitude is made positive
            sign = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # (frames * n_mels, 1)
            self.components.copy_((axes * sign)[: self.latent_dim])
        self.std.copy_(((stacked - self.center) @ self.components.T).square().mean().sqrt().clamp_min(1e-3))

    @torch.no_grad()
    def encode(self, media: Waveform) -> Latents:
        """Waveform -> latents. Raises ValueError before `fit`."""
        self.check(media)
        if not self.std:
            raise ValueError("MelLatents has no deviation yet: call fit, or load a checkpoint that holds it")
        return (self._stacked(media) - self.center) @ self.components.T / self.std

    @torch.no_grad()
    def decode(self, tokens: Latents) -> Waveform:
        """Latents -> waveform with its peak at 0.5, without the silence at its end."""
        logs = (tokens.to(self.center) * self.std @ self.components + self.center).clamp(math.log(FLOOR), 0)
        loud = (logs.amax(1) > QUIET).nonzero()  # (m, 1)
        return self.to_waveform(logs[: int(loud[-1]) + 1] if len(loud) else logs[:0])

    def _stacked(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> stacked log-mel frames of a complete segment, `(length, frames * n_mels)`."""
        samples = self.length * self.samples_per_unit
        if len(wave) > samples and not self.warned:
            self.warned = True
            seconds, limit = (count / self.sample_rate for count in (len(wave), samples))
            print(f"MelLatents: a sound of {seconds:.2f} s is cut to {limit:.2f} s: raise seconds to keep all")
        wave = torch.nn.functional.pad(wave[:samples], (0, max(0, samples - len(wave))))
        return self.log_mel(wave).reshape(self.length, -1)
