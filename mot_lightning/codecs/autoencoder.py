"""What codecs through an autoencoder of diffusers share: a pretrained network, or a small one that is trained here.

Knows networks, images and a grid of latents; `vae.py` and `vq.py` make tokens of them, `training.py` trains.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from mot_lightning.codecs.image import ImageCodec
from mot_lightning.codecs.outside import Held, from_outside


def in_parts(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """A function of many images, some hundred at a time: their features would fill the memory."""
    return torch.cat([function(part) for part in images.split(256)])


class Autoencoder(ImageCodec):
    """A network between images and a grid of latents.

    Without `name_or_path` it is a small one that `fit` trains on the training split's images, and a checkpoint holds
    its weights. A pretrained one's weights no checkpoint holds, only their hash.

    Args:
        shape: channels, height and width of every image. Grey ones pass a network for RGB as three equal channels.
        name_or_path: a folder of diffusers, or a name on the hub; none trains a network here.
        downsample: pixels along a side of one latent, a power of 2.
        channels: of the widest layers.
        steps: of training in `fit`.

    Raises:
        ValueError: there is no such network, or it does not fit the images.
    """

    classes: ClassVar[tuple[str, ...]]  # of diffusers that may be loaded
    latent_size: tuple[int, int]

    def __init__(
        self, shape: tuple[int, int, int], name_or_path: str | None, downsample: int, channels: int, steps: int
    ) -> None:
        super().__init__(shape)
        if downsample not in (1, 2, 4, 8, 16):
            raise ValueError(f"downsample is {downsample}, wanted 1, 2, 4, 8 or 16")
        if channels < 8 or channels % 8:
            raise ValueError(f"channels is {channels}, wanted a multiple of 8")
        if steps < 1:
            raise ValueError(f"steps is {steps}, wanted at least 1")
        self.name_or_path, self.downsample, self.channels, self.steps = name_or_path, downsample, channels, steps

    def hold(self) -> int:
        """Load or build the network; returns its latents' channels. A subclass calls it once it knows its settings."""
        name = self.name_or_path
        if name is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.held = Held(self.build())
        else:
            wanted = f"a folder or hub name of {' or '.join(self.classes)}"
            self.held = Held(from_outside(lambda: self._load(name), type(self).__name__, name, wanted))
        wide = self.held.network.config.in_channels
        if wide != self.shape[0] and (self.shape[0], wide) != (1, 3):
            raise ValueError(f"shape has {self.shape[0]} channels, wanted the {wide} of {name}")
        try:
            with torch.no_grad():
                latents = self.latents(torch.zeros(1, *self.shape))
                back = self.images(latents)[0].shape
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"shape is {self.shape}, wanted a size that {name} can encode: {reason}") from None
        if tuple(back) != self.shape:
            raise ValueError(f"shape is {self.shape}, wanted a size that comes back: this returns as {tuple(back)}")
        self.latent_size = latents.shape[2], latents.shape[3]
        return latents.shape[1]

    def _load(self, name: str) -> Any:
        import diffusers  # takes seconds

        stated = diffusers.AutoencoderKL.load_config(name).get("_class_name")
        if stated not in self.classes:
            raise ValueError(f"it holds a {stated}")
        return getattr(diffusers, stated).from_pretrained(name, low_cpu_mem_usage=False)

    @property
    def outside(self) -> str:
        return self.held.hash if self.name_or_path else ""

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def grid(self) -> tuple[int, int]:
        return self.latent_size

    def get_extra_state(self) -> dict[str, Tensor]:
        """The weights of a network that is trained here."""
        return {} if self.name_or_path else dict(self.held.network.state_dict())

    def set_extra_state(self, state: Any) -> None:
        if state:
            self.held.network.load_state_dict(state)

    def save_pretrained(self, folder: Path) -> None:
        """Write the network as a folder that diffusers and `name_or_path` read."""
        self.held.network.save_pretrained(folder)

    def take(self, folder: Path) -> None:
        """Take the network from a folder that `save_pretrained` wrote."""
        self.held = Held(from_outside(lambda: self._load(str(folder)), type(self).__name__, str(folder), "a network"))

    # images <-> latents, in batches, on the network's device

    def latents(self, images: Tensor) -> Tensor:
        """Images (b, c, h, w) -> the network's likeliest latents (b, c', h', w')."""
        return self.encoded(2 * images.expand(-1, self.held.network.config.in_channels, -1, -1) - 1)

    def images(self, latents: Tensor) -> Tensor:
        """The network's latents (b, c', h', w') -> images (b, c, h, w)."""
        pixels = self.held.network.decode(latents).sample  # from -1 to 1
        pixels = pixels.mean(1, keepdim=True) if self.shape[0] == 1 else pixels
        return ((pixels + 1) / 2).clamp(0, 1)

    @abstractmethod
    def encoded(self, pixels: Tensor) -> Tensor:
        """Pixels from -1 to 1, (b, c, h, w) -> the network's likeliest latents (b, c', h', w')."""

    # training

    def fit(self, media: Sequence[Tensor]) -> None:
        """Train the network, or take it from the cache where it was trained on the same images before."""
        if self.name_or_path is None:
            from mot_lightning.codecs.training import train_once  # it imports this module

            train_once(self, torch.stack(list(media)))

    @abstractmethod
    def build(self) -> Any:
        """A small network of diffusers, untrained."""

    @abstractmethod
    def loss(self, images: Tensor, done: float, generator: torch.Generator) -> Tensor:
        """What is to be small for images (b, c, h, w), when a share of the training is done."""

    def before_step(self, images: Tensor, step: int, steps: int, generator: torch.Generator) -> None:
        """Whatever no gradient does, given some thousand training images (b, c, h, w)."""

    def finish(self, images: Tensor) -> None:
        """Whatever follows from trained weights, given some thousand training images (b, c, h, w)."""

    @torch.no_grad()
    def quality(self, images: Tensor) -> dict[str, float]:
        """Of reconstructions (b, c, h, w): the mean over images of the signal-to-noise ratio (PSNR), in dB."""
        back = in_parts(lambda part: self.images(self.latents(part)), images)
        error = (back - images).square().flatten(1).mean(1)  # (b,)
        return {"psnr": float((-10 * error.clamp_min(1e-10).log10()).mean())}

    def layers(self) -> dict[str, Any]:
        """Arguments of the encoder and the decoder, the same for all classes of diffusers."""
        blocks = self.downsample.bit_length()  # one, and one more for each halving
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
