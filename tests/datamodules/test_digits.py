import re
from collections import Counter
from itertools import islice, permutations

import numpy as np
import pytest
import torch
from digit_files import real_data, write_fsdd, write_half

from datamodules import Digits
from datamodules.captions import PLAIN, SPOKEN, WORDS, WRITTEN, caption, named_digit
from datamodules.digits import DOCUMENTS
from datamodules.sampler import Draw
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.config import default_config, read_yaml
from mot_lightning.sequence import Grammar, Tokens

COUNT = 2000


class Loudness:
    """Speech units that need no fitting: how loud each 40 ms are, in eight steps."""

    vocab_size, latent_dim, length = 8, None, None

    def encode(self, sound):
        frames = torch.nn.functional.pad(sound, (0, -len(sound) % 320)).view(-1, 320)
        return (8 * frames.abs().mean(1)).long().clamp(max=7)


CODECS = {"text": Bytes(), "image": Patches((1, 8, 8), 2), "speech": Loudness()}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # thousands of tiny operations: a second thread costs more than it brings


def digits(names=("text", "image", "speech"), control="text", codecs=CODECS, **settings):
    """Data connected to a model of the named modalities."""
    data = Digits(**settings)
    data.setup("fit")
    tokens = {name: Tokens(codecs[name].vocab_size, codecs[name].latent_dim, codecs[name].length) for name in names}
    causal = {name: name != "image" for name in names}
    data.connect({name: codecs[name] for name in names}, Grammar(tokens, causal, control, sorted(names)))
    return data


def composed(data, split="train", count=COUNT):
    """Documents before they are encoded, as they are drawn."""
    size = data.size(split)
    return [(i % size, data.compose(split, i % size, np.random.default_rng((9, i)))) for i in range(count)]


def encoded(data, split="train", count=COUNT):
    documents = data.documents(split)
    return [documents[Draw(i % len(documents), i)] for i in range(count)]


def kinds(document):
    return [part.modality for part in document]


def assert_share(found, count, share):
    """A count of `count` independent draws lies within four standard errors of its share."""
    assert abs(found - count * share) <= 4 * (count * share * (1 - share)) ** 0.5


def same(a, b):
    return len(a) == len(b) and all(
        x._replace(tokens=None) == y._replace(tokens=None) and torch.equal(x.tokens, y.tokens)
        for x, y in zip(a, b, strict=True)
    )


# what stands in a document


def test_shares_of_document_kinds_are_those_of_the_config():
    settings = read_yaml(default_config())["data"].get("init_args") or {}
    shares = settings.get("documents") or DOCUMENTS
    found = Counter(frozenset(kinds(document)) for _, document in composed(digits(documents=shares)))
    assert sum(found.values()) == COUNT
    for kind, share in shares.items():
        assert_share(found[frozenset(kind.split("+"))], COUNT, share / sum(shares.values()))


def test_half_of_the_documents_have_three_modalities_four_tenths_two_and_a_tenth_one():
    found = Counter(len(set(kinds(document))) for _, document in composed(digits()))
    for modalities, share in ((3, 0.5), (2, 0.4), (1, 0.1)):
        assert_share(found[modalities], COUNT, share)


def test_shares_may_be_set():
    documents = composed(digits(documents={"text": 3, "image+speech": 1}), count=800)
    found = Counter(frozenset(kinds(document)) for _, document in documents)
    assert set(found) == {frozenset(["text"]), frozenset(["image", "speech"])}
    assert_share(found[frozenset(["text"])], 800, 0.75)


def test_all_orders_are_as_likely():
    documents = composed(digits(documents={"text+image+speech": 1}, two_images=0))
    found = Counter(tuple(kinds(document)) for _, document in documents)
    for order in permutations(("text", "image", "speech")):
        assert_share(found[order], COUNT, 1 / 6)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_document_is_about_one_digit_and_stays_in_its_split(split):
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


def test_an_image_document_shows_the_item_that_it_starts_from():
    for index, document in composed(digits(), count=500):
        shown = [medium.key[:2] for medium in document if medium.modality == "image"]
        assert not shown or ("image", index) in shown


def test_training_images_are_turned_by_one_of_the_angles_and_no_others_are():
    for split in ("train", "val"):
        data = digits(turns=(-10.0, 0.0, 10.0))
        documents = composed(data, split, count=600)
        angles = Counter(m.key[2] for _, document in documents for m in document if m.modality == "image")
        assert set(angles) == ({-10.0, 0.0, 10.0} if split == "train" else {0.0})
        for count in angles.values() if split == "train" else ():
            assert_share(count, angles.total(), 1 / 3)


@pytest.mark.parametrize("turns", [(), (0.0, 270.0), (float("nan"),)])
def test_turns_that_are_no_angles_are_refused(turns):
    with pytest.raises(ValueError, match=r"data.turns is .*, wanted degrees from -180 to 180"):
        digits(turns=turns)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_a_share_of_image_documents_has_two_images(share):
    counts = Counter(kinds(document).count("image") for _, document in composed(digits(two_images=share)))
    assert set(counts) <= {0, 1, 2}
    assert_share(counts[2], counts[1] + counts[2], share)


def test_captions_name_their_digit_in_at_least_six_templates():
    rng = np.random.default_rng(0)
    templates = set()
    for _ in range(COUNT):
        digit, image, sound = int(rng.integers(10)), bool(rng.integers(2)), bool(rng.integers(2))
        text = caption(digit, image, sound, rng)
        found = re.sub(rf"\b{WORDS[digit]}\b", "{}", text)
        assert found.count("{}") == 1
        templates.add(found)
    assert templates == {*WRITTEN, *SPOKEN, *PLAIN}
    assert len(templates) >= 6


def test_captions_speak_of_what_stands_beside_them():
    rng = np.random.default_rng(0)
    for image, sound, templates in ((1, 0, WRITTEN), (0, 1, SPOKEN), (1, 1, WRITTEN + SPOKEN), (0, 0, PLAIN)):
        wanted = {template.format("four") for template in templates}
        assert {caption(4, bool(image), bool(sound), rng) for _ in range(200)} == wanted


@pytest.mark.parametrize("template", [*WRITTEN, *SPOKEN, *PLAIN])
def test_the_named_digit_of_a_caption_is_read(template):
    assert [named_digit(template.format(word)) for word in WORDS] == list(range(10))


@pytest.mark.parametrize("text", ["", "nothing of the kind", "it is a fxur"])
def test_no_digit_is_read_where_none_is_named(text):
    assert named_digit(text) == -1


# which modalities the model knows


@pytest.mark.parametrize("names", [("text", "image"), ("text", "speech"), ("speech", "image"), ("text",), ("speech",)])
def test_a_modality_left_out_vanishes_and_no_document_is_empty(names):
    data = digits(names, control="text" if "text" in names else "speech")
    for document in encoded(data, count=600):
        assert document
        assert set(kinds(document)) <= set(names)


def test_a_caption_does_not_speak_of_a_modality_left_out():
    data = digits(("text", "image"), documents={"text+image+speech": 1})
    documents = [document for _, document in composed(data, count=300)]
    texts = {medium.media for document in documents for medium in document if medium.modality == "text"}
    assert texts == {template.format(word) for template in WRITTEN for word in WORDS}


# how images are shown


def image_places(document):
    """(segment, whether another segment follows) of each image."""
    return [(s, i + 1 < len(document)) for i, s in enumerate(document) if s.modality == "image"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_a_share_of_leading_images_is_clean_and_without_loss(share):
    documents = encoded(digits(clean_context=share, noise_cap=0.25, two_images=0, condition_dropout=0))
    leading = [image for document in documents for image, followed in image_places(document) if followed]
    assert_share(sum(not image.loss for image in leading), len(leading), share)
    assert all(image.noise_cap == 0.25 for image in leading if image.loss)


def test_what_nothing_follows_and_what_is_causal_is_learned_from_all_noise():
    for document in encoded(digits(clean_context=0.5, condition_dropout=0.2)):
        for i, segment in enumerate(document):
            if segment.modality != "image" or i + 1 == len(document):
                assert segment.loss
                assert segment.noise_cap == 1


@pytest.fixture(scope="module")
def whole():
    return encoded(digits(documents={"text+image+speech": 1}, condition_dropout=0), count=1000)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_image_documents_is_cut_to_one_image(whole, share):
    cut = encoded(digits(documents={"text+image+speech": 1}, condition_dropout=share), count=1000)
    assert_share(sum(kinds(document) == ["image"] for document in cut), 1000, share)
    for before, after in zip(whole, cut, strict=True):
        if kinds(after) == ["image"]:
            assert any(torch.equal(after[0].tokens, image.tokens) for image, _ in image_places(before))
        else:
            assert same(before, after)


def test_documents_without_an_image_are_never_cut():
    for document in encoded(digits(documents={"text+speech": 1}, condition_dropout=1), count=300):
        assert sorted(kinds(document)) == ["speech", "text"]


def test_documents_are_cut_to_the_modalities_that_are_to_be_guided():
    for document in encoded(digits(documents={"text+image": 1}, condition_dropout=1, guided=("text",)), count=100):
        assert kinds(document) == ["text"]


# draws and batches


def test_the_same_draw_makes_the_same_document():
    one, other = digits(), digits()
    forwards = [one.documents("train")[Draw(i, i)] for i in range(200)]
    documents = other.documents("train")
    backwards = [documents[Draw(i, i)] for i in reversed(range(200))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))


def test_another_draw_of_the_same_item_makes_another_document():
    documents = digits().documents("train")
    made = [documents[Draw(5, number)] for number in range(0, 40_000, 1000)]
    assert sum(same(made[0], document) for document in made[1:]) < 5


def test_another_seed_makes_other_documents():
    one, other = encoded(digits(seed=1), count=100), encoded(digits(seed=2), count=100)
    assert sum(same(a, b) for a, b in zip(one, other, strict=True)) < 20


def test_batches_after_a_restored_state_equal_the_uninterrupted_ones():
    whole = list(islice(digits(batch_size=8).train_dataloader(), 12))
    resumed = digits(batch_size=8)
    resumed.load_state_dict({**resumed.state_dict(), "consumed": 5 * 8})
    for a, b in zip(whole[5:], islice(resumed.train_dataloader(), 7), strict=True):
        assert a.layout.counts == b.layout.counts
        assert all(np.array_equal(x, y) for x, y in zip(a.layout, b.layout, strict=True))
        for name in a.parts:
            assert all(torch.equal(x, y) for x, y in zip(a.parts[name], b.parts[name], strict=True))


def test_a_validation_pass_starts_a_document_from_every_item_once_and_repeats():
    data = digits(batch_size=7)
    passes = [list(data.val_dataloader()) for _ in range(2)]
    # documents of a row are numbered from zero
    documents = sum(int(b.layout.document.max(1).values.add(1).sum()) for b in passes[0])
    assert documents == data.size("val")
    assert [b.layout.counts for b in passes[0]] == [b.layout.counts for b in passes[1]]


def test_batches_before_a_model_is_connected_are_refused():
    data = Digits()
    data.setup("fit")
    with pytest.raises(RuntimeError, match="connect"):
        data.documents("train")


def test_no_shipped_document_is_longer_than_a_row():
    data = digits(documents={"text+image+speech": 1}, two_images=1)
    longest = max(len(CODECS["speech"].encode(sound)) for part in data.sounds.values() for sound in part.media)
    text = max(len(template.format(word)) for template in (*WRITTEN, *SPOKEN) for word in WORDS)
    parts = [text, longest, CODECS["image"].length, CODECS["image"].length]
    assert 1 + sum(2 + n for n in parts) <= data.row_length


# sources of one's own, and settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"documents": {"text+smell": 1}}, "smell"),
        ({"documents": {"text": -1}}, "-1"),
        ({"two_images": 1.5}, "1.5"),
        ({"clean_context": -0.1}, "-0.1"),
        ({"noise_cap": 2}, "data.noise_cap is 2"),
        ({"condition_dropout": 7}, "data.condition_dropout is 7"),
        ({"batch_size": 0}, "data.batch_size is 0"),
        ({"row_length": 3}, "data.row_length is 3"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line(settings, said):
    with pytest.raises(ValueError, match=re.escape(said)) as refusal:
        Digits(**settings)
    assert "\n" not in str(refusal.value)


def test_files_of_ones_own_settle_the_codecs_and_make_documents(tmp_path):
    images, sounds = tmp_path / "images", tmp_path / "sounds"
    images.mkdir()
    sounds.mkdir()
    write_half(images, "t10k", 200, seed=1, zipped=True)
    write_fsdd(sounds)
    roots = {"image_root": str(images), "speech_root": str(sounds)}
    settled = Digits.codec_settings(**roots)
    codecs = {**CODECS, "image": Patches(**settled["image"])}
    assert codecs["image"].shape == (1, 28, 28)
    assert codecs["image"].length == 49
    for document in encoded(digits(codecs=codecs, **roots), count=100):
        for segment in document:
            if segment.modality == "image":
                assert segment.tokens.shape == (49, 16)


def test_real_documents_fit_the_rows_that_they_are_packed_in():
    roots = {"image_root": str(real_data("mnist")), "speech_root": str(real_data("fsdd"))}
    data = Digits(**roots)
    data.setup("fit")
    longest = max(len(CODECS["speech"].encode(sound)) for part in data.sounds.values() for sound in part.media)
    text = max(len(template.format(word)) for template in (*WRITTEN, *SPOKEN) for word in WORDS)
    assert 1 + (2 + longest) + (2 + text) + 2 * (2 + 49) <= data.row_length
