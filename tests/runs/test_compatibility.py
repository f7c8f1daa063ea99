"""Whether a checkpoint fits: weights by name and shape, codecs by fingerprint."""

import pytest
import torch

from mot_lightning.pipeline import MoTPipeline


@pytest.fixture
def content(trained):
    return torch.load(trained / "checkpoints/last.ckpt", weights_only=True)


def test_weights_of_another_model_are_refused(refusal, tmp_path, content):
    content["config"]["model"]["backbone"]["dim"] = 32
    torch.save(content, tmp_path / "wider.ckpt")
    assert "is of another model: they differ in" in refusal("test", f"--ckpt_path={tmp_path / 'wider.ckpt'}")


@pytest.mark.parametrize("command", ["test", "fit", "generate"])
def test_a_damaged_codec_is_noticed(refusal, tmp_path, content, command):
    content["state_dict"]["codecs.speech.centroids"][3, 4] += 1
    torch.save(content, tmp_path / "damaged.ckpt")
    message = refusal(command, f"--ckpt_path={tmp_path / 'damaged.ckpt'}")
    assert "codec of 'speech': its weights is" in message


def test_a_codec_of_other_arguments_is_noticed(tmp_path, content):
    content["config"]["model"]["modalities"]["speech"]["codec"]["init_args"]["hop_ms"] = 12
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="codec of 'speech': its arguments is"):
        MoTPipeline.from_pretrained(tmp_path / "other.ckpt")
