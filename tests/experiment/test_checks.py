"""What is refused before a run begins: data that cannot be read, a trainer that cannot train."""

import re
import struct

import numpy as np
import pytest
import soundfile
from runs import TINY, run


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


def test_a_metric_of_a_config_has_a_name_of_its_own(refusal):
    message = refusal("fit", "--report.metrics.image.judge_accuracy=PSNR")
    assert "report.metrics.image has 'judge_accuracy', which is a metric of the task 'text -> image'" in message
    assert "'BLEU', which is a metric of the task" in refusal("fit", "--report.metrics.text.BLEU=BLEU")


def test_empty_splits_are_said_and_training_needs_none(tmp_path, capsys):
    data = ["--allow=empty_splits", "--data=empty_splits.EmptySplits"]
    assert run(tmp_path, "fit", *TINY, *data) == 0
    output = capsys.readouterr()
    assert "the val split is empty: no validation, no best.ckpt and no samples\n" in output.out
    assert "the test split is empty: no test and no report\n" in output.out
    assert output.err == ""
    assert [path.name for path in (tmp_path / "default/0/checkpoints").iterdir()] == ["last.ckpt"]
    assert run(tmp_path, "test", data[0], f"--ckpt_path={tmp_path / 'default/0'}") == 0
    assert capsys.readouterr().out == "the test split is empty: no test and no report\n"


def test_codec_that_cannot_learn_from_the_media_is_refused_before_a_folder_is_made(refusal, tmp_path):
    units = "--model.modalities.speech.codec={class_path: LogMelUnits, init_args: {vocab_size: 100000}}"
    assert "vocab_size is 100000, wanted at most the" in refusal("fit", *TINY, units)


@pytest.mark.parametrize("setting", ["--data.row_length=30", "--data={class_path: long_document.LongValidation}"])
def test_first_document_longer_than_a_row_is_refused_before_a_folder_is_made(refusal, setting):
    message = refusal("fit", *TINY, "--allow=long_document", setting)
    assert re.search(r"data\.row_length is (30|128), wanted at least \d+, the length of a document", message)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--data=forgetful.NoSize", "NoSize, wanted a class that defines size()"),
        ("--data=forgetful.NoColour", "NoColour needs a value for colour, wanted"),
        (
            "--data=forgetful.Misspelt",
            "forgetful.Misspelt raised: InterleavedDataModule.__init__() got an unexpected keyword argument",
        ),
        ("--trainer.callbacks=forgetful.Counter", "Counter needs a value for count, wanted"),
        (
            "--trainer.callbacks=forgetful.HalfCounter",
            "Counter.__init__() missing 1 required positional argument: 'count'",
        ),
    ],
)
def test_class_of_a_user_that_forgets_an_argument_is_named_with_it(refusal, setting, message):
    line = refusal("fit", *TINY, "--allow=forgetful", setting)
    assert message in line
    assert "Namespace" not in line
