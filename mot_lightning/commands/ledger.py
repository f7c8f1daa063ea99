"""`ledger`: what a token of each modality costs in a model, before it is trained."""

from typing import Any

from mot_lightning.commands.base import Command, Invocation
from mot_lightning.commands.fit import Fit
from mot_lightning.errors import say


class Ledger(Command):
    name = "ledger"
    summary = "parameters and forward FLOPs of each modality, without training"
    needs_checkpoint = False
    checkpoint_help = "take the config of a checkpoint"
    examples = Fit.examples[:5]

    def run(self, invocation: Invocation) -> None:
        import torch

        from mot_lightning.analysis.cost import costs, total_parameters
        from mot_lightning.commands.untrained import untrained

        if (experiment := untrained(self.name, invocation)) is None:
            return
        module: Any = experiment.module
        data = experiment.data
        module.prepare(data)
        with torch.no_grad():
            by_modality = costs(module.model, next(iter(data.val_dataloader())))
        say(f"{'modality':<16}{'active parameters':>20}{'forward FLOPs/token':>22}{'mean context':>14}")
        for name, cost in by_modality.items():
            say(f"{name:<16}{cost.parameters:>20,}{round(cost.flops):>22,}{cost.context:>14.1f}")
        say(f"parameters in all: {total_parameters(module.model):,}")
