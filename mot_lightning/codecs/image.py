"""The base of image codecs: images of one shape."""

from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.base import Codec
from mot_lightning.media import Image

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
