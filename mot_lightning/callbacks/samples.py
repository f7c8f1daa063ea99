"""Samples while training: at each validation, the model's continuations of a few fixed prompts, as files to look at.

Knows the tasks of the data and the codecs of the model; how a kind of media is written is left to `media/`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from mot_lightning.callbacks.sample_files import log_files
from mot_lightning.callbacks.stop_on_signal import stops
from mot_lightning.evaluation.run import run_task
from mot_lightning.evaluation.tasks import Task, check_names
from mot_lightning.media.board import TENSORBOARD_COLUMNS, board
from mot_lightning.runs.best_effort import best_effort
from mot_lightning.runs.examples import Example, Examples, write_examples
from mot_lightning.runs.page import write_page
from mot_lightning.training.sharding import summon_full_params


class SampleLogger(Callback):
    """Writes `samples/<step>/<task>...` in the run's folder and its page anew; loggers that can show them get the same.

    Args:
        prompts: how many of each task; 0 makes no samples.
        guidance: classifier-free guidance scale of tasks that allow it.
    """

    def __init__(self, prompts: int = 10, guidance: float = 2.0) -> None:
        if prompts < 0:
            raise ValueError(f"samples.prompts is {prompts}, wanted 0 or more")
        self.prompts, self.guidance = prompts, guidance
        self.tasks: list[Task] | None = None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or not self.prompts or trainer.state.fn != "fit":
            return
        with summon_full_params(pl_module.ema_model):
            if trainer.is_global_zero:
                with best_effort("the samples of a validation"):
                    self._write(trainer, pl_module)
                with best_effort("the page"):
                    write_page(Path(trainer.default_root_dir))

    def _write(self, trainer: Any, pl_module: Any) -> None:
        if self.tasks is None:
            tasks = [task.subset(self.prompts) for task in trainer.datamodule.tasks("val")]
            check_names(tasks)
            self.tasks = [task for task in tasks if task.modalities() <= set(pl_module.modalities)]
        samples = Path(trainer.default_root_dir) / "samples"
        step = trainer.global_step
        folder = samples / f"step_{step:06d}"
        for path in (folder, samples / "prompts"):
            path.mkdir(parents=True, exist_ok=True)
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        types = {name: codec.media_type for name, codec in pl_module.codecs.items()}
        written = []
        for task in self.tasks:
            if stops(trainer):  # after this validation, on all ranks
                break
            with best_effort(f"{folder / task.slug}"):
                guided = task.guided and pl_module.pipeline.supports_guidance(task.target)
                guidance = self.guidance if guided else 1.0
                media = run_task(pl_module.pipeline, task, guidance, seed=0)
                examples = [_write_example(types, task, i, medium, folder) for i, medium in enumerate(media)]
                note = f"prompts of the validation split, averaged weights, guidance {guidance:g}"
                written.append(Examples(task.title, step, examples, note=note))
                shown = _arrange(types, task, media)
                _write_together(types[task.target], shown, folder / task.slug)
                tensorboards, writers = writers, []  # after a failure, the next validation tries again
                with best_effort(f"TensorBoard with {folder / task.slug}"):
                    _log_together(types[task.target], shown, tensorboards, task.slug, step)
                    writers = tensorboards
            for logger in trainer.loggers:
                with best_effort(f"{type(logger).__name__} with {folder / task.slug}"):
                    log_files(logger, folder, task.slug, step)
        write_examples(folder, written)


def _write_example(types: Any, task: Task, i: int, medium: Any, folder: Path) -> Example:
    """Write one sample; its prompt and the real medium are written at the first validation."""
    given, target = folder.parent / "prompts" / f"{task.slug}_{i:02}", types[task.target]

    def once(media_type: Any, fixed: Any, stem: Path) -> Path:
        path = stem.with_name(f"{stem.name}{media_type.suffixes[0]}")
        return path if path.exists() else media_type.write(fixed, stem)

    prompt = [
        once(types[name], media, given.with_name(f"{given.name}_{k}_{name}"))
        for k, (name, media) in enumerate(task.prompts[i])
    ]
    real = None
    if task.references is not None:
        real = once(target, task.references[i], given.with_name(f"{given.name}_real"))
    return Example(task.caption(i), prompt, target.write(medium, folder / f"{task.slug}_{i:02}"), real)


class _Shown(NamedTuple):
    """All samples of a task as they are shown together.

    Attributes:
        titles: captions and, of texts, what was generated.
        texts: the samples; of texts, beside the real ones.
        cells: (role, picture) pairs of each sample.
    """

    captions: list[str]
    titles: list[str]
    texts: list[Any]
    cells: list[list[tuple[str, Any]]]

    @property
    def is_board(self) -> bool:
        """Whether the samples themselves are pictures."""
        return any(role == "generated" for cell in self.cells for role, _ in cell)


def _arrange(types: Any, task: Task, media: Sequence[Any]) -> _Shown:
    captions = [task.caption(i) for i in range(len(media))]
    titles, texts, cells = list(captions), list(media), []
    for i, medium in enumerate(media):
        real = [] if task.references is None else [("real", task.target, task.references[i])]
        if isinstance(medium, str):
            texts[i] = medium + "".join(f" (real: {text})" for _, _, text in real)
            titles[i] = f"{captions[i]} -> {texts[i]}"
        prompt = [("prompt", name, content) for name, content in task.prompts[i]]
        shown = [*prompt, ("generated", task.target, medium), *real]
        pictures = [(role, types[name].picture(content)) for role, name, content in shown]
        cells.append([(role, picture) for role, picture in pictures if picture is not None])
    return _Shown(captions, titles, texts, cells)


def _write_together(media_type: Any, shown: _Shown, stem: Path) -> None:
    """Write all samples of a task: pictures on one board, texts as lines; sounds have files of their own."""
    if any(shown.cells):
        board(shown.titles, shown.cells).savefig(stem.with_name(f"{stem.name}.png"))
    if not shown.is_board and shown.titles != shown.captions:
        media_type.write_many(shown.texts, shown.captions, stem)


def _log_together(media_type: Any, shown: _Shown, writers: Sequence[Any], tag: str, step: int) -> None:
    """Log all samples of a task to TensorBoard: pictures on one board, texts as lines, sounds one by one."""
    for writer in writers:
        if any(shown.cells):
            writer.add_figure(tag, board(shown.titles, shown.cells, TENSORBOARD_COLUMNS), step)
        if not shown.is_board:
            media_type.log(writer, tag, shown.texts, shown.captions, step)
