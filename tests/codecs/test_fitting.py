"""A codec's network is trained once per set of images, then loaded from the cache."""

import pytest
import torch
from torch import Tensor

from datamodules.digits.sources import sklearn_digits
from mot_lightning.codecs import VQ
from mot_lightning.codecs.fitting import CACHE


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.stack(sklearn_digits()["train"].media[:100])


def small(steps: int) -> VQ:
    return VQ((1, 8, 8), vocab_size=16, channels=8, steps=steps)


def test_trained_codec_is_loaded_from_the_cache(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    first, second, other = small(3), small(3), small(4)
    first.fit(list(images))
    assert "VQ: 3 steps on 100 images, cached in" in capsys.readouterr().out
    second.fit(list(images))
    assert capsys.readouterr().out == ""
    assert torch.equal(first.ids(images), second.ids(images))
    other.fit(list(images))
    assert "VQ: 4 steps" in capsys.readouterr().out
    second.fit(list(images[1:]))
    assert "VQ: 3 steps on 99 images" in capsys.readouterr().out


def test_training_is_reproducible_and_keeps_the_global_rng_state(images, tmp_path, monkeypatch):
    networks = []
    for folder, seed in (("one", 1), ("two", 2)):
        monkeypatch.setenv(CACHE, str(tmp_path / folder))
        torch.manual_seed(seed)
        codec = small(3)
        before = torch.get_rng_state()
        codec.fit(list(images))
        assert torch.equal(torch.get_rng_state(), before)
        networks.append(codec.get_extra_state())
    for name, value in networks[0].items():
        assert torch.equal(value, networks[1][name]), name


def test_unwritable_cache_raises_a_one_line_error(images, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE, str(tmp_path / "file"))
    with pytest.raises(ValueError, match=rf"{CACHE} is .*file, wanted a folder to write to") as refused:
        small(3).fit(list(images))
    assert "\n" not in str(refused.value)
