"""Images as ids of mean patches, on the shipped handwritten digits and on pictures whose patches are known."""

import pytest
import torch

from datamodules.digits.sources import sklearn_digits
from mot_lightning.codecs import PatchUnits, patch_units

COLOURS = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])


def mosaic(ids):
    """A picture (3, 4, 6) of six patches, each of one colour."""
    patches = COLOURS[ids].T.reshape(3, 2, 3)
    return patches.repeat_interleave(2, 1).repeat_interleave(2, 2)


def mosaics(count=40):
    return [mosaic(torch.randint(4, (6,), generator=torch.Generator().manual_seed(seed))) for seed in range(count)]


def fitted(images, *arguments, **settings):
    codec = PatchUnits(*arguments, **settings)
    codec.fit(images)
    return codec


@pytest.fixture(scope="module")
def digits():
    return {split: torch.stack(list(pictures.media)) for split, pictures in sklearn_digits().items()}


def test_as_many_units_as_kinds_of_patches_lose_nothing_and_lie_in_raster_order():
    codec = fitted(mosaics(), (3, 4, 6), 2, vocab_size=4)
    picture = mosaic(torch.tensor([0, 1, 2, 3, 3, 0]))
    ids = codec.encode(picture)
    assert ids.dtype == torch.int64
    colours = codec.codebook[ids].view(6, 3, 4).mean(2)
    torch.testing.assert_close(colours, COLOURS[[0, 1, 2, 3, 3, 0]])
    torch.testing.assert_close(codec.decode(ids), picture)
    assert codec.quality(torch.stack(mosaics())) == {"psnr": pytest.approx(100), "units_used": 1.0}


def test_more_units_reconstruct_unseen_digits_better(digits):
    few, many = (fitted(list(digits["train"]), (1, 8, 8), 2, vocab_size=size) for size in (8, 128))
    few, many = few.quality(digits["test"]), many.quality(digits["test"])
    assert few["psnr"] + 4 < many["psnr"]
    assert many["units_used"] > 0.9


def test_units_are_learned_from_a_bounded_sample_that_is_always_the_same(monkeypatch, digits):
    whole = fitted(list(digits["train"]), (1, 8, 8), 2, vocab_size=64)
    monkeypatch.setattr(patch_units, "FITTED_PATCHES", 4_096)
    seen = []
    monkeypatch.setattr(patch_units, "cluster", lambda points, count: seen.append(points) or points[:count])
    for _ in range(2):
        fitted(list(digits["train"]), (1, 8, 8), 2, vocab_size=64)
    assert len(digits["train"]) <= len(seen[0]) <= 4_096
    assert torch.equal(*seen)
    monkeypatch.undo()
    assert torch.equal(whole.centroids, fitted(list(digits["train"]), (1, 8, 8), 2, vocab_size=64).centroids)


def test_the_state_dict_holds_what_was_learned():
    codec, other = fitted(mosaics(), (3, 4, 6), 2, vocab_size=4), PatchUnits((3, 4, 6), 2, vocab_size=4)
    other.load_state_dict(codec.state_dict())
    assert torch.equal(other.encode(mosaics()[0]), codec.encode(mosaics()[0]))
    assert codec.fingerprint(codec.state_dict()) == other.fingerprint(other.state_dict())


def test_short_segments_are_padded_and_long_ones_are_cut():
    codec = fitted(mosaics(), (3, 4, 6), 2, vocab_size=4)
    ids = codec.encode(mosaic(torch.tensor([0, 1, 2, 2, 2, 2])))
    torch.testing.assert_close(codec.decode(ids[:3]), codec.decode(ids))
    torch.testing.assert_close(codec.decode(torch.cat([ids, ids])), codec.decode(ids))
    assert codec.decode(ids[:0]).shape == (3, 4, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1, 8, 8), 3), "patch_size is 3, wanted a divisor of the image's 8x8"),
        (((1, 8, 8), 2, 1), "vocab_size is 1, wanted at least 2 units"),
        (((1, 8, 8), 4, 99), "vocab_size is 99, wanted at most the 8 units of the training media"),
    ],
)
def test_bad_sizes_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as refused:
        fitted([torch.rand(1, 8, 8)] * 2, *arguments)
    assert "\n" not in str(refused.value)


def test_other_images_and_a_codec_without_units_are_refused():
    with pytest.raises(ValueError, match="no units yet"):
        PatchUnits((1, 4, 4), 2).encode(torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match=r"image is \(1, 4, 5\), wanted \(1, 4, 4\)"):
        PatchUnits((1, 4, 4), 2).encode(torch.zeros(1, 4, 5))
