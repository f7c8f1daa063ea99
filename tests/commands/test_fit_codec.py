"""Codecs from the command line: those that learn, those that are trained, and those that another folder changed."""

import json

import diffusers
import numpy as np
import pytest
import torch
import yaml
from runs import TINY, failing, rows, run, weights
from tokenizers import Tokenizer, models, pre_tokenizers
from weight_files import alter_a_weight, lose_a_weight

from datamodules import Digits
from datamodules.sampler import SampleIndex
from mot_lightning.codecs import BPE, VAE, HFTokenizer, LogMelUnits, Patches
from mot_lightning.codecs.cache import CACHE
from mot_lightning.modality import Modality
from mot_lightning.module import MoTModule
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.pipeline import MoTPipeline

CODEC = ["--config=conf/codec/vq.yaml", "--model.codec.channels=8", "--data.batch_size=4", "--samples.prompts=2"]
SHORT = ["--trainer.max_steps=6", "--trainer.val_check_interval=3", "--trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))


def test_bits_per_byte_are_of_the_captions_bytes_whatever_the_ids(tmp_path):
    modalities = {
        "text": Modality(BPE(300), NextToken()),
        "image": Modality(Patches((1, 8, 8), 2), FlowMatching()),
        "speech": Modality(LogMelUnits(), NextToken()),
    }
    module = MoTModule(modalities, "text")
    data = Digits(batch_size=8)
    module.prepare(data)
    batch = next(iter(data.train_dataloader()))
    ids = batch.by_modality["text"].tokens
    texts = module.codecs["text"].decode(ids[ids < 300])
    sums = module.sums(module.model(batch, 0), batch)
    written = dict(zip(module.modalities, sums.content_bytes.tolist(), strict=True))
    targets = dict(zip(module.modalities, sums.content_targets.tolist(), strict=True))
    assert written["text"] == len(texts.encode()) > 1.5 * targets["text"]  # bytes, and ids with their stops
    assert written["speech"] == 0


def test_bits_per_byte_are_of_the_text_given_if_the_tokenizer_loses_some_of_it(tmp_path):
    """A tokenizer of digits' names alone: the other words are unknown ids, but their bytes count."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "seven": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    modalities = {
        "text": Modality(HFTokenizer(tmp_path / "tokenizer.json"), NextToken()),
        "image": Modality(Patches((1, 8, 8), 2), FlowMatching()),
    }
    module, data = MoTModule(modalities, "text"), Digits(batch_size=8)
    module.prepare(data)
    batch, size = next(iter(data.val_dataloader())), 0
    for index in range(8):
        rng = np.random.default_rng((data.seed, 1, index))  # of the val split's document
        texts = [len(medium.media.encode()) for medium in data.compose("val", index, rng) if medium.modality == "text"]
        document = data.documents("val")[SampleIndex(index, index)]  # may be cut to its image
        size += sum(texts) if any(segment.modality == "text" for segment in document) else 0
    sums = module.sums(module.model(batch, 0), batch)
    assert sums.content_bytes[module.modalities.index("text")].item() == pytest.approx(size)
    assert size > 50


def test_codecs_that_learn_travel_in_the_checkpoint(tmp_path):
    """Text by BPE, images by a VQ that is trained because it is needed, sound as latents: fit, test and go on."""
    vq = "{class_path: VQ, init_args: {channels: 8, steps: 3, vocab_size: 32}}"
    arguments = [
        "--model.modalities.text.codec={class_path: BPE, init_args: {vocab_size: 300}}",
        f"--model.modalities.image.codec={vq}", "--model.modalities.image.objective=NextToken",
        "--model.modalities.speech.codec={class_path: MelLatents, init_args: {seconds: 1.0, latent_dim: 16}}",
        "--model.modalities.speech.objective=FlowMatching", "--data.row_length=256",
        "--trainer.limit_test_batches=2",  # the first has no speech with a loss
    ]  # fmt: skip
    assert run(tmp_path, "fit", *TINY, *arguments, "--report.prompts=1", "--samples.prompts=1") == 0
    assert list((tmp_path / "cache").glob("VQ-*/config.json"))
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    metrics = json.loads((tmp_path / "default/0/metrics.json").read_text())
    assert {"test/text/bits_per_byte", "test/image/perplexity", "test/speech/loss"} <= set(metrics)
    assert run(tmp_path, "test", f"--ckpt_path={last}", "--report.prompts=1") == 0
    again = json.loads((tmp_path / "default/1/metrics.json").read_text())
    assert again["test/text/bits_per_byte"] == pytest.approx(metrics["test/text/bits_per_byte"])
    assert again["test/image/perplexity"] == pytest.approx(metrics["test/image/perplexity"])


def network(seed):
    torch.manual_seed(seed)
    blocks = {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)}
    sizes = {"in_channels": 1, "out_channels": 1, "block_out_channels": (8,), "norm_num_groups": 4}
    return diffusers.AutoencoderKL(**blocks, **sizes, latent_channels=2)


def test_a_pretrained_codec_is_known_by_its_weights_wherever_they_lie(tmp_path, capsys):
    folder, moved = tmp_path / "vae", tmp_path / "elsewhere"
    network(0).save_pretrained(folder)
    vae = f"{{class_path: VAE, init_args: {{name_or_path: {folder}, latent_patch_size: 2}}}}"
    assert run(tmp_path, "fit", *TINY, f"--model.modalities.image.codec={vae}") == 0
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    saved = torch.load(last, weights_only=True)
    assert saved["codecs"]["image"]["class"] == "mot_lightning.codecs.vae.VAE"
    assert saved["codecs"]["image"]["arguments"]["latent_patch_size"] == 2
    assert not any("frozen" in name for name in saved["state_dict"])
    assert run(tmp_path, "validate", f"--ckpt_path={last}") == 0
    folder.rename(moved)
    capsys.readouterr()
    assert run(tmp_path, "validate", f"--ckpt_path={last}") == 2
    assert f"name_or_path is '{folder}'" in capsys.readouterr().err
    moved_to = f"--model.modalities.image.codec.name_or_path={moved}"
    assert run(tmp_path, "validate", f"--ckpt_path={last}", moved_to) == 0
    assert f"image.codec.name_or_path: {folder} -> {moved}" in capsys.readouterr().out
    assert run(tmp_path, "fit", f"--ckpt_path={last}", moved_to) == 0
    again = tmp_path / "default/3/checkpoints/last.ckpt"
    assert run(tmp_path, "validate", f"--ckpt_path={again}") == 0  # it knows where they lie now
    pipeline = MoTPipeline.from_pretrained(last, name_or_path={"image": moved})
    (((_, image),),) = pipeline([""], modalities=("image",))
    assert image.shape == (1, 8, 8)
    out = [f"--out={tmp_path / 'out'}", "--modalities=image"]
    assert run(tmp_path, "generate", f"--ckpt_path={last}", moved_to, *out) == 0
    network(1).save_pretrained(folder)
    capsys.readouterr()
    assert run(tmp_path, "validate", f"--ckpt_path={last}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "codec of 'image': its weights is" in line
    assert run(tmp_path, "fit", f"--ckpt_path={last}") == 2


def test_a_damaged_codec_in_a_checkpoint_is_noticed(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY) == 0
    saved = torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)
    saved["state_dict"]["codecs.speech.centroids"][3, 4] += 1
    torch.save(saved, tmp_path / "damaged.ckpt")
    assert run(tmp_path, "test", f"--ckpt_path={tmp_path / 'damaged.ckpt'}") == 2
    assert "codec of 'speech': its weights is" in capsys.readouterr().err


def test_training_a_codec_leaves_a_folder_that_a_config_takes(tmp_path, capsys):
    assert run(tmp_path, "fit", *CODEC, *SHORT, "--model.codec.vocab_size=32") == 0
    folder = tmp_path / "vq/0"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"test/image/psnr", "test/image/codes_used", "test/image/code_perplexity", "fit/seconds"} <= set(metrics)
    assert (folder / "samples/step_000006/reconstructions.png").is_file()
    assert "test/image/psnr" in capsys.readouterr().out
    assert diffusers.VQModel.from_pretrained(folder / "codec", low_cpu_mem_usage=False).config.num_vq_embeddings == 32
    assert "modalities" not in yaml.safe_load((folder / "config.yaml").read_text())["model"]

    taken = [f"--model.modalities.image.codec={{class_path: VQ, init_args: {{name_or_path: {folder / 'codec'}}}}}"]
    assert run(tmp_path, "fit", *TINY, *taken, "--model.modalities.image.objective=NextToken") == 0

    last = f"--ckpt_path={folder / 'checkpoints/last.ckpt'}"
    assert run(tmp_path, "generate", last, "--prompt=a") == 2
    assert "is a codec's, wanted a model's" in capsys.readouterr().err


def test_rows_of_training_and_validation_have_the_number_of_optimizer_steps(tmp_path):
    often = ["--trainer.log_every_n_steps=2", "--trainer.accumulate_grad_batches=2", "--report.prompts=0"]
    few = ["--trainer.limit_val_batches=2", "--trainer.limit_test_batches=1"]
    assert run(tmp_path, "fit", *CODEC, *SHORT, *often, *few) == 0
    logged = rows(tmp_path / "vq/0")
    assert [row["step"] for row in logged if "train/image/loss" in row] == ["1", "2", "4", "6"]
    assert [row["step"] for row in logged if {"val/loss", "val/image/psnr"} <= set(row)] == ["3", "6"]
    assert all(row["val/loss"] == row["val/image/loss"] for row in logged if "val/loss" in row)
    assert [row["step"] for row in logged if "test/loss" in row] == ["6"]


def test_a_codecs_training_that_was_stopped_goes_on_bitwise_equal(tmp_path):
    assert run(tmp_path / "whole", "fit", *CODEC, *SHORT) == 0
    assert run(tmp_path / "cut", "fit", *CODEC, *SHORT, *failing(("on_train_batch_end", 4, "SIGTERM"))) == 128 + 15
    last = tmp_path / "cut/vq/0/checkpoints/last.ckpt"
    assert run(tmp_path / "cut", "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
    one, two = weights(tmp_path / "whole/vq/0"), weights(tmp_path / "cut/vq/1")
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--model.codec=Patches", "model.codec is Patches"),
        ("--model.modality=smell", "smell"),
        ("--model.codec.vocab_size=1", "vocab_size is 1"),
        ("--model.learning_rate=0", "learning_rate is 0"),
        ("--model.codec.vocabsize=3", "vocabsize"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(tmp_path, capsys, argument, words):
    assert run(tmp_path / "runs", "fit", *CODEC, argument) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "runs").exists()


def test_a_trained_vae_is_saved_with_the_scale_of_its_latents(tmp_path):
    vae = ["--config=conf/codec/vae.yaml", "--model.codec.channels=8", "--data.batch_size=4", "--samples.prompts=0"]
    assert run(tmp_path, "fit", *vae, *SHORT) == 0
    (folder,) = tmp_path.glob("*/0/codec")
    config = diffusers.AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False).config
    assert config.shift_factor
    codec = VAE((1, 8, 8), name_or_path=str(folder))
    data = Digits()
    data.setup("fit")
    tokens = torch.stack([codec.encode(image) for image in data.media("image", "train")[:256]])
    assert tokens.mean().item() == pytest.approx(0, abs=0.2)
    assert tokens.std().item() == pytest.approx(1, abs=0.2)


def test_a_codec_is_trained_in_epochs_too(tmp_path):
    epochs = ["--trainer.max_steps=-1", "--trainer.max_epochs=2", "--trainer.limit_train_batches=3"]
    few = [
        "--trainer.log_every_n_steps=1",
        "--trainer.limit_val_batches=1",
        "--trainer.limit_test_batches=1",
        "--report.prompts=2",
    ]
    assert run(tmp_path, "fit", *CODEC, *SHORT, *epochs, *few) == 0
    metrics = json.loads((tmp_path / "vq/0/metrics.json").read_text())
    assert metrics["fit/steps"] == 6


def test_altered_or_incomplete_weights_are_refused_before_a_run_begins(tmp_path, refusal, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    codec = {"class_path": "VQ", "init_args": {"channels": 8, "steps": 2}}
    fit = [*TINY, "--trainer.max_steps=1", "--model.modalities.image.objective=NextToken"]
    vq = f"--model.modalities.image.codec={json.dumps(codec)}"
    assert run(tmp_path, "fit", *fit, vq) == 0
    (folder,) = (path for path in (tmp_path / "cache").glob("VQ-*") if path.is_dir())
    alter_a_weight(folder)
    assert f"{folder} was altered, wanted it as it was written" in refusal("fit", *fit, vq)
    missing = lose_a_weight(folder)
    codec = {"class_path": "VQ", "init_args": {"name_or_path": str(folder)}}
    vq = f"--model.modalities.image.codec={json.dumps(codec)}"
    assert f"it has no weight {missing} of the right shape" in refusal("fit", *fit, vq)


def test_resumed_run_takes_its_codecs_from_the_checkpoint(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(LogMelUnits, "fit", lambda *arguments: pytest.fail("it is in the checkpoint"))
    monkeypatch.setattr(Patches, "fit", lambda *arguments: pytest.fail("it is in the checkpoint"))
    assert run(tmp_path, "fit", f"--ckpt_path={trained}") == 0
