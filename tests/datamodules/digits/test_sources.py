"""Sources of digits: shipped data, MNIST, and the Free Spoken Digit Dataset."""

import csv
import gzip
import re
import struct
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from digit_files import SPEAKERS, half, idx, real_data, write_fsdd, write_half, write_sound

import datamodules
from datamodules.digits.sources import SAMPLE_RATE, fsdd, mnist, rotate_image, sklearn_digits, synthesised
from mot_lightning.media.audio_file import read_audio

SHIPPED = Path(datamodules.__file__).parent / "digits/spoken"


def bits(source):
    """All media of each split as bytes."""
    return {split: [medium.numpy().tobytes() for medium in part.media] for split, part in source.items()}


def assert_disjoint(source):
    assert set(source) == {"train", "val", "test"}
    media = bits(source)
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert media[one]
        assert media[other]
        assert not set(media[one]) & set(media[other])


def assert_refused(read, root, *parts):
    """Reading raises a one-line error that contains all parts."""
    with pytest.raises(ValueError, match=re.escape(str(parts[0]))) as refusal:
        read(root)
    line = str(refusal.value)
    assert "\n" not in line
    for part in parts:
        assert str(part) in line


def cuts():
    with (SHIPPED / "cuts.csv").open() as file:
        return list(csv.DictReader(file))


# shipped data


@pytest.mark.parametrize("source", [sklearn_digits, synthesised])
def test_shipped_splits_are_disjoint_and_have_all_digits(source):
    splits = source()
    assert_disjoint(splits)
    for part in splits.values():
        assert set(part.labels) == set(range(10))
        for digit in range(10):
            assert {part.labels[i] for i in part.of(digit)} == {digit}


def test_every_handwritten_digit_is_used_once():
    media = [m for split in bits(sklearn_digits()).values() for m in split]
    assert len(media) == len(set(media)) == 1797


def test_handwritten_digits_are_grey_images_in_0_1():
    for part in sklearn_digits().values():
        for image in part.media:
            assert image.shape == (1, 8, 8)
            assert 0 <= image.min() < image.max() <= 1


def test_rotation_is_about_the_centre_and_preserves_ink():
    image = torch.zeros(1, 8, 8)
    image[0, 3:5, 5:7] = 1  # right of the centre
    assert rotate_image(image, 0) is image
    up, half, back = rotate_image(image, 90), rotate_image(image, 180), rotate_image(rotate_image(image, 20), -20)
    assert up[0, 1:3, 3:5].min() > 0.8
    assert half[0, 3:5, 1:3].min() > 0.8
    for rotated in (up, half, back):
        assert rotated.sum() == pytest.approx(4, rel=0.1)
        assert 0 <= rotated.min() <= rotated.max() <= 1
    assert (back - image).abs().mean() < 0.05


def test_splits_are_deterministic():
    assert bits(sklearn_digits()) == bits(sklearn_digits())


def test_splits_have_disjoint_voices_and_speakers():
    voices_by_split = defaultdict(set)
    for cut in cuts():
        voices_by_split[cut["split"]].add(cut["voice"])
    assert not voices_by_split["train"] & voices_by_split["val"]
    assert not voices_by_split["train"] & voices_by_split["test"]
    assert not voices_by_split["val"] & voices_by_split["test"]
    assert len(voices_by_split["test"]) >= 5
    # espeak's accent+variant: the variant is the speaker
    speakers = {split: {voice.partition("+")[2] for voice in voices} for split, voices in voices_by_split.items()}
    assert not speakers["train"] & (speakers["val"] | speakers["test"])
    assert not speakers["val"] & speakers["test"]


def test_shipped_spoken_digits_are_enough_to_train_and_test():
    splits = synthesised()
    assert len(splits["train"].media) >= 1200
    assert len(splits["test"].media) >= 300


def test_shipped_sound_files_are_small_and_hold_one_voice_each():
    files = sorted(SHIPPED.glob("*.flac"))
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) < 2**20
    assert sum(sizes) <= 6e6
    voices = defaultdict(set)
    for cut in cuts():
        voices[cut["file"]].add((cut["split"], cut["voice"]))
    assert sorted(voices) == [file.name for file in files]
    assert all(len(voice) == 1 for voice in voices.values())


def test_cuts_lie_within_their_files_and_do_not_overlap():
    ends = defaultdict(int)
    for cut in cuts():
        assert int(cut["start"]) >= ends[cut["file"]]
        assert int(cut["end"]) > int(cut["start"])
        ends[cut["file"]] = int(cut["end"])
    for name, end in ends.items():
        info = soundfile.info(SHIPPED / name)
        assert info.samplerate == SAMPLE_RATE
        assert end <= info.frames


def test_spoken_digits_are_audible_and_of_word_length():
    for part in synthesised().values():
        for sound in part.media:
            assert 0.2 * SAMPLE_RATE < len(sound) < 1.2 * SAMPLE_RATE
            assert sound.abs().max() > 0.1


# MNIST


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_train_and_test_files_keep_their_split(tmp_path, zipped):
    write_half(tmp_path, "train", 300, seed=1, zipped=zipped)
    write_half(tmp_path, "t10k", 50, seed=2, zipped=zipped)
    splits = mnist(tmp_path)
    assert_disjoint(splits)
    images, labels = half(50, seed=2)
    assert splits["test"].labels == labels.tolist()
    for medium, image in zip(splits["test"].media, images, strict=True):
        np.testing.assert_allclose(medium[0].numpy() * 255, image, atol=1e-3)
    assert len(splits["train"].media) + len(splits["val"].media) == 300


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["train", "t10k"])
def test_single_mnist_half_is_split_with_10_percent_for_test(tmp_path, name, zipped):
    write_half(tmp_path, name, 200, seed=1, zipped=zipped)
    splits = mnist(tmp_path)
    assert_disjoint(splits)
    assert len(splits["test"].media) == 20
    assert sum(len(part.media) for part in splits.values()) == 200


def test_splitting_keeps_image_label_pairs(tmp_path):
    write_half(tmp_path, "t10k", 200, seed=1, zipped=False)
    images, labels = half(200, seed=1)
    digit_of = {image.astype(np.uint8).tobytes(): digit for image, digit in zip(images, labels, strict=True)}
    for part in mnist(tmp_path).values():
        for medium, digit in zip(part.media, part.labels, strict=True):
            assert digit_of[(medium * 255).round().byte().numpy().tobytes()] == digit


def test_mnist_images_without_labels_are_ignored(tmp_path):
    write_half(tmp_path, "t10k", 200, seed=1, zipped=False)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(half(30, seed=2)[0]))
    assert sum(len(part.media) for part in mnist(tmp_path).values()) == 200


def test_both_mnist_file_name_spellings_are_read(tmp_path):
    write_half(tmp_path, "t10k", 200, seed=1, zipped=True)
    for path in tmp_path.iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(mnist(tmp_path)["test"].media) == 20


def test_folder_without_mnist_raises(tmp_path):
    assert_refused(mnist, tmp_path / "nowhere", tmp_path / "nowhere", "not a folder")
    assert_refused(mnist, tmp_path, tmp_path, "labels-idx1-ubyte")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(half(20, seed=1)[1]))
    assert_refused(mnist, tmp_path, tmp_path, "images-idx3-ubyte")


def test_error_names_the_folder_that_would_do(tmp_path):
    raw, recordings = tmp_path / "MNIST/raw", tmp_path / "fsdd/recordings"  # as torchvision and FSDD lay them out
    for folder in (raw, recordings):
        folder.mkdir(parents=True)
    write_half(raw, "train", 30, seed=1, zipped=True)
    write_fsdd(recordings, clips=1)
    for wrong in (tmp_path, tmp_path / "MNIST", raw / "train-images-idx3-ubyte.gz"):
        assert_refused(mnist, wrong, wrong, f", did you mean data.image_root={raw}?")
    assert_refused(mnist, recordings, f", did you mean data.speech_root={recordings}?")
    for wrong in (tmp_path / "fsdd", recordings / "0_ann_0.wav"):
        assert_refused(fsdd, wrong, wrong, f", did you mean data.speech_root={recordings}?")
    assert_refused(fsdd, raw, raw, f", did you mean data.image_root={raw}?")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("kept", [0, 3, 9, 0.5])  # bytes, or the share of them
def test_empty_or_truncated_idx_file_raises_with_its_path(tmp_path, kind, zipped, kept):
    write_half(tmp_path, "t10k", 40, seed=1, zipped=zipped)
    path = tmp_path / f"t10k-{kind}-ubyte{'.gz' * zipped}"
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    assert_refused(mnist, tmp_path, path)


@pytest.mark.parametrize(
    ("shape", "content", "zipped", "reason"),
    [
        ((40,), b"\1" * 50_000_000, True, "holds more bytes, wanted the 40 that its header announces"),
        ((2**31, 2, 2), b"", True, "announces 8,589,934,592 bytes, wanted at most 1,073,741,824"),
        ((2**32 - 1,) * 3, b"", False, "wanted at most 1,073,741,824"),
        ((2**29,), b"", True, "announces 536,870,912 bytes, wanted those of a file of its size"),
        ((40,), b"\1" * 41, False, "holds more bytes, wanted the 40"),
        ((40,), b"\1" * 39, False, "holds 39 bytes, wanted the 40"),
    ],
    ids=["bomb", "huge", "beyond any memory", "more than deflate can hold", "longer", "shorter"],
)
def test_idx_file_of_another_size_than_its_header_is_not_read_further(
    tmp_path, monkeypatch, shape, content, zipped, reason
):
    write_half(tmp_path, "t10k", 40, seed=1, zipped=zipped)
    path = tmp_path / f"t10k-labels-idx1-ubyte{'.gz' * zipped}"
    header = struct.pack(f">2x2B{len(shape)}I", 8, len(shape), *shape)
    path.write_bytes(gzip.compress(header + content) if zipped else header + content)
    sizes = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size=-1: sizes.append(size) or read(file, size))
    assert_refused(mnist, tmp_path, path, reason)
    assert all(0 <= size < 2**20 for size in sizes)


@pytest.mark.parametrize("at", [5, 12, 0.5, -6, -2])  # of the header, the data, the checksum and the size
def test_gzip_file_with_a_damaged_byte_raises_with_its_path_or_is_read(tmp_path, at):
    write_half(tmp_path, "t10k", 40, seed=1, zipped=True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[int(at * len(content)) if isinstance(at, float) else at] ^= 0xFF
    path.write_bytes(content)
    if at == 5:  # a time, which nothing checks
        assert mnist(tmp_path)
    else:
        assert_refused(mnist, tmp_path, path)


def test_gzip_file_without_idx_content_raises_with_its_path(tmp_path):
    write_half(tmp_path, "t10k", 40, seed=1, zipped=True)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(b"not an array at all"))
    assert_refused(mnist, tmp_path, path)
    path.write_bytes(b"not gzip at all")
    assert_refused(mnist, tmp_path, path)


def test_label_count_mismatch_raises(tmp_path):
    write_half(tmp_path, "t10k", 40, seed=1, zipped=False)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(39) % 10))
    assert_refused(mnist, tmp_path, tmp_path, "39")


def test_real_mnist_test_images_are_split_without_loss():
    splits = mnist(real_data("mnist"))
    assert_disjoint(splits)
    assert len(splits["test"].media) == 1000
    assert len(splits["train"].media) + len(splits["val"].media) == 9000
    for part in splits.values():
        assert set(part.labels) == set(range(10))
        assert part.media[0].shape == (1, 28, 28)


# the Free Spoken Digit Dataset


def test_fsdd_holds_out_two_speakers(tmp_path):
    write_fsdd(tmp_path)
    splits = fsdd(tmp_path)
    assert_disjoint(splits)
    path_of = {read_audio(path, SAMPLE_RATE).numpy().tobytes(): path for path in tmp_path.glob("*.wav")}
    assert len(path_of) == 10 * 7 * len(SPEAKERS)
    speakers = {}
    for split, media in bits(splits).items():
        paths = [path_of[medium] for medium in media]
        assert [int(path.stem.split("_")[0]) for path in paths] == splits[split].labels
        speakers[split] = {path.stem.split("_")[1] for path in paths}
    assert len(speakers["test"]) == 2
    assert not speakers["test"] & (speakers["train"] | speakers["val"])
    assert speakers["test"] | speakers["train"] == set(SPEAKERS)
    assert sum(len(part.media) for part in splits.values()) == len(path_of)


def test_fsdd_sounds_are_resampled(tmp_path):
    write_fsdd(tmp_path, clips=6)
    write_sound(tmp_path / "4_dan_5.wav", 300, samples=4816, rate=16_000)
    assert sorted({len(sound) for part in fsdd(tmp_path).values() for sound in part.media}) == [2400, 2408]


def test_folder_without_fsdd_raises(tmp_path):
    assert_refused(fsdd, tmp_path / "nowhere", tmp_path / "nowhere", "not a folder")
    assert_refused(fsdd, tmp_path, tmp_path, "0 speakers")
    write_sound(tmp_path / "hello.wav", 300)
    assert_refused(fsdd, tmp_path, tmp_path, "0 speakers")


def test_fewer_than_three_speakers_raise(tmp_path):
    write_fsdd(tmp_path, clips=1, speakers=SPEAKERS[:2])
    assert_refused(fsdd, tmp_path, tmp_path, "2 speakers", "at least 3")


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"no sound at all, only words"],
    ids=["empty", "a bare header", "words"],
)
def test_unreadable_sound_raises_with_its_path(tmp_path, content):
    write_fsdd(tmp_path, clips=1)
    path = tmp_path / "4_bob_0.wav"
    path.write_bytes(content)
    assert_refused(fsdd, tmp_path, path)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(800), np.full(800, np.nan)], ids=["none", "silent", "nan"])
def test_empty_silent_or_nan_sound_raises_with_its_path(tmp_path, samples):
    write_fsdd(tmp_path, clips=1)
    path = tmp_path / "4_bob_0.wav"
    soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")
    assert_refused(fsdd, tmp_path, path)


def test_real_fsdd_is_split_by_speaker():
    root = real_data("fsdd")
    splits = fsdd(root)
    assert_disjoint(splits)
    speakers = {path.stem.split("_")[1] for path in root.glob("*.wav")}
    assert len(splits["test"].media) == len(list(root.glob("*.wav"))) * 2 // len(speakers)
    for part in splits.values():
        assert set(part.labels) == set(range(10))
