"""Images as features of a frozen vision model of transformers, to be read: nothing turns them back into images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.fitting import CALIBRATION_IMAGES, choose
from mot_lightning.codecs.image import ImageCodec, OneImage
from mot_lightning.codecs.pretrained import FrozenNetwork, all_weights, content_hash, load_pretrained
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require
from mot_lightning.sequence import Latents

PREPROCESSING = (
    "size",
    "crop_size",
    "resample",
    "image_mean",
    "image_std",
    "do_resize",
    "do_center_crop",
    "do_normalize",
)


class ImageFeatures(ImageCodec):
    """Image in [0, 1] -> one latent for each patch (n, c), row by row: the last layer's features, standardised.

    The model's own image processor resizes, crops and normalises the image. Tokens that are no patches, such as a class
    token or registers, are left out. BAGEL (arXiv 2505.14683) reads images in this way by SigLIP.

    Args:
        shape: channels, height and width of every image. Grey images enter as three equal channels.
        name_or_path: folder or hub name of SigLIP, CLIP, DINOv2, ViT or any other model with a feature for each patch,
            in safetensors, beside its image processor.

    Raises:
        ValueError: there is no such model, or it has no grid of patches.
    """

    decodable = False
    latent_dim: int
    mean: Float[Tensor, " c"]
    std: Float[Tensor, " c"]

    def __init__(self, shape: tuple[int, int, int], name_or_path: str | Path) -> None:
        super().__init__(shape)
        self.name_or_path = name = absolute_or_name(name_or_path, "name_or_path")
        expected = "a folder or hub name of a vision model, in safetensors"
        network, self.processor = load_pretrained(lambda: _load(name), "ImageFeatures", name, expected)
        self.frozen = FrozenNetwork(network)
        patch_size: Any = getattr(network.config, "patch_size", None)
        require("name_or_path", name, "a vision model with a patch_size in its config", isinstance(patch_size, int))
        pixels = self._pixels(torch.zeros(self.shape))  # (1, 3, h', w')
        self.grid_size = pixels.shape[2] // patch_size, pixels.shape[3] // patch_size
        with torch.no_grad():
            hidden = network(pixels).last_hidden_state
        fits = hidden.dim() == 3 and hidden.shape[1] >= self.length
        require("name_or_path", name, f"a model with a feature for each of {self.length} patches", fits)
        self.latent_dim = hidden.shape[2]
        self.register_buffer("mean", torch.zeros(self.latent_dim))
        self.register_buffer("std", torch.ones(self.latent_dim))

    @property
    def pretrained_hash(self) -> str:
        """Hash of the network's weights, and of how images are prepared for it."""
        return content_hash([self.frozen.hash, {name: getattr(self.processor, name, None) for name in PREPROCESSING}])

    @property
    def grid(self) -> tuple[int, int]:
        return self.grid_size

    @property
    def length(self) -> int:
        return self.grid_size[0] * self.grid_size[1]

    def fit(self, media: Sequence[OneImage]) -> None:
        """Learn mean and standard deviation of each feature over all patches of up to 2,048 training images."""
        count, total, squares = 0, torch.zeros(()).double(), torch.zeros(()).double()
        for image in choose(media, CALIBRATION_IMAGES):
            features = self._features(image).double()  # (n, c)
            count, total, squares = count + len(features), total + features.sum(0), squares + features.square().sum(0)
        mean = total / count
        self.mean.copy_(mean)
        self.std.copy_((squares / count - mean.square()).clamp(min=1e-12).sqrt())

    def encode(self, media: OneImage) -> Latents:
        self.check(media)
        return (self._features(media) - self.mean) / self.std  # (n, c)

    def decode(self, tokens: Latents) -> OneImage:
        """Raises ValueError."""
        raise ValueError("ImageFeatures cannot decode, wanted a codec that can, such as Patches, for images to be made")

    def _pixels(self, image: OneImage) -> Float[Tensor, "1 3 _h _w"]:
        """The image as the network reads it."""
        return self.processor(image.expand(3, -1, -1), do_rescale=False, return_tensors="pt")["pixel_values"]

    @torch.no_grad()
    def _features(self, image: OneImage) -> Latents:
        hidden = self.frozen.network(self._pixels(image)).last_hidden_state[0]
        return hidden[len(hidden) - self.length :]  # (n, c); the patches come last


def _load(name: str) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoModel  # takes seconds

    network, info = AutoModel.from_pretrained(
        name, output_loading_info=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
    )
    if lacking := {key for key in info["missing_keys"] if key.startswith("pooler.")}:
        network.pooler = None  # of the whole image, which many folders do without: features of patches need none
    network = all_weights((network, {**info, "missing_keys": {*info["missing_keys"]} - lacking}))
    processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    return getattr(network, "vision_model", network), processor  # of a model of images and texts, that of images
