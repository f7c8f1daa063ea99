"""`test`: a checkpoint's losses and cross-modal tasks on the test split."""

from mot_lightning.commands.base import Command, Invocation


class Test(Command):
    name = "test"
    summary = "losses and cross-modal tasks of a checkpoint on the test split"

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.commands.run import open_run

        with open_run(self.name, invocation) as run:
            if run is not None:
                trainer, module, data = run.experiment.trainer, run.experiment.module, run.experiment.data
                trainer.test(module, data, ckpt_path=invocation.ckpt_path, weights_only=True, verbose=False)
