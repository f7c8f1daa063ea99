"""Lightning's options in a run of the command line: loggers, epochs, precision, callbacks, ranks."""

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from runs import ROOT, TINY, failing, rows, run, run_in_subprocess, weights

from mot_lightning.errors import ConfigError
from mot_lightning.experiment.trainer import in_run_folder, intervals, loggers_of, ranks_of_torchrun
from mot_lightning.runs.csv_logger import CSVMetricsLogger


def validations(folder):
    return [int(row["step"]) for row in rows(folder / "default/0") if "val/loss" in row]


def test_val_check_interval_counts_optimizer_steps(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--trainer.accumulate_grad_batches=4") == 0
    assert validations(tmp_path) == [3, 6]


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"max_steps": 9, "val_check_interval": 3, "accumulate_grad_batches": 2}, {"val_check_interval": 6}),
        ({"max_steps": 9, "val_check_interval": 50}, {"val_check_interval": 9}),
        ({"max_steps": -1, "val_check_interval": 50}, {"val_check_interval": 50}),
        ({"max_steps": 9, "val_check_interval": 0.5}, {}),
    ],
)
def test_intervals_are_in_batches_and_at_most_the_run(trainer, expected):
    assert intervals(trainer) == expected


def test_fast_dev_run_runs_everything_and_leaves_nothing(tmp_path, capsys):
    arguments = [argument for argument in TINY if "prompts" not in argument]
    assert run(tmp_path, "fit", *arguments, "--trainer.fast_dev_run=true") == 0
    printed = capsys.readouterr().out
    assert "text -> image" in printed
    assert printed.splitlines()[-1].startswith("trainer.fast_dev_run: a trial, whose figures say nothing")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("objective", ["FlowMatching", "NextLatent"])
@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_true_precision_trains_samples_and_reports(tmp_path, precision, objective):
    precise = [
        f"--model.modalities.image.objective={objective}",
        f"--trainer.precision={precision}",
        "--report.prompts=1",
        "--samples.prompts=1",
    ]
    assert run(tmp_path, "fit", *TINY, *precise) == 0
    assert float(rows(tmp_path / "default/0")[-1]["test/loss"]) > 0
    dtype = {"bf16-true": torch.bfloat16, "64-true": torch.float64}[precision]
    trained = {name: x for name, x in weights(tmp_path / "default/0").items() if name.startswith("model.")}
    assert {x.dtype for x in trained.values()} == {dtype}


def test_epochs_resumed_anywhere_equal_uninterrupted(tmp_path):
    epochs = ["--trainer.max_epochs=3", "--trainer.limit_train_batches=2", "--trainer.max_steps=-1"]
    assert run(tmp_path / "whole", "fit", *TINY, *epochs) == 0
    expected = rows(tmp_path / "whole/default/0")
    assert max(int(row["step"]) for row in expected) == 6
    for step in (1, 2, 3, 4):
        folder = tmp_path / str(step)
        assert run(folder, "fit", *TINY, *epochs, *failing(("on_train_batch_end", step, "SIGTERM"))) == 128 + 15
        last = folder / "default/0/checkpoints/last.ckpt"
        assert run(folder, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
        assert rows(folder / "default/1") == expected


def test_callbacks_of_lightning_run_and_write_into_the_run_folder(tmp_path):
    callbacks = """[
        {class_path: Timer, init_args: {duration: "00:01:00:00"}},
        {class_path: EarlyStopping, init_args: {monitor: train/image/loss}},
        {class_path: ModelCheckpoint, init_args: {monitor: val/image/loss, filename: by_image}},
        LearningRateMonitor,
    ]"""
    assert run(tmp_path, "fit", *TINY, f"--trainer.callbacks={callbacks}", "--trainer.profiler=simple") == 0
    folder = tmp_path / "default/0"
    assert (folder / "checkpoints/by_image.ckpt").is_file()
    keys = [
        (row["step"], stage) for row in rows(folder) for stage in ("train", "val", "test") if f"{stage}/loss" in row
    ]
    assert len(keys) == len(set(keys))
    assert any("lr-AdamW" in name for row in rows(folder) for name in row)
    again = [f"--config={folder / 'config.yaml'}", "--trainer.fast_dev_run=true"]
    assert run(tmp_path, "fit", *again) == 0  # an Enum of a callback is in the config as its value


def test_save_dir_of_loggers_is_the_run_folder():
    csv = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "here"}}
    assert in_run_folder("CSVLogger", "here") == csv
    assert in_run_folder([csv], "there") == [csv]
    assert in_run_folder(False, "here") is False


def test_metrics_csv_is_always_written_and_tensorboard_unless_another_is_named(tmp_path):
    kinds = [[type(logger) for logger in loggers_of(chosen, tmp_path)] for chosen in (None, True, False, [])]
    assert kinds == [[CSVMetricsLogger, TensorBoardLogger]] * 2 + [[CSVMetricsLogger]] * 2


def test_loggers_of_allowed_packages_write_into_the_run_folder(tmp_path, monkeypatch):
    (tmp_path / "my_logger.py").write_text("from lightning.pytorch.loggers import CSVLogger as Mine")
    monkeypatch.syspath_prepend(tmp_path)
    (spec,) = in_run_folder(["my_logger.Mine"], "here", ["my_logger"])
    assert spec == {"class_path": "my_logger.Mine", "init_args": {"save_dir": "here"}}
    with pytest.raises(ConfigError, match="add --allow my_logger"):
        in_run_folder("my_logger.Mine", "here")


def test_logger_false_leaves_metrics_csv_alone(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--trainer.logger=false") == 0
    names = {path.name for path in (tmp_path / "default/0").iterdir()}
    assert "metrics.csv" in names
    assert "tensorboard" not in names


@pytest.mark.slow
def test_weights_and_biases_mlflow_and_csv_get_metrics_and_samples(tmp_path):
    folders = [f"--runs={tmp_path}", *TINY, "--samples.prompts=1"]
    uri = f"{{class_path: MLFlowLogger, init_args: {{tracking_uri: 'file:{tmp_path / 'mlflow'}'}}}}"
    loggers = f"--trainer.logger=[WandbLogger, CSVLogger, {uri}]"
    environment = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
    run_in_subprocess("-m", "mot_lightning", "fit", *folders, loggers, cwd=tmp_path, env=environment)
    folder = tmp_path / "default/0"
    assert len(list(folder.glob("wandb/offline-run-*/files/media/images/samples/text_to_image*.png"))) == 2
    assert len(list(folder.glob("wandb/offline-run-*/files/media/audio/samples/text_to_speech*.wav"))) == 2
    assert list(folder.glob("lightning_logs/version_0/metrics.csv"))
    assert list((tmp_path / "mlflow").rglob("artifacts/samples/step_000006/text_to_image.png"))
    assert list((tmp_path / "mlflow").rglob("metrics/val/image/loss"))
    assert list((tmp_path / "mlflow").rglob("params/model/backbone/dim"))


def test_ranks_of_torchrun_unless_devices_are_set(monkeypatch):
    assert ranks_of_torchrun({}) == {}
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}.items():
        monkeypatch.setenv(name, value)
    assert ranks_of_torchrun({}) == {"devices": 2, "num_nodes": 3}
    assert ranks_of_torchrun({"devices": 1}) == {}


@pytest.mark.slow
@pytest.mark.nightly
def test_torchrun_starts_one_run_of_all_its_ranks(tmp_path):
    command = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29713", "-m", "mot_lightning", "fit"]
    run_in_subprocess(*command, *TINY, f"--runs={tmp_path}", cwd=ROOT, env={"PYTHONWARNINGS": "ignore"})
    assert [path.name for path in (tmp_path / "default").iterdir()] == ["0"]
    two = tmp_path / "two"
    assert run(two, "fit", *TINY, "--data.batch_size=8") == 0
    losses = [
        [float(row["train/loss"]) for row in rows(folder) if "train/loss" in row]
        for folder in (tmp_path / "default/0", two / "default/0")
    ]
    assert losses[0][0] == pytest.approx(losses[1][0], rel=0.05)  # as many documents, other noise


@pytest.mark.parametrize("algorithm", ["Muon", "SGD", "torch.optim.RMSprop"])
def test_a_resumed_run_with_another_optimizer_is_bitwise_equal(tmp_path, algorithm):
    other = [f"--model.optimizer.algorithm={algorithm}", "--model.optimizer.schedule=wsd"]
    assert run(tmp_path / "whole", "fit", *TINY, *other) == 0
    assert run(tmp_path, "fit", *TINY, *other, *failing(("on_train_batch_end", 2, "SIGTERM"))) == 128 + 15
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
    one, two = weights(tmp_path / "default/1"), weights(tmp_path / "whole/default/0")
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_an_extended_run_says_how_its_learning_rate_changes(tmp_path, trained, capsys):
    short = ["--model.optimizer.warmup_steps=0", "--trainer.max_steps=4", "--trainer.val_check_interval=4"]
    assert run(tmp_path, "fit", *TINY, *short) == 0
    last = f"--ckpt_path={tmp_path / 'default/0/checkpoints/last.ckpt'}"
    capsys.readouterr()
    assert run(tmp_path, "fit", last, "--trainer.max_steps=8") == 0
    said = "learning rate: the cosine schedule ends at step 8 instead of 4, so at step 4 the rate is 0.00158 instead of"
    assert said in capsys.readouterr().out
    assert run(tmp_path, "fit", last, "--trainer.max_steps=4") == 0
    assert "learning rate" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (
            "--trainer.callbacks=EarlyStopping",
            "EarlyStopping needs a value for monitor, wanted {class_path: EarlyStopping, init_args: {monitor: ...}}",
        ),
        (
            "--trainer.callbacks={class_path: EarlyStopping, init_args: {monitor: val/loss, patience: x}}",
            "error: trainer.callbacks.patience is x, wanted a whole number\n",
        ),
        (
            "--trainer.logger={class_path: CSVLogger, dict_kwargs: {flush: 1}}",
            "trainer.logger has 'dict_kwargs' of CSVLogger, wanted its arguments in init_args",
        ),
        ("--report.limit=20", "there is no setting 'report.limit': see --report.help"),
    ],
)
def test_what_a_part_does_not_take_is_refused_in_one_line(tmp_path, capsys, flag, message):
    assert run(tmp_path, "fit", flag) == 2
    assert message in capsys.readouterr().err
