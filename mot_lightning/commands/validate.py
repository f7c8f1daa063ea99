"""`validate`: a checkpoint's losses on the validation split."""

from mot_lightning.commands.base import Command, Invocation
from mot_lightning.errors import say


class Validate(Command):
    name = "validate"
    summary = "losses of a checkpoint on the validation split"

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.commands.run import open_run

        with open_run(self.name, invocation) as run:
            if run is not None:
                trainer, module, data = run.experiment.trainer, run.experiment.module, run.experiment.data
                trainer.validate(module, data, ckpt_path=invocation.ckpt_path, weights_only=True, verbose=False)
                for name, value in trainer.callback_metrics.items():
                    say(f"{name:<32} {float(value):8.4f}")
