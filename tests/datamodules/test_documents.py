"""Document settings such as clean context and condition dropout, and the reproducibility of documents."""

import re

import pytest
import torch
from digit_documents import assert_share, digits, encoded, image_places, kinds, same
from lengths import assert_lengths_are_those_of_packing

from datamodules.documents import DocumentSettings, Medium
from datamodules.sampler import SampleIndex


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_clean_context_sets_the_share_of_leading_images_without_loss(share):
    documents = encoded(digits(two_images=0, shown={"clean_context": share, "noise_cap": 0.25, "condition_dropout": 0}))
    leading = [image for document in documents for image, followed in image_places(document) if followed]
    assert_share(sum(not image.loss for image in leading), len(leading), share)
    assert all(image.noise_cap == 0.25 for image in leading if image.loss)


def test_last_and_causal_segments_have_loss_at_full_noise():
    for document in encoded(digits(shown={"clean_context": 0.5, "condition_dropout": 0.2})):
        for i, segment in enumerate(document):
            if segment.modality != "image" or i + 1 == len(document):
                assert segment.loss
                assert segment.noise_cap == 1


@pytest.fixture(scope="module")
def whole():
    return encoded(digits(documents={"text+image+speech": 1}, shown={"condition_dropout": 0}), count=1000)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_condition_dropout_reduces_a_share_of_documents_to_one_image(whole, share):
    cut = encoded(digits(documents={"text+image+speech": 1}, shown={"condition_dropout": share}), count=1000)
    assert_share(sum(kinds(document) == ["image"] for document in cut), 1000, share)
    for before, after in zip(whole, cut, strict=True):
        if kinds(after) == ["image"]:
            assert any(torch.equal(after[0].tokens, image.tokens) for image, _ in image_places(before))
        else:
            assert same(before, after)


def test_condition_dropout_keeps_documents_without_an_image():
    for document in encoded(digits(documents={"text+speech": 1}, shown={"condition_dropout": 1}), count=300):
        assert sorted(kinds(document)) == ["speech", "text"]


def test_condition_dropout_keeps_the_unconditional_modalities():
    shown = {"condition_dropout": 1, "unconditional_modalities": ("text",)}
    for document in encoded(digits(documents={"text+image": 1}, shown=shown), count=100):
        assert kinds(document) == ["text"]


def test_same_index_gives_the_same_document():
    one, other = digits(), digits()
    forwards = [one.documents("train")[SampleIndex(i, i)] for i in range(200)]
    documents = other.documents("train")
    backwards = [documents[SampleIndex(i, i)] for i in reversed(range(200))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))


def test_different_draw_numbers_give_different_documents():
    documents = digits().documents("train")
    others = [documents[SampleIndex(5, number)] for number in range(0, 40_000, 1000)]
    assert sum(same(others[0], document) for document in others[1:]) < 5


def test_different_seeds_give_different_documents():
    one, other = encoded(digits(seed=1), count=100), encoded(digits(seed=2), count=100)
    assert sum(same(a, b) for a, b in zip(one, other, strict=True)) < 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clean_context": -0.1}, "data.document_settings.clean_context is -0.1, wanted"),
        ({"noise_cap": 2}, "data.document_settings.noise_cap is 2, wanted"),
        ({"condition_dropout": 7}, "data.document_settings.condition_dropout is 7, wanted"),
    ],
)
def test_invalid_settings_raise_a_one_line_error(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        DocumentSettings(**settings)
    assert "\n" not in str(refused.value)


def test_unknown_unconditional_modality_raises():
    with pytest.raises(ValueError, match=r"unconditional_modalities names 'smell', wanted some of image, speech, text"):
        digits(shown={"unconditional_modalities": ("smell",)})


def test_encodings_of_keyed_media_are_cached():
    data, encodings = digits(documents={"image": 1}, two_images=0), []
    patches = data.codecs["image"].encode
    data.encode = lambda medium: encodings.append(medium.key) or patches(medium.media())
    documents = data.documents("val")
    for number in range(3):
        for item in range(5):
            documents[SampleIndex(item, number)]
    assert len(encodings) == len({*encodings}) == 5


def test_a_full_cache_grows_no_more(monkeypatch):
    monkeypatch.setattr("datamodules.documents.MAX_CACHED_BYTES", 1000)
    documents = digits(documents={"image": 1}, two_images=0, shown={"condition_dropout": 0}).documents("val")
    first = [documents[SampleIndex(item, 0)][0].tokens for item in range(20)]
    assert len(documents.cache) == 4  # of 16 patches of 4 floats each
    assert all(torch.equal(documents[SampleIndex(item, 0)][0].tokens, first[item]) for item in range(20))


def test_media_of_two_modalities_may_have_one_key():
    """A depth map with the number of an image is not that image."""
    data = digits(documents={"image": 1}, two_images=0, shown={"condition_dropout": 0})
    compose = data.compose
    data.compose = lambda *where: [m._replace(key=7) for m in compose(*where)] + [Medium("text", "seven", 7)]
    segments = {s.modality: s.tokens for s in data.documents("train")[SampleIndex(0, 0)]}
    assert segments["image"].shape == (16, 4)
    assert bytes(segments["text"].tolist()) == b"seven"


def test_randomness_differs_between_splits():
    data = digits(shown={"condition_dropout": 0.5})
    lengths = []
    for split in ("train", "val"):
        documents = data.documents(split)
        lengths.append([len(documents[SampleIndex(0, number)]) for number in range(100)])
    assert lengths[0] != lengths[1]


def test_no_modality_is_unconditional_without_condition_dropout():
    assert digits(shown={"condition_dropout": 0.1}).unconditional == ("image",)
    assert digits(shown={"condition_dropout": 0}).unconditional == ()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("names", [("text", "image", "speech"), ("text", "image")])
def test_a_length_is_the_slots_of_a_packed_document(names, dropout):
    data = digits(names, shown={"condition_dropout": dropout})
    lengths = assert_lengths_are_those_of_packing(data, 500)
    assert len({*lengths}) > 5
    assert_lengths_are_those_of_packing(data, 100, "val")


def test_a_length_encodes_nothing_that_has_a_fixed_length(monkeypatch):
    data = digits(("text", "image"), documents={"image": 1})
    monkeypatch.setattr(type(data), "encode", None)
    documents = data.documents("train")
    assert {documents.length(index) for index in data.first("train", 100)} == {1 + 18, 1 + 2 * 18}  # one image, or two
