"""Composition of documents about digits."""

import re
from collections import Counter
from itertools import permutations

import pytest
from digit_documents import CODECS, COUNT, assert_share, composed, digits, encoded, kinds
from digit_files import real_data, write_fsdd, write_half

from datamodules import Digits
from datamodules.digits.captions import SPOKEN, WORDS, WRITTEN
from datamodules.digits.datamodule import DOCUMENTS
from mot_lightning.codecs import Patches
from mot_lightning.config.files import read_default


def test_document_kinds_are_sampled_by_the_configured_shares():
    settings = read_default()["data"]["init_args"]
    shares = settings["documents"]
    assert shares == DOCUMENTS
    counts = Counter(frozenset(kinds(document)) for _, document in composed(digits(documents=shares)))
    assert sum(counts.values()) == COUNT
    for kind, share in shares.items():
        assert_share(counts[frozenset(kind.split("+"))], COUNT, share / sum(shares.values()))


def test_default_shares_of_documents_by_number_of_modalities():
    counts = Counter(len(set(kinds(document))) for _, document in composed(digits()))
    for modalities, share in ((3, 0.5), (2, 0.4), (1, 0.1)):
        assert_share(counts[modalities], COUNT, share)


def test_documents_setting_overrides_the_shares():
    documents = composed(digits(documents={"text": 3, "image+speech": 1}), count=800)
    counts = Counter(frozenset(kinds(document)) for _, document in documents)
    assert set(counts) == {frozenset(["text"]), frozenset(["image", "speech"])}
    assert_share(counts[frozenset(["text"])], 800, 0.75)


def test_all_modality_orders_are_equally_likely():
    documents = composed(digits(documents={"text+image+speech": 1}, two_images=0))
    counts = Counter(tuple(kinds(document)) for _, document in documents)
    for order in permutations(("text", "image", "speech")):
        assert_share(counts[order], COUNT, 1 / 6)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_document_media_share_one_digit_and_one_split(split):
    data = digits()
    sources = {"image": data.images[split], "speech": data.sounds[split]}
    for index, document in composed(data, split, count=500):
        digit = data.images[split].labels[index]
        for medium in document:
            if medium.modality == "text":
                words = re.findall(r"\w+", medium.media)
                assert [word for word in words if word in WORDS] == [WORDS[digit]]
            else:
                name, i, change = medium.key
                assert name == medium.modality
                unchanged = change == {"speech": 1.0, "image": 0.0}[name]
                assert unchanged or split == "train"
                assert (medium.media() is sources[name].media[i]) == unchanged
                assert sources[name].labels[i] == digit


def test_image_documents_contain_the_indexed_image():
    for index, document in composed(digits(), count=500):
        shown = [medium.key[:2] for medium in document if medium.modality == "image"]
        assert not shown or ("image", index) in shown


def test_only_training_images_are_rotated_by_the_given_angles():
    for split in ("train", "val"):
        data = digits(rotation_degrees=(-10.0, 0.0, 10.0))
        documents = composed(data, split, count=600)
        angles = Counter(m.key[2] for _, document in documents for m in document if m.modality == "image")
        assert set(angles) == ({-10.0, 0.0, 10.0} if split == "train" else {0.0})
        for count in angles.values() if split == "train" else ():
            assert_share(count, angles.total(), 1 / 3)


@pytest.mark.parametrize("degrees", [(), (0.0, 270.0), (float("nan"),)])
def test_invalid_rotation_degrees_raise(degrees):
    with pytest.raises(ValueError, match=r"data.rotation_degrees is .*, wanted degrees from -180 to 180"):
        digits(rotation_degrees=degrees)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_two_images_sets_the_share_of_documents_with_two_images(share):
    counts = Counter(kinds(document).count("image") for _, document in composed(digits(two_images=share)))
    assert set(counts) <= {0, 1, 2}
    assert_share(counts[2], counts[1] + counts[2], share)


@pytest.mark.parametrize("names", [("text", "image"), ("text", "speech"), ("speech", "image"), ("text",), ("speech",)])
def test_absent_modality_is_dropped_and_no_document_is_empty(names):
    data = digits(names, control="text" if "text" in names else "speech")
    for document in encoded(data, count=600):
        assert document
        assert set(kinds(document)) <= set(names)


def test_captions_do_not_mention_an_absent_modality():
    data = digits(("text", "image"), documents={"text+image+speech": 1})
    documents = [document for _, document in composed(data, count=300)]
    texts = {medium.media for document in documents for medium in document if medium.modality == "text"}
    assert texts == {template.format(word) for template in WRITTEN for word in WORDS}


def test_longest_shipped_document_fits_a_row():
    data = digits(documents={"text+image+speech": 1}, two_images=1)
    longest = max(len(CODECS["speech"].encode(sound)) for part in data.sounds.values() for sound in part.media)
    text = max(len(template.format(word)) for template in (*WRITTEN, *SPOKEN) for word in WORDS)
    parts = [text, longest, CODECS["image"].length, CODECS["image"].length]
    assert 1 + sum(2 + n for n in parts) <= data.row_length


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"documents": {"text+smell": 1}}, "data.documents has text+smell"),
        ({"documents": {"text": -1}}, "data.documents has text: -1"),
        ({"documents": {"text": float("nan")}}, "data.documents has text: nan, wanted a subset of"),
        ({"documents": {"text": float("inf")}}, "data.documents has text: inf"),
        ({"speed_perturbation": (1.0, float("nan"))}, "data.speed_perturbation is [1.0, nan], wanted factors"),
        ({"rotation_degrees": (0.0, float("nan"))}, "data.rotation_degrees is [0.0, nan], wanted degrees"),
        ({"documents": {"text": 0}}, "data.documents is {'text': 0}, wanted a"),
        ({"two_images": 1.5}, "data.two_images is 1.5"),
        ({"speed_perturbation": (0.4,)}, "data.speed_perturbation is [0.4]"),
    ],
)
def test_invalid_settings_raise_a_one_line_error(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)) as refusal:
        Digits(**settings)
    assert "\n" not in str(refusal.value)


def test_custom_data_folders_set_codec_shapes_and_give_documents(tmp_path):
    images, sounds = tmp_path / "images", tmp_path / "sounds"
    images.mkdir()
    sounds.mkdir()
    write_half(images, "t10k", 200, seed=1, zipped=True)
    write_fsdd(sounds)
    roots = {"image_root": str(images), "speech_root": str(sounds)}
    codec_settings = Digits.codec_settings(**roots)
    codecs = {**CODECS, "image": Patches(**codec_settings["image"])}
    assert codecs["image"].shape == (1, 28, 28)
    assert codecs["image"].length == 49
    for document in encoded(digits(codecs=codecs, **roots), count=100):
        for segment in document:
            if segment.modality == "image":
                assert segment.tokens.shape == (49, 16)


def test_longest_real_document_fits_a_row():
    roots = {"image_root": str(real_data("mnist")), "speech_root": str(real_data("fsdd"))}
    data = Digits(**roots)
    data.setup("fit")
    longest = max(len(CODECS["speech"].encode(sound)) for part in data.sounds.values() for sound in part.media)
    text = max(len(template.format(word)) for template in (*WRITTEN, *SPOKEN) for word in WORDS)
    assert 1 + (2 + longest) + (2 + text) + 2 * (2 + 49) <= data.row_length
