"""Documents longer than a row are refused, skipped or split: counts, tokens, seeds and losses are exact."""

from itertools import islice

import pytest
import torch
from lengths import assert_lengths_are_those_of_packing
from long_texts import CODECS, GRAMMAR, ROW, TOKENS, content, records, text_of
from runs import ROOT, TINY, rows, run

from datamodules import Mixture
from datamodules.counts import Counts
from datamodules.documents import DocumentSettings
from datamodules.run_counts import check, line
from datamodules.sampler import SampleIndex
from datamodules.too_long import split
from mot_lightning.backbone import BackboneSettings
from mot_lightning.errors import BadMedia, BadRecord, ConfigError
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.sequence import Grammar, Segment, Tokens
from mot_lightning.training.losses import LossWeights
from mot_lightning.training.step import _not_finite
from mot_lightning.training.target_bytes import TargetBytes


def documents_of(data, split="train"):
    documents = data.documents(split)
    return [documents[SampleIndex(item, item)] for item in range(len(documents))]


def is_long(index):
    return index % 3 > 0


def test_refuse_ends_the_run_and_names_the_setting():
    data = records()
    with pytest.raises(ConfigError, match=r"data.row_length is 48, wanted at least 1.., the length of a document, or"):
        list(islice(data.train_dataloader(), 3))


def test_another_policy_is_refused(refusal):
    assert "data.too_long is cut, wanted refuse, skip or split" in refusal("fit", "--data.too_long=cut")


@pytest.mark.parametrize(("workers", "ranks"), [(0, 1), (2, 1), (0, 3)])
@pytest.mark.parametrize("policy", ["skip", "split"])
def test_counts_are_exact_on_any_number_of_workers_and_ranks(policy, workers, ranks):
    total = Counts()
    for rank in range(ranks):
        data = records(num_workers=workers, too_long=policy, batch_size=2)
        size = 6 * data.size("train")  # six passes
        loader = data._loader("train", data._order(lambda: 0, rank, ranks))
        counts = Counts()
        for batch in islice(loader, size // (2 * ranks)):
            counts.add(batch, data.source_name)
        total += counts
    long = 6 * sum(map(is_long, data.indices["train"].tolist()))
    assert 0 < long < size
    assert total.seen == {"Records": size}
    assert total.skipped == ({("Records", "text", "too long"): long} if policy == "skip" else {})
    assert total.split == ({"Records": long} if policy == "split" else {"Records": 0})
    assert line(total).startswith(f"{'skipped' if policy == 'skip' else 'split'} {long} of {size} training documents")


def test_skipped_documents_have_no_tokens_and_say_why():
    data = records(too_long="skip")
    for item, document in enumerate(documents_of(data)):
        index = int(data.indices["train"][item])
        assert bool(document.skipped) == is_long(index)
        assert len(document) == (not is_long(index))
        if document.skipped:
            length = 3 + len(text_of(index))
            assert document.skipped.message == (
                f"train document {item}: it has {length} tokens, wanted at most 48, data.row_length"
            )


def test_too_many_that_are_too_long_end_a_run():
    counts, data = Counts(), records(too_long="skip", max_bad_fraction=0.02)
    for batch in islice(data.train_dataloader(), 20):
        counts.add(batch, data.source_name)
    with pytest.raises(
        ConfigError, match=r"max_bad_fraction is 0.02, but .* cannot be used; train document .* 48, data"
    ):
        check(counts, [data])


@pytest.mark.parametrize("form", ["text", "image+text", "text+image", "text+image+text+image"])
def test_pieces_fit_and_hold_each_token_once_in_order(form):
    data = records(form, too_long="split")
    for item, document in enumerate(documents_of(data)):
        pieces = document.pieces or [document]
        assert all(GRAMMAR.length(piece) <= ROW for piece in pieces)
        assert all(len(segment.tokens) for piece in pieces for segment in piece)
        for name in ("text", "image"):
            joined = [s.tokens for piece in pieces for s in piece if s.modality == name]
            whole = [s.tokens for s in document if s.modality == name]
            assert len(joined) == len(whole) == 0 or torch.equal(torch.cat(joined), torch.cat(whole))
        images = [s for piece in pieces for s in piece if s.modality == "image"]
        assert all(len(image.tokens) == 4 for image in images)
        assert len(document.pieces) == 0 or len(pieces) > 1
        assert is_long(int(data.indices["train"][item])) <= bool(document.pieces)


@pytest.mark.parametrize("form", ["text", "image+text", "text+image", "text+image+text+image"])
@pytest.mark.parametrize("policy", ["skip", "split"])
def test_a_length_is_the_slots_of_all_pieces_or_of_a_skipped_document(form, policy):
    lengths = assert_lengths_are_those_of_packing(records(form, dropout=0.2, too_long=policy), 100)
    assert min(lengths) == 1 if policy == "skip" else max(lengths) > ROW


def test_pieces_have_noise_of_their_own_and_the_first_that_of_the_document():
    data = records("image+text+image", too_long="split")
    before = documents_of(records("image+text+image", row_length=512))
    for document, whole in zip(documents_of(data), before, strict=True):
        pieces = document.pieces or [document]
        seeds = [segment.seed for piece in pieces for segment in piece]
        assert len({*seeds}) == len(seeds)
        assert {segment.seed for segment in whole} <= {*seeds}
        assert [s.seed for s in pieces[0]] == [s.seed for s in whole[: len(pieces[0])]]
    batch = data.documents("train").collate(documents_of(data))
    tokens = torch.cat([part.token_seed for part in batch.by_modality.values()])
    assert len({*tokens.tolist()}) == len(tokens)


def test_what_a_cut_hides_is_not_learned():
    """A document has one stop id and one first control token, however many pieces it is packed in."""
    for form in ("text", "text+image", "image+text+image"):
        whole, split = records(form, row_length=512), records(form, too_long="split")
        for one, other in zip(documents_of(whole), documents_of(split), strict=True):
            packed = split.documents("train").collate([other])
            unsplit = whole.documents("train").collate([one])
            assert (packed.pieces is None) == (not other.pieces)
            part, reference = packed.by_modality["text"], unsplit.by_modality["text"]
            assert sorted(part.target[part.content].tolist()) == sorted(reference.target[reference.content].tolist())
            learned = sorted(part.target[part.weight > 0].tolist())
            cuts = len(other.pieces or [other]) - 1
            assert len(learned) <= (reference.weight > 0).sum()
            # a cut within a text hides no target, one between segments hides which of them follows
            between = sum(not piece.cut for piece in other.pieces[:-1])
            assert len(learned) == (reference.weight > 0).sum() - between
            assert len(packed.layout.document.unique()) - bool((packed.layout.document < 0).any()) == cuts + 1


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    objectives = {"text": NextToken(), "image": FlowMatching()}
    model = MixtureOfTransformers(objectives, TOKENS, "text", BackboneSettings(dim=16, depth=1, heads=2)).double()
    for parameter in model.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, dtype=torch.float64)
    return model.eval()


def sums_of(model, data, batch_size):
    documents, weights = data.documents("val"), LossWeights({"image": 1.0, "text": 1.0})
    target_bytes = TargetBytes(CODECS, GRAMMAR)
    total = 0.0
    numbers = [SampleIndex(item, item) for item in range(len(documents))]
    for start in range(0, len(numbers), batch_size):
        batch = documents.collate([documents[i] for i in numbers[start : start + batch_size]])
        with torch.no_grad():
            total = total + weights.sums(model(batch, 0), batch, target_bytes(batch)).stack()
    return total


def test_sums_of_an_evaluation_depend_on_no_batch_size_and_bytes_are_those_of_the_texts(model):
    data = records("image+text", too_long="split")
    first, *others = (sums_of(model, data, batch_size) for batch_size in (1, 3, 6))
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-6, atol=1e-6)
    texts = [text_of(index) for index in data.indices["val"].tolist()]
    assert first[1, 4] == sum(map(len, texts))  # bytes
    assert first[1, 3] == sum(map(len, texts)) + len(texts)  # their tokens, and a stop id each


def test_an_image_is_not_split():
    settings = {"form": "text+image", "row_length": 8, "too_long": "split"}  # an image needs 7 slots
    data = records(**settings)
    assert [segment.modality for segment in documents_of(data)[0].pieces[-1]] == ["image"]
    data.row_length = 6
    with pytest.raises(
        BadRecord, match=r"image has 4 tokens, which are not split, wanted at most 3 for data.row_length 6"
    ):
        documents_of(data)
    data = records(**settings, bad_records="skip")
    data.row_length = 6
    assert {(d.skipped.modality, d.skipped.reason) for d in documents_of(data)} == {("image", "too long")}


def test_ids_of_a_fixed_length_stay_whole_and_bytes_are_shared_by_the_pieces():
    """Image codes that are learned by next token are causal, but half an image is none."""
    kinds = {"text": Tokens(vocab_size=256), "image": Tokens(vocab_size=9, length=8)}
    grammar = Grammar(kinds, {"text": True, "image": True}, "text", ("image", "text"))
    document = [Segment("text", torch.arange(25), extra_bytes=5.0, seed=1), Segment("image", torch.arange(8), seed=2)]
    pieces = split(document, grammar, 12, [])
    assert [len(segment.tokens) for piece in pieces for segment in piece if segment.modality == "image"] == [8]
    of_text = [segment for piece in pieces for segment in piece if segment.modality == "text"]
    assert len(of_text) == 3
    assert all(segment.extra_bytes == pytest.approx(len(segment.tokens) / 5) for segment in of_text)
    with pytest.raises(BadMedia, match="image has 8 tokens, which are not split"):
        split(document, grammar, 10, [])


def test_pieces_are_of_the_source_and_the_number_of_their_document():
    sources = {"long": records(row_length=256), "pictures": records("image", row_length=256)}
    data = Mixture(sources, {"long": 1.0, "pictures": 1.0}, row_length=ROW, too_long="split", batch_size=8)
    data.setup("fit")
    data.connect(dict(CODECS), GRAMMAR)
    counts, order = Counts(), iter(data._order())
    for batch in islice(data.train_dataloader(), 4):
        counts.add(batch, "none")
        assert batch.step.numbers.tolist() == [next(order).number for _ in range(8)]
        text = batch.by_modality["text"]
        document = batch.layout.document.flatten()[batch.layout.slot]
        of_text = document[len(batch.by_modality["image"].tokens) :][text.segment >= 0]
        assert {*batch.sources.of_document[of_text].tolist()} == {0}
        assert len(batch.sources.of_document) == int(batch.layout.document.max()) + 1 == len(batch.pieces)
    assert sum(counts.seen.values()) == 32
    assert counts.split["long"] > 0 == counts.split["pictures"]


def test_a_nan_names_the_document_of_its_piece():
    batch = next(iter(records("text+image", too_long="split").train_dataloader()))
    assert len(batch.pieces) > 4
    batch.by_modality["image"].tokens[-1] = torch.nan  # of the last document
    losses = {name: torch.zeros(len(part.read_at)) for name, part in batch.by_modality.items()}
    assert [*_not_finite(batch, losses)] == [("image", int(batch.step.numbers[-1]))]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("policy", ["skip", "split"])
def test_a_resumed_order_goes_on_where_it_was(policy, workers):
    def batches(consumed, workers=0):
        data = records("image+text", dropout=0.2, too_long=policy, num_workers=workers)
        return data._loader("train", data._order(lambda: consumed))

    whole = list(islice(batches(0), 9))
    for stop in (1, 4, 7):
        for one, other in zip(whole[stop:], islice(batches(4 * stop, workers), 9 - stop), strict=True):
            assert one.step.numbers.tolist() == other.step.numbers.tolist()
            assert one.skipped == other.skipped
            assert (one.pieces is None) == (other.pieces is None)
            for name in ("text", "image"):
                assert content(one, name) == content(other, name)
                assert torch.equal(one.by_modality[name].token_seed, other.by_modality[name].token_seed)


SHAKESPEARE = [f"--config={ROOT / 'conf/tiny_shakespeare.yaml'}", *TINY, "--model.optimizer.schedule=constant"]


@pytest.mark.parametrize("policy", ["skip", "split"])
def test_a_run_counts_and_a_resumed_one_goes_on(tmp_path, capsys, policy):
    settings = [*SHAKESPEARE, "--data.row_length=120", f"--data.too_long={policy}"]
    if policy == "skip":
        settings.append("--data.max_bad_fraction=1")
    assert run(tmp_path, "fit", *settings) == 0
    assert "of 24 training documents" in capsys.readouterr().out
    assert run(tmp_path, "fit", *settings, "--trainer.max_steps=4") == 0
    last = tmp_path / "tiny_shakespeare/1/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.max_steps=6") == 0
    name = {"skip": "train/skipped/Records/text/too_long", "split": "train/split/Records"}[policy]
    row, again = ([r for r in rows(tmp_path / f"tiny_shakespeare/{n}") if "train/loss" in r][-1] for n in (0, 2))
    assert float(row[name]) > 0
    assert row == again


def test_prompts_of_samples_fit_a_row():
    data = records("text+image", too_long="split")
    (task,) = data.tasks("val")
    assert 0 < len(task.prompts) < len(data.indices["val"])
    assert all(len(text) <= ROW - 3 for ((_, text),) in task.prompts)
    assert len(records("text+image").tasks("val")[0].prompts) == len(data.indices["val"])


def test_condition_dropout_comes_before_a_document_is_too_long():
    data = records("text+image", dropout=1.0, too_long="skip")
    assert data.document_settings == DocumentSettings(condition_dropout=1.0)
    assert [[s.modality for s in document] for document in documents_of(data)] == [["image"]] * data.size("train")
