"""A pipeline that is saved and loaded generates, bit by bit, what the checkpoint does."""

import json

import pytest
import torch
from runs import run
from safetensors.torch import load_file

from mot_lightning import (
    BPE,
    VQ,
    BackboneSettings,
    FlowMatching,
    LogMelUnits,
    MaskedToken,
    Modality,
    NextToken,
    Patches,
)
from mot_lightning.modality import assemble
from mot_lightning.pipeline import MoTPipeline


def equal(a, b):
    same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    return same and type(a) is type(b)


def assert_alike(first, second, prompts, **settings):
    documents, others = first(prompts, seed=3, **settings), second(prompts, seed=3, **settings)
    assert [[name for name, _ in one] for one in documents] == [[name for name, _ in one] for one in others]
    for one, other in zip(documents, others, strict=True):
        assert one
        assert all(equal(a, b) for (_, a), (_, b) in zip(one, other, strict=True))


def test_the_folder_generates_what_the_checkpoint_generates(tmp_path, trained):
    pipeline = MoTPipeline.from_pretrained(trained)
    pipeline.save_pretrained(tmp_path / "model")
    loaded = MoTPipeline.from_pretrained(tmp_path / "model")
    assert loaded.limits == pipeline.limits
    settings = {"modalities": ("text", "image", "speech"), "max_length": 9, "temperature": 1.0}
    assert_alike(pipeline, loaded, ["two", [("text", "seven")]], **settings)
    assert loaded.training == pipeline.training
    assert loaded.training["step"] == 6


def test_saving_again_changes_nothing(tmp_path, trained):
    MoTPipeline.from_pretrained(trained).save_pretrained(tmp_path / "one/model", license="mit")
    MoTPipeline.from_pretrained(tmp_path / "one/model").save_pretrained(tmp_path / "two/model", license="mit")
    for file in sorted((tmp_path / "one/model").iterdir()):
        assert file.read_bytes() == (tmp_path / "two/model" / file.name).read_bytes(), file.name


def test_settings_of_the_folder_are_those_of_the_checkpoint(tmp_path, trained):
    checkpoint = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    MoTPipeline.from_pretrained(trained).save_pretrained(tmp_path / "model")
    model = json.loads((tmp_path / "model/config.json").read_text())["model"]
    saved = checkpoint["config"]["model"]
    assert (model["control"], model["backbone"]) == (saved["control"], saved["backbone"])
    for name, modality in saved["modalities"].items():
        for part in ("codec", "objective"):
            assert model["modalities"][name][part] == {"init_args": {}, **modality[part]}


def test_tied_tables_trained_codecs_and_tokenizers_come_back(tmp_path):
    texts = ["a seven", "a drawn two", "three in pixels"] * 9
    images = list(torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    modalities = {
        "text": Modality(BPE(270), NextToken(tie=True)),
        "picture": Modality(VQ((1, 8, 8), vocab_size=16, channels=8, steps=2), MaskedToken(lookup="codebook")),
        "depth": Modality(Patches((1, 8, 8), 4), FlowMatching(scheduler={"init_args": {"shift": 2.0}})),
    }
    torch.manual_seed(0)
    backbone = BackboneSettings(dim=32, depth=2, heads=2, towers={"seen": ["depth", "picture"], "text": ["text"]})
    model = assemble(modalities, "text", backbone).eval()
    codecs = {name: modality.codec for name, modality in modalities.items()}
    codecs["text"].fit(texts)
    codecs["picture"].fit(images)
    codecs["depth"].fit(images)
    model.objectives["picture"].set_codebook(codecs["picture"].codebook)
    pipeline = MoTPipeline(codecs, model)
    pipeline.save_pretrained(tmp_path / "model")
    weights = load_file(tmp_path / "model/model.safetensors")
    assert sum(x.numel() for x in weights.values()) < sum(x.numel() for x in model.state_dict().values())
    loaded = MoTPipeline.from_pretrained(tmp_path / "model")
    table = loaded.model.objectives["text"]
    assert table.head.weight is table.embedding.weight
    settings = {"modalities": ("text", "picture", "depth"), "max_length": 9, "temperature": 1.0, "guidance": 1.0}
    assert_alike(pipeline, loaded, ["a seven", [("picture", images[0])]], **settings)


def test_generate_takes_the_folder_and_writes_what_the_checkpoint_gives(tmp_path, trained):
    assert run(tmp_path, "export", f"--ckpt_path={trained}", f"--out={tmp_path / 'model'}") == 0
    options = ["--prompt=two", "--modalities=text,image", "--max_length=9"]
    for place, out in ((trained, "a"), (tmp_path / "model", "b")):
        assert run(tmp_path, "generate", f"--ckpt_path={place}", f"--out={tmp_path / out}", *options) == 0
    for file in ("00_0_text.txt", "00_1_image.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    first, second = (json.loads((tmp_path / name / "request.json").read_text()) for name in "ab")
    assert (first["step"], first["experiment"]) == (second["step"], second["experiment"]) == (6, "default")


@pytest.mark.parametrize("command", ["test", "fit", "evaluate"])
def test_commands_that_need_data_say_so(refusal, tmp_path, trained, command):
    MoTPipeline.from_pretrained(trained).save_pretrained(tmp_path / "model")
    message = refusal(command, f"--ckpt_path={tmp_path / 'model'}")
    assert "is a model that export wrote, without data and optimizer, wanted a checkpoint" in message


def test_an_argument_of_another_type_is_refused(trained):
    pipeline = MoTPipeline.from_pretrained(trained)
    with pytest.raises(TypeError, match=r"^private is 'yes', wanted"):
        pipeline.push_to_hub("someone/digits", private="yes")
    with pytest.raises(TypeError, match=r"^revision is 3, wanted"):
        MoTPipeline.from_pretrained("someone/digits", revision=3)


def test_units_of_speech_come_back(tmp_path):
    sounds = [torch.randn(2_000, generator=torch.Generator().manual_seed(i)) * 0.1 for i in range(4)]
    codec = LogMelUnits(vocab_size=8)
    codec.fit(sounds)
    modalities = {"speech": Modality(codec, NextToken())}
    torch.manual_seed(0)
    model = assemble(modalities, "speech", BackboneSettings(dim=16, depth=1, heads=2)).eval()
    pipeline = MoTPipeline({"speech": codec}, model)
    pipeline.save_pretrained(tmp_path / "model")
    loaded = MoTPipeline.from_pretrained(tmp_path / "model")
    assert_alike(pipeline, loaded, [[("speech", sounds[0])]], modalities=("speech",), max_length=9, temperature=1.0)
