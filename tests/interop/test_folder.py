"""A model's folder: what is missing, damaged, pickled, foreign or of another shape is refused in one line."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mot_lightning.errors import ConfigError
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.runs.checkpoint import FORMAT


@pytest.fixture(scope="module")
def exported(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp("exported") / "model"
    MoTPipeline.from_pretrained(trained).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "model")


def refused(folder):
    with pytest.raises(ConfigError) as refusal:
        MoTPipeline.from_pretrained(folder)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def edit(folder, change):
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))


def test_it_has_four_files_and_no_folder_of_this_machine(exported, trained):
    names = {"config.json", "model.safetensors", "codecs.safetensors", "README.md"}
    assert {file.name for file in exported.iterdir()} == names
    for file in exported.iterdir():
        assert str(trained.parent.parent).encode() not in file.read_bytes()


def test_missing_files_are_named(folder):
    (folder / "codecs.safetensors").unlink()
    assert refused(folder) == f"checkpoint {folder} has no codecs.safetensors"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "has no model.safetensors, but pytorch_model.bin, which is pickled and could run code" in refused(folder)
    (folder / "config.json").rename(folder / "model.safetensors")
    assert refused(folder) == f"checkpoint {folder} has no config.json, wanted a folder that export wrote"


def test_a_truncated_file_is_named(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert f"checkpoint {path} cannot be read: damaged, cut short or no safetensors: " in refused(folder)


@pytest.mark.parametrize(("number", "age"), [(1, "an earlier"), (FORMAT + 1, "a later"), ("x", "an earlier")])
def test_another_format_is_refused(folder, number, age):
    edit(folder, lambda content: content.update(format=number))
    assert f"config.json is of {age} version of mot_lightning (format {number}), wanted format {FORMAT}" in refused(
        folder
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json cannot be read: "),
        ("[" * 100_000, "config.json cannot be read: "),
        ("[]", "config.json is not of mot_lightning, wanted that of a whole model"),
        ('{"model_type": "llama"}', "config.json is not of mot_lightning: it is of a llama, wanted that of"),
    ],
)
def test_configs_of_others_are_refused(folder, content, message):
    (folder / "config.json").write_text(content)
    assert message in refused(folder)


@pytest.mark.parametrize("name", ["model", "limits", "tied_weights", "codecs", "codec_state", "training"])
@pytest.mark.parametrize("value", [7, "text", ["a"]])
def test_a_config_with_a_part_of_another_type_is_refused(folder, name, value):
    edit(folder, lambda content: content.update({name: value}))
    assert f"config.json has {name} {value!r}, wanted a mapping" in refused(folder)


def test_weights_of_another_shape_or_name_are_named_with_both_shapes(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "objectives.image.out.weight" if "objectives.image.out.weight" in weights else min(weights)
    shape = tuple(weights[name].shape)
    save_file({**weights, name: torch.zeros(3, 2)}, path)
    assert refused(folder).startswith(f"weight {name} is of shape (3, 2), wanted shape {shape}: weights and config")
    save_file({key: value for key, value in weights.items() if key != name}, path)
    assert refused(folder).startswith(f"weight {name} is missing, wanted shape {shape}")
    save_file({**weights, "a": torch.zeros(1)}, path)
    assert refused(folder).startswith("weight a is of shape (1,), wanted none of this name")


def test_codecs_that_differ_from_those_of_the_training_are_noticed(folder):
    path = folder / "codecs.safetensors"
    learned = load_file(path)
    learned["speech.centroids"][3, 4] += 1
    save_file(learned, path)
    with pytest.raises(ValueError, match="codec of 'speech': its weights is"):
        MoTPipeline.from_pretrained(folder)


def test_classes_of_other_packages_need_allow(folder):
    def rename(content):
        content["model"]["modalities"]["image"]["objective"]["class_path"] = "my_objective.SlowFlow"
        content["model"]["modalities"]["image"]["objective"]["init_args"] = {}

    edit(folder, rename)
    assert "class 'my_objective.SlowFlow' is outside the allowed packages" in refused(folder)
    assert MoTPipeline.from_pretrained(folder, allow=["my_objective"]).model.objectives["image"].steps == 30


def test_a_folder_in_use_is_not_written_to(folder, trained):
    (folder / "config.json").unlink()
    pipeline = MoTPipeline.from_pretrained(trained)
    with pytest.raises(ConfigError, match=f"^folder {folder} exists, wanted a new or empty folder$"):
        pipeline.save_pretrained(folder)
