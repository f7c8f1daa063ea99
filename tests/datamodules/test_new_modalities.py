"""Modalities that no built-in recipe knows are a config: depth maps beside images, and a robot's actions."""

import json

import numpy as np
import PIL.Image
import pytest
import torch
from runs import TINY, rows, run

from mot_lightning import MoTPipeline

CONFIG = """
experiment: robot
model:
  modalities:
    speech: null
    image: {codec: {init_args: {patch_size: 4}}}
    depth: {codec: {class_path: Patches, init_args: {patch_size: 4}}, objective: FlowMatching, weight: 1.0}
    actions: {codec: {class_path: Standardized, init_args: {max_length: 9}}, objective: FlowMatching, weight: 0.5}
data:
  class_path: Records
  init_args:
    source: {class_path: Table, init_args: {path: PATH, files: {camera: ".", depth: "."}}}
    media:
      text: {class_path: TextColumn, init_args: {column: command}}
      image: {class_path: ImageColumn, init_args: {column: camera, shape: [3, 8, 8]}}
      depth: {class_path: ImageColumn, init_args: {column: depth, shape: [1, 8, 8]}}
      actions: {class_path: ArrayColumn, init_args: {column: actions, shape: [null, 7]}}
    documents: {text+image+depth+actions: 1.0, image+depth: 0.5}
    val: 0.25
    test: 0.1
"""


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    """Records of a camera, a depth map of 16 bits, a command and 3 to 8 actions of 7 numbers."""
    folder = tmp_path_factory.mktemp("robot")
    rng = np.random.default_rng(0)
    with (folder / "table.jsonl").open("w") as table:
        for i in range(20):
            PIL.Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(folder / f"{i}.png")
            PIL.Image.fromarray(rng.integers(0, 9_000, (8, 8)).astype(np.uint16)).save(folder / f"{i}_depth.png")
            actions = (rng.standard_normal((3 + i % 6, 7)) * 0.1).round(3).tolist()
            record = {"camera": f"{i}.png", "depth": f"{i}_depth.png", "command": f"go {i}", "actions": actions}
            table.write(json.dumps(record) + "\n")
    (folder / "robot.yaml").write_text(CONFIG.replace("PATH", str(folder / "table.jsonl")))
    return folder


def test_a_config_trains_modalities_that_no_recipe_knows(robot, tmp_path):
    assert run(tmp_path, "fit", f"--config={robot / 'robot.yaml'}", *TINY, "--samples.prompts=1") == 0
    folder = tmp_path / "robot/0"
    last = rows(folder)[-1] | [row for row in rows(folder) if "val/loss" in row][-1]
    for name in ("text", "image", "depth", "actions"):
        assert 0 < float(last[f"val/{name}/loss"]) < 20
    (sample,) = (folder / "samples/step_000006").glob("depth_to_actions_00.npy")
    assert np.load(sample).shape[1] == 7
    assert sample.with_name(f"{sample.name}.png").exists()
    assert "depth_to_actions_00.npy" in (folder / "index.html").read_text()

    pipeline = MoTPipeline.from_pretrained(folder / "checkpoints/last.ckpt")
    prompt = [("text", "go 3"), ("actions", torch.zeros(2, 7))]
    (document,) = pipeline([prompt], modalities=["depth"])
    assert document[0][0] == "depth"
    assert document[0][1].shape == (1, 8, 8)
