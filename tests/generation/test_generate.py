"""New documents: in the order asked for, of the shape asked for, and each sample for itself."""

import numpy as np
import pytest
import torch
from conftest import TOKENS, make_document, make_model
from properties import (
    CLOSE,
    assert_a_sample_does_not_depend_on_its_batch,
    assert_same_segments,
    hidden_states,
    total_loss,
)

from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.generation.layout import by_use
from mot_lightning.packing import pack
from mot_lightning.sequence import Segment

NAMES = ("text", "image", "speech")
every_image = pytest.mark.parametrize("image", ["norm", "token", "diffusion"])


def quick(image="norm", towers=None):
    model = make_model(image, towers)
    model.objectives["image"].steps = 3
    return model


def prompts():
    """Five, of different lengths and modalities: at each place, rows differ in what they read."""
    rng = np.random.default_rng(3)
    kinds = [["text"], [], ["image", "text"], ["speech", "image", "text"], ["text", "text"]]
    return [make_document(rng, own) for own in kinds]


@every_image
@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("modalities", [("text",), ("speech",), ("image",), ("image", "speech"), ("image", "image")])
def test_a_sample_does_not_depend_on_its_batch(image, guidance, modalities):
    settings = GenerationSettings(modalities, max_length=10, guidance=guidance)
    assert_a_sample_does_not_depend_on_its_batch(quick(image), prompts(), settings)


@pytest.mark.parametrize("towers", [{"all": [*NAMES]}, {"words": ["text"], "perception": ["image", "speech"]}])
def test_a_sample_does_not_depend_on_its_batch_in_shared_towers(towers):
    settings = GenerationSettings(("image", "text"), max_length=10, guidance=2.0)
    assert_a_sample_does_not_depend_on_its_batch(quick(towers=towers), prompts(), settings)


def test_greedy_ids_are_those_that_a_packed_forward_finds_likeliest():
    model = quick()
    for prompt, written in zip(
        prompts(), generate(model, prompts(), GenerationSettings(("text",), max_length=6, temperature=0)), strict=True
    ):
        ids = written[0].tokens
        (hidden,) = hidden_states(model, [[*prompt, *written]])
        begin = model.grammar.length(prompt)
        logits = model.control.head(hidden[begin : begin + len(ids) + 1])[:, : model.grammar.stop("text") + 1]
        likeliest = logits.argmax(-1).tolist()
        assert likeliest[: len(ids)] == ids.tolist()
        assert len(ids) == 6 or likeliest[-1] == model.grammar.stop("text")


@pytest.mark.parametrize("modalities", [("speech", "image", "text", "image"), ("text",), ("image", "speech")])
def test_segments_come_in_the_order_asked_for(modalities):
    for written in generate(quick(), prompts(), GenerationSettings(modalities, max_length=5)):
        assert tuple(segment.modality for segment in written) == modalities


@pytest.mark.parametrize("modalities", [(), ("text", "speech", "image")])
def test_all_that_is_written_is_what_a_codec_can_decode(modalities):
    settings = GenerationSettings(modalities, max_segments=6, max_length=7)
    lengths = []
    for written in generate(quick(), [[]] * 12, settings):
        assert len(written) <= 6
        for name, tokens, *_ in written:
            kind = TOKENS[name]
            if kind.discrete:
                assert tokens.dtype == torch.long
                assert ((tokens >= 0) & (tokens < kind.vocab_size)).all()  # no stop, no control token
                assert len(tokens) <= 7
                lengths.append(len(tokens))
            else:
                assert tokens.shape == (kind.length, kind.latent_dim)
                assert tokens.isfinite().all()
    assert min(lengths) < 7 == max(lengths)  # some stop by themselves, some at the limit


def test_the_model_may_choose_what_comes_and_where_it_ends():
    found = generate(quick(), [[]] * 40, GenerationSettings(max_segments=4, max_length=2))
    assert {segment.modality for written in found for segment in written} == set(NAMES)
    lengths = [len(written) for written in found]
    assert min(lengths) < 4 == max(lengths)


def test_the_likeliest_choice_is_that_of_a_packed_forward():
    model = quick()
    grammar = model.grammar
    ids = [grammar.end_of_document, *grammar.begin.values()]
    settings = GenerationSettings(max_segments=1, max_length=2, temperature=0)
    for prompt, written in zip(prompts(), generate(model, prompts(), settings), strict=True):
        (hidden,) = hidden_states(model, [prompt])
        best = ids[model.control.head(hidden[-1])[ids].argmax()]
        assert best == (grammar.begin[written[0].modality] if written else grammar.end_of_document)


@every_image
def test_the_same_seed_writes_the_same_and_another_does_not(image):
    model = quick(image)
    (one,), (again,), (other,) = (
        generate(model, [[]], GenerationSettings(NAMES, max_length=8, seed=seed)) for seed in (1, 1, 2)
    )
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[1].tokens, other[1].tokens)


def test_samples_of_one_prompt_differ_by_their_number():
    model = quick()
    settings = GenerationSettings(("image",))
    found = generate(model, [[], [], []], settings, samples=[0, 1, 0])
    assert not torch.equal(found[0][0].tokens, found[1][0].tokens)
    assert_same_segments(found[0], found[2])


@every_image
def test_guidance_of_one_is_none_and_of_zero_forgets_the_prompt(image):
    model = quick(image)

    def made(prompt, guidance):
        settings = GenerationSettings(("image",), guidance=guidance)
        return generate(model, [prompt], settings)[0][0].tokens

    prompt = [Segment("text", torch.tensor([3, 1, 4]))]
    none = made(prompt, 1.0)
    torch.testing.assert_close(made(prompt, 1 + 1e-6), none, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(made(prompt, 0.0), made([], 1.0), rtol=1e-4, atol=1e-4)
    assert (made(prompt, 3.0) - none).abs().max() > 1e-3
    torch.testing.assert_close(made([], 3.0), made([], 1.0), rtol=1e-3, atol=1e-3)  # nothing to be guided by


@pytest.mark.parametrize("rows", [0, 1, 2, 40])
@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
@torch.no_grad()
def test_a_linear_layer_answers_the_same_from_copies_of_its_weight_and_then_forgets_them(rows, shape):
    layer, x = torch.nn.Linear(*shape), torch.randn(rows, shape[0])
    expected = layer(x)
    with by_use(layer):
        for _ in range(12):  # often enough for a copy to pay
            torch.testing.assert_close(layer(x), expected, **CLOSE)
        copies = layer.forward
        assert (copies.columns is not None, copies.blocks is not None) == (rows == 1 and shape[1] > shape[0], rows > 1)
    assert "forward" not in vars(layer)
    layer.weight.mul_(2)
    with by_use(layer):
        torch.testing.assert_close(layer(x) - layer.bias, 2 * (expected - layer.bias), **CLOSE)


@torch.no_grad()
def test_a_layer_that_is_more_than_a_product_stays_what_it_is():
    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model, x = torch.nn.Sequential(Doubled(4, 6), torch.nn.Linear(6, 4)), torch.randn(5, 4)
    expected = model(x)
    with by_use(model):
        for _ in range(12):
            torch.testing.assert_close(model(x), expected, **CLOSE)
            with by_use(model):  # within another
                torch.testing.assert_close(model(x), expected, **CLOSE)
        assert "forward" in vars(model[1])
    assert "forward" not in vars(model[1])


def test_what_is_written_can_be_learned_from():
    model = quick()
    (written,) = generate(model, [[]], GenerationSettings(("image", "text"), max_length=4))
    batch = pack([written], model.grammar, 64)
    total_loss(model, batch).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_empty_segments_in_a_prompt_are_read():
    empty = [Segment("text", torch.empty(0, dtype=torch.long))]
    full = [Segment("text", torch.tensor([1, 2, 3]))]
    settings = GenerationSettings(("image",))
    assert_a_sample_does_not_depend_on_its_batch(quick(), [empty, full], settings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_segments": 0}, "max_segments is 0, wanted at least 1"),
        ({"max_length": 0}, "max_length is 0, wanted at least 1"),
        ({"temperature": -1.0}, "temperature is -1.0, wanted 0 or more"),
        ({"top_p": 0.0}, "top_p is 0.0, wanted a share above 0, up to 1"),
        ({"top_p": 1.5}, "top_p is 1.5, wanted a share above 0, up to 1"),
        ({"guidance": -2.0}, "guidance is -2.0, wanted a number of 0 or more"),
        ({"guidance": {"image": -2.0}}, "guidance of image is -2.0, wanted a number of 0 or more"),
        ({"seed": -3}, "seed is -3, wanted 0 or more"),
        ({"top_k": -1}, "top_k is -1, wanted 0 .all. or more"),
        ({"min_p": 1.5}, "min_p is 1.5, wanted a share from 0 to 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0, wanted above 0"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as refused:
        GenerationSettings(**wrong)
    assert "\n" not in str(refused.value)
