"""Towers of unequal size: what they share, what they cost, and what is refused."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model
from properties import CLOSE, assert_same_losses, linear_flops, plain
from runs import TINY, run

from mot_lightning.analysis.ledger import costs
from mot_lightning.backbone import BackboneSettings
from mot_lightning.backbone.towers import TowerSettings, tower_members
from mot_lightning.generation import generate
from mot_lightning.sequence import pack

NAMES = ("text", "image", "speech")
NARROW = {"text": ["text"], "image": TowerSettings(["image"], dim=16, ffn_dim=48), "speech": ["speech"]}
NARROW_CONTROL = {"text": TowerSettings(["text"], dim=16), "rest": TowerSettings(["image", "speech"], dim=48)}


def batch(model):
    rng = np.random.default_rng(0)
    return pack([make_document(rng, NAMES), make_document(rng, NAMES[1:])], model.grammar, 64)


def test_a_tower_has_its_size_and_the_heads_of_all():
    layer = make_model(towers=NARROW).backbone.layers[0]
    image, text = (next(t for t in layer.towers if t.modalities == (name,)) for name in ("image", "text"))
    assert image.qkv.weight.shape == (3 * 32, 16)
    assert image.output.weight.shape == (16, 32)
    assert image.ffn(torch.zeros(1, 16)).shape == (1, 16)
    assert sum(p.numel() for p in image.ffn.parameters()) == 3 * 16 * 48
    assert text.qkv.weight.shape == (3 * 32, 32)
    assert image.adapt["image"].linear.weight.shape == (6 * 16, 32)  # the condition has the width of the model


def test_a_size_that_is_the_backbone_s_changes_nothing():
    listed, sized = make_model(), make_model(towers={name: TowerSettings([name], dim=32, ffn_dim=64) for name in NAMES})
    assert listed.state_dict().keys() == sized.state_dict().keys()
    assert_same_losses(listed, batch(listed), batch(sized), sized, rtol=0, atol=0)


def test_default_widths_of_feed_forward_networks():
    settings = BackboneSettings(dim=96, ffn_dim=100, towers={"a": TowerSettings(["text"], dim=48), "b": ["image"]})
    assert settings.size_of(["text"]) == (48, 128)
    assert settings.size_of(["image"]) == (96, 100)
    assert BackboneSettings(dim=96, ffn_dim=100, towers={"a": TowerSettings(["text"])}).size_of(["text"]) == (96, 100)


@pytest.mark.parametrize("towers", [NARROW, NARROW_CONTROL], ids=["narrow images", "narrow control"])
def test_flops_are_those_that_run(towers):
    model = make_model(towers=towers)
    packed = batch(model)
    counts = dict(zip(model.grammar.groups, packed.layout.counts, strict=True))
    attention = 2 * 2 * 32 * 2  # QK^T and AV of two layers, at two FLOPs per multiply-add
    total = sum(counts[name] * (cost.flops - attention * cost.context) for name, cost in costs(model, packed).items())
    assert total == pytest.approx(linear_flops(model, packed))
    assert total < linear_flops(make_model(), batch(make_model())) or towers is NARROW_CONTROL


def test_the_bridge_counts_as_its_modality_s():
    model = make_model(towers=NARROW)
    parameters = {id(p) for module in model.weights_of("image") for p in module.parameters()}
    bridge = model.backbone.bridges[str(model.backbone.towers.index(("image",)))]
    assert {id(p) for p in bridge.parameters()} <= parameters
    assert not {id(p) for p in bridge.parameters()} & {
        id(p) for module in model.weights_of("text") for p in module.parameters()
    }


@pytest.mark.parametrize("towers", [NARROW, NARROW_CONTROL], ids=["narrow images", "narrow control"])
def test_samples_do_not_depend_on_their_batch(towers):
    model = make_model(towers=towers)
    prompts = [make_document(np.random.default_rng(seed), ["text"]) for seed in range(2)]
    settings = plain(("speech", "image"), max_length=5)
    together = generate(model, prompts, settings, [0, 1])
    alone = [generate(model, [prompt], settings, [number])[0] for number, prompt in enumerate(prompts)]
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a.tokens, b.tokens, **CLOSE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"towers": NARROW, "untie": ["ffn"]}, "dim of text 32, image 16, speech 32, wanted equal .* share qkv"),
        ({"towers": NARROW, "untied_layers": [0, 1]}, "dim of text 32, image 16, speech 32, wanted equal .* share ffn"),
        (
            {"towers": {**NARROW, "image": TowerSettings(["image"], ffn_dim=48)}, "untie": ["qkv", "o", "norm"]},
            "ffn_dim of text 64, image 48, speech 64, wanted equal ones where towers share ffn",
        ),
    ],
)
def test_weights_of_unequal_size_are_not_shared(settings, message):
    with pytest.raises(ValueError, match=message):
        make_model(**settings)


def test_gains_of_queries_and_keys_and_equal_parts_are_shared():
    model = make_model(towers=NARROW, untie=["ffn", "qkv", "o", "norm"])
    towers = model.backbone.layers[0].towers
    assert len({id(tower.qk_norm) for tower in towers}) == 1
    only_ffn = {**NARROW, "image": TowerSettings(["image"], ffn_dim=48)}
    towers = make_model(towers=only_ffn, untie=["ffn"]).backbone.layers[0].towers
    assert len({id(tower.qkv) for tower in towers}) == 1


@pytest.mark.parametrize(
    ("tower", "message"),
    [
        ("{modalities: [image], dim: 0}", "backbone.towers.image.dim is 0, wanted at least 1, or null"),
        ("{modalities: [image], ffn_dim: -1}", "backbone.towers.image.ffn_dim is -1, wanted at least 1, or null"),
        ("{modalities: [], dim: 16}", "backbone.towers.image.modalities is [], wanted at least one"),
        ("{modalities: [image], heads: 2}", "model.backbone.towers: there is no setting 'heads'"),
        ("{dim: 16}", "model.backbone.towers has no modalities, wanted one"),
        ("3", "model.backbone.towers is 3, wanted a list or TowerSettings"),
    ],
)
def test_bad_towers_are_refused_in_one_line(tmp_path, capsys, tower, message):
    towers = f"--model.backbone.towers={{text: [text], speech: [speech], image: {tower}}}"
    assert run(tmp_path, "fit", *TINY, towers) == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert last.startswith(f"error: {message}")


def test_a_run_without_a_modality_leaves_it_out_of_its_tower(tmp_path):
    towers = "--model.backbone.towers={text: [text], rest: {modalities: [image, speech], dim: 16}}"
    assert run(tmp_path, "fit", *TINY, towers, "--model.modalities.speech=null", "--trainer.max_steps=2") == 0


def test_telemetry_that_needs_one_width_is_refused(tmp_path, capsys):
    towers = "--model.backbone.towers={text: [text], speech: [speech], image: {modalities: [image], dim: 8}}"
    for callback in ("Separability", "TowerSimilarity"):
        assert run(tmp_path, "fit", *TINY, towers, f"--trainer.callbacks+={callback}") == 2
        assert f"wanted equal ones with {callback}" in capsys.readouterr().err


def test_members_of_towers():
    assert tower_members(NARROW_CONTROL, NAMES) == {"text": ("text",), "rest": ("image", "speech")}
