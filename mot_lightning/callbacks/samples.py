"""Samples while training: at each validation, the model's continuations of a few fixed prompts, as files to look at.

Knows the tasks of the data and the codecs of the model; how a kind of media is written is left to `media/`.
"""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from mot_lightning.evaluation.run import run_task
from mot_lightning.training.sharding import summon_full_params


class SampleLogger(Callback):
    """Writes `samples/<step>/<task>...` in the run's folder, and images and text to TensorBoard.

    Args:
        prompts: how many of each task; 0 makes no samples.
        guidance: classifier-free guidance scale of tasks that allow it.
    """

    def __init__(self, prompts: int = 10, guidance: float = 2.0) -> None:
        if prompts < 0:
            raise ValueError(f"samples.prompts is {prompts}, wanted 0 or more")
        self.prompts, self.guidance = prompts, guidance
        self.tasks: list[Any] | None = None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or not self.prompts or trainer.state.fn != "fit":
            return
        with summon_full_params(pl_module.ema_model):
            if trainer.is_global_zero:
                self._write(trainer, pl_module)

    def _write(self, trainer: Any, pl_module: Any) -> None:
        if self.tasks is None:
            self.tasks = [task.subset(self.prompts) for task in trainer.datamodule.tasks("val")]
        folder = Path(trainer.default_root_dir) / "samples" / f"step_{trainer.global_step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        for task in self.tasks:
            if not task.modalities() <= set(pl_module.modalities):
                continue
            guided = task.guided and pl_module.pipeline.supports_guidance(task.target)
            media = run_task(pl_module.pipeline, task, self.guidance if guided else 1.0, seed=0)
            captions = [task.caption(i) for i in range(len(media))]
            media_type = pl_module.codecs[task.target].media_type
            media_type.write_many(media, captions, folder / task.slug)
            for writer in writers:
                media_type.log(writer, task.slug, media, captions, trainer.global_step)
