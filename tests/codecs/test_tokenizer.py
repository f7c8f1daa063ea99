"""Subword tokenizers: round trips, compression and byte counts."""

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
def test_random_text_round_trips_with_its_byte_count(text):
    for codec in (BPE(), bpe()):
        ids = codec.encode(text)
        assert ids.dtype == torch.long
        assert codec.decode(ids) == text
        assert codec.bytes_per_token()[ids].sum() == len(text.encode())


def test_fitted_bpe_compresses_the_corpus():
    text = CORPUS[0]
    assert len(BPE().encode(text)) == len(text)
    assert len(bpe().encode(text)) < len(text) / 3
    assert bpe().encode(text).max() < bpe().vocab_size


def test_unused_ids_decode_to_nothing():
    codec = BPE(vocab_size=5_000)
    codec.fit(CORPUS)
    assert codec.decode(torch.tensor([4_999])) == ""
    assert codec.bytes_per_token().shape == (5_000,)
    assert codec.bytes_per_token()[4_999] == 0


def test_state_dict_restores_the_codec(tmp_path):
    torch.save(bpe().state_dict(), tmp_path / "codec.pt")
    other = BPE(vocab_size=300)
    other.load_state_dict(torch.load(tmp_path / "codec.pt", weights_only=True))
    assert other.tokenizer.to_str() == bpe().tokenizer.to_str()
    assert torch.equal(other.encode(CORPUS[1]), bpe().encode(CORPUS[1]))


def test_vocab_size_below_256_raises():
    with pytest.raises(ValueError, match="vocab_size is 255, wanted at least 256"):
        BPE(vocab_size=255)


def test_bits_per_byte_divide_by_bytes_not_ids():
    """Uniform predictions over 300 ids and the stop cost log2(301) bits per target."""
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
def test_tokenizer_json_is_read_with_bytes_per_token(tmp_path, make, text, size):
    """All bytes, plus one where the tokenizer puts a space before the first word."""
    make().save(str(tmp_path / "tokenizer.json"))
    codec = HFTokenizer(str(tmp_path / "tokenizer.json"))
    ids = codec.encode(text)
    assert codec.decode(ids) == text
    assert codec.bytes_per_token()[ids].sum() == size


def test_padding_and_truncation_of_the_file_are_off(tmp_path):
    tokenizer = wordpiece()
    tokenizer.save(str(tmp_path / "plain.json"))
    tokenizer.enable_padding(length=6, pad_id=1)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "padded.json"))
    assert len(Tokenizer.from_file(str(tmp_path / "padded.json")).encode("a").ids) == 6
    plain, padded = (HFTokenizer(tmp_path / f"{name}.json") for name in ("plain", "padded"))
    assert padded.encode("a seven twos").tolist() == plain.encode("a seven twos").tolist() == [2, 3, 4, 5, 6]
    assert padded.pretrained_hash == plain.pretrained_hash


def test_texts_that_do_not_come_back_are_counted_in_one_line(tmp_path, capsys):
    wordpiece().save(str(tmp_path / "tokenizer.json"))
    codec = HFTokenizer(tmp_path / "tokenizer.json")
    codec.fit(["a seven", "two"])
    assert capsys.readouterr().out == ""
    codec.fit(["a seven", "a  two", "nine " * 20])
    line = "HFTokenizer: 2 of 3 texts do not come back from their ids, such as 'a  two', which becomes 'a two'\n"
    assert capsys.readouterr().out == line


def test_transformers_tokenizer_folder_is_read(tmp_path):
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=wordpiece(), cls_token="[CLS]").save_pretrained(tmp_path / "tokenizer")
    codec = HFTokenizer(str(tmp_path / "tokenizer"))
    assert codec.vocab_size == 7
    assert codec.encode("a two").tolist() == [2, 5]  # without special tokens


def test_invalid_tokenizer_raises_a_one_line_error(tmp_path):
    (tmp_path / "text.json").write_text("{}")
    for name in (tmp_path / "text.json", tmp_path, "no/such-tokenizer"):
        with pytest.raises(ValueError, match=r"wanted a tokenizer\.json, a folder or a name on the hub") as refused:
            HFTokenizer(str(name))
        assert str(name) in str(refused.value)
        assert "\n" not in str(refused.value)


def test_bpe_compresses_real_english_at_least_2_5_times():
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
