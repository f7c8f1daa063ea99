"""`suite`: a grid of runs that answers claims, from one file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.config.paths import check_folder
from mot_lightning.errors import ConfigError, say

if TYPE_CHECKING:
    from mot_lightning.analysis.suite.settings import Suite as Settings


class Suite(Command):
    name = "suite"
    summary = "a grid of runs (arms, learning rates, seeds), compared, with a verdict on each claim"
    needs_checkpoint = False
    builds = False
    paths = "FILE"
    options = (
        Option("out", "FOLDER", "folder of the suite (suites/NAME); what it has run is not run again", Path),
        Option("processes", "N", "runs at a time (1); they share the CPU threads", int, 1),
        Option("list", "", "print the commands that are left of this stage, one a line, and run nothing", bool),
        Option("KEY=VALUE", "", "any setting of fit, for all runs", bool),
        Option("check", "CARD", "afterwards, compare verdicts and figures with those of a card", Path),
    )

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.analysis.suite.card import differences, read_card
        from mot_lightning.analysis.suite.execute import execute
        from mot_lightning.analysis.suite.settings import read_suite
        from mot_lightning.analysis.suite.stages import current
        from mot_lightning.experiment.suite_configs import check_begun, configs_of, keep
        from mot_lightning.signals import interruptible

        options, processes = invocation.options, invocation.options["processes"]
        if len(invocation.paths) != 1:
            raise ConfigError(f"suite has {len(invocation.paths)} files, wanted one, such as conf/suite/untying.yaml")
        if processes < 1:
            raise ConfigError(f"--processes is {processes}, wanted at least 1")
        suite = read_suite(invocation.paths[0], invocation.settings)
        expected = read_card(options["check"]) if options["check"] else None
        out = (options["out"] or Path("suites") / suite.suite).absolute()
        check_folder(out, "--out")
        if options["check"] and options["check"].absolute().parent == out:
            raise ConfigError(f"--check is {options['check']}, the card of --out itself, wanted another --out")
        configs = configs_of(suite)
        check_begun(configs, out)
        keep(configs, out)
        if options["list"]:
            commands = [shlex.join(["python", "-m", "mot_lightning", *run.arguments()])
                        for run in current(suite, out).left()]  # fmt: skip
            say(*(commands or [f"all runs of {suite.suite} are finished"]))
            return
        failures: dict[str, str] = {}
        with interruptible():
            while (stage := current(suite, out, failures)).left(failures):
                failures |= execute(stage.runs, out / "logs", processes, stage.title, failures)
            content = _report(suite, out, failures, invocation.line)
        if expected is not None:
            lines = differences(expected, content)
            say(*(lines or [f"verdicts are those of {options['check']}, and figures are in the intervals it has"]))
            if lines:
                raise SystemExit(1)
        if failures:
            raise SystemExit(1)


def _report(suite: "Settings", out: Path, failures: dict[str, str], command: str) -> dict[str, object]:
    """Compare, judge and write; returns the card."""
    import yaml

    from mot_lightning.analysis.compare import tables
    from mot_lightning.analysis.compare.compare import compare
    from mot_lightning.analysis.compare.recorded import read_run
    from mot_lightning.analysis.compare.write import write
    from mot_lightning.analysis.suite.card import card
    from mot_lightning.analysis.suite.stages import current
    from mot_lightning.analysis.suite.verdict import judge, table_of
    from mot_lightning.media.table import aligned
    from mot_lightning.runs.atomic import write_text

    stage = current(suite, out, failures)
    finished = [(run, read_run(run.finished)) for run in stage.runs if run.finished]
    if not {suite.baseline} < {run.arm for run, _ in finished}:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise ConfigError(f"no run of {suite.baseline}, or of no other arm, has finished, wanted both: {reasons}")
    swept = {(run.arm, recorded.size): stage.tried[run.arm, run.size] for run, recorded in finished}
    comparison = compare([recorded for _, recorded in finished], suite.baseline, ignored=suite.ignore, grids=swept)
    size_of = {run.size: recorded.size for run, recorded in finished}
    judged = [judge(claim, comparison, size_of.get(claim.size, claim.size)) for claim in suite.claims]
    before = {"Verdicts": table_of(judged)} if judged else {}
    if failures:
        before["Failed runs"] = [["run", "reason"], *([name, reason] for name, reason in failures.items())]
    page = write(comparison, out, f"{suite.suite}: against {comparison.baseline}", command, before)
    content = card(suite, comparison, judged, failures, command)
    write_text(out / "card.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))
    for rows in (tables.rows_of(comparison), *before.values()):
        say("", *aligned(rows))
    say(*(f"- {flag}" for flag in tables.flags_of(comparison)))
    say(f"card:    {out / 'card.yaml'}", f"page:    {page}")
    return content
