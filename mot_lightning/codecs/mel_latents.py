"""Sound as continuous latents: standardised log-mel frames, as a denoising objective wants them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mot_lightning.codecs.sound import FLOOR, MelCodec

QUIET = 0.75 * math.log(FLOOR)  # no band above this: what stands at the end of a segment to fill it


class MelLatents(MelCodec):
    """Mono waveform, float `(n,)` at `sample_rate` Hz <-> latents `(length, latent_dim)`, one per `frames * hop_ms` ms.

    A latent is some log-mel frames, or their first principal components, less their mean and divided by one number for
    all, so that squared errors stay what they are among log-mels. Silence fills a sound up to `seconds`; decoding cuts
    it off again.

    Args:
        seconds: of every segment; what is longer is cut, and that is said once.
        latent_dim: principal components kept; none keeps the frames as they are, frames * n_mels numbers.
        sample_rate, n_mels, hop_ms, frames, griffin_lim_iterations: as in `MelCodec`.
    """

    latent_dim: int
    center: Tensor  # (frames * n_mels,)
    components: Tensor  # (latent_dim, frames * n_mels), orthonormal rows
    std: Tensor  # (), 0 until fitted

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
        if not 0 < seconds <= 60:
            raise ValueError(f"seconds is {seconds}, wanted above 0 and at most 60")
        whole = frames * n_mels
        if latent_dim is not None and not 1 <= latent_dim <= whole:
            raise ValueError(f"latent_dim is {latent_dim}, wanted 1 to {whole}, of {frames} frames of {n_mels} bands")
        self.seconds, self.latent_dim = seconds, latent_dim or whole
        self.told = False  # that something was cut
        self.register_buffer("center", torch.zeros(whole))
        self.register_buffer("components", torch.eye(whole)[: self.latent_dim].clone())
        self.register_buffer("std", torch.tensor(0.0))

    @property
    def length(self) -> int:
        return self.units(round(self.seconds * self.sample_rate))

    @torch.no_grad()
    def fit(self, media: Sequence[Tensor]) -> None:
        """Learn mean, components and deviation of the training sounds' frames, the silence behind them included."""
        stacked = torch.cat([self._stacked(wave) for wave in media])  # (n, frames * n_mels)
        self.center.copy_(stacked.mean(0))
        if self.latent_dim < len(self.center):
            axes = torch.linalg.eigh(torch.cov(stacked.T))[1].flip(1).T  # rows, the widest first
            sign = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # the same on every machine
            self.components.copy_((axes * sign)[: self.latent_dim])
        self.std.copy_(((stacked - self.center) @ self.components.T).square().mean().sqrt().clamp_min(1e-3))

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """Waveform `(n,)` -> latents `(length, latent_dim)`. Raises ValueError before `fit`."""
        self.check(media)
        if not self.std:
            raise ValueError("MelLatents has no deviation yet: call fit, or load a checkpoint that holds it")
        return (self._stacked(media) - self.center) @ self.components.T / self.std

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Latents `(length, latent_dim)` -> waveform with its peak at 0.5, without the silence at its end."""
        logs = (tokens.to(self.center) * self.std @ self.components + self.center).clamp(math.log(FLOOR), 0)
        loud = (logs.amax(1) > QUIET).nonzero()  # (m, 1)
        return self.sound(logs[: int(loud[-1]) + 1] if len(loud) else logs[:0])

    def _stacked(self, wave: Tensor) -> Tensor:
        """Waveform `(n,)` -> log-mel frames of a whole segment, stacked, `(length, frames * n_mels)`."""
        samples = self.length * self.samples_per_unit
        if len(wave) > samples and not self.told:
            self.told = True
            was, now = (count / self.sample_rate for count in (len(wave), samples))
            print(f"MelLatents: a sound of {was:.2f} s is cut to {now:.2f} s: raise seconds to keep all")
        wave = torch.nn.functional.pad(wave[:samples], (0, max(0, samples - len(wave))))
        return self.log_mel(wave).reshape(self.length, -1)
