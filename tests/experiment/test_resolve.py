"""From files, environment and flags to one config: what is laid over what, and what is refused on the way."""

import pytest
import yaml
from runs import ROOT, run

from mot_lightning.errors import ConfigError
from mot_lightning.experiment.resolve import resolve


def image_of(config):
    return config["model"]["modalities"]["image"]


def test_a_flag_swaps_one_objective_and_leaves_the_rest(printed_config):
    before = printed_config()
    after = printed_config("--model.modalities.image.objective=Diffusion")
    objective = image_of(after).pop("objective")
    assert objective["class_path"] == "mot_lightning.objectives.diffusion.Diffusion"
    assert objective["init_args"]["steps"] == 50  # its own default, where flow matching's is 25
    image_of(before).pop("objective")
    assert after == before


def test_the_swap_runs_both_ways_and_takes_the_new_ones_own_defaults(printed_config):
    transfusion = printed_config("--config=conf/transfusion.yaml")
    assert image_of(transfusion)["objective"]["class_path"].endswith(".Diffusion")
    back = printed_config("--config=conf/transfusion.yaml", "--model.modalities.image.objective=FlowMatching")
    assert image_of(back)["objective"] == image_of(printed_config())["objective"]
    assert image_of(back)["weight"] == 5


def test_files_merge_deeply_and_null_drops_a_modality(tmp_path):
    (tmp_path / "a.yaml").write_text("model: {modalities: {image: {weight: 7}, speech: null}}")
    config = resolve([tmp_path / "a.yaml"], [])
    assert set(config["model"]["modalities"]) == {"image", "text"}
    assert image_of(config)["weight"] == 7
    assert image_of(config)["codec"]["class_path"].endswith("Patches")


def test_a_mapping_on_a_flag_replaces_where_a_files_merges(tmp_path):
    assert resolve([], [("data.documents", '{"text+image": 1.0}')])["data"]["init_args"]["documents"] == {
        "text+image": 1.0}  # fmt: skip
    (tmp_path / "a.yaml").write_text("data: {documents: {text+image: 1.0}}")
    merged = resolve([tmp_path / "a.yaml"], [])["data"]["init_args"]["documents"]
    assert merged["text+image"] == 1.0
    assert merged["text+image+speech"] == 0.5
    (tmp_path / "b.yaml").write_text("data: {documents: !override {text+image: 1.0}}")
    assert resolve([tmp_path / "b.yaml"], [])["data"]["init_args"]["documents"] == {"text+image": 1.0}


def test_a_mapping_on_a_flag_that_names_no_class_sets_arguments_of_the_class_there():
    codec = image_of(resolve([], [("model.modalities.image.codec", "{patch_size: 4}")]))["codec"]
    assert codec["class_path"].endswith("Patches")
    assert codec["init_args"] == {"shape": [1, 8, 8], "patch_size": 4}


def test_a_flag_beats_the_environment_which_beats_a_file(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text("trainer: {max_steps: 3}\nseed: 3")
    monkeypatch.setenv("PL_TRAINER__MAX_STEPS", "5")
    monkeypatch.setenv("PL_SAMPLES__PROMPTS", "4")
    monkeypatch.setenv("PL_GLOBAL_SEED", "9")  # Lightning's own, no setting
    config = resolve([tmp_path / "a.yaml"], [])
    assert config["trainer"]["max_steps"] == 5
    assert config["samples"]["prompts"] == 4
    assert config["seed"] == 3
    assert resolve([tmp_path / "a.yaml"], [("trainer.max_steps", "7")])["trainer"]["max_steps"] == 7


def test_a_plus_appends_to_a_list(tmp_path):
    (tmp_path / "a.yaml").write_text("trainer: {callbacks: [{class_path: mot_lightning.callbacks.StepProgress}]}")
    appended = ("trainer.callbacks+", "{class_path: lightning.pytorch.callbacks.Timer, init_args: {duration: 9}}")
    first, second = resolve([tmp_path / "a.yaml"], [appended])["trainer"]["callbacks"]
    assert first["class_path"].endswith("StepProgress")
    assert second["init_args"] == {"duration": 9, "interval": "step"}  # its default is an Enum, which YAML has not
    assert len(resolve([], [appended, appended])["trainer"]["callbacks"]) == 2


def test_dotted_keys_of_a_file_are_mappings_in_mappings(tmp_path):
    (tmp_path / "a.yaml").write_text("model.backbone.dim: 64\nmodel.backbone: {heads: 2}\ntrainer: {max_steps: 1e2}")
    backbone = resolve([tmp_path / "a.yaml"], [])["model"]["backbone"]
    assert (backbone["dim"], backbone["heads"], backbone["depth"]) == (64, 2, 4)


def test_a_config_without_a_base_stands_alone(tmp_path, printed_config):
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump({**printed_config(), "experiment": "mine"}))
    config = resolve([tmp_path / "whole.yaml"], [])
    assert config["experiment"] == "mine"
    (tmp_path / "empty.yaml").write_text("base: null")
    with pytest.raises(ConfigError, match="data is missing, wanted the name of a class"):
        resolve([tmp_path / "empty.yaml"], [])


def test_the_data_settle_what_a_codec_needs_and_the_user_may_overrule():
    settings = [("data.image_root", "anywhere"), ("model.modalities.image.codec.patch_size", "7")]
    assert image_of(resolve([], settings))["codec"]["init_args"] == {"shape": [1, 28, 28], "patch_size": 7}


def test_paths_become_absolute_in_flags_files_and_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PL_RUNS", "~/runs")
    (tmp_path / "a.yaml").write_text("data: {image_root: ~/mnist}")
    config = resolve([tmp_path / "a.yaml"], [("data.speech_root", "gone")])
    assert config["data"]["init_args"]["image_root"] == str(tmp_path / "home/mnist")
    assert config["data"]["init_args"]["speech_root"] == str(tmp_path / "gone")
    assert config["runs"] == str(tmp_path / "home/runs")


def test_name_on_a_hub_is_no_path_unless_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "vae").mkdir()
    for given, expected in (("owner/name", "owner/name"), ("vae", str(tmp_path / "vae")), ("~/a", f"{tmp_path}/a")):
        spec = f"{{class_path: VAE, init_args: {{name_or_path: {given}}}}}"
        codec = image_of(resolve([], [("model.modalities.image.codec", spec)]))["codec"]
        assert codec["init_args"]["name_or_path"] == expected


def test_empty_values_are_refused(refusal, tmp_path, monkeypatch):
    assert "--data.image_root has no value, wanted one, or null" in refusal("fit", "--data.image_root=")
    assert "data.image_root is '', wanted a path" in refusal("fit", "--data.image_root=''")
    assert "--ckpt_path is '', wanted a path" in refusal("fit", "--ckpt_path=")
    monkeypatch.setenv("PL_DATA__IMAGE_ROOT", "")
    assert "PL_DATA__IMAGE_ROOT has no value, wanted one, or null" in refusal("fit")


@pytest.mark.parametrize("left_out", ["--config=conf/chameleon.yaml", "--model.modalities.speech=null"])
def test_a_baseline_goes_with_a_recipe_of_fewer_modalities(capsys, tmp_path, left_out):
    assert run(tmp_path, "fit", left_out, "--config=conf/backbone/dense.yaml", "--print_config") == 0
    towers = yaml.safe_load(capsys.readouterr().out)["model"]["backbone"]["towers"]
    assert towers == {"all": ["image", "text"]}


def test_settings_of_who_sees_whom_go_with_fewer_modalities(capsys, tmp_path):
    sees = ["--model.backbone.sees.text=[text,speech]", "--model.backbone.sees.speech=[speech]"]
    insulate = "--model.backbone.insulate=[text,speech]"
    assert run(tmp_path, "fit", *sees, insulate, "--model.modalities.speech=null", "--print_config") == 0
    backbone = yaml.safe_load(capsys.readouterr().out)["model"]["backbone"]
    assert backbone["sees"] == {"text": ["text"]}
    assert backbone["insulate"] == ["text"]


def test_a_checkpoint_takes_data_settings_and_no_model_settings(tmp_path, capsys, trained, refusal):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    assert "model.backbone.dim is set, but the checkpoint determines model" in refusal(
        "test", checkpoint, "--model.backbone.dim=8"
    )
    assert "seed is set, but the checkpoint determines seed" in refusal("test", checkpoint, "--seed=8")
    (tmp_path / "whole.yaml").write_text("base: null")
    assert "base is null" in refusal("test", checkpoint, f"--config={tmp_path / 'whole.yaml'}")
    assert run(tmp_path, "validate", checkpoint, "--data.batch_size=3") == 0
    assert "data.batch_size: 4 -> 3" in capsys.readouterr().out


def test_a_modality_may_be_added():
    settings = [("model.modalities.title", "{codec: Bytes, objective: NextToken}")]
    assert set(resolve([], settings)["model"]["modalities"]) == {"image", "speech", "text", "title"}


@pytest.mark.parametrize("name", ["plugins", "default_root_dir"])
def test_what_runs_rest_on_is_settled(name):
    with pytest.raises(ConfigError, match=f"trainer.{name} cannot be set"):
        resolve([], [(f"trainer.{name}", "1")])


def test_the_shipped_default_alone_is_what_no_argument_means():
    assert resolve([], []) == resolve([ROOT / "conf/default.yaml"], [])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed_everything", "3", "seed_everything is set, wanted seed"),
        ("model.seed", "3", "model.seed is set, wanted seed"),
        ("data.seed", "3", "data.seed is set, wanted seed"),
        ("seed", "-1", "seed is -1, wanted a whole number of 0 or more"),
        ("model.backbone", "[1]", r"model.backbone is \[1\], wanted a mapping"),
        ("model.modalities.image", "3", "model.modalities.image is 3, wanted a mapping"),
    ],
)
def test_what_would_be_overridden_or_is_no_mapping_is_refused(name, value, message):
    with pytest.raises(ConfigError, match=message):
        resolve([], [(name, value)])


def test_a_second_config_with_base_null_is_refused(tmp_path):
    (tmp_path / "first.yaml").write_text("seed: 1")
    (tmp_path / "second.yaml").write_text("base: null\nseed: 2")
    with pytest.raises(ConfigError, match=r"second.yaml has base: null, which drops the config before it"):
        resolve([tmp_path / "first.yaml", tmp_path / "second.yaml"], [])
