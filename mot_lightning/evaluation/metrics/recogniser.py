"""Speech recognition by a pretrained network of transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchaudio.functional import resample

from mot_lightning.codecs.pretrained import all_weights
from mot_lightning.evaluation.metrics.pretrained import load

SHORTEST = 0.1  # seconds; a network of convolutions has no frame of less than 25 ms


class Recogniser(nn.Module):
    """Waveforms -> texts, by greedy decoding, one sound at a time: its text depends on no other.

    Args:
        name_or_path: a folder or hub name of a network for speech recognition, such as Whisper or wav2vec 2.0 with CTC.
    """

    def __init__(self, name_or_path: str | Path) -> None:
        super().__init__()
        expected = "a folder or hub name of Whisper, or of a CTC network, and its processor"
        self.network, self.processor, self.has_ctc = load("recogniser", name_or_path, _load, expected)

    @torch.no_grad()
    def forward(self, sounds: Sequence[Tensor], sample_rate: int) -> list[str]:
        """The text of each sound (samples,)."""
        return [self._text(resample(sound, sample_rate, self.sample_rate)) for sound in sounds]

    @property
    def sample_rate(self) -> int:
        """The rate that the network takes, in Hz."""
        return int(self.processor.feature_extractor.sampling_rate)

    def _text(self, sound: Tensor) -> str:
        sound = pad(sound, (0, max(0, int(SHORTEST * self.sample_rate) - len(sound))))
        inputs = self.processor.feature_extractor(sound.numpy(), sampling_rate=self.sample_rate, return_tensors="pt")
        if self.has_ctc:
            ids = self.network(**inputs).logits.argmax(-1)
        else:
            ids = self.network.generate(**inputs, do_sample=False, num_beams=1)
        return str(self.processor.batch_decode(ids, skip_special_tokens=True)[0])


def _load(name: str, **how: bool) -> tuple[nn.Module, Any, bool]:
    from transformers import AutoConfig, AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoProcessor
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES

    has_ctc = AutoConfig.from_pretrained(name, **how).model_type in MODEL_FOR_CTC_MAPPING_NAMES
    kind: Any = AutoModelForCTC if has_ctc else AutoModelForSpeechSeq2Seq
    network = all_weights(kind.from_pretrained(name, use_safetensors=True, output_loading_info=True, **how))
    return network.eval(), AutoProcessor.from_pretrained(name, **how), has_ctc
