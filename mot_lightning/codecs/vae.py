"""Images as latents of a variational autoencoder (arXiv 1312.6114), in patches as in Transfusion."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mot_lightning.codecs.autoencoder import Autoencoder, in_parts
from mot_lightning.codecs.outside import fingerprint
from mot_lightning.codecs.patches import from_patches, to_patches


class VAE(Autoencoder):
    """Image (c, h, w) in [0, 1] <-> its latents (n, c' p p), row by row: the posterior's mean, shifted and scaled.

    Shift and scale are those of the network's config; one that is trained here gets those that bring the training
    images' latents to mean 0 and deviation 1.

    Args:
        shape, downsample, channels, steps: as in `Autoencoder`; the latter three are of a network trained here.
        name_or_path: folder or hub name of an AutoencoderKL, AutoencoderTiny or AutoencoderDC; none trains a small
            AutoencoderKL.
        latent_patch_size: side p of a patch of latents that makes one token; 2 in Transfusion.
        latent_channels: c' of a network trained here.
        kl_weight: of the divergence from a normal distribution in nats a latent, beside the squared error a pixel.
    """

    classes = ("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC")
    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        name_or_path: str | None = None,
        latent_patch_size: int = 1,
        latent_channels: int = 4,
        downsample: int = 2,
        channels: int = 32,
        steps: int = 1000,
        kl_weight: float = 1e-3,
    ) -> None:
        super().__init__(shape, name_or_path, downsample, channels, steps)
        self.latent_channels, self.kl_weight = latent_channels, kl_weight
        self.latent_channels = self.hold()
        self.latent_patch_size = self.patch_size = p = latent_patch_size
        h, w = self.latent_size
        if p < 1 or h % p or w % p:
            raise ValueError(f"latent_patch_size is {p}, wanted a divisor of the latents' {h}x{w}")
        self.latent_dim = self.latent_channels * p**2
        self.register_buffer("shift", torch.zeros(self.latent_channels, 1, 1))
        self.register_buffer("scale", torch.ones(self.latent_channels, 1, 1))
        self._take_scale()

    def _take_scale(self) -> None:
        """What the config says of its latents, as numbers for all channels or for each."""
        config = self.held.network.config
        mean, std = config.get("latents_mean"), config.get("latents_std")
        self.shift.copy_(torch.tensor(mean or config.get("shift_factor") or 0.0).view(-1, 1, 1))
        self.scale.copy_((config.get("scaling_factor") or 1.0) / torch.tensor(std or 1.0).view(-1, 1, 1))

    @property
    def outside(self) -> str:
        """Of the network's weights, and of the scale that its folder states."""
        return fingerprint([self.held.hash, self.shift.tolist(), self.scale.tolist()]) if self.name_or_path else ""

    @property
    def grid(self) -> tuple[int, int]:
        return self.latent_size[0] // self.latent_patch_size, self.latent_size[1] // self.latent_patch_size

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        self.check(media)
        return to_patches((self.latents(media[None])[0] - self.shift) * self.scale, self.latent_patch_size)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        scaled = from_patches(tokens.to(self.scale), self.latent_size, self.latent_patch_size)  # (c', h', w')
        return self.images((scaled / self.scale + self.shift)[None])[0]  # (c, h, w)

    def encoded(self, pixels: Tensor) -> Tensor:
        found = self.held.network.encode(pixels)  # each class has a word of its own for it
        if "latent_dist" in found:
            return found["latent_dist"].mode()
        return found["latents"] if "latents" in found else found["latent"]

    def build(self) -> Any:
        from diffusers import AutoencoderKL  # takes seconds

        return AutoencoderKL(**self.layers(), latent_channels=self.latent_channels)

    def loss(self, images: Tensor, done: float, generator: torch.Generator) -> Tensor:
        pixels = 2 * images - 1
        posterior = self.held.network.encode(pixels).latent_dist
        back = self.held.network.decode(posterior.sample(generator)).sample
        return F.mse_loss(back, pixels) + self.kl_weight * posterior.kl().mean() / posterior.mean[0].numel()

    @torch.no_grad()
    def finish(self, images: Tensor) -> None:
        latents = in_parts(self.latents, images)
        scale = {"shift_factor": float(latents.mean()), "scaling_factor": float(1 / latents.std().clamp_min(1e-6))}
        self.held.network.register_to_config(**scale)
        self._take_scale()

    def take(self, folder: Path) -> None:
        super().take(folder)
        self._take_scale()
