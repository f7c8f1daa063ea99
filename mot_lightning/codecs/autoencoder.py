"""The base of codecs with an autoencoder of diffusers: pretrained, or small and trained from scratch.

Knows networks, images and a grid of latents; `vae.py` and `vq.py` convert latents to tokens, `fitting.py` trains.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mot_lightning.codecs.fitting import train_once
from mot_lightning.codecs.image import ImageCodec, Images, OneImage, psnr
from mot_lightning.codecs.pretrained import FrozenNetwork, all_weights, load_pretrained
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require

LatentGrid = Float[Tensor, "b latent_channels rows columns"]


def batched(function: Callable[[Tensor], Tensor], images: Images) -> Shaped[Tensor, "b ..."]:
    """Apply a function to many images in chunks of 256, to bound the memory of features."""
    return torch.cat([function(chunk) for chunk in images.split(256)])


class Autoencoder(ImageCodec):
    """A network between images and a grid of latents.

    Without `name_or_path` it is small, `fit` trains it on the images of the training split, and checkpoints contain its
    weights. Of a pretrained network, checkpoints contain only a hash.

    Args:
        shape: channels, height and width of every image. Grey images enter an RGB network as three equal channels.
        name_or_path: a folder of diffusers, or a name on the hub; null trains a network from scratch.
        downsample: pixels along a side of one latent, a power of 2.
        channels: channels of the widest layers.
        steps: training steps in `fit`.

    Raises:
        ValueError: there is no such network, or it does not fit the images.
    """

    classes: ClassVar[tuple[str, ...]]  # classes of diffusers that may be loaded
    latent_size: tuple[int, int]  # rows and columns

    def __init__(
        self, shape: tuple[int, int, int], name_or_path: str | Path | None, downsample: int, channels: int, steps: int
    ) -> None:
        super().__init__(shape)
        require("downsample", downsample, "1, 2, 4, 8 or 16", downsample in (1, 2, 4, 8, 16))
        require("channels", channels, "a multiple of 8", channels >= 8 and channels % 8 == 0)
        require("steps", steps, "at least 1", steps >= 1)
        self.name_or_path = None if name_or_path is None else absolute_or_name(name_or_path, "name_or_path")
        self.downsample, self.channels, self.steps = downsample, channels, steps

    def load_network(self) -> int:
        """Load or build the network; returns the channels of its latents. Subclasses call it in their `__init__`."""
        name = self.name_or_path
        if name is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.frozen = FrozenNetwork(self.build())
        else:
            expected = f"a folder or hub name of {' or '.join(self.classes)}"
            self.frozen = FrozenNetwork(load_pretrained(lambda: self._load(name), type(self).__name__, name, expected))
        channels = self.frozen.network.config.in_channels
        if channels != self.shape[0] and (self.shape[0], channels) != (1, 3):
            raise ValueError(f"shape has {self.shape[0]} channels, wanted the {channels} of {name}")
        try:
            with torch.no_grad():
                latents = self.latents(torch.zeros(1, *self.shape))
                decoded = tuple(self.images(latents)[0].shape)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"shape is {self.shape}, wanted a size that {name or 'the network'} can encode: {reason}"
            ) from None
        require("shape", self.shape, f"a size that decoding restores: it decodes to {decoded}", decoded == self.shape)
        self.latent_size = latents.shape[2], latents.shape[3]
        return latents.shape[1]

    def _load(self, name: str) -> Any:
        import diffusers  # takes seconds

        # only the named classes are loaded: without diffusers' AutoModel, there is no trust_remote_code to turn off
        class_name = diffusers.AutoencoderKL.load_config(name).get("_class_name")
        if class_name not in self.classes:
            raise ValueError(f"it holds a {class_name}")
        kind = getattr(diffusers, class_name)
        return all_weights(kind.from_pretrained(name, low_cpu_mem_usage=False, output_loading_info=True))

    @property
    def pretrained_hash(self) -> str:
        return self.frozen.hash if self.name_or_path else ""

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def grid(self) -> tuple[int, int]:
        return self.latent_size

    def get_extra_state(self) -> dict[str, Tensor]:
        """The weights of a network trained from scratch; none of a pretrained network."""
        return {} if self.name_or_path else dict(self.frozen.network.state_dict())

    def set_extra_state(self, state: Any) -> None:
        if state:
            self.frozen.network.load_state_dict(state)

    def save_pretrained(self, folder: Path) -> None:
        """Write the network as a folder that diffusers and `name_or_path` read."""
        self.frozen.network.save_pretrained(folder)

    def load(self, folder: Path) -> None:
        """Load the network from a folder of `save_pretrained`."""
        self.frozen = FrozenNetwork(
            load_pretrained(lambda: self._load(str(folder)), type(self).__name__, str(folder), "a network")
        )

    # images <-> latents, in batches, on the network's device

    def latents(self, images: Images) -> LatentGrid:
        """Images -> the network's most likely latents."""
        return self.encoded(2 * images.expand(-1, self.frozen.network.config.in_channels, -1, -1) - 1)

    def images(self, latents: LatentGrid) -> Images:
        """The network's latents -> images."""
        pixels = self.frozen.network.decode(latents).sample  # from -1 to 1
        pixels = pixels.mean(1, keepdim=True) if self.shape[0] == 1 else pixels
        return ((pixels + 1) / 2).clamp(0, 1)

    @abstractmethod
    def encoded(self, pixels: Images) -> LatentGrid:
        """Pixels from -1 to 1 -> the network's most likely latents."""

    # training

    def fit(self, media: Sequence[OneImage]) -> None:
        """Train the network, or load it from the cache if it was trained on the same images before."""
        if self.name_or_path is None:
            train_once(self, media)

    @abstractmethod
    def build(self) -> Any:
        """A small, untrained network of diffusers."""

    @abstractmethod
    def loss(self, images: Images, done: float, generator: torch.Generator) -> Float[Tensor, ""]:
        """Loss of a batch of images, after a fraction `done` of the training."""

    def before_step(self, images: Images, step: int, steps: int, generator: torch.Generator) -> None:
        """Updates without gradients before a step, from a few thousand training images."""

    def on_train_end(self, images: Images) -> None:
        """Updates that depend on the trained weights, from a few thousand training images."""

    @torch.no_grad()
    def quality(self, images: Images) -> dict[str, float]:
        """Quality of reconstructions: their peak signal-to-noise ratio (PSNR), in dB."""
        return {"psnr": psnr(batched(lambda chunk: self.images(self.latents(chunk)), images), images)}

    def layers(self) -> dict[str, Any]:
        """Arguments of the encoder and the decoder, the same for all classes of diffusers."""
        blocks = self.downsample.bit_length()  # one, plus one for each halving of the resolution
        return {
            "in_channels": self.shape[0],
            "out_channels": self.shape[0],
            "down_block_types": ("DownEncoderBlock2D",) * blocks,
            "up_block_types": ("UpDecoderBlock2D",) * blocks,
            "block_out_channels": tuple(max(8, self.channels >> (blocks - 1 - i)) for i in range(blocks)),
            "norm_num_groups": 8,
            "mid_block_add_attention": False,
            "sample_size": self.shape[1],
        }
