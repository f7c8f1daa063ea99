"""Images as latents of a variational autoencoder (arXiv 1312.6114), in patches as in Transfusion."""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.autoencoder import Autoencoder, LatentGrid, batched
from mot_lightning.codecs.image import Images, OneImage
from mot_lightning.codecs.patches import from_patches, to_patches
from mot_lightning.codecs.pretrained import content_hash
from mot_lightning.errors import require
from mot_lightning.sequence import Latents


class VAE(Autoencoder):
    """Image in [0, 1] <-> its latents (n, latent_channels p p), row by row: the posterior's mean, shifted and scaled.

    Shift and scale are in the network's config. Training from scratch sets them so that latents of training images have
    mean 0 and standard deviation 1.

    Args:
        shape, downsample, channels, steps: as in `Autoencoder`; the last three apply to training from scratch.
        name_or_path: folder or hub name of an AutoencoderKL, AutoencoderTiny or AutoencoderDC; null trains a small
            AutoencoderKL.
        latent_patch_size: side p of the patch of latents in one token; 2 in Transfusion.
        latent_channels: channels of the latents, if trained from scratch.
        kl_weight: weight of the KL divergence from a standard normal, in nats per latent value, relative to the squared
            error per pixel value.
    """

    classes = ("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC")
    shift: Float[Tensor, "latent_channels 1 1"]
    scale: Float[Tensor, "latent_channels 1 1"]

    def __init__(
        self,
        shape: tuple[int, int, int],
        name_or_path: str | Path | None = None,
        latent_patch_size: int = 1,
        latent_channels: int = 4,
        downsample: int = 2,
        channels: int = 32,
        steps: int = 1000,
        kl_weight: float = 1e-3,
    ) -> None:
        super().__init__(shape, name_or_path, downsample, channels, steps)
        require("latent_channels", latent_channels, "at least 1", latent_channels >= 1)
        require("kl_weight", kl_weight, "a number of 0 or more", 0 <= kl_weight < math.inf)
        self.latent_channels, self.kl_weight = latent_channels, kl_weight
        self.latent_channels = self.load_network()
        self.latent_patch_size = self.patch_size = p = latent_patch_size
        h, w = self.latent_size
        divides = p >= 1 and h % p == 0 and w % p == 0
        require("latent_patch_size", p, f"a divisor of the latents' {h}x{w}", divides)
        self.latent_dim = self.latent_channels * p**2
        self.register_buffer("shift", torch.zeros(self.latent_channels, 1, 1))
        self.register_buffer("scale", torch.ones(self.latent_channels, 1, 1))
        self._read_scale()

    def _read_scale(self) -> None:
        """Read shift and scale from the network's config, as one number or one for each channel."""
        config = self.frozen.network.config
        mean, std = config.get("latents_mean"), config.get("latents_std")
        self.shift.copy_(torch.tensor(mean or config.get("shift_factor") or 0.0).view(-1, 1, 1))
        self.scale.copy_((config.get("scaling_factor") or 1.0) / torch.tensor(std or 1.0).view(-1, 1, 1))

    @property
    def pretrained_hash(self) -> str:
        """Hash of the network's weights, and of the shift and scale in its config."""
        return content_hash([self.frozen.hash, self.shift.tolist(), self.scale.tolist()]) if self.name_or_path else ""

    @property
    def grid(self) -> tuple[int, int]:
        return self.latent_size[0] // self.latent_patch_size, self.latent_size[1] // self.latent_patch_size

    @torch.no_grad()
    def encode(self, media: OneImage) -> Latents:
        self.check(media)
        return to_patches((self.latents(media[None])[0] - self.shift) * self.scale, self.latent_patch_size)

    @torch.no_grad()
    def decode(self, tokens: Latents) -> OneImage:
        scaled = from_patches(tokens.to(self.scale), self.latent_size, self.latent_patch_size)  # (c', h', w')
        return self.images((scaled / self.scale + self.shift)[None])[0]  # (c, h, w)

    def encoded(self, pixels: Images) -> LatentGrid:
        output = self.frozen.network.encode(pixels)  # its key depends on the class
        if "latent_dist" in output:
            return output["latent_dist"].mode()
        return output["latents"] if "latents" in output else output["latent"]

    def build(self) -> Any:
        from diffusers import AutoencoderKL  # takes seconds

        return AutoencoderKL(**self.layers(), latent_channels=self.latent_channels)

    def loss(self, images: Images, done: float, generator: torch.Generator) -> Float[Tensor, ""]:
        pixels = 2 * images - 1
        posterior = self.frozen.network.encode(pixels).latent_dist
        decoded = self.frozen.network.decode(posterior.sample(generator)).sample
        return F.mse_loss(decoded, pixels) + self.kl_weight * posterior.kl().mean() / posterior.mean[0].numel()

    @torch.no_grad()
    def on_train_end(self, images: Images) -> None:
        latents = batched(self.latents, images)
        scale = {"shift_factor": float(latents.mean()), "scaling_factor": float(1 / latents.std().clamp_min(1e-6))}
        self.frozen.network.register_to_config(**scale)
        self._read_scale()

    def load(self, folder: Path) -> None:
        super().load(folder)
        self._read_scale()
