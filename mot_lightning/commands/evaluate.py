"""`evaluate`: all that is measured of a checkpoint, with intervals, as a card."""

import math
from pathlib import Path
from typing import Any

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.config.paths import check_folder
from mot_lightning.errors import ConfigError, say

SPLITS, WEIGHTS = ("test", "val"), ("averaged", "live")


class Evaluate(Command):
    name = "evaluate"
    summary = "an evaluation card of a checkpoint: losses and tasks, with intervals and all that made them"
    options = (
        Option("split", "SPLIT", "test or val (test)", str, "test"),
        Option("weights", "WHICH", "averaged or live (averaged)", str, "averaged"),
        Option("prompts", "N", "maximum prompts of a task; 0 skips the tasks (report.prompts)", int),
        Option("metrics", "NAME,...", "measure only these metrics of the tasks (all)", str),
        Option("guidance", "G", "classifier-free guidance scale of the guided rows (report.guidance)", float),
        Option("shown", "N", "samples of each task on the page (10)", int, 10),
        Option("out", "FOLDER", "folder of the card (evaluation/SPLIT in the checkpoint's run folder)", Path),
    )

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.commands.trained import trained
        from mot_lightning.evaluation.card import summary, write_card
        from mot_lightning.evaluation.provenance import provenance
        from mot_lightning.runs.find import run_folder_of
        from mot_lightning.signals import interruptible

        options, path = dict(invocation.options), invocation.ckpt_path
        _check(options)
        assert path is not None
        out = options["out"] or (run_folder_of(path) or Path.cwd()) / "evaluation" / options["split"]
        check_folder(out, "--out")
        with interruptible():
            opened = trained(self.name, invocation)
            if opened is None:
                return
            experiment, checkpoint = opened
            module: Any = experiment.module
            report = experiment.config["report"]
            settings = {
                "command": invocation.line,
                "split": options["split"],
                "weights": options["weights"],
                "guidance": report["guidance"] if options["guidance"] is None else options["guidance"],
                "prompts": report["prompts"] if options["prompts"] is None else options["prompts"],
                "metrics": None if options["metrics"] is None else options["metrics"].split(","),
                "temperature": report["temperature"],
                "seeds": {"noise": experiment.config["seed"], "samples": report["seed"], "bootstrap": report["seed"]},
                "precision": str(experiment.trainer.precision),
            }
            evaluation = _evaluation(experiment, settings)
            rows, examples, curves = _measured(experiment, evaluation, out / "samples", options["shown"], checkpoint)
            title = f"{experiment.config['experiment']}, step {checkpoint['global_step']}: {options['split']} split"
            origin = provenance(path, checkpoint, module.model, **settings, extractors=evaluation.extractors())
            page = write_card(out, title, rows, origin, examples, curves)
        say("", title, "", *summary(rows), f"card:    {out / 'card.json'}", f"page:    {page}")


def _check(options: dict[str, Any]) -> None:
    for name, choices in (("split", SPLITS), ("weights", WEIGHTS)):
        if options[name] not in choices:
            raise ConfigError(f"--{name} is {options[name]!r}, wanted {' or '.join(choices)}")
    for name in ("prompts", "shown"):
        if options[name] is not None and options[name] < 0:
            raise ConfigError(f"--{name} is {options[name]}, wanted 0 or more")
    if options["guidance"] is not None and not 0 <= options["guidance"] < math.inf:
        raise ConfigError(f"--guidance is {options['guidance']}, wanted a number of 0 or more")


def _evaluation(experiment: Any, settings: dict[str, Any]) -> Any:
    from mot_lightning.evaluation.whole import Evaluation

    trainer = experiment.trainer
    module = trainer.precision_plugin.convert_module(experiment.module)
    chosen = experiment.config["report"]["metrics"] or {}
    return Evaluation(module, experiment.data, settings, chosen, trainer.progress_bar_callback is not None)


def _measured(
    experiment: Any, evaluation: Any, folder: Path, shown: int, checkpoint: dict[str, Any]
) -> tuple[list[Any], list[Any], list[str]]:
    """The rows of a card, and the examples and curves of its page."""
    import torch

    from mot_lightning.evaluation.reconstructed import codec_rows

    evaluation.task_runs  # noqa: B018  wrong names show before work starts
    with torch.no_grad(), experiment.trainer.precision_plugin.forward_context():
        rows = [*evaluation.losses(), *evaluation.conditional()]
        time_rows, curves = evaluation.times()
        task_rows, examples = evaluation.tasks(folder, shown, checkpoint["global_step"])
    codecs, seed = evaluation.module.codecs, evaluation.seeds["bootstrap"]
    reconstructed = codec_rows(codecs, experiment.data, evaluation.split, seed)
    return [*rows, *time_rows, *reconstructed, *task_rows], examples, curves
