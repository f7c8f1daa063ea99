"""What is refused before a run begins: data that cannot be read, a trainer that cannot train."""

import struct

import numpy as np
import soundfile


def test_data_folders_with_nothing_or_rubbish_in_them_are_refused(refusal, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal("fit", f"--data.image_root={tmp_path / 'empty'}")
    assert "empty" in refusal("fit", f"--data.speech_root={tmp_path / 'empty'}")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, 9, 28, 28) + b"short")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 9) + bytes(9))
    assert "t10k-images-idx3-ubyte" in refusal("fit", f"--data.image_root={tmp_path}")
    for i, speaker in enumerate("abc"):
        soundfile.write(tmp_path / f"1_{speaker}_{i}.wav", np.random.default_rng(0).random(800), 8000)
    (tmp_path / "2_a_1.wav").write_text("no sound")
    assert "2_a_1.wav" in refusal("fit", f"--data.speech_root={tmp_path}")


def test_training_needs_steps_and_validations_between_them(refusal):
    assert "trainer.max_steps is 0, wanted at least 1" in refusal("fit", "--trainer.max_steps=0")
    assert "trainer.val_check_interval is 0, wanted steps" in refusal("fit", "--trainer.val_check_interval=0")
    assert "`val_check_interval` should be an integer" in refusal("fit", "--trainer.val_check_interval=0.5")


def test_steps_of_epochs_and_accumulation_agree(refusal):
    epochs = ["--trainer.max_steps=-1", "--trainer.max_epochs=2", "--trainer.limit_train_batches=3"]
    assert "limit_train_batches is 3, wanted a multiple of trainer.accumulate_grad_batches, 2" in refusal(
        "fit", *epochs, "--trainer.accumulate_grad_batches=2"
    )
    for limit in ("limit_train_batches", "overfit_batches"):
        assert f"trainer.{limit} is 3, wanted a multiple" in refusal(
            "fit", f"--trainer.{limit}=3", "--trainer.accumulate_grad_batches=2"
        )
    scheduler = "{class_path: GradientAccumulationScheduler, init_args: {scheduling: {1: 2}}}"
    assert "wanted trainer.accumulate_grad_batches" in refusal("fit", f"--trainer.callbacks=[{scheduler}]")


def test_muon_is_refused_where_its_state_cannot_be_saved(refusal):
    sharded = ["--trainer.strategy=fsdp2", "--trainer.accelerator=cpu", "--trainer.devices=1"]
    assert "algorithm is Muon, wanted one whose state fsdp2" in refusal(
        "fit", *sharded, "--model.optimizer.algorithm=Muon"
    )


def test_a_codecs_training_has_no_total_loss_to_monitor(refusal):
    stops = "[{class_path: EarlyStopping, init_args: {monitor: train/loss}}]"
    assert "did you mean train/image/loss" in refusal(
        "fit", "--config=conf/codec/vae.yaml", f"--trainer.callbacks={stops}"
    )
