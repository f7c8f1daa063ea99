"""What the LightningModule promises: absent modalities stay as they are, and accumulated batches are one step."""

import pytest
import torch
from lightning.pytorch import Trainer
from runs import TINY, rows, run, weights

from datamodules import Digits
from datamodules.documents import DocumentSettings
from mot_lightning.backbone import BackboneSettings, MoESettings
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.config.instantiate import instantiate
from mot_lightning.generation import GenerationSettings
from mot_lightning.modality import Modality
from mot_lightning.module import MoTModule
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.seeds import mix


def test_an_absent_modality_moves_nothing_of_its_own(tmp_path):
    """No decay and no momentum: its tower after six steps is what it was after none."""
    before, after = tmp_path / "before", tmp_path / "after"
    absent = [
        "--data.documents={text+speech: 0.5, text: 0.3, speech: 0.2}",
        "--data.document_settings.condition_dropout=0",
    ]
    assert run(before, "fit", *TINY, *absent, "--trainer.max_steps=1") == 0
    assert run(after, "fit", *TINY, *absent) == 0
    one, six = (weights(folder / "default/0") for folder in (before, after))
    # towers are in the order of their modalities' names: image, speech, text
    of_images = [n for n in one if n.startswith("model.") and (".layers.0.towers.0." in n or "objectives.image" in n)]
    others = [n for n in one if n.startswith("model.backbone.layers.0.towers.2.") and n.endswith("weight")]
    assert of_images
    assert all(torch.equal(one[name], six[name]) for name in of_images)
    assert others
    assert not any(torch.equal(one[name], six[name]) for name in others)


def test_a_modality_left_out_leaves_the_rest_to_train_and_be_measured(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, "--model.modalities.speech=null", "--report.prompts=2") == 0
    said = capsys.readouterr().out
    assert "text -> image" in said
    assert "speech" not in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": {"text": Bytes()}}, r"modalities.text is of type Bytes, wanted Modality\(codec, objective\)"),
        ({"backbone": {"dim": 64}}, r"backbone is \{'dim': 64\}, wanted BackboneSettings\(...\)"),
        ({"optimizer": "AdamW"}, r"optimizer is 'AdamW', wanted OptimizerSettings\(...\)"),
        (
            {"optimizer": torch.optim.SGD([torch.zeros(1)])},
            r"optimizer is of type SGD, wanted OptimizerSettings\(...\)",
        ),
        ({"seed": "3"}, "seed is '3', wanted a whole number"),
    ],
)
def test_other_objects_than_settings_are_refused(settings, message):
    with pytest.raises(TypeError, match=rf"^model\.{message}$"):
        MoTModule(**{"modalities": {"text": Modality(Bytes(), NextToken())}, "control": "text", **settings})


def test_accumulated_batches_count_as_one_step(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--trainer.accumulate_grad_batches=2") == 0
    assert {row["step"] for row in rows(tmp_path / "default/0")} >= {"1", "2", "6"}


def test_validation_noise_is_that_of_its_batch_and_not_of_the_step(trained):
    """The same weights have the same validation loss at any time; two batches are not noised alike."""
    checkpoint = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    module = MoTModule(
        {"text": Modality(Bytes(), NextToken()), "image": Modality(Patches((1, 8, 8), 2), FlowMatching())},
        "text",
        BackboneSettings(dim=16, depth=1, heads=2),
        seed=int(checkpoint["config"]["seed"]),
    )
    data = Digits(batch_size=4, documents={"text+image": 1.0})
    module.prepare(data)
    batch = next(iter(data.val_dataloader()))
    torch.manual_seed(1)
    first = module.validation_step(batch, 0)
    torch.manual_seed(2)
    assert torch.equal(module.validation_step(batch, 0), first)
    assert torch.equal(module.test_step(batch, 0), first)
    assert torch.equal(module.validation_step(batch, 1), first)
    image = module.modalities.index("image")
    seeds = batch.by_modality["image"].segment_seed
    assert len({*seeds.tolist()}) == len(seeds)
    # batches of segments without seeds: their number is what tells them apart, also from those of training
    hand = batch._replace(seeded=False)
    first, second = (module.validation_step(hand, number)[image, 0] for number in (0, 1))
    training = module.sums(module.ema_model(batch, mix(module.seed, 0, 0)), batch).loss[image]
    assert len({first.item(), second.item(), training.item()}) == 3


def test_the_loss_of_content_leaves_control_tokens_out():
    module = MoTModule(
        {"text": Modality(Bytes(), NextToken()), "image": Modality(Patches((1, 8, 8), 2), FlowMatching())}, "text"
    )
    data = Digits(batch_size=4, documents={"text+image": 1.0}, two_images=0.0)
    module.prepare(data)
    batch = next(iter(data.val_dataloader()))
    sums = module.sums(module.model(batch, 0), batch)
    text = module.modalities.index("text")
    captions = batch.by_modality["text"]
    written = sum(len(segment) for segment in captions.target[captions.content].split(1))
    stops = int(captions.segment.max()) + 1  # each caption predicts its end, which writes no byte
    assert sums.content_targets[text] == written
    assert sums.content_bytes[text] == written - stops
    assert sums.targets[text] > sums.content_targets[text]
    losses = module.model(batch, 0)["text"]
    torch.testing.assert_close(sums.content_loss[text], losses.loss[captions.content].sum())
    assert sums.loss[text] > sums.content_loss[text]


def test_building_a_module_leaves_everybodys_generator_as_it_was():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    one, two = (
        MoTModule({"text": Modality(Bytes(), NextToken())}, "text", BackboneSettings(dim=16, depth=1, heads=2), seed=s)
        for s in (0, 1)
    )
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(one.model.objectives["text"].head.weight, two.model.objectives["text"].head.weight)
    assert torch.equal(one.model.objectives["text"].head.weight, one.ema_model.objectives["text"].head.weight)


def trained_by_hand(documents, **backbone):
    """A module beside a real trainer, and batches of each kind of document."""
    module = MoTModule(
        {"text": Modality(Bytes(), NextToken()), "image": Modality(Patches((1, 8, 8), 2), FlowMatching())},
        "text",
        BackboneSettings(dim=16, depth=1, heads=2, **backbone),
    )
    module.trainer = Trainer(accelerator="cpu", logger=False, barebones=True)
    batches = []
    for kind in documents:
        data = Digits(batch_size=4, documents={kind: 1.0}, document_settings=DocumentSettings(condition_dropout=0))
        module.prepare(data)
        batches.append(next(iter(data.train_dataloader())))
    return module, batches


def test_a_modality_that_any_accumulated_batch_had_is_moved_and_the_next_step_starts_anew():
    module, (both, text) = trained_by_hand(("text+image", "text"))
    for number, batch in enumerate((both, text)):
        module.training_step(batch, number)["loss"].backward()
    image = module.model.objectives["image"].projection.output.weight
    module.on_before_optimizer_step(None)
    assert image.grad is not None
    module.training_step(text, 2)["loss"].backward()
    module.on_before_optimizer_step(None)
    assert image.grad is None


def test_what_balances_experts_is_part_of_the_steps_loss():
    losses = []
    for weight in (0.0, 10.0):
        experts = {"text": MoESettings(count=2, choice="token", load_balancing_weight=weight)}
        module, (batch,) = trained_by_hand(("text+image",), experts=experts)
        losses.append(module.training_step(batch, 0)["loss"].item())
    assert losses[1] - losses[0] > 5  # about the weight itself, where experts are used alike


def test_averaged_weights_are_those_that_are_validated_and_generate():
    module, (batch,) = trained_by_hand(("text+image",))
    assert module.pipeline.model is module.ema_model
    before = module.validation_step(batch, 0)
    with torch.no_grad():
        module.model.objectives["text"].head.weight.normal_()
    assert torch.equal(module.validation_step(batch, 0), before)
    with torch.no_grad():
        module.ema_model.objectives["text"].head.weight.normal_()
    assert not torch.equal(module.validation_step(batch, 0), before)


def test_after_the_first_step_the_average_is_by_the_decay_of_one_step(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--trainer.max_steps=1") == 0
    config = torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["config"]
    settings = instantiate(MoTModule, {**config["model"], "seed": config["seed"]})
    start = MoTModule(**settings).model.state_dict()
    state = weights(tmp_path / "default/0")
    name = "objectives.text.head.weight"
    decay = 2 / 11
    expected = decay * start[name] + (1 - decay) * state[f"model.{name}"]
    torch.testing.assert_close(state[f"ema_model.{name}"], expected)
    assert not torch.equal(start[name], state[f"model.{name}"])


def test_guidance_by_default_is_of_bidirectional_modalities_alone():
    module, _ = trained_by_hand(("text+image",))
    module.limits = None
    assert module.pipeline.with_guidance(GenerationSettings()).guidance == {"image": 2.0, "text": 1.0}


def test_dropout_depends_on_the_rank_and_noise_only_without_seeds_of_documents(monkeypatch):
    module, (batch,) = trained_by_hand(("text+image",), dropout=0.5)
    states, seeds = [], []
    forward = module.model.forward

    def recorded(batch, seed):
        states.append(torch.get_rng_state())
        seeds.append(seed)
        return forward(batch, seed)

    monkeypatch.setattr(module.model, "forward", recorded)
    assert batch.seeded
    unseeded = batch._replace(seeded=False)
    for rank, of in ((0, batch), (0, batch), (1, batch), (0, unseeded), (0, unseeded), (1, unseeded)):
        monkeypatch.setattr(MoTModule, "global_rank", rank)
        module.training_step(of, 5)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    assert seeds[:3] == [module.seed] * 3
    assert seeds[3] == seeds[4] != seeds[5]


def test_the_gradient_of_two_ranks_is_that_of_their_targets_together(monkeypatch):
    """The strategy averages gradients over ranks, so each rank's loss is multiplied by their number."""
    module, (batch,) = trained_by_hand(("text+image",))
    alone = module.training_step(batch, 0)["loss"]
    monkeypatch.setattr(type(module.trainer), "world_size", 2)
    monkeypatch.setattr(module.trainer.strategy, "reduce", lambda x, reduce_op: 2 * x)  # the other rank has the same
    torch.testing.assert_close(module.training_step(batch, 0)["loss"], alone)


def test_prepare_sets_what_the_model_is_trained_on():
    module, _ = trained_by_hand(("text+image",))  # without unconditional documents
    assert module.limits is not None
    assert not module.pipeline.supports_guidance("image")
