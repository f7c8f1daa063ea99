"""Frozen towers and objectives: which weights stay, what they still pass on, and what is refused."""

import re

import numpy as np
import pytest
import torch
from conftest import SMALL, TOKENS, make_document, make_model
from parts import FROZEN, LEARNING, TWO, names_of
from properties import total_loss
from runs import TINY, rows, run

from mot_lightning.backbone import BackboneSettings, MoESettings
from mot_lightning.backbone.moe import collect_router_stats, experts_of
from mot_lightning.config.instantiate import instantiate
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.module import MoTModule
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.runs.checkpoint import read_checkpoint
from mot_lightning.sequence import Segment, pack
from mot_lightning.training.optimizer import OptimizerSettings

KINDS = (["text", "image", "text"], ["speech", "text", "image"], ["text"])


def batch_of(model, *kinds, seed=0):
    rng = np.random.default_rng(seed)
    return pack([make_document(rng, names) for names in kinds], model.grammar, 64)


def frozen(model):
    return {name for name, weight in model.named_parameters() if not weight.requires_grad}


def test_a_frozen_tower_takes_its_objectives_along_unless_these_have_settings():
    tower, objective = names_of(make_model(), "text")
    assert tower
    assert objective
    for settings, expected in (
        ({"towers": {"text": FROZEN}}, tower | objective),
        ({"towers": {"text": FROZEN}, "objectives": {"text": LEARNING}}, tower),
        ({"objectives": {"text": FROZEN}}, objective),
        ({}, set()),
    ):
        model = make_model()
        OptimizerSettings(**settings).freeze(model)
        assert frozen(model) == expected


def test_a_tower_of_several_modalities_freezes_as_one():
    model = make_model(towers=TWO)
    OptimizerSettings(towers={"perception": FROZEN}).freeze(model)
    image, speech = names_of(model, "image"), names_of(model, "speech")
    assert any(".adapt.image." in name for name in image[0])
    assert frozen(model) == set().union(*image, *speech)


def test_towers_that_share_weights_are_frozen_together():
    tied = {"untie": ["ffn", "norm"]}
    model = make_model(**tied)
    OptimizerSettings(towers=dict.fromkeys(TOKENS, FROZEN), objectives={"image": LEARNING}).freeze(model)
    assert frozen(model) == {*dict(model.named_parameters())} - names_of(model, "image")[1]


@pytest.mark.parametrize(
    ("settings", "backbone", "message"),
    [
        ({"towers": {"txt": FROZEN}}, {}, "towers has 'txt', wanted towers among image, speech, text"),
        ({"towers": {"text": FROZEN}}, {"towers": TWO}, "towers has 'text', wanted towers among perception, words"),
        (
            {"objectives": {"words": FROZEN}},
            {"towers": TWO},
            "has 'words', wanted objectives among image, speech, text",
        ),
        ({"towers": dict.fromkeys(TOKENS, FROZEN)}, {}, "freezes all weights, wanted a tower or an objective that"),
        (
            {"towers": {"text": FROZEN}},
            {"untie": ["ffn", "o", "norm", "qk_norm"]},
            "towers.text.freeze is true, but text shares qkv with image: wanted backbone.untie with qkv in all layers,",
        ),
        ({"towers": {"text": FROZEN}}, {"untie": ["ffn", "qkv", "o", "qk_norm"]}, "shares norm with image"),
        ({"towers": {"text": FROZEN}}, {"untied_layers": [1, 2]}, "shares norm with image"),
    ],
)
def test_what_cannot_be_frozen_is_refused(settings, backbone, message):
    with pytest.raises(ValueError, match=rf"^model\.optimizer\b.*{message}"):
        OptimizerSettings(**settings).freeze(make_model(**backbone))


def text_only(model):
    return batch_of(model, ["text"], ["text", "text"], ["text"], seed=3)


def moved(model):
    """The model with all weights changed that are not frozen."""
    generator = torch.Generator().manual_seed(9)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += torch.randn(weight.shape, generator=generator)
    return model


@pytest.mark.parametrize("control", ["text", "speech"])
def test_the_loss_of_text_depends_on_its_tower_and_on_that_of_the_control_tokens(control):
    """Control tokens are of the control modality: a text is read and attended to from its begin token."""

    def losses(*names):
        objectives = {"text": NextToken(), "image": FlowMatching(), "speech": NextToken()}
        torch.manual_seed(0)
        model = MixtureOfTransformers(objectives, TOKENS, control, BackboneSettings(**vars(SMALL))).eval()
        OptimizerSettings(towers=dict.fromkeys(names, FROZEN)).freeze(model)
        batch = text_only(model)
        with torch.no_grad():
            return [one["text"].loss for one in (model(batch), moved(model)(batch))]

    before, after = losses("text")
    assert torch.equal(before, after) == (control == "text")
    before, after = losses(*{"text", control})
    assert len(before) > 8
    assert torch.equal(before, after)


WAYS = {
    "plain": {},
    "recomputed": {"activation_checkpointing": True},
    "compiled": {"compile": True},
    "masked": {"attention": "sdpa"},
    "without qk_norm": {"qk_norm": False, "norm": "res_post"},
    "few keys": {"kv_heads": 1},
    "experts": {"experts": {"text": MoESettings(count=2), "image": MoESettings(count=2)}},
}


@pytest.mark.filterwarnings("ignore")  # PyTorch's own warnings while compiling
@pytest.mark.parametrize("settings", [
    pytest.param(one, id=name, marks=[pytest.mark.slow] * (name == "compiled")) for name, one in WAYS.items()
])  # fmt: skip
@pytest.mark.parametrize("name", ["text", "image"])
def test_others_learn_through_a_frozen_tower_as_if_it_learned(name, settings):
    models = [make_model(**settings).train() for _ in range(2)]
    OptimizerSettings(towers={name: FROZEN}).freeze(models[1])
    for model in models:
        with collect_router_stats(experts_of(model)) as stats:
            loss = total_loss(model, batch_of(model, *KINDS))
        sum((one.loss for one in stats.values()), start=loss).backward()
    stay = set().union(*names_of(models[0], name))
    for (path, one), two in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert (two.grad is None) == (path in stay)
        if two.grad is not None and one.grad is not None:
            torch.testing.assert_close(two.grad, one.grad, rtol=1e-4, atol=1e-5)
    assert any(weight.grad.any() for weight in models[1].parameters() if weight.grad is not None)


def test_a_frozen_router_is_not_balanced():
    """The loss would move what the other towers write into its tokens, and change nothing of the router."""
    model = make_model(experts={"text": MoESettings(choice="token"), "image": MoESettings(choice="token")}).train()
    OptimizerSettings(towers={"text": FROZEN}).freeze(model)
    with collect_router_stats(experts_of(model)) as stats:
        model(batch_of(model, *KINDS))
    # towers are in the order of their modalities' names: image, speech, text
    assert {name: bool(one.loss) for name, one in stats.items()} == {f"{i}.{t}": t == 0 for i in (0, 1) for t in (0, 2)}


def test_a_batch_of_frozen_modalities_alone_has_zero_gradients():
    model = make_model().train()
    OptimizerSettings(towers={"text": FROZEN}).freeze(model)
    total_loss(model, batch_of(model, ["text"])).backward()
    gradients = [weight.grad for weight in model.parameters() if weight.requires_grad]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


STEPS = 200


def test_text_is_bitwise_what_it_was_after_others_have_learned(tmp_path, capsys):
    """Of 200 steps of a real run: weights, averages and losses; no state of the optimizer, and no decay."""
    learn = ["--model.optimizer.towers={text: {freeze: true}, image: {learning_rate: 1.0e-3}}"]
    learn += ["--model.optimizer.weight_decay=0.5", "--trainer.callbacks+=LearningRateMonitor"]
    often = [f"--trainer.max_steps={STEPS}", f"--trainer.val_check_interval={STEPS}", "--trainer.log_every_n_steps=100"]
    forms = "--data.documents={text+image+speech: 0.6, text+image: 0.2, image+speech: 0.1, text: 0.1}"
    assert run(tmp_path, "fit", *TINY, *learn, *often, forms) == 0
    line = r"^frozen:  tower/text; [\d,]+ of [\d,]+ parameters, at their random start$"
    assert re.search(line, capsys.readouterr().out, re.MULTILINE)
    logged = [row for row in rows(tmp_path / "default/0") if "train/loss" in row]
    assert [row["step"] for row in logged] == ["1", "100", "200"]
    for row in logged:  # a frozen modality is still measured
        assert float(row["train/tower/image/learning_rate"]) == pytest.approx(float(row["train/learning_rate"]) / 3)
        assert "train/text/loss" in row
        assert "train/tower/text/learning_rate" not in row
        assert "train/text/grad_norm" not in row
    checkpoint = read_checkpoint(tmp_path / "default/0/checkpoints/last.ckpt")
    assert checkpoint["global_step"] == STEPS
    after = MoTModule.load_from_checkpoint(tmp_path / "default/0")
    settings = {"seed": after.config["seed"], **after.config["model"]}
    before = MoTModule(**instantiate(MoTModule, settings))
    stay = frozen(before.model)
    assert stay == frozen(after.model) == set().union(*names_of(after.model, "text"))
    start, end, averaged = (dict(one.named_parameters()) for one in (before.model, after.model, after.ema_model))
    for name, weight in end.items():
        assert torch.equal(weight, start[name]) == (name in stay), name
        assert torch.equal(weight, averaged[name]) == (name in stay), name
    (optimizer,) = checkpoint["optimizer_states"]
    assert len(optimizer["state"]) == len(end) - len(stay)
    texts = ["a handwritten seven", "three", "the digit nine, spoken", ""]
    codec = after.codecs["text"]
    documents = [[Segment("text", codec.encode(text))] for text in texts]
    batch = pack(documents, after.model.grammar, 64)
    with torch.no_grad():
        expected = before.model.eval()(batch)["text"]
        for model in (after.model, after.ema_model):
            assert torch.equal(model.eval()(batch)["text"].loss, expected.loss)
