"""Samples while training: at each validation, what the model makes of a few fixed prompts, as files to look at.

Maps over the datamodule's tasks and the model's codecs; a grid with captions for images, single files for the rest.
"""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from mot_lightning.evaluation.run_task import run_task
from mot_lightning.sharding import whole


class SampleLogger(Callback):
    """Writes `samples/<step>/<task>...` in the run's folder, and images and text to TensorBoard.

    Args:
        prompts: of each task; 0 makes no samples.
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
        with whole(pl_module.average):
            if trainer.is_global_zero:
                self._write(trainer, pl_module)

    def _write(self, trainer: Any, pl_module: Any) -> None:
        if self.tasks is None:
            self.tasks = [task.first(self.prompts) for task in trainer.datamodule.tasks("val")]
        folder = Path(trainer.default_root_dir) / "samples" / f"step_{trainer.global_step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        boards = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        for task in self.tasks:
            if not task.modalities() <= set(pl_module.modalities):
                continue
            guided = task.guided and pl_module.guides(task.target)
            made = run_task(pl_module, task, self.guidance if guided else 1.0, seed=0)
            captions = [task.caption(i) for i in range(len(made))]
            codec = pl_module.codecs[task.target]
            codec.write_many(made, captions, folder / task.slug)
            for board in boards:
                codec.show(board, task.slug, made, captions, trainer.global_step)
