"""Images as features of a pretrained vision model, which a trained decoder turns back (RAE, arXiv 2510.11690)."""

from pathlib import Path
from typing import Any

import torch

from mot_lightning.codecs.image import ImageCodec, OneImage
from mot_lightning.codecs.patches import from_patches, to_patches
from mot_lightning.codecs.pretrained import FrozenNetwork, all_weights, content_hash, load_pretrained
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require
from mot_lightning.sequence import Latents


class RAE(ImageCodec):
    """Image in [0, 1] <-> one latent for each patch of the vision model, row by row: its features, normalised.

    Mean and scale of the latents are in the network's config. The images are resized to the size that the vision model
    reads.

    Args:
        shape: channels, height and width of every image; the last two are those that the network decodes to.
        name_or_path: folder or hub name of an AutoencoderRAE of diffusers.

    Raises:
        ValueError: there is no such network, or it decodes to images of another size.
    """

    def __init__(self, shape: tuple[int, int, int], name_or_path: str | Path) -> None:
        super().__init__(shape)
        self.name_or_path = absolute_or_name(name_or_path, "name_or_path")
        self.frozen = FrozenNetwork(
            load_pretrained(
                lambda: _load(self.name_or_path), "RAE", self.name_or_path, "a folder or hub name of AutoencoderRAE"
            )
        )
        config = self.frozen.network.config
        side = config.encoder_input_size // config.encoder_patch_size
        self.grid_size, self.latent_dim = (side, side), config.encoder_hidden_size
        size = self.frozen.network.decoder_image_size
        require("shape", list(self.shape), f"height and width {size}, as it decodes to", self.shape[1:] == (size, size))

    @property
    def pretrained_hash(self) -> str:
        return content_hash([self.frozen.hash, self.frozen.network.config.scaling_factor])

    @property
    def grid(self) -> tuple[int, int]:
        return self.grid_size

    @property
    def length(self) -> int:
        return self.grid_size[0] * self.grid_size[1]

    @torch.no_grad()
    def encode(self, media: OneImage) -> Latents:
        self.check(media)
        return to_patches(self.frozen.network.encode(media[None].expand(-1, 3, -1, -1)).latent[0], 1)  # (n, latent_dim)

    @torch.no_grad()
    def decode(self, tokens: Latents) -> OneImage:
        latents = from_patches(tokens.float(), self.grid_size, 1)  # (latent_dim, rows, columns)
        pixels = self.frozen.network.decode(latents[None]).sample[0].clamp(0, 1)  # (3, h, w)
        return pixels.mean(0, keepdim=True) if self.shape[0] == 1 else pixels


def _load(name: str) -> Any:
    import diffusers  # takes seconds

    if not hasattr(diffusers, "AutoencoderRAE"):
        raise ValueError(f"diffusers is {diffusers.__version__}, wanted 0.37 or later")
    class_name = diffusers.AutoencoderRAE.load_config(name).get("_class_name")
    if class_name != "AutoencoderRAE":
        raise ValueError(f"it holds a {class_name}")
    options = {"low_cpu_mem_usage": False, "use_safetensors": True, "output_loading_info": True}
    return all_weights(diffusers.AutoencoderRAE.from_pretrained(name, **options))
