"""Recognisers of transformers, small and random."""

import pytest
import torch
from tiny_networks import save_ctc, save_whisper
from torchaudio.functional import resample

from mot_lightning.evaluation.metrics.recogniser import Recogniser


@pytest.fixture(scope="module", params=[save_ctc, save_whisper])
def recogniser(request, tmp_path_factory):
    return Recogniser(request.param(tmp_path_factory.mktemp("recogniser")))


def test_each_sound_has_a_text_that_depends_on_no_other(recogniser):
    sounds = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (1, 399, 8_000)]
    texts = recogniser(sounds, 16_000)
    assert [recogniser([sound], 16_000)[0] for sound in sounds] == texts
    assert all(isinstance(text, str) for text in texts)
    assert texts[2]
    assert "<" not in "".join(texts)


def test_sounds_are_resampled(recogniser):
    sound = torch.randn(4_000, generator=torch.Generator().manual_seed(0))
    assert recogniser([sound], 8_000) == recogniser([resample(sound, 8_000, 16_000)], 16_000)


def test_what_is_no_recogniser_is_refused(tmp_path):
    from transformers import HubertConfig

    HubertConfig(hidden_size=16).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"recogniser: name_or_path is .*, wanted a folder or hub name of Whisper"):
        Recogniser(tmp_path)
