"""From argv to a command: bad input is one line and exit code 2, and leaves nothing behind."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from runs import TINY, run, run_in_subprocess

from mot_lightning.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fitt"], ["fitt", "did you mean fit?"]),
        (["fit", "--trainer.max_step=3"], ["max_step", "did you mean"]),
        (["fit", "--model.backbone.dimm=3"], ["dimm", "did you mean"]),
        (["fit", "--modle.control=text"], ["modle", "did you mean"]),
        (["fit", "--model.modalities.imag.weight=3"], ["imag", "did you mean image?"]),
        (["fit", "--model.modalities.image.objective=FlowMatchin"], ["FlowMatchin", "did you mean FlowMatching?"]),
        (["fit", "--model.modalities.text.objective=Diffusion"], ["Diffusion", "text", "ids", "latents"]),
        (["fit", "--model.modalities.image.objective=NextToken"], ["NextToken", "image", "ids", "latents"]),
        (["fit", "--model.modalities.text.objective=MaskedToken"], ["MaskedToken", "text", "number", "NextToken"]),
        (["fit", "--model.modalities.speech.objective=Regression"], ["Regression", "speech", "ids", "NextToken"]),
        (["fit", "--model.modalities.image.objective.prediction=epsilon"], ["prediction", "epsilon", "velocity"]),
        (["fit", "--model.reduction=mean"], ["model.reduction is mean, wanted token, segment or batch"]),
        (
            ["fit", "--model.modalities.image.objective.time_conditioning=x"],
            ["error: objective.time_conditioning is x, wanted adaln or additive"],
        ),
        (
            ["fit", "--model.modalities.image.objective.stepz=3"],
            ["no setting 'model.modalities.image.objective.stepz' of FlowMatching", "did you mean model.modalities."],
        ),
        (["fit", "--model.modalities.image.delt=3"], ["there is no setting 'model.modalities.image.delt' of Modality"]),
        (
            ["fit", "--model.modalities.image.objective.scheduler=3"],
            ["scheduler is 3, wanted a mapping, a text or null"],
        ),
        (["fit", "--model.modalities.image.codec.shape=[1,2]"], ["shape is [1, 2], wanted a list of 3"]),
        (
            ["fit", "--model.modalities.text.codec=HFTokenizer"],
            ["text.codec: HFTokenizer needs a value for name_or_path, wanted"],
        ),
        (
            ["fit", "--data.document_settings.unconditional_modalities=x"],
            ["unconditional_modalities is x, wanted a list or null"],
        ),
        (["fit", "--data.batch_size=x"], ["batch_size is x, wanted a whole number"]),
        (["fit", "--data.documents={}"], ["data.documents is {}, wanted a weight above 0"]),
        (["fit", "--trainer.gradient_clip_val=x"], ["trainer.gradient_clip_val is x, wanted a ", " or null"]),
        (["fit", "--max_steps=3"], ["no setting 'max_steps', did you mean trainer.max_steps?"]),
        (
            ["fit", "--model.modalities.text.codec=LogMelUnits"],
            ["text.codec is LogMelUnits: audio is of type str, wanted a waveform"],
        ),
        (
            ["fit", "--model.modalities.speech.codec=Bytes"],
            ["speech.codec is Bytes: text is of type Tensor, wanted str"],
        ),
        (["fit", "--model.modalities.speech.codec.vocab_size=0"], ["vocab_size is 0, wanted at least 2 units"]),
        (
            ["fit", "--data.document_settings.unconditional_modalities=[video]"],
            ["data.document_settings.unconditional_modalities names 'video', wanted some of image, speech, text"],
        ),
        (["fit", "--report.prompts=x"], ["report.prompts is x, wanted a whole number or null"]),
        (["fit", "--report.temperature=-1"], ["report.temperature is -1.0, wanted a number of 0 or more, or null"]),
        (["fit", "--model.backbone.compile=3"], ["compile is 3, wanted true or false"]),
        (["fit", "--experiment="], ["--experiment has no value"]),
        (["fit", "--experiment=[a]"], ["experiment is ['a'], wanted a plain folder name"]),
        (["fit", "--trainer.val_check_interval=0"], ["trainer.val_check_interval is 0, wanted steps, at least 1"]),
        (["fit", "--model.modalities.image.objective=os.Path"], ["os.Path", "--allow os"]),
        (["fit", "--model.modalities.image.objective.scheduler=diffusers.Nope"], ["diffusers.Nope"]),
        (["fit", "--model.backbone.dim=abc"], ["model.backbone.dim is abc, wanted a whole number"]),
        (["fit", "--model.backbone.heads=3"], ["heads", "3", "128"]),
        (["fit", "--model.control=image"], ["control", "image"]),
        (["fit", "--data.image_root=/nowhere"], ["image_root", "/nowhere"]),
        (["fit", "--data.speech_root=/nowhere"], ["speech_root", "/nowhere"]),
        (["fit", "--data=Digitz"], ["Digitz", "did you mean Digits?"]),
        (["fit", "--trainer.max_steps=0"], ["max_steps", "0"]),
        (
            ["fit", "--trainer.callbacks=[{class_path: EarlyStopping, init_args: {monitor: val/imgae/loss}}]"],
            ["EarlyStopping monitors 'val/imgae/loss', which no step logs, did you mean val/image/loss?"],
        ),
        (
            ["fit", "--trainer.callbacks=[{class_path: ModelCheckpoint, init_args: {monitor: nothing_like_it}}]"],
            ["ModelCheckpoint monitors 'nothing_like_it'", "wanted one of train/image/grad_norm, train/image/loss"],
        ),
        (
            ["fit", "--trainer.callbacks=[{class_path: StochasticWeightAveraging, init_args: {swa_lrs: 0.1}}]"],
            ["StochasticWeightAveraging, wanted none that averages weights: see model.optimizer.ema_decay"],
        ),
        (["fit", "--trainer.callbacks=[my_package.Mine]"], ["my_package.Mine", "add --allow my_package"]),
        (["fit", "--trainer.check_val_every_n_epoch=1"], ["check_val_every_n_epoch is 1, wanted null"]),
        (["fit", "--trainer.max_epochs=2"], ["wanted trainer.limit_train_batches too"]),
        (["fit", "--trainer.overfit_batches=0.5"], ["overfit_batches is 0.5, wanted a whole number"]),
        (["fit", "--model.optimizer.algorithm=Muo"], ["algorithm is torch.optim.Muo, wanted a class of torch.optim"]),
        (["fit", "--model.optimizer.algorithm=SGD", "--model.optimizer.algorithm.momento=1"], ["no setting 'momento'"]),
        (["fit", "--model.optimizer.algorithm=os.PathLike"], ["os.PathLike", "add --allow os"]),
        (["fit", "--model.optimizer.schedule=cosin"], ["cosin, wanted cosine, linear, constant, wsd or a class"]),
        (["fit", "--init_from=/nowhere.ckpt"], ["--init_from /nowhere.ckpt does not exist"]),
        (
            ["fit", "--trainer.callbacks+=EarlyStopping"],
            ["trainer.callbacks: EarlyStopping needs a value for monitor, wanted"],
        ),
        (
            ["fit", "--trainer.callbacks=[{class_path: EarlyStopping, init_args: {monitr: a}}]"],
            ["trainer.callbacks: EarlyStopping has no argument 'monitr', did you mean monitor?"],
        ),
        (
            ["fit", "--trainer.logger={class_path: CSVLogger, init_args: {prefx: a}}"],
            ["no argument 'prefx', did you mean prefix?"],
        ),
        (
            ["fit", "--trainer.logger=[CSVLogger, {class_path: MLFlowLogger, init_args: {tracking_uri: 'bad://x'}}]"],
            ["loggers.MLFlowLogger raised: Model registry functionality is unavailable; got unsupported URI 'bad://x'"],
        ),
        (
            ["fit", "--trainer.logger+={class_path: WandbLogger, init_args: {log_model: true, offline: true}}"],
            ["loggers.WandbLogger raised: Providing log_model=True and offline=True is an invalid configuration"],
        ),
        (["fit", "--data.batch_size=null"], ["data.batch_size is null, wanted a whole number"]),
        (["fit", "--model.backbone.dim=null"], ["model.backbone.dim is null, wanted a whole number"]),
        (
            ["fit", "--data.document_settings.noise_cap=null"],
            ["data.document_settings.noise_cap is null, wanted a number"],
        ),
        (["fit", "--model.optimizer=3"], ["model.optimizer is 3, wanted a mapping of settings"]),
        (["fit", "--samples=3"], ["samples is 3, wanted a mapping of settings"]),
        (["fit", "--sample={}"], ["there is no setting 'sample', did you mean samples?"]),
        (["fit", "--data.clean_context=0.3"], ["did you mean data.document_settings.clean_context?"]),
        (["fit", "--model.backbone.attention=flex"], ["attention is flex", "blockwise"]),
        (["fit", "--model.optimizer.learning_rate=.nan"], ["learning_rate is nan", "above 0"]),
        (["fit", "--model.optimizer.betas=[2,3]"], ["betas", "below 1"]),
        (["fit", "--model.optimizer.warmup_steps=-1"], ["warmup_steps is -1"]),
        (["fit", "--model.modalities.image.weight=.inf"], ["image.weight is inf"]),
        (["fit", "--report.guidance=.nan"], ["guidance is nan"]),
        (["fit", "--trainer.accelerator=quantum"], ["quantum"]),
        (["fit", "--config=conf/transfusio.yaml"], ["transfusio", "did you mean conf/transfusion.yaml?"]),
        (["fit", "--experiment=a/b"], ["a/b"]),
        (["fit", "--seed"], ["--seed"]),
        (["fit", "seed=3"], ["seed=3"]),
        (["test"], ["--ckpt_path"]),
        (["generate", "--prompt=a"], ["--ckpt_path"]),
        (["test", "--ckpt_path=/nowhere.ckpt"], ["/nowhere.ckpt"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(refusal, arguments, words):
    message = refusal(*arguments)
    assert all(word in message for word in words), message


def test_no_arguments_show_all_commands(capsys):
    main([])
    output = capsys.readouterr().out
    assert all(f"\n  {command} " in output for command in ("fit", "validate", "test", "generate", "ledger"))


def test_the_version_is_that_of_the_installed_package(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"mot_lightning {version('mot_lightning')}\n"


def test_help_imports_no_torch(tmp_path):
    """A page of help is there at once."""
    program = """
import sys
from mot_lightning.cli.main import main
main(["fit", "--help"])
assert "torch" not in sys.modules
"""
    assert "--KEY=VALUE" in run_in_subprocess("-c", program, cwd=tmp_path)


@pytest.mark.parametrize("command", [("ledger",), ("fit", "--print_config"), ("fit", "--help-all"), ("--help",)])
def test_a_reader_that_goes_away_ends_it_without_a_word(tmp_path, monkeypatch, capsys, command):
    """As `head` does, here before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        assert run(tmp_path, *command, *(TINY if command[0] != "--help" else ())) == 1
    assert capsys.readouterr().err == ""


def test_a_file_that_may_not_be_read_is_named_in_one_line(refusal, monkeypatch, tmp_path):
    (tmp_path / "locked.yaml").write_text("seed: 1")

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "locked.yaml cannot be read: Permission denied" in refusal("fit", f"--config={tmp_path / 'locked.yaml'}")
    monkeypatch.undo()
    monkeypatch.setattr("mot_lightning.experiment.resolve.read_layers", refuse)  # where no one looks
    assert "locked.yaml cannot be used: Permission denied" in refusal("fit", f"--config={tmp_path / 'locked.yaml'}")
