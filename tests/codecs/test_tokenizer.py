"""Text as subwords: what is written comes back, in fewer ids, and its bytes are counted whatever the ids are."""

import math
import os
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from texts import texts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from mot_lightning.codecs import BPE, HFTokenizer

CORPUS = ["a handwritten seven", "a seven, spoken", "someone says two", "the digit two, by hand"] * 20


@cache
def bpe() -> BPE:
    codec = BPE(vocab_size=300)
    codec.fit(CORPUS)
    return codec


@given(texts)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_text_comes_back_and_its_bytes_are_counted(text):
    for codec in (BPE(), bpe()):
        ids = codec.encode(text)
        assert ids.dtype == torch.long
        assert codec.decode(ids) == text
        assert codec.bytes_per_token()[ids].sum() == len(text.encode())


def test_what_was_learned_writes_the_corpus_in_fewer_ids():
    text = CORPUS[0]
    assert len(BPE().encode(text)) == len(text)
    assert len(bpe().encode(text)) < len(text) / 3
    assert bpe().encode(text).max() < bpe().vocab_size


def test_ids_that_nothing_was_learned_for_write_nothing():
    codec = BPE(vocab_size=5_000)
    codec.fit(CORPUS)
    assert codec.decode(torch.tensor([4_999])) == ""
    assert codec.bytes_per_token().shape == (5_000,)
    assert codec.bytes_per_token()[4_999] == 0


def test_a_state_dict_is_the_whole_codec(tmp_path):
    torch.save(bpe().state_dict(), tmp_path / "codec.pt")
    other = BPE(vocab_size=300)
    other.load_state_dict(torch.load(tmp_path / "codec.pt", weights_only=True))
    assert other.tokenizer.to_str() == bpe().tokenizer.to_str()
    assert torch.equal(other.encode(CORPUS[1]), bpe().encode(CORPUS[1]))


def test_fewer_ids_than_bytes_are_refused():
    with pytest.raises(ValueError, match="vocab_size is 255, wanted at least 256"):
        BPE(vocab_size=255)


def test_bits_per_byte_count_bytes_and_not_ids():
    """A guess that is uniform over all ids and the stop, for the ids of one text: log2(301) bits for each of them."""
    ids = bpe().encode(CORPUS[0])
    nats = (len(ids) + 1) * math.log(301)
    measured = bpe().metrics(nats, len(ids) + 1, float(bpe().bytes_per_token()[ids].sum()))
    assert measured == {"bits_per_byte": pytest.approx((len(ids) + 1) * math.log2(301) / len(CORPUS[0]))}


def wordpiece() -> Tokenizer:
    words = ["[UNK]", "[CLS]", "a", "se", "##ven", "two", "##s"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    return tokenizer


def metaspace() -> Tokenizer:
    words = ["<unk>", "<0xC3>", "<0xA9>", "▁a", "▁seven", "▁two", "s"]
    vocabulary = [(word, -1.0) for word in words]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer


@pytest.mark.parametrize(
    ("make", "text", "size"),
    [(wordpiece, "a seven twos", 13), (metaspace, "a seven twosé", 15), (lambda: bpe().tokenizer, "a seven", 7)],
    ids=["WordPiece", "Metaspace", "byte level"],
)
def test_a_tokenizer_file_is_read_and_its_ids_know_their_bytes(tmp_path, make, text, size):
    """All bytes, and one for the space that stands before a first word where a tokenizer writes words with spaces."""
    make().save(str(tmp_path / "tokenizer.json"))
    codec = HFTokenizer(str(tmp_path / "tokenizer.json"))
    ids = codec.encode(text)
    assert codec.decode(ids) == text
    assert codec.bytes_per_token()[ids].sum() == size


def test_a_folder_of_transformers_is_read(tmp_path):
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=wordpiece(), cls_token="[CLS]").save_pretrained(tmp_path / "tokenizer")
    codec = HFTokenizer(str(tmp_path / "tokenizer"))
    assert codec.vocab_size == 7
    assert codec.encode("a two").tolist() == [2, 5]  # no special token around it


def test_what_holds_no_tokenizer_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.json").write_text("{}")
    for name in (tmp_path / "text.json", tmp_path, "no/such-tokenizer"):
        with pytest.raises(ValueError, match=r"wanted a tokenizer\.json, a folder or a name on the hub") as refused:
            HFTokenizer(str(name))
        assert str(name) in str(refused.value)
        assert "\n" not in str(refused.value)


def test_real_english_takes_less_than_half_as_many_ids_as_bytes():
    root = Path(os.environ.get("MOT_LIGHTNING_DATA") or Path(__file__).parents[3] / "shared/data")
    if not (root / "text/tinyshakespeare.txt").is_file():
        pytest.skip(f"no real data at {root}: set MOT_LIGHTNING_DATA to the folder that holds text/")
    lines = (root / "text/tinyshakespeare.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    codec = BPE(vocab_size=2_000)
    codec.fit(lines[:-1_000])
    held_out = "".join(lines[-1_000:])
    ids = codec.encode(held_out)
    assert codec.decode(ids) == held_out
    assert len(ids) < len(held_out.encode()) / 2.5
