"""Every objective on every token kind that it supports: it overfits and samples; other pairs raise."""

from itertools import product

import numpy as np
import pytest
import torch
from conftest import SMALL
from properties import (
    assert_a_sample_does_not_depend_on_its_batch,
    assert_cached_equals_packed,
    assert_documents_do_not_mix,
    assert_no_token_sees_its_future,
    assert_packed_equals_unpacked,
    plain,
)

from mot_lightning import objectives
from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import Bytes, LogMelUnits, Patches
from mot_lightning.generation import generate
from mot_lightning.modality import Modality, assemble
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import (
    Diffusion,
    FlowMatching,
    MaskedToken,
    NextLatent,
    NextToken,
    Objective,
    Observed,
    Regression,
)
from mot_lightning.objectives.denoising import DenoisingObjective
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Tokens, pack

TEXT = Tokens(vocab_size=20)
KINDS = {
    "text": Tokens(vocab_size=20),
    "image codes": Tokens(vocab_size=12, length=9, grid=(3, 3), codebook=(12, 4)),
    "image latents": Tokens(latent_dim=4, length=4, grid=(2, 2), patch_size=2),
    "speech units": Tokens(vocab_size=9, codebook=(9, 5)),
    "speech units of a known length": Tokens(vocab_size=9, max_length=8),
    "speech latents": Tokens(latent_dim=5, length=6),
    "speech latents of a known length": Tokens(latent_dim=5, max_length=8),
}
DDPM = {  # a stochastic scheduler corrects the errors of x_0 that epsilon causes at high noise
    "class_path": "diffusers.DDPMScheduler",
    "init_args": {"beta_schedule": "squaredcos_cap_v2", "clip_sample_range": 2.0, "timestep_spacing": "trailing"},
}
SETTINGS = {
    NextToken: [{}, {"tie": True}, {"lookup": "codebook"}],
    MaskedToken: [{}, {"schedule": "linear", "tie": True}, {"lookup": "codebook"}],
    Diffusion: [
        {"prediction_type": "epsilon", "min_snr_gamma": 5.0, "scheduler": DDPM},
        {"prediction_type": "v_prediction", "time_conditioning": "additive"},
        {"prediction_type": "sample"},
        {"prediction_type": "v_prediction", "patch_io": "unet"},
    ],
    FlowMatching: [
        {},
        {"prediction": "x_0", "timestep_sampling": "logit_normal"},
        {"patch_io": "unet", "time_conditioning": "additive"},
    ],
    NextLatent: [{}],
    Regression: [{}],
    Observed: [{}],
}
CELLS = [
    pytest.param(kind, objective, settings, id=f"{kind}-{objective.__name__}-{number}")
    for kind, objective in product(KINDS, SETTINGS)
    if objective.supports(KINDS[kind])
    for number, settings in enumerate(SETTINGS[objective])
    if ("patch_io" not in settings or KINDS[kind].grid) and ("lookup" not in settings or KINDS[kind].codebook)
]
every_cell = pytest.mark.parametrize(("kind", "objective", "settings"), CELLS)
PREDICTED = [cell for cell in CELLS if cell.values[1].predicts]


def takes_long(kind, objective, number):
    """Denoisers need more steps: by default, all their settings train on images, and only one on speech."""
    quick = kind == "image latents" or (kind.endswith("known length") and objective is FlowMatching and not number)
    return issubclass(objective, DenoisingObjective) and not quick


LEARNED = [
    pytest.param(*cell.values, id=cell.id, marks=[pytest.mark.slow] * takes_long(*cell.values[:2], int(cell.id[-1])))
    for cell in PREDICTED
]


def build(kind, objective, settings):
    torch.manual_seed(0)
    tokens = {"text": TEXT, "other": KINDS[kind]}
    model = MixtureOfTransformers({"text": NextToken(), "other": objective(**settings)}, tokens, "text", SMALL)
    model.objectives["other"].set_codebook(torch.randn(*KINDS[kind].codebook) if KINDS[kind].codebook else None)
    return model


def documents(kind):
    """Two documents with different words and different content."""
    tokens, generator = KINDS[kind], generator_for(1)
    n = tokens.length or 7
    pair = []
    for word in (3, 11):
        if tokens.discrete:
            content = torch.randint(tokens.vocab_size, (n,), generator=generator)
        else:
            content = torch.randn(n, tokens.latent_dim, generator=generator).clamp(-1.5, 1.5)
        pair.append([Segment("text", torch.tensor([word])), Segment("other", content)])
    return pair


def learn(model, documents, steps, copies=4):
    """Overfit a batch of the documents, with new noise at each step."""
    batch = pack([*documents] * copies, model.grammar, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        sum(one.loss.mean() for one in model(batch, step).values() if len(one.loss)).backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(("kind", "objective", "settings"), LEARNED)
def test_overfitted_model_samples_its_training_data(kind, objective, settings):
    model, known = build(kind, objective, settings), documents(kind)
    learn(model, known, 200 if objective in (Diffusion, FlowMatching, NextLatent) else 80)
    prompts = [[document[0]] for document in known]
    sampled = generate(model.eval(), prompts, plain(("other",), temperature=0.5))
    for document, (segment,) in zip(known, sampled, strict=True):
        learned = document[1].tokens
        if KINDS[kind].discrete:
            assert segment.tokens.tolist() == learned.tolist()
        else:
            assert segment.tokens.shape == learned.shape
            assert (segment.tokens - learned).square().mean().sqrt() < 0.25  # of a standard deviation of about 1


def random(kind, objective, settings):
    """An untrained model without zero weights."""
    model = build(kind, objective, settings).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator_for(2))
    return model


@every_cell
def test_packing_caching_and_masking_hold_for_every_objective(kind, objective, settings):
    model, known = random(kind, objective, settings), documents(kind)
    assert_packed_equals_unpacked(model, known)
    assert_cached_equals_packed(model, known, one_by_one=True)
    assert_no_token_sees_its_future(model, known[0], 1, 2)
    assert_documents_do_not_mix(model, known, 0, 1, 2)
    batch = pack(known, model.grammar, 64)
    (loss, weight, _) = model(batch, 0)["other"]
    assert loss.shape == weight.shape == batch.by_modality["other"].weight.shape
    assert loss.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_overfitted_model_tells_what_it_observes(kind):
    model, known = build(kind, Observed, {}), [document[::-1] for document in documents(kind)]
    learn(model, known, 80)
    sampled = generate(model.eval(), [document[:1] for document in known], plain(("text",), temperature=0.0))
    assert [segment.tokens.tolist() for (segment,) in sampled] == [[3], [11]]


@pytest.mark.parametrize(("kind", "objective", "settings"), PREDICTED)
def test_sample_of_every_objective_does_not_depend_on_its_batch(kind, objective, settings):
    model = random(kind, objective, settings)
    prompts = [[], documents(kind)[0], documents(kind)[1][:1]]
    if hasattr(model.objectives["other"], "steps"):
        model.objectives["other"].steps = 3
    for scale in (1.0, 2.0):
        request = plain(("other", "other"), max_length=6, guidance={"other": scale})
        assert_a_sample_does_not_depend_on_its_batch(model, prompts, request)


FITTING = {
    "Bytes": {"NextToken", "Observed"},
    "LogMelUnits": {"MaskedToken", "NextToken", "Observed"},
    "Patches": {"Diffusion", "FlowMatching", "NextLatent", "Observed", "Regression"},
}


@pytest.mark.parametrize(
    ("codec", "objective"), [*product(FITTING, [name for name in objectives.__all__ if name != "Objective"])]
)
def test_unsupported_objective_raises_and_lists_supported_ones(codec, objective):
    tokenizer = {"Bytes": Bytes, "LogMelUnits": LogMelUnits, "Patches": lambda: Patches((1, 4, 4), 2)}[codec]()
    modalities = {
        "text": Modality(Bytes(), NextToken()),
        "other": Modality(tokenizer, getattr(objectives, objective)()),
    }
    arguments = (modalities, "text", BackboneSettings(dim=16, depth=1, heads=1))
    if objective in FITTING[codec]:
        assemble(*arguments)
        return
    with pytest.raises(
        ValueError, match=f"{objective} does not fit modality 'other': its codec makes .* wanted"
    ) as refused:
        assemble(*arguments)
    message = str(refused.value)
    assert "\n" not in message
    named = message.partition(", wanted ")[2].split(" or ")
    assert FITTING[codec] == {*named} - {named[-1]}


def test_control_modality_needs_a_causal_objective():
    with pytest.raises(ValueError, match="control is 'text', wanted a modality of ids that is learned causally"):
        MixtureOfTransformers({"text": MaskedToken()}, {"text": Tokens(vocab_size=4, length=3)}, "text", SMALL)


def test_every_objective_and_token_kind_is_covered():
    known = {getattr(objectives, name) for name in objectives.__all__} - {Objective}
    assert known == {*SETTINGS}
    assert {*SETTINGS} == {cell.values[1] for cell in CELLS}
    assert np.all([any(objective.supports(tokens) for objective in known) for tokens in KINDS.values()])
