"""A session equals one call with the whole document as its prompt, and reads nothing twice."""

import pytest
import torch
from conftest import make_model

from mot_lightning.codecs import Bytes, Patches
from mot_lightning.generation import Context, GenerationLimits
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.sequence import Segment, Tokens

TOKENS = {
    "text": Tokens(vocab_size=256),
    "image": Tokens(latent_dim=4, length=4, grid=(2, 2)),
    "speech": Tokens(vocab_size=9),
}
PICTURE = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
GREEDY = {"temperature": 0, "max_length": 5, "modalities": ("text", "text")}


@pytest.fixture
def pipeline():
    """Of text and images, with weights far from zero."""
    model = make_model(tokens=TOKENS)
    model.objectives["image"].steps = 2
    return MoTPipeline({"text": Bytes(), "image": Patches(shape=(1, 4, 4), patch_size=2)}, model)


@pytest.fixture
def appended(monkeypatch):
    """The number of tokens that each call appends to a context."""
    counts, append = [], Context.append

    def counted(self, x, *arguments, **options):
        counts.append(x.shape[1])
        return append(self, x, *arguments, **options)

    monkeypatch.setattr(Context, "append", counted)
    return counts


def ids(segments):
    return [(segment.modality, segment.tokens.tolist()) for segment in segments]


@pytest.mark.parametrize("settings", [GREEDY, {**GREEDY, "guidance": {"text": 2.0}, "negative_prompt": "no"}])
def test_rounds_equal_one_call_with_the_whole_document(pipeline, settings):
    session = pipeline.start("to be", **settings)
    negative = pipeline.encode(settings.get("negative_prompt"))
    for more in (None, ["or not", ("image", PICTURE)], "to be"):
        before = [*session.segments, *session.unread, *pipeline.encode(more)]
        session(more)
        (expected,) = pipeline.continue_segments([before], session.sampler.settings, negative_prompt=negative)
        assert ids(session.segments) == ids([*before, *expected])


def test_session_goes_on_after_the_model_ended_the_document(pipeline, monkeypatch, capsys, caplog):
    session = pipeline.start("to be", **{**GREEDY, "modalities": ()})
    end = pipeline.model.grammar.end_of_document
    with monkeypatch.context() as patch:
        patch.setattr(type(pipeline.model.control), "choose", lambda *arguments: torch.tensor([end]))
        assert session() == []
        assert "the model ended the document without a new segment: modalities=" in caplog.text
    other = pipeline.start("to be", **GREEDY)
    session.sampler.settings = other.sampler.settings
    assert session("or") == other("or")
    assert not capsys.readouterr().out


def test_settings_belong_to_the_session_and_not_to_a_round(pipeline):
    session = pipeline.start("to be", **GREEDY)
    with pytest.raises(TypeError, match=r"^modalities is given to a round, wanted in start\(\)"):
        session(modalities=("text",))
    with pytest.raises(TypeError, match=r"^there is no setting 'modality', did you mean modalities\?$"):
        session("or", modality="text")
    for name in ("prompt", "negative_prompt"):
        with pytest.raises(TypeError, match=rf"^{name} is given to a round, wanted in start\(\)"):
            session(**{name: "or"})
    assert session() == pipeline.start("to be", **GREEDY)()


def test_nothing_is_read_twice(pipeline, appended):
    session = pipeline.start(["x" * 100, ("image", PICTURE)], **GREEDY)
    session()
    length = pipeline.model.grammar.length
    appended.clear()
    start = len(session.segments)
    session("and")
    read_or_sampled = length(session.segments[start:]) - 1  # without the token that begins a document
    assert sum(appended) == read_or_sampled < 30
    assert session.context.lengths.tolist() == [length(session.segments)]


def test_open_segments_are_continued_in_each_round(pipeline):
    settings = {"temperature": 0, "max_length": 4, "modalities": ("text",), "continue_final_segment": True}
    session = pipeline.start(**settings)
    for words in ("ROMEO:", "JULIET:"):
        before = [*session.segments, *pipeline.encode(words)]
        ((name, text),) = session(words)
        (expected,) = pipeline.continue_segments([before], session.sampler.settings)
        assert (name, text) == ("text", Bytes().decode(expected[0].tokens))
        whole = torch.cat([before[-1].tokens, expected[0].tokens])
        assert ids(session.segments) == ids([*before[:-1], Segment("text", whole)])
    assert session.context.lengths.tolist() == [pipeline.model.grammar.length(session.segments)]
    with pytest.raises(ValueError, match="the round has no prompt, wanted a segment to continue"):
        session()


def test_failed_round_changes_nothing(pipeline, monkeypatch):
    limited = MoTPipeline(pipeline.codecs, pipeline.model, GenerationLimits(40, ()))
    one, two = (limited.start("to be", **GREEDY) for _ in range(2))
    one()
    two()
    with pytest.raises(ValueError, match=r"prompt 0 has \d+ tokens, wanted at most 40"):
        one("x" * 40)
    with pytest.raises(ValueError, match="image has values from -1 to 1, wanted 0 to 1"):
        one(("image", torch.tensor([[-1.0, 1.0]])))
    sample = type(pipeline.model.control).sample
    monkeypatch.setattr(type(pipeline.model.control), "sample", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        one("or")
    assert one.context.lengths.tolist() == two.context.lengths.tolist()
    monkeypatch.setattr(type(pipeline.model.control), "sample", sample)
    assert one("or") == two("or")
    assert ids(one.segments) == ids(two.segments)


def test_rounds_draw_on_and_repeat_with_their_seed(pipeline):
    settings = {"modalities": ("image",), "guidance": 1.0, "seed": 3}
    one, two = (pipeline.start(**settings) for _ in range(2))
    images = [one()[0][1], one()[0][1]]
    assert not torch.equal(*images)
    assert all(torch.equal(image, two()[0][1]) for image in images)


def test_prompt_of_a_session_is_checked_when_it_starts(pipeline):
    for arguments, message in (
        ({"prompt": 3}, "^prompt holds int"),
        ({"prompt": "a", "modalities": ("video",)}, "modalities names 'video'"),
        ({"modalities": ("video",)}, "modalities names 'video'"),
        ({"prompt": ("image", PICTURE), "continue_final_segment": True}, "prompt 0 ends with image"),
        ({"negative_prompt": "b", "guidance": 1.0}, "a negative_prompt is given, but guidance is 1 for"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline.start(**arguments)


def test_a_round_that_cannot_be_decoded_can_be_repeated(pipeline, monkeypatch):
    session = pipeline.start("to be", **GREEDY)
    with monkeypatch.context() as patch:
        patch.setattr(Bytes, "decode", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            session()
    assert not session.segments
    assert session() == pipeline.start("to be", **GREEDY)()
