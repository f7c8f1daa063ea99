"""Codecs are fitted once per set of media, on a bounded choice of them, then loaded from the cache."""

import weakref
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from datamodules import Digits
from datamodules.digits.sources import sklearn_digits
from mot_lightning.codecs import BPE, VQ, LogMelUnits, MelLatents, Patches
from mot_lightning.codecs.cache import CACHE
from mot_lightning.codecs.fitting import choose, fit_once
from mot_lightning.errors import ConfigError


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.stack(sklearn_digits()["train"].media[:100])


def small(steps: int) -> VQ:
    return VQ((1, 8, 8), vocab_size=16, channels=8, steps=steps)


def test_trained_codec_is_loaded_from_the_cache(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    first, second, other = small(3), small(3), small(4)
    first.fit(list(images))
    assert "VQ: 3 steps on 100 images, kept in the cache as VQ-" in capsys.readouterr().out
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


class Reads(Sequence):
    """Images that are made when they are read, and how many were alive at once."""

    def __init__(self, count):
        self.count, self.read, self.alive, self.peak = count, [], 0, 0

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        self.read.append(i)
        image = torch.rand((1, 8, 8), generator=torch.Generator().manual_seed(i))
        self.alive += 1
        self.peak = max(self.peak, self.alive)
        weakref.finalize(image, self._gone)
        return image

    def _gone(self):
        self.alive -= 1


def test_codec_is_fitted_on_a_bounded_choice_that_is_always_the_same(capsys):
    media = Reads(50_000)
    chosen = choose(media, 1_000)
    assert not media.read
    assert len(chosen) == len({*chosen.indices}) == 1_000
    assert chosen.indices == choose(media, 1_000).indices == sorted(chosen.indices)
    assert 20_000 < sum(chosen.indices) / 1_000 < 30_000
    few = ["a", "b"]
    assert len(list(choose(media, 50_000)[:3])) == 3
    assert choose(few, 2) is few
    media.read.clear()
    codec = Patches((1, 8, 8), 2)
    fit_once(codec, media, 100)
    assert len({*media.read}) == 100
    assert capsys.readouterr().out == "Patches: fitted on 100 of 50,000 media (codec_samples)\n"


@pytest.mark.parametrize("make", [lambda: Patches((1, 8, 8), 2), lambda: small(3)], ids=["Patches", "VQ"])
def test_media_are_read_one_by_one_so_memory_stays_bounded(tmp_path, monkeypatch, make):
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr("mot_lightning.codecs.patches.CHUNK", 64)
    monkeypatch.setattr("mot_lightning.codecs.fitting.CALIBRATION_IMAGES", 64)
    media = Reads(1_000)
    fit_once(make(), media)
    assert {*media.read} == {*range(1_000)}
    assert media.peak <= 64 + 1


def test_statistics_in_chunks_equal_those_of_all_images(monkeypatch, images):
    whole, chunks = Patches((1, 8, 8), 2), Patches((1, 8, 8), 2)
    whole.fit(list(images))
    assert (whole.mean, whole.std) == (images.mean(), images.std())  # bitwise
    monkeypatch.setattr("mot_lightning.codecs.patches.CHUNK", 7)
    chunks.fit(list(images))
    torch.testing.assert_close((chunks.mean, chunks.std), (whole.mean, whole.std))


CODECS = [
    (lambda: Patches((1, 8, 8), 2), "image"),
    (lambda: BPE(300), "text"),
    (lambda: LogMelUnits(16), "speech"),
    (lambda: MelLatents(latent_dim=4), "speech"),
]


@pytest.mark.parametrize(("make", "modality"), CODECS, ids=["Patches", "BPE", "LogMelUnits", "MelLatents"])
def test_what_codecs_learn_is_loaded_from_the_cache(tmp_path, monkeypatch, make, modality):
    monkeypatch.setenv(CACHE, str(tmp_path))
    data = Digits()
    data.setup("fit")
    media = data.media(modality, "train")[:60]
    plain, first, second, other = make(), make(), make(), make()
    plain.fit(media)
    fit_once(first, media)
    with monkeypatch.context() as patch:
        patch.setattr(type(second), "fit", lambda *arguments: pytest.fail("it is in the cache"))
        fit_once(second, media)
    for name, value in plain.state_dict().items():
        assert torch.equal(first.state_dict()[name], value)
        assert torch.equal(second.state_dict()[name], value)
    fit_once(other, media[:50])  # other media
    entries = [path for path in tmp_path.iterdir() if path.suffix == ".pt"]
    assert len(entries) == 2
    for path in entries:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigError, match="was altered"):
        fit_once(make(), media)


def test_codecs_without_a_cache_are_fitted_all_the_same(images, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE, str(tmp_path / "file"))
    codec = Patches((1, 8, 8), 2)
    fit_once(codec, list(images))
    assert codec.mean == images.mean()
    assert capsys.readouterr().out.startswith("Patches is fitted in each run: MOT_LIGHTNING_CACHE is ")


def test_codecs_of_other_packages_are_fitted_anew(images, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))

    class Mine(Patches):
        pass

    fit_once(Mine((1, 8, 8), 2), list(images))
    assert not list(tmp_path.iterdir())
