"""`ledger`: what a model and its training cost, before it is trained."""

import math
from itertools import islice
from typing import TYPE_CHECKING, Any

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.commands.fit import Fit
from mot_lightning.errors import ConfigError, say

if TYPE_CHECKING:
    from mot_lightning.experiment.build import Experiment
    from mot_lightning.sequence import InterleavedBatch

BATCHES = 4  # of training, whose mean a step is


class Ledger(Command):
    name = "ledger"
    summary = "parameters, FLOPs and memory of a model and its training, without training"
    needs_checkpoint = False
    checkpoint_help = "take the config of a checkpoint, and the seconds of its steps"
    examples = Fit.examples[:5]
    options = (
        Option("peak", "TFLOPS", "peak of one device: how long a step takes at it", float),
        Option("seconds_per_step", "S", "measured: how much of the peak that is (MFU)", float),
        Option("match", "QUANTITY", "the dense width with as many parameters, active_parameters or flops"),
    )

    def run(self, invocation: Invocation) -> None:
        from lightning.pytorch.plugins.precision import MixedPrecision

        from mot_lightning.analysis.ledger.activations import activation_bytes
        from mot_lightning.analysis.ledger.ledger import take_ledger
        from mot_lightning.analysis.ledger.match import QUANTITIES, match
        from mot_lightning.analysis.ledger.table import match_lines, remarks, sums_of, tables_of, time_lines
        from mot_lightning.commands.untrained import untrained
        from mot_lightning.media.table import aligned

        options = invocation.options
        for name in ("peak", "seconds_per_step"):
            if (value := options[name]) is not None and not 0 < value < math.inf:
                raise ConfigError(f"--{name} is {value}, wanted a number above 0")
        if options["seconds_per_step"] and not options["peak"]:
            raise ConfigError("--seconds_per_step needs --peak, the peak of one device in TFLOPS")
        if options["match"] not in (None, *QUANTITIES):
            raise ConfigError(f"--match is {options['match']!r}, wanted one of {', '.join(QUANTITIES)}")
        if (experiment := untrained(self.name, invocation)) is None:
            return
        trainer, batches = experiment.trainer, _batches(experiment)
        module: Any = experiment.module
        precision: Any = trainer.precision_plugin
        if isinstance(precision, MixedPrecision):
            precision.device = "cpu"  # where it is measured, as nothing is trained
        kept = activation_bytes(module.model.train(), batches[0], precision.forward_context())
        ledger = take_ledger(module, batches, trainer.accumulate_grad_batches * trainer.world_size, kept)
        say("", *(line for rows in tables_of(ledger) for line in aligned(rows)), *sums_of(ledger))
        if options["peak"]:
            seconds = options["seconds_per_step"] or _seconds_of(invocation)
            say(*time_lines(ledger.step.flops, 1e12 * options["peak"] * trainer.world_size, seconds))
        if lines := remarks(ledger):
            say(*(f"- {line}" for line in lines))
        if options["match"]:
            say("", *match_lines(match(module.model, batches[0], options["match"]), options["match"]))


def _batches(experiment: "Experiment") -> "list[InterleavedBatch]":
    """The first batches of training, in the precision of the run, which the model takes too."""
    module: Any = experiment.module
    module.prepare(experiment.data)
    precision = experiment.trainer.precision_plugin
    precision.convert_module(module.model)
    return [precision.convert_input(batch) for batch in islice(experiment.data.train_dataloader(), BATCHES)]


def _seconds_of(invocation: Invocation) -> float | None:
    """Seconds of a training step, as the checkpoint recorded them; None if it did not."""
    from mot_lightning.runs.checkpoint import read_checkpoint

    if invocation.ckpt_path is None:
        return None
    recorded = read_checkpoint(invocation.ckpt_path).get("callbacks", {}).get("Report", {}).get("fit", {})
    seconds, steps = (recorded.get(f"fit/{name}", 0) for name in ("training_seconds", "steps"))
    return seconds / steps if seconds and steps else None
