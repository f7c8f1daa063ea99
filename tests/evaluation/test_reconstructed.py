"""Media after their codec."""

import math

import pytest
import torch

from mot_lightning.codecs import Bytes, LogMelUnits, Patches
from mot_lightning.evaluation.reconstructed import codec_rows


class Tenth(Patches):
    """Adds .1 to each pixel when it decodes."""

    def decode(self, tokens):
        return super().decode(tokens) + 0.1


class Data:
    """Grey images, and sounds of noise."""

    def media(self, name, split):
        if name == "encoded":
            raise ValueError("the data are tokens")
        generator = torch.Generator().manual_seed(0)
        shape = (1, 12, 12) if name == "image" else (4000,)
        return [0.5 * torch.rand(shape, generator=generator) for _ in range(6)]


def test_each_medium_is_compared_with_itself_and_text_is_left_out():
    data, speech = Data(), LogMelUnits(sample_rate=8000, vocab_size=4)
    speech.fit(data.media("speech", "train"))
    codecs = {"text": Bytes(), "image": Tenth((1, 12, 12), 4), "speech": speech, "encoded": Patches((1, 12, 12), 4)}
    rows = {(row.of, row.quantity): row for row in codec_rows(codecs, data, "test", 0)}
    assert {of for of, _ in rows} == {"image", "speech"}
    psnr = rows["image", "PSNR, dB"]
    assert (psnr.value, psnr.samples, psnr.section) == (pytest.approx(20, abs=1e-3), 6, "codecs")
    assert 0 < rows["image", "SSIM"].value < 1
    lossless = codec_rows({"image": Patches((1, 12, 12), 4)}, data, "test", 0)[0]
    assert lossless.value == math.inf
    assert lossless.record()["low"] is None
    distance = rows["speech", "mel-cepstral distance, dB"]
    assert 0 < distance.low < distance.value < distance.high
    assert math.isfinite(rows["speech", "SI-SDR, dB"].value)
