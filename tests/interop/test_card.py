"""The model card: metadata for the Hub, figures of the run, and a block that runs."""

import json
import re
import shutil

import pytest
import torch
import yaml

from mot_lightning import BackboneSettings, FlowMatching, Modality, NextToken, Patches
from mot_lightning.codecs import VAE, Bytes
from mot_lightning.modality import assemble
from mot_lightning.pipeline import MoTPipeline


def card_of(pipeline, folder, **settings):
    pipeline.save_pretrained(folder, **settings)
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def build(**modalities):
    model = assemble(modalities, "text", BackboneSettings(dim=16, depth=2, heads=2))
    return MoTPipeline({name: modality.codec for name, modality in modalities.items()}, model.eval())


@pytest.fixture(scope="module")
def card(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "digits"
    return *card_of(MoTPipeline.from_pretrained(trained), folder, license="apache-2.0"), folder


def test_metadata_are_those_of_the_hub(card):
    tags = ["mixture-of-transformers", "multimodal"]
    any_to_any = {"library_name": "mot_lightning", "pipeline_tag": "any-to-any", "tags": tags}
    assert card[0] == {"license": "apache-2.0", **any_to_any}


def test_one_kind_of_media_is_not_any_to_any_and_no_license_is_none(tmp_path):
    front, body = card_of(build(text=Modality(Bytes(), NextToken())), tmp_path / "texts")
    assert front == {"library_name": "mot_lightning", "tags": ["mixture-of-transformers"]}
    assert body.startswith("\n# texts\n")
    assert "## Test" not in body
    assert "## Training" not in body


def test_a_language_model_and_frozen_parts_are_named(tmp_path):
    def card(source):
        pretrained = {"text": {"name_or_path": source, "copy_to": ["image"]}}
        optimizer = {"towers": {"text": {"freeze": True}, "image": {"freeze": False}}, "objectives": {}}
        settings = {"model": {"pretrained": pretrained, "optimizer": optimizer}}
        pipeline = build(text=Modality(Bytes(), NextToken()), image=Modality(Patches((1, 8, 8), 2), FlowMatching()))
        trained = MoTPipeline(pipeline.codecs, pipeline.model, training={"step": 3, "settings": settings})
        return card_of(trained, tmp_path / source)

    front, body = card("somebody/small")
    assert front["base_model"] == ["somebody/small"]
    start = "The tower of text started as the language model `somebody/small`, and so did that of image."
    assert f"3 steps, with averaged weights. {start} Frozen: tower text." in body
    assert "base_model" not in card("folder")[0]  # which is not on the Hub


def test_figures_are_those_of_the_run(card, trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    body = card[1]
    assert f"It has {metrics['model/parameters']:,} parameters: 1 layer of dimension 16, 3 towers" in body
    active = f"{metrics['model/speech/active_parameters']:,}"
    assert f"| speech | NextToken | LogMelUnits | 128 ids | {active} |" in body
    assert f"| text | bits_per_byte | {metrics['test/text/bits_per_byte']:,.4g} |  |" in body
    assert f"| image | judge_accuracy | {metrics['test/image/judge_accuracy']:,.4g} | 3 |" in body
    assert "6 steps, with averaged weights." in body
    assert "documents of up to 128 tokens; classifier-free guidance serves image." in body


def test_figures_of_other_weights_of_the_run_are_left_out(tmp_path, trained):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "metrics.json"):
        shutil.copy(trained / name, run)
    content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    torch.save({**content, "global_step": 3}, run / "checkpoints/best.ckpt")
    _, body = card_of(MoTPipeline.from_pretrained(run), tmp_path / "model")
    assert "3 steps, with averaged weights." in body
    assert "## Test" not in body


def test_its_block_runs_in_the_folder(card, monkeypatch, capsys):
    monkeypatch.chdir(card[2])
    (block,) = re.findall(r"^```python\n(.*?)^```", card[1], re.DOTALL | re.MULTILINE)
    exec(block, {})
    assert re.fullmatch(r"\[('(text|image|speech)'(, )?)*\]\n", capsys.readouterr().out)


def test_its_settings_are_a_config(card, tmp_path, printed_config):
    (block,) = re.findall(r"^```yaml\n(.*?)^```", card[1], re.DOTALL | re.MULTILINE)
    (tmp_path / "config.yaml").write_text(block)
    printed = printed_config(f"--config={tmp_path / 'config.yaml'}")
    written = yaml.safe_load(block)
    assert written["base"] is None  # all settings are there: none of the default config's comes back
    assert {name: printed[name] for name in ("seed", "model", "data")} == {
        name: written[name] for name in ("seed", "model", "data")
    }


def test_networks_and_classes_that_it_needs_are_named(tmp_path):
    from my_objective import SlowFlow

    scratch = VAE((1, 8, 8), channels=8)
    scratch.save_pretrained(tmp_path / "networks/small_vae")
    image = Modality(VAE((1, 8, 8), tmp_path / "networks/small_vae"), SlowFlow())
    pipeline = build(
        text=Modality(Bytes(), NextToken()), image=image, other=Modality(Patches((1, 8, 8), 2), FlowMatching())
    )
    _, body = card_of(pipeline, tmp_path / "model")
    assert "The codec of image reads a pretrained network that is not in this folder: `small_vae`" in body
    arguments = """(".", allow=['my_objective'], name_or_path={'image': 'FOLDER_OF_small_vae'})"""
    assert f"MoTPipeline.from_pretrained{arguments}" in body
    assert str(tmp_path) not in body
    (tmp_path / "networks").rename(tmp_path / "moved")
    moved = {"image": tmp_path / "moved/small_vae"}
    MoTPipeline.from_pretrained(tmp_path / "model", allow=["my_objective"], name_or_path=moved)


def test_a_package_whose_name_begins_as_a_library_s_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lightning_mine.py").write_text(
        "from mot_lightning.objectives import NextToken\n\n\nclass Mine(NextToken):\n    pass\n"
    )
    from lightning_mine import Mine

    _, body = card_of(build(text=Modality(Bytes(), Mine())), tmp_path / "model")
    assert "allow=['lightning_mine']" in body
