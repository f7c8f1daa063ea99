"""What users of Lightning expect of the module and the datamodule, with a plain Trainer and none of our callbacks."""

import copy
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateFinder, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from runs import run
from torch.utils.data import DataLoader

import mot_lightning as mot
from datamodules import Digits
from mot_lightning.errors import ConfigError

QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,
}


def small_module(**settings):
    modalities = {
        "text": mot.Modality(mot.BPE(vocab_size=270), mot.NextToken()),
        "image": mot.Modality(mot.Patches(shape=(1, 8, 8), patch_size=2), mot.FlowMatching(steps=2), weight=0.5),
    }
    return mot.MoTModule(modalities, "text", mot.BackboneSettings(dim=16, depth=1, heads=2), **settings)


def trainer(folder, **settings):
    validation = {"val_check_interval": 2, "check_val_every_n_epoch": None, "limit_val_batches": 4}
    return lightning.Trainer(default_root_dir=folder, **{**QUIET, **validation, "log_every_n_steps": 1, **settings})


class Batches(Callback):
    """Records the text of every training batch."""

    def __init__(self):
        self.texts = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.texts.append(batch.by_modality["text"].tokens.tolist())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A module after `Trainer.fit`, its trainer, its data and a checkpoint."""
    folder = tmp_path_factory.mktemp("fitted")
    module, data = small_module(), Digits(batch_size=4)
    loggers = [CSVLogger(folder, name="csv", version=""), TensorBoardLogger(folder, name="tb", version="")]
    fit = trainer(folder, max_steps=4, logger=loggers, callbacks=[ModelCheckpoint(monitor="val/image/loss")])
    fit.fit(module, data)
    fit.save_checkpoint(folder / "last.ckpt")
    return folder, module, fit, data


def test_metrics_reach_callback_metrics_and_every_logger(fitted):
    folder, _, fit, _ = fitted
    names = {f"{stage}/{name}loss" for stage in ("train", "val") for name in ("", "text/", "image/")}
    assert names | {"train/learning_rate", "val/text/bits_per_byte"} <= set(fit.callback_metrics)
    header, *rows = (folder / "csv/metrics.csv").read_text().splitlines()
    assert names <= set(header.split(","))
    step = header.split(",").index("step")
    assert {row.split(",")[step] for row in rows} == {"1", "2", "3", "4"}
    assert fit.checkpoint_callback.best_model_path.endswith(".ckpt")


def test_validate_and_test_return_their_metrics(fitted):
    folder, module, _, data = fitted
    evaluation = trainer(folder, limit_test_batches=1, logger=False)
    (validated,) = evaluation.validate(module, data, verbose=False)
    assert {"val/loss", "val/image/loss", "val/text/bits_per_byte"} <= set(validated)
    (tested,) = evaluation.test(module, data, verbose=False)
    assert {"test/loss", "test/image/loss"} <= set(tested)


def test_hyperparameters_reach_hparams_and_loggers(fitted):
    folder, module, _, _ = fitted
    assert module.hparams["model"]["modalities"]["image"]["objective"]["init_args"]["steps"] == 2
    assert module.hparams["model"]["backbone"]["dim"] == 16
    for name in ("csv", "tb"):
        assert "FlowMatching" in (folder / name / "hparams.yaml").read_text()


def test_load_from_checkpoint_restores_module_codecs_and_limits(fitted):
    folder, module, _, _ = fitted
    again = mot.MoTModule.load_from_checkpoint(folder / "last.ckpt")
    assert again.hparams == module.hparams
    assert again.limits == module.limits
    for (name, ours), theirs in zip(again.state_dict().items(), module.state_dict().values(), strict=True):
        assert not isinstance(ours, torch.Tensor) or torch.equal(ours, theirs), name
    assert torch.equal(again.codecs["text"].encode("seven"), module.codecs["text"].encode("seven"))


def test_pipeline_loads_a_plain_trainers_checkpoint(fitted):
    folder, module, _, _ = fitted
    prompts = ["a handwritten seven"]
    (ours,) = mot.MoTPipeline.from_pretrained(folder / "last.ckpt")(prompts, modalities=("image",))
    (theirs,) = module.pipeline(prompts, modalities=("image",))
    assert torch.equal(ours[0][1], theirs[0][1])


@pytest.fixture(scope="module")
def export(fitted):
    """A checkpoint of weights only."""
    folder, _, fit, _ = fitted
    fit.save_checkpoint(folder / "weights.ckpt", weights_only=True)
    return folder / "weights.ckpt"


def test_weights_only_holds_the_averaged_weights_alone(fitted, export, tmp_path):
    _, module, _, data = fitted
    saved = torch.load(export, weights_only=True)
    assert {name.partition(".")[0] for name in saved["state_dict"]} == {"ema_model", "codecs"}
    assert "optimizer_states" not in saved
    prompts = ["a handwritten seven"]
    (ours,) = mot.MoTPipeline.from_pretrained(export)(prompts, modalities=("image",))
    (theirs,) = module.pipeline(prompts, modalities=("image",))
    assert torch.equal(ours[0][1], theirs[0][1])
    again = mot.MoTModule.load_from_checkpoint(export)
    for name, averaged in module.ema_model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], averaged)
    evaluation = trainer(tmp_path, limit_test_batches=1, logger=False)
    (ours,) = evaluation.test(small_module(), data, ckpt_path=export, weights_only=True, verbose=False)
    (theirs,) = evaluation.test(module, data, verbose=False)
    assert ours == theirs


def test_weights_only_starts_a_run_and_resumes_none(export, tmp_path, capsys):
    assert run(tmp_path, "fit", f"--ckpt_path={export}") == 2
    assert "holds weights only" in capsys.readouterr().err
    start = [
        f"--init_from={export}", "--data=Digits", "--data.documents={image: 1.0}", "--trainer.max_steps=1",
        "--trainer.limit_test_batches=1", "--trainer.check_val_every_n_epoch=null",
        "--trainer.val_check_interval=1", "--report.prompts=0", "--samples.prompts=0",
        "--trainer.enable_progress_bar=false",
    ]  # fmt: skip
    assert run(tmp_path, "fit", *start) == 0


def test_predict_continues_prompts(fitted):
    folder, module, _, _ = fitted
    prompts = DataLoader(["a seven", "two in pixels"], batch_size=2, collate_fn=list)
    ((first, second),) = trainer(folder, logger=False).predict(module, prompts)
    (alone,) = module.pipeline(["a seven"])
    assert [name for name, _ in first] == [name for name, _ in alone]
    assert isinstance(second, list)


def test_predict_of_anything_but_a_dataloader_of_prompts_is_refused(fitted):
    folder, module, _, data = fitted
    for prompts, given in (
        (data, "a datamodule of type Digits"),
        (["a seven", "two"], "a batch of type str"),
        (data.val_dataloader(), "a batch of type InterleavedBatch"),
    ):
        with pytest.raises(
            TypeError, match=rf"^trainer.predict has {given}, wanted a DataLoader of prompts: trainer\.p"
        ):
            trainer(folder, logger=False).predict(module, prompts)


def test_fine_tuning_in_python_keeps_weights_and_codecs(fitted, tmp_path):
    folder, module, _, _ = fitted
    settings = mot.OptimizerSettings(learning_rate=1e-9, warmup_steps=0, weight_decay=0.0)
    tuned = mot.MoTModule.load_from_checkpoint(folder / "last.ckpt", optimizer=settings)
    before = copy.deepcopy(tuned.codecs["text"].state_dict())
    only_images = Digits(batch_size=4, documents={"image": 1.0}, seed=9)
    trainer(tmp_path, max_steps=1, logger=False, enable_checkpointing=False).fit(tuned, only_images)
    assert str(tuned.codecs["text"].state_dict()) == str(before)
    weight = "model.objectives.text.head.weight"
    torch.testing.assert_close(tuned.state_dict()[weight], module.state_dict()[weight], atol=1e-6, rtol=0)
    assert tuned.hparams["model"]["optimizer"]["learning_rate"] == 1e-9


def test_a_checkpoint_of_another_model_is_refused_in_one_line(fitted):
    path = fitted[0] / "last.ckpt"
    wide = mot.BackboneSettings(dim=64, depth=1, heads=2)
    with pytest.raises(ConfigError, match=rf"^checkpoint {path} is of another model: they differ in .*$"):
        mot.MoTModule.load_from_checkpoint(path, backbone=wide)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_fit_without_a_datamodule_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Trainer.fit has no datamodule, wanted one"):
        trainer(tmp_path, max_steps=1, logger=False).fit(small_module(), DataLoader([1]))


def test_learning_rate_finder_sets_the_learning_rate(tmp_path):
    module = small_module()
    finder = LearningRateFinder(num_training_steps=40, min_lr=1e-5, max_lr=1e-1, early_stop_threshold=None)
    trainer(tmp_path, max_steps=2, logger=False, callbacks=[finder]).fit(module, Digits(batch_size=4))
    assert module.learning_rate == finder.optimal_lr.suggestion() != mot.OptimizerSettings().learning_rate


def test_overfit_batches_repeats_the_same_documents(tmp_path):
    batches = Batches()
    fit = trainer(
        tmp_path, max_steps=5, overfit_batches=2, logger=False, enable_checkpointing=False, callbacks=[batches]
    )
    fit.fit(small_module(), Digits(batch_size=4))
    first, second, *others = batches.texts
    assert first != second
    assert others == [first, second, first]


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 6), (2, 4)])
def test_epochs_of_limit_train_batches_continue_through_the_data(tmp_path, accumulate, steps):
    """With accumulation, an epoch of 3 batches has a step of 2 and one of 1."""
    epochs, whole = Batches(), Batches()
    options = {"logger": False, "enable_checkpointing": False}
    fit = trainer(
        tmp_path,
        max_epochs=2,
        limit_train_batches=3,
        accumulate_grad_batches=accumulate,
        callbacks=[epochs],
        **options,
    )
    fit.fit(small_module(), Digits(batch_size=4))
    trainer(tmp_path, max_steps=6, callbacks=[whole], **options).fit(small_module(), Digits(batch_size=4))
    assert fit.global_step == steps
    assert epochs.texts == whole.texts
    assert len({str(text) for text in epochs.texts}) == 6


@pytest.mark.parametrize("options", [{"limit_train_batches": 2}, {"overfit_batches": 2}])
def test_noise_differs_between_epochs(tmp_path, options):
    """Also that of documents which come again in each epoch."""
    seeds = []
    module = small_module()
    forward = module.model.forward

    def recorded(batch, seed):
        seeds.extend((seed, *one.tolist()) for one in batch.by_modality["image"].segment_seed.split(1))
        return forward(batch, seed)

    module.model.forward = recorded
    options |= {"logger": False, "enable_checkpointing": False, "limit_val_batches": 0}
    trainer(tmp_path, max_epochs=3, **options).fit(module, Digits(batch_size=4, documents={"image": 1.0}))
    assert len(seeds) >= 3 * 2 * 4
    assert len({*seeds}) == len(seeds)


def test_generate_takes_a_plain_trainers_checkpoint(tmp_path, fitted):
    checkpoint = f"--ckpt_path={fitted[0] / 'last.ckpt'}"
    assert run(tmp_path, "generate", checkpoint, "--prompt=a", f"--out={tmp_path / 'out'}") == 0
    assert (tmp_path / "out/index.html").is_file()


def test_one_row_a_step_from_its_last_batch_also_at_an_epochs_end(tmp_path):
    """An epoch of 3 batches has a step of 2 and one of 1."""

    class Rows(TensorBoardLogger):
        batches = []  # noqa: RUF012

        def log_metrics(self, metrics, step):
            if "train/loss" in metrics:
                self.batches.append((step, fit.fit_loop.epoch_loop.batch_progress.total.ready))

    options = {"logger": Rows(tmp_path), "enable_checkpointing": False, "accumulate_grad_batches": 2}
    fit = trainer(tmp_path, max_epochs=2, limit_train_batches=3, **options)
    fit.fit(small_module(), Digits(batch_size=4))
    assert Rows.batches == [(1, 2), (2, 3), (3, 5), (4, 6)]


def test_a_found_learning_rate_is_in_the_config():
    module = small_module()
    module.learning_rate = 0.125
    assert module.hparams["model"]["optimizer"]["learning_rate"] == 0.125
    assert module.config["model"]["optimizer"]["ema_decay"] == 0.99


def test_a_module_that_is_fitted_again_keeps_its_codecs(tmp_path):
    module, data = small_module(), Digits(batch_size=4)
    module.prepare(data)
    before = module.codecs["text"].encode("a handwritten seven")
    other = Digits(batch_size=4)
    other.media = lambda modality, split: ["other words"] * 9 if modality == "text" else data.media(modality, split)
    trainer(tmp_path, max_steps=1, logger=False, enable_checkpointing=False).fit(module, other)
    assert torch.equal(module.codecs["text"].encode("a handwritten seven"), before)


def test_lightnings_own_sampler_is_refused_on_several_ranks():
    data = Digits()
    data.setup("fit")
    data.connect({}, small_module().model.grammar)
    connector = SimpleNamespace(use_distributed_sampler=True)
    data.trainer = SimpleNamespace(world_size=2, global_rank=1, _accelerator_connector=connector)
    with pytest.raises(ValueError, match="use_distributed_sampler is True, wanted False"):
        data.val_dataloader()
    connector.use_distributed_sampler = False
    assert next(iter(data.val_dataloader().sampler)).item == 1


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")  # the datamodule is resumable
def test_resumed_epochs_that_end_within_a_step_learn_every_document_once(tmp_path):
    """Epochs of three batches in steps of two, saved after one step, and after the end of the epoch."""
    steps, checkpoint = [], None
    for last in (1, 2, 4):
        numbers = Numbers()
        epochs = {"limit_train_batches": 3, "accumulate_grad_batches": 2, "limit_val_batches": 0}
        fit = trainer(tmp_path, max_steps=last, callbacks=[numbers], logger=False, **epochs)
        fit.fit(small_module(), Digits(batch_size=2), ckpt_path=checkpoint, weights_only=True)
        checkpoint = tmp_path / f"{last}.ckpt"
        fit.save_checkpoint(checkpoint)
        steps += numbers.steps
    assert [first for first, *_ in steps] == [0, 2, 4, 6, 8, 10]
    assert [of for _, *of in steps] == [[0, 2], [1, 2], [0, 1], [0, 1], [0, 2], [1, 2]]  # Lightning ends an epoch late


class Numbers(Callback):
    """Records the first document of every training batch, its position in the step, and the batches of the step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.steps.append((int(batch.step.numbers[0]), batch.step.position, batch.step.batches))
