"""Layout and packing of documents."""

from collections import Counter

import pytest
import torch
from conftest import TOKENS
from hypothesis import given, settings
from hypothesis import strategies as st
from randomised import often

from mot_lightning.sequence import Grammar, Segment, Tokens, assign_rows, pack

CAUSAL = {"text": True, "image": False, "speech": True}
GROUPS = ("image", "speech", "text")
STOP_TEXT, STOP_SPEECH = 20, 9  # the first id above each vocabulary
END_OF_DOCUMENT = 21
BEGIN = {"image": 22, "speech": 24, "text": 26}
END = {"image": 23, "speech": 25, "text": 27}

random_layouts = settings(max_examples=100, deadline=None, derandomize=True)
documents = st.lists(
    st.lists(st.tuples(st.sampled_from(GROUPS), st.integers(0, 5), st.booleans()), max_size=4), min_size=1, max_size=6
)


def grammar(tokens=TOKENS, causal=CAUSAL, control="text"):
    return Grammar(tokens, causal, control, GROUPS)


def make_segments(kinds):
    """A document from (modality, length, loss) of each segment."""
    return [
        Segment(name, torch.zeros(4, 3) if name == "image" else torch.arange(length), loss)
        for name, length, loss in kinds
    ]


def by_slot(batch, groups=GROUPS):
    """The contents of the slots: {slot: (modality, token)}."""
    slots = batch.layout.slot.split(list(batch.layout.counts))
    return {
        int(slot): (name, token.tolist())
        for name, slots_of_name in zip(groups, slots, strict=True)
        for slot, token in zip(slots_of_name, batch.by_modality[name].tokens, strict=True)
    }


def targets(batch, name):
    """The targets of a modality: {slot: (target, weight, content)}."""
    part = batch.by_modality[name]
    slots = batch.layout.slot[part.read_at].tolist()
    assert len(set(slots)) == len(slots)
    return dict(
        zip(slots, zip(part.target.tolist(), part.weight.tolist(), part.content.tolist(), strict=True), strict=True)
    )


@pytest.fixture
def example():
    latents = torch.arange(12.0).view(4, 3)
    document = [
        Segment("text", torch.tensor([5, 7, 9])),
        Segment("image", latents, loss=False, noise_cap=0.5),
        Segment("speech", torch.tensor([1, 2])),
    ]
    return latents, pack([document], grammar(), 64)


def test_tokens_are_placed_in_document_order(example):
    latents, batch = example
    text = {0: END_OF_DOCUMENT, 1: BEGIN["text"], 2: 5, 3: 7, 4: 9, 5: END["text"]}
    text |= {6: BEGIN["image"], 11: END["image"], 12: BEGIN["speech"], 15: END["speech"]}
    assert by_slot(batch) == {
        **{slot: ("text", token) for slot, token in text.items()},
        **{7 + i: ("image", latents[i].tolist()) for i in range(4)},
        **{13 + i: ("speech", i + 1) for i in range(2)},
    }
    assert batch.layout.counts == (4, 2, 10)
    assert batch.layout.document.tolist() == [[0] * 16]
    assert batch.layout.position.tolist() == [list(range(16))]


def test_only_bidirectional_segments_see_ahead(example):
    _, batch = example
    assert batch.layout.last_visible.tolist() == [[0, 1, 2, 3, 4, 5, 6, 10, 10, 10, 10, 11, 12, 13, 14, 15]]


def test_targets_are_read_at_the_expected_slots(example):
    latents, batch = example
    content = {1: 5, 2: 7, 3: 9, 4: STOP_TEXT}  # the first at the begin token, stop at the last token
    control = {0: BEGIN["text"], 5: BEGIN["image"], 11: BEGIN["speech"], 15: END_OF_DOCUMENT}  # none at a begin token
    assert targets(batch, "text") == {
        **{slot: (target, 1.0, True) for slot, target in content.items()},
        **{slot: (target, 1.0, False) for slot, target in control.items()},
    }
    assert targets(batch, "speech") == {12: (1, 1.0, True), 13: (2, 1.0, True), 14: (STOP_SPEECH, 1.0, True)}
    assert targets(batch, "image") == {7 + i: (latents[i].tolist(), 0.0, True) for i in range(4)}  # clean


def test_tokens_carry_their_segment_index(example):
    _, batch = example
    image, text = batch.by_modality["image"], batch.by_modality["text"]
    assert image.segment.tolist() == [0] * 4
    assert image.loss.tolist() == [False]
    assert image.noise_cap.tolist() == [0.5]
    assert Counter(text.segment.tolist()) == {0: 3, -1: 7}


def test_causal_latents_are_read_one_token_earlier_without_a_stop():
    batch = pack([[Segment("image", torch.zeros(4, 3))]], grammar(causal={**CAUSAL, "image": True}), 64)
    assert sorted(targets(batch, "image")) == [1, 2, 3, 4]
    assert batch.layout.last_visible.tolist() == [list(range(7))]


def test_segment_without_loss_keeps_the_loss_of_control_tokens():
    batch = pack([[Segment("text", torch.tensor([5, 7]), loss=False)]], grammar(), 64)
    assert {slot: weight for slot, (_, weight, _) in targets(batch, "text").items()} == {0: 1, 1: 0, 2: 0, 3: 0, 4: 1}


def test_absent_modality_has_an_empty_batch():
    batch = pack([[Segment("text", torch.tensor([5]))]], grammar(), 64)
    assert batch.layout.counts == (0, 0, 4)
    assert batch.by_modality["image"].tokens.shape == batch.by_modality["image"].target.shape == (0, 3)
    for name in ("image", "speech"):
        assert all(len(field) == 0 for field in batch.by_modality[name])
    assert batch.by_modality["speech"].tokens.dtype == batch.by_modality["speech"].target.dtype == torch.long


@random_layouts
@given(documents)
def test_every_non_padding_slot_is_used_once(kinds):
    layout = pack([make_segments(document) for document in kinds], grammar(), 64).layout
    tokens = (layout.document.flatten() >= 0).nonzero()[:, 0]
    assert layout.slot.sort().values.tolist() == tokens.tolist()
    assert sum(layout.counts) == len(tokens)
    assert (layout.position.flatten()[tokens] >= 0).all()
    padding = layout.document < 0
    assert (layout.position[padding] == -1).all()
    assert (layout.last_visible[padding] == -1).all()


@often
def test_packed_document_equals_the_document_packed_alone(tried):
    """Tokens, positions and visibility are equal slot by slot."""

    @tried
    @given(documents)
    def equal(kinds):
        rules = grammar()
        docs = [make_segments(document) for document in kinds]
        lengths = [rules.length(document) for document in docs]
        batch = pack(docs, rules, 64)
        packed, s = by_slot(batch), batch.layout.document.shape[1]
        for document, n, (row, start) in zip(docs, lengths, assign_rows(lengths, 64), strict=True):
            here = slice(start, start + n)
            alone = pack([document], rules, 64)
            assert [packed[row * s + start + i] for i in range(n)] == [by_slot(alone)[i] for i in range(n)]
            assert torch.equal(batch.layout.position[row, here], alone.layout.position[0])
            assert torch.equal(batch.layout.last_visible[row, here], alone.layout.last_visible[0])
            number = batch.layout.document[row]
            assert (number == number[start]).sum() == n  # no other document of the row carries its number
            assert (number[here] == number[start]).all()

    equal()


@random_layouts
@given(st.lists(st.integers(1, 20), max_size=20), st.randoms(use_true_random=False))
def test_rows_hold_each_document_once(lengths, random):
    """Documents of a row follow each other without a gap; no two rows would fit into one."""
    assigned = assign_rows(lengths, 20)
    rows = {row: [] for row, _ in assigned}
    for length, (row, offset) in zip(lengths, assigned, strict=True):
        rows[row].append((offset, offset + length))
    for spans in rows.values():
        ends = [0, *(end for _, end in sorted(spans))]
        assert [start for start, _ in sorted(spans)] == ends[:-1]
        assert ends[-1] <= 20
    assert sorted(rows) == list(range(len(rows)))
    assert len(rows) <= 1 or 2 * sum(lengths) > 20 * len(rows)
    shuffled = random.sample(lengths, len(lengths))  # the order of documents changes no shape
    assert sorted(zip(shuffled, assign_rows(shuffled, 20), strict=True)) == sorted(zip(lengths, assigned, strict=True))


@pytest.mark.parametrize(
    ("lengths", "row_length", "rows"),
    [
        ([4, 4, 6, 6], 10, {0: 10, 1: 10}),  # first fit takes three rows
        ([2, 3, 5, 5, 7, 8], 10, {0: 10, 1: 10, 2: 10}),
        ([5, 4, 3, 3, 3], 14, {0: 9, 1: 9}),  # not 12 and 6
        ([3], 14, {0: 3}),
    ],
)
def test_rows_are_few_and_short(lengths, row_length, rows):
    used = Counter()
    for length, (row, _) in zip(lengths, assign_rows(lengths, row_length), strict=True):
        used[row] += length
    assert used == rows


def test_document_of_exactly_one_row_fits():
    document = [Segment("text", torch.arange(5))]
    assert pack([document], grammar(), 8).layout.document.shape == (1, 8)


@pytest.mark.parametrize(
    ("segment", "row_length", "message"),
    [
        (Segment("text", torch.arange(6)), 8, "data.row_length is 8, wanted at least 9, the length of a document"),
        (Segment("video", torch.arange(3)), 64, "modality 'video' is not one of image, speech, text"),
        (Segment("image", torch.arange(4)), 64, r"image: tokens are \(4,\), wanted latents \(n, 3\)"),
        (Segment("image", torch.zeros(4, 2)), 64, r"image: tokens are \(4, 2\), wanted latents \(n, 3\)"),
        (Segment("image", torch.zeros(5, 3)), 64, "image: a segment has 5 tokens, wanted 4"),
        (Segment("text", torch.zeros(4, 3)), 64, r"text: tokens are torch.float32 \(4, 3\), wanted ids"),
        (Segment("text", torch.zeros(4)), 64, r"text: tokens are torch.float32 \(4,\), wanted ids"),
    ],
)
def test_invalid_segments_raise_a_one_line_error(segment, row_length, message):
    with pytest.raises(ValueError, match=message) as refused:
        pack([[segment]], grammar(), row_length)
    assert "\n" not in str(refused.value)


SIZED = {**TOKENS, "image": Tokens(latent_dim=3, max_length=3)}


def test_begin_token_encodes_a_variable_length():
    rules = grammar(SIZED)
    document = [Segment("image", torch.zeros(n, 3)) for n in (2, 1, 3)]
    ids = {slot: token for slot, (name, token) in by_slot(pack([document], rules, 64)).items() if name == "text"}
    begins = [ids[slot] for slot in (1, 5, 8)]
    assert begins == [rules.begin_of("image", n) for n in (2, 1, 3)]
    assert len({*begins, *rules.begin.values(), *rules.end.values()}) == 3 + 6 - 1  # length 1 has the usual id
    batch = pack([document], rules, 64)
    assert [targets(batch, "text")[slot][0] for slot in (0, 4, 7)] == begins  # predicted one token before


@pytest.mark.parametrize(
    ("kind", "length", "message"),
    [
        (Tokens(latent_dim=3, max_length=12), 16, "16 tokens, wanted 1 to 12"),
        (Tokens(latent_dim=3, max_length=12), 0, "0 tokens, wanted 1 to 12"),
        (Tokens(latent_dim=3, max_length=0), 4, "max_length is 0, wanted at least 1"),
    ],
)
def test_length_out_of_range_raises(kind, length, message):
    with pytest.raises(ValueError, match=f"image: .*{message}"):
        pack([[Segment("image", torch.zeros(length, 3))]], grammar({**TOKENS, "image": kind}), 64)


@pytest.mark.parametrize("ids", [[25], [20], [-1]])
def test_ids_outside_the_vocabulary_raise(ids):
    with pytest.raises(ValueError, match="wanted 0 to 19"):
        pack([[Segment("text", torch.tensor(ids))]], Grammar(TOKENS, CAUSAL, "text", GROUPS), 64)


def test_packing_no_documents_raises():
    with pytest.raises(ValueError, match="0 documents"):
        pack([], Grammar(TOKENS, CAUSAL, "text", GROUPS), 64)


def test_segment_weights_sum_to_one_per_segment():
    grammar = Grammar(
        {"text": Tokens(vocab_size=4), "sound": Tokens(latent_dim=2)},
        {"text": True, "sound": False},
        "text",
        ["text", "sound"],
    )
    document = [Segment("text", torch.zeros(n, dtype=torch.long)) for n in (5, 0)]
    document += [Segment("sound", torch.zeros(n, 2)) for n in (3, 0)]
    by_modality = pack([document], grammar, 32).by_modality
    text, sound = by_modality["text"], by_modality["sound"]
    assert text.segment_weight[text.content].tolist() == pytest.approx([1 / 6] * 6 + [1.0])  # with the stop id
    assert text.segment_weight[~text.content].tolist() == [1.0] * 5
    assert sound.segment_weight.tolist() == pytest.approx([1 / 3] * 3)
