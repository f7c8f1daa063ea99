"""Fine-tuning: a run that starts from the weights and codecs of another."""

import pytest
import torch
from runs import run, weights

from datamodules import Digits
from mot_lightning.codecs import BPE, Bytes, Patches
from mot_lightning.errors import ConfigError
from mot_lightning.modality import Modality
from mot_lightning.module import MoTModule
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.runs.checkpoint import read_checkpoint
from mot_lightning.training.initial_weights import initialise_from


def test_init_from_starts_from_the_averaged_weights_with_new_settings(tmp_path, trained, capsys):
    start = f"--init_from={trained / 'checkpoints/last.ckpt'}"
    still = ["--model.optimizer.learning_rate=1e-9", "--model.optimizer.weight_decay=0", "--trainer.max_steps=1"]
    assert run(tmp_path, "fit", start, *still, "--report.prompts=0") == 0
    printed = capsys.readouterr().out
    assert "model.optimizer.learning_rate: 0.003 -> 1e-09" in printed
    assert f"weights from {trained / 'checkpoints/last.ckpt'}\n" in printed
    tuned, before = weights(tmp_path / "default/0"), weights(trained)
    for name in before:
        if name.startswith("model."):
            average = before[name.replace("model.", "ema_model.", 1)]
            torch.testing.assert_close(tuned[name], average, atol=1e-6, rtol=0)
    checkpoint = read_checkpoint(tmp_path / "default/0/checkpoints/last.ckpt")
    assert checkpoint["global_step"] == 1
    assert checkpoint["config"]["model"]["optimizer"]["learning_rate"] == 1e-9


def test_init_from_says_which_weights_are_new(tmp_path, trained, capsys):
    start = f"--init_from={trained / 'checkpoints/last.ckpt'}"
    changes = ["--model.backbone.ffn_dim=48", "--trainer.max_steps=1", "--report.prompts=0"]
    assert run(tmp_path, "fit", start, *changes) == 0
    assert "but a random start for backbone.layers.0.towers.0.ffn.down.weight and" in capsys.readouterr().out


def test_init_from_and_a_language_model_exclude_each_other(refusal, trained, language_models):
    pretrained = f"--model.pretrained.text={language_models['llama']}"
    line = refusal("fit", f"--init_from={trained / 'checkpoints/last.ckpt'}", pretrained)
    assert "--init_from and model.pretrained are both given, wanted one of them" in line


def test_init_from_and_ckpt_path_exclude_each_other(refusal, trained):
    last = trained / "checkpoints/last.ckpt"
    assert "both given" in refusal("fit", f"--init_from={last}", f"--ckpt_path={last}")


def module_with(codec):
    return MoTModule(
        {"text": Modality(codec, NextToken()), "image": Modality(Patches((1, 8, 8), 2), FlowMatching())}, "text"
    )


def test_a_codec_of_the_same_settings_keeps_what_it_learned():
    one = module_with(BPE(vocab_size=270))
    one.prepare(Digits())
    checkpoint = {"state_dict": one.state_dict(), "hyper_parameters": {}}
    one.on_save_checkpoint(checkpoint)
    two = module_with(BPE(vocab_size=270))
    assert initialise_from(two, checkpoint) == []
    two.prepare(Digits(documents={"text+image": 1.0}, seed=5))
    caption = "a handwritten seven"
    assert torch.equal(two.codecs["text"].encode(caption), one.codecs["text"].encode(caption))
    assert two.fitted_codecs == {"text", "image"}

    other = module_with(Bytes())
    assert "objectives.text.head.weight" in initialise_from(other, checkpoint)
    assert other.fitted_codecs == {"image"}


def test_a_checkpoint_without_a_weight_of_the_model_is_refused():
    module = module_with(Bytes())
    with pytest.raises(ConfigError, match="no weight of this model"):
        initialise_from(module, {"state_dict": {"ema_model.other": torch.zeros(1)}, "codecs": {}})


def test_a_codec_of_other_pretrained_weights_is_fitted_again(monkeypatch):
    one = module_with(BPE(vocab_size=270))
    one.prepare(Digits())
    checkpoint = {"state_dict": one.state_dict(), "hyper_parameters": {}}
    one.on_save_checkpoint(checkpoint)
    two = module_with(BPE(vocab_size=270))
    monkeypatch.setattr(BPE, "pretrained_hash", "of others")
    initialise_from(two, checkpoint)
    assert two.fitted_codecs == {"image"}


def test_a_modality_left_out_keeps_the_rows_of_all_other_ids(tmp_path, trained, capsys):
    start = f"--init_from={trained}"
    still = ["--model.optimizer.learning_rate=1e-9", "--model.optimizer.weight_decay=0", "--trainer.max_steps=1"]
    assert run(tmp_path, "fit", start, "--model.modalities.image=null", *still, "--report.prompts=0") == 0
    assert "random start" not in capsys.readouterr().out
    before, after = weights(trained), weights(tmp_path / "default/0")
    for table in ("embedding", "head"):
        old, new = before[f"ema_model.objectives.text.{table}.weight"], after[f"model.objectives.text.{table}.weight"]
        # bytes, the stop id, the end of a document, then a begin and an end id for image, speech and text
        assert (len(old), len(new)) == (256 + 2 + 6, 256 + 2 + 4)
        torch.testing.assert_close(new, torch.cat([old[:258], old[260:]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("decouple", [False, True])
def test_control_ids_follow_their_modality_s_name(decouple):
    """Three modalities start from three: the ids of the one that both have are others, those of the new one are new."""

    def module(*names):
        torch.manual_seed(len(names[0]))
        modalities = {name: Modality(Patches((1, 4, 4), 2), FlowMatching()) for name in names}
        return MoTModule({"text": Modality(Bytes(), NextToken(decouple_control=decouple)), **modalities}, "text")

    old, new = module("image", "zebra"), module("art", "image")
    checkpoint = {"state_dict": old.state_dict(), "hyper_parameters": {}}
    old.on_save_checkpoint(checkpoint)
    fresh = module("art", "image")
    initialise_from(new, checkpoint)

    def rows(module, ids):
        text = module.model.objectives["text"]
        return torch.cat([text.embed_clean(torch.tensor(ids))[0], text.logits(torch.eye(128)).T[ids]], dim=1)

    grammars = [one.model.grammar for one in (old, new)]
    shared, expected = (
        [g.end_of_document, *(edge[name] for name in ("text", "image") for edge in (g.begin, g.end))] for g in grammars
    )
    assert torch.equal(rows(new, expected), rows(old, shared))
    added = [grammars[1].begin["art"], grammars[1].end["art"]]
    assert torch.equal(rows(new, added), rows(fresh, added))
    assert torch.equal(rows(new, [0, 65]), rows(old, [0, 65]))
