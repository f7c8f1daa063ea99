"""`ledger`: what a token of each modality costs in a model, before it is trained."""

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
        import yaml

        from mot_lightning.analysis.cost import costs, total_parameters
        from mot_lightning.errors import ConfigError
        from mot_lightning.experiment import startup
        from mot_lightning.experiment.build import build
        from mot_lightning.experiment.resolve import resolve
        from mot_lightning.module import MoTModule
        from mot_lightning.runs.checkpoint import read_checkpoint

        startup.quiet()
        base = read_checkpoint(invocation.ckpt_path)["config"] if invocation.ckpt_path else None
        config = resolve(invocation.configs, invocation.settings, invocation.allow, base)
        experiment = build(config, invocation.allow)
        if invocation.print_config:
            print(yaml.safe_dump(experiment.config, sort_keys=False), end="")
            return
        module, data = experiment.module, experiment.data
        if not isinstance(module, MoTModule):
            raise ConfigError("model.codec is given, wanted a model with modalities: a codec has no ledger")
        module.prepare(data)
        with torch.no_grad():
            by_modality = costs(module.model, next(iter(data.val_dataloader())))
        say(f"{'modality':<16}{'active parameters':>20}{'forward FLOPs/token':>22}{'mean context':>14}")
        for name, cost in by_modality.items():
            say(f"{name:<16}{cost.parameters:>20,}{round(cost.flops):>22,}{cost.context:>14.1f}")
        say(f"parameters in all: {total_parameters(module.model):,}")
