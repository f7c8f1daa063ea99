"""What a codec loses: media beside their reconstructions from tokens, the upper bound of what a model can make."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
from torchmetrics import Metric

from mot_lightning.codecs import Codec
from mot_lightning.evaluation.measure import measure
from mot_lightning.evaluation.metrics import PSNR, SISDR, SSIM, STOI, MelCepstralDistance
from mot_lightning.evaluation.rows import Row
from mot_lightning.media import Audio, Image

FIRST = 200  # media of each modality


def codec_rows(codecs: Mapping[str, Codec], data: Any, split: str, seed: int) -> list[Row]:
    """The metrics of the first images and sounds of a split after their codec; none of data that are tokens already."""
    rows = []
    for name, codec in codecs.items():
        if not codec.decodable or not (metrics := metrics_of(codec)):
            continue
        try:
            media = list(islice(iter(data.media(name, split)), FIRST))
        except ValueError:  # the data are encoded
            continue
        with torch.no_grad():
            decoded = [codec.decode(codec.encode(medium)) for medium in media]
        rows += [
            measure(one, decoded, media, (name, quantity, ""), seed, "codecs") for quantity, one in metrics.items()
        ]
    return rows


def metrics_of(codec: Codec) -> dict[str, Metric]:
    """Metrics of a codec's media beside the originals, by name."""
    media_type = codec.media_type
    if isinstance(media_type, Image):
        return {"PSNR, dB": PSNR(), "SSIM": SSIM()}
    if isinstance(media_type, Audio):
        rate = media_type.sample_rate
        distance = MelCepstralDistance(rate)
        return {"SI-SDR, dB": SISDR(), "mel-cepstral distance, dB": distance, "STOI": STOI(rate)}
    return {}
