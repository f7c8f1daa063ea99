"""The base of image codecs: images of one shape; how close reconstructions are, and ids of exactly one image."""

import torch
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.base import Codec
from mot_lightning.media import Image
from mot_lightning.sequence import Ids

OneImage = Float[Tensor, "c h w"]  # in [0, 1]
Images = Float[Tensor, "b c h w"]


class ImageCodec(Codec):
    """A codec of images (c, h, w) in [0, 1], all of one shape.

    Args:
        shape: channels (1 for grey, 3 for RGB), height and width of every image.

    Raises:
        ValueError: images are neither grey nor RGB.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.media_type = Image(shape)
        self.shape = self.media_type.shape


def psnr(reconstructed: Images, images: Images) -> float:
    """The mean over images of the peak signal-to-noise ratio of their reconstructions, in dB."""
    error = (reconstructed - images).square().flatten(1).mean(1)  # (b,)
    return float((-10 * error.clamp_min(1e-10).log10()).mean())


def one_image(ids: Ids, length: int) -> Ids:
    """The ids of a whole image, on the host: a short segment is padded with its last id, a long one is cut."""
    ids = ids[:length].cpu()
    last = ids[-1:] if len(ids) else torch.zeros(1, dtype=torch.long)
    return torch.cat([ids, last.expand(length - len(ids))])  # (length,)
