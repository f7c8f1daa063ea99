"""The base of audio codecs: mono waveforms of one sample rate."""

from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.base import Codec
from mot_lightning.errors import require
from mot_lightning.media import Audio

Waveform = Float[Tensor, " _samples"]


class AudioCodec(Codec):
    """A codec of mono waveforms.

    Args:
        sample_rate: Hz.

    Raises:
        ValueError: the rate is too low for speech.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        require("sample_rate", sample_rate, "Hz, at least 1,000", sample_rate >= 1_000)
        self.sample_rate = sample_rate
        self.media_type = Audio(sample_rate)
