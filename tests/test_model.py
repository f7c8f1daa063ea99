"""Invariants of a Mixture of Transformers, for every objective and grouping into towers."""

from functools import cache

import numpy as np
import pytest
import torch
from conftest import SMALL, TOKENS, make_document, make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import (
    CLOSE,
    assert_documents_do_not_mix,
    assert_no_token_sees_its_future,
    assert_packed_equals_unpacked,
    assert_same_losses,
    copy_tied,
    hidden_states,
    linear_flops,
    tie_towers,
    total_loss,
)

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.noise import Noise
from mot_lightning.objectives import Diffusion, FlowMatching, NextToken
from mot_lightning.sequence import pack

NAMES = ("text", "image", "speech")
TOWERS = {
    "separate": {},
    "dense": {"all": ["text", "image", "speech"]},
    "two": {"words": ["text"], "perception": ["image", "speech"]},
}

every_image = pytest.mark.parametrize("image", ["adaln", "additive", "diffusion"])
every_tower = pytest.mark.parametrize("towers", TOWERS)
random_layouts = settings(max_examples=20, deadline=None, derandomize=True)
kinds = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)


def built(image, towers, **others):
    return make_model(image, TOWERS[towers], **others)


shared = cache(built)  # for tests that do not change the weights


def some_token(data, document):
    segment = data.draw(st.integers(0, len(document) - 1))
    return segment, data.draw(st.integers(0, len(document[segment].tokens) - 1))


@every_image
@every_tower
@random_layouts
@given(data=st.data(), kinds=kinds, seed=st.integers(0, 99))
def test_no_token_attends_to_its_future(image, towers, data, kinds, seed):
    document = make_document(np.random.default_rng(seed), kinds)
    assert_no_token_sees_its_future(shared(image, towers), document, *some_token(data, document))


@every_image
@every_tower
@random_layouts
@given(data=st.data(), kinds=st.lists(kinds, min_size=2, max_size=4), seed=st.integers(0, 99))
def test_no_token_attends_to_another_document(image, towers, data, kinds, seed):
    rng = np.random.default_rng(seed)
    documents = [make_document(rng, names) for names in kinds]
    number = data.draw(st.integers(0, len(documents) - 1))
    assert_documents_do_not_mix(shared(image, towers), documents, number, *some_token(data, documents[number]))


@every_image
@every_tower
def test_first_patch_attends_to_the_last(image, towers):
    document = make_document(np.random.default_rng(0), ["text", "image", "text"])
    assert_no_token_sees_its_future(shared(image, towers), document, 1, 3)


@every_image
@every_tower
@random_layouts
@given(kinds=st.lists(kinds, min_size=2, max_size=4), seed=st.integers(0, 99))
def test_packed_equals_unpacked(image, towers, kinds, seed):
    rng = np.random.default_rng(seed)
    assert_packed_equals_unpacked(shared(image, towers), [make_document(rng, names) for names in kinds])


def some_batch(model, *kinds, seed=0):
    rng = np.random.default_rng(seed)
    return pack([make_document(rng, names) for names in kinds], model.grammar, 64)


@every_image
@pytest.mark.parametrize("towers", ["separate", "two"])
def test_tied_towers_equal_a_dense_model(image, towers):
    tied, dense = built(image, towers, seed=1), built(image, "dense", seed=2)
    tie_towers(tied)
    copy_tied(tied, dense)
    documents = [make_document(np.random.default_rng(0), NAMES), make_document(np.random.default_rng(1), NAMES[:2])]
    torch.testing.assert_close(hidden_states(tied, documents), hidden_states(dense, documents), **CLOSE)
    a, b = (pack(documents, model.grammar, 64) for model in (tied, dense))
    assert_same_losses(tied, a, b, dense, **CLOSE)


def test_untied_towers_differ_from_a_dense_model():
    mixture, dense = built("adaln", "separate"), built("adaln", "dense")
    copy_tied(mixture, dense)
    document = make_document(np.random.default_rng(0), NAMES)
    (a,), (b,) = hidden_states(mixture, [document]), hidden_states(dense, [document])
    assert (a - b).abs().max() > 0.1


@every_image
@every_tower
def test_declaration_order_does_not_change_losses(image, towers):
    model = shared(image, towers)
    other = make_model(image, {k: v[::-1] for k, v in TOWERS[towers].items()}, order=("speech", "image", "text"))
    other.load_state_dict(model.state_dict())
    assert list(other.state_dict()) == list(model.state_dict())
    a, b = (some_batch(m, NAMES, ["image", "text"]) for m in (model, other))
    assert_same_losses(model, a, b, other, rtol=0, atol=0)


@every_image
@every_tower
@pytest.mark.parametrize("present", [["text"], ["text", "speech"], ["text", "image"]])
def test_absent_modalities_give_finite_loss_and_gradients(image, towers, present):
    model = built(image, towers).train()
    loss = total_loss(model, some_batch(model, present))
    loss.backward()
    assert loss.isfinite()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    for parameter in model.untouched({name: name in present for name in NAMES}):
        assert not parameter.grad.any()


# in shared towers, additive time conditioning adds no adaptive norms for images
@pytest.mark.parametrize(
    ("image", "towers", "present"),
    [
        ("adaln", "separate", ["text"]),
        ("adaln", "separate", ["text", "image"]),
        ("diffusion", "separate", ["text", "speech"]),
        ("additive", "dense", ["text"]),
        ("additive", "two", ["text"]),
        ("additive", "two", ["text", "image"]),
        ("adaln", "two", ["text", "image"]),
        ("adaln", "dense", ["text", "image", "speech"]),
    ],
)
def test_untouched_lists_exactly_the_weights_with_zero_gradient(image, towers, present):
    model = built(image, towers).train()
    total_loss(model, some_batch(model, present)).backward()
    untouched = {id(parameter) for parameter in model.untouched({name: name in present for name in NAMES})}
    for name, parameter in model.named_parameters():
        assert bool(parameter.grad.any()) == (id(parameter) not in untouched), name


@every_image
@pytest.mark.parametrize("towers", ["separate", "two"])
def test_mixture_and_dense_model_have_equal_flops(image, towers):
    mixture, dense = shared(image, towers), shared(image, "dense")
    kinds = (NAMES, ["text"], ["image", "speech"])
    assert linear_flops(mixture, some_batch(mixture, *kinds)) == linear_flops(dense, some_batch(dense, *kinds)) > 0


@every_image
def test_noise_is_reproducible_by_seed(image):
    model = shared(image, "separate")
    batch = some_batch(model, NAMES)
    with torch.no_grad():
        one, again, other = (model(batch, seed)["image"].loss for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@every_image
def test_initial_loss_is_that_of_uniform_and_zero_predictions(image):
    objectives = {
        "text": NextToken(),
        "image": FlowMatching(time_conditioning=image) if image != "diffusion" else Diffusion(),
    }
    tokens = {name: TOKENS[name] for name in objectives}
    torch.manual_seed(0)
    model = MixtureOfTransformers(objectives, tokens, "text", SMALL)
    batch = some_batch(model, ["text", "image"])
    with torch.no_grad():
        losses = model(batch, 0)
        embedded = model.objectives["image"].embed(batch.by_modality["image"], Noise.of(batch.by_modality["image"]))
    assert losses["text"].loss.mean().item() == pytest.approx(np.log(model.grammar.ids("text")), abs=0.2)
    torch.testing.assert_close(losses["image"].loss, embedded.target.square().mean(-1))


@pytest.mark.parametrize(
    ("objective", "name", "message"),
    [
        (NextToken, "image", "NextToken does not fit modality 'image': its codec makes latents, wanted .* makes ids"),
        (FlowMatching, "speech", "FlowMatching does not fit modality 'speech': its codec makes ids, wanted .* latents"),
        (Diffusion, "speech", "Diffusion does not fit modality 'speech': its codec makes ids, wanted .* latents"),
    ],
)
def test_unsupported_objective_raises_a_one_line_error(objective, name, message):
    tokens = {"text": TOKENS["text"], name: TOKENS[name]}
    with pytest.raises(ValueError, match=message) as refused:
        MixtureOfTransformers({"text": NextToken(), name: objective()}, tokens, "text", SMALL)
    assert "\n" not in str(refused.value)


class Unchoosing(NextToken):
    """An objective of ids that cannot choose the next modality."""

    choose = None


def test_control_objective_must_be_able_to_choose():
    with pytest.raises(ValueError, match="control is 'text', learned by Unchoosing, wanted an objective that has"):
        MixtureOfTransformers({"text": Unchoosing()}, {"text": TOKENS["text"]}, "text", SMALL)


def test_another_batch_is_refused():
    with pytest.raises(TypeError, match=r"^the batch is of type list, wanted an InterleavedBatch"):
        shared("additive", "dense")(["a", "b"], 0)
