"""`model.pretrained`: a language model settles the architecture, and its run goes on without the folder."""

import shutil

import pytest
import torch
from runs import TINY, run
from safetensors.torch import load_file

from mot_lightning import MoTModule, MoTPipeline
from mot_lightning.experiment.resolve import resolve

SHORT = [one for one in TINY if ".backbone." not in one] + ["--trainer.max_steps=2", "--trainer.val_check_interval=2"]


def settled(*settings):
    return resolve([], settings)["model"]


def test_a_language_model_settles_what_the_user_does_not_set(language_models):
    folder = language_models["qwen3"]
    model = settled(("model.pretrained.text", str(folder)), ("model.modalities.text.objective.z_loss", "0.5"))
    assert model["pretrained"] == {"text": {"name_or_path": str(folder)}}
    backbone = model["backbone"]
    assert (backbone["dim"], backbone["depth"], backbone["head_dim"], backbone["qk_norm"]) == (32, 3, 16, True)
    text = model["modalities"]["text"]
    assert text["codec"]["class_path"].endswith("LanguageModelTokenizer")
    assert text["codec"]["init_args"] == {"name_or_path": str(folder), "vocab_size": 320, "stop": 0, "begin": 0}
    assert text["objective"]["init_args"]["z_loss"] == 0.5
    assert text["objective"]["init_args"]["embedding_scale"] == 1.0
    llama = settled(("model.pretrained.text", str(language_models["llama3"])))
    assert llama["backbone"]["rope_scaling"]["factor"] == 8.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["--model.backbone.dim=64"], ["backbone.dim is 64, wanted 32, as "]),
        (["--model.modalities.text.codec=Bytes"], ["text.codec is 'one of 256 ids', wanted the tokenizer of "]),
        (["--model.pretrained.txt=x"], ["model.pretrained names 'txt', did you mean text?"]),
        (["--model.pretrained=x"], ["model.pretrained is 'x', wanted a mapping"]),
        (["--model.pretrained.text=no/where"], ["'no/where'", "there is no such folder here, and on the hub: "]),
        (["--model.pretrained.text=/nowhere"], ["'/nowhere'", "wanted a language model: there is no such folder"]),
        (["--model.pretrained.text.copy_to=[image]", "--model.pretrained.text.name=x"], ["model.pretrained.text is {"]),
    ],
)
def test_contradictions_and_what_is_no_language_model_are_refused(refusal, language_models, settings, words):
    line = refusal("fit", f"--model.pretrained.text={language_models['llama']}", *settings)
    assert all(word in line for word in words), line


def test_a_pretrained_run_trains_resumes_and_generates_without_the_folder(language_models, tmp_path, capsys):
    folder = shutil.copytree(language_models["llama"], tmp_path / "llama")
    spec = f"--model.pretrained.text={{name_or_path: {folder}, copy_to: [image]}}"
    stay = ["--model.optimizer.learning_rate=1e-9", "--model.optimizer.weight_decay=0"]
    assert run(tmp_path, "fit", *SHORT, spec, *stay) == 0
    output = capsys.readouterr().out
    assert f"pretrained: text starts as {folder}, copied to the tower of image; of 7 new embeddings" in output
    (checkpoint,) = tmp_path.glob("default/*/checkpoints/last.ckpt")
    saved = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    shutil.rmtree(folder)

    module = MoTModule.load_from_checkpoint(checkpoint)
    torch.testing.assert_close(module.model.objectives["text"].embedding.weight[:320], saved, rtol=0, atol=1e-6)
    assert module.config["model"]["pretrained"]["text"]["name_or_path"] == str(folder)
    pipeline = MoTPipeline.from_pretrained(checkpoint)
    assert pipeline.codecs["text"].decode(pipeline.codecs["text"].encode("a seven")) == "a seven"
    assert (
        run(tmp_path, "fit", f"--ckpt_path={checkpoint}", "--trainer.max_steps=3", "--trainer.val_check_interval=3")
        == 0
    )
    resumed = MoTModule.load_from_checkpoint(tmp_path / "default/1/checkpoints/last.ckpt")
    assert resumed.config["model"]["pretrained"] == module.config["model"]["pretrained"]  # for its card
    assert run(tmp_path, "test", f"--ckpt_path={checkpoint}", "--report.prompts=0") == 0
    assert run(tmp_path, "generate", f"--ckpt_path={checkpoint}", "--prompt=a seven", f"--out={tmp_path / 'page'}") == 0
    assert "modality  test loss" in capsys.readouterr().out
