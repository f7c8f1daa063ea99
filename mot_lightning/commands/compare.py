"""`compare`: how many of a baseline's steps, tokens, FLOPs and seconds other runs need for its losses."""

from pathlib import Path

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.config.paths import check_folder
from mot_lightning.errors import ConfigError, say


class Compare(Command):
    name = "compare"
    summary = "runs by step matching: the share of a baseline's steps, FLOPs and time that each arm needs"
    needs_checkpoint = False
    builds = takes_settings = False
    paths = "RUN..."
    options = (
        Option("baseline", "NAME", "experiment of the baseline (the only dense one, or the first)"),
        Option("out", "FOLDER", "folder for tables, pictures and page (comparison)", Path, Path("comparison")),
        Option("window", "N", "evaluations that losses are averaged over, an odd number (3)", int, 3),
        Option("start", "X", "the fit begins at this fraction of the baseline's steps (0.5)", float, 0.5),
        Option("ignore", "ASPECT", "data, budget or schedule: runs may differ in it; may be repeated", repeated=True),
    )

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.analysis.compare import tables
        from mot_lightning.analysis.compare.comparable import ASPECTS
        from mot_lightning.analysis.compare.compare import compare
        from mot_lightning.analysis.compare.recorded import read_run
        from mot_lightning.analysis.compare.write import write
        from mot_lightning.media.table import aligned

        options = invocation.options
        window, start, ignored = options["window"], options["start"], options["ignore"]
        if window < 1 or window % 2 == 0:
            raise ConfigError(f"--window is {window}, wanted an odd number of at least 1")
        if not 0 <= start < 1:
            raise ConfigError(f"--start is {start}, wanted a fraction from 0 to below 1")
        for aspect in ignored:
            if aspect not in ASPECTS:
                raise ConfigError(f"--ignore is {aspect!r}, wanted one of {', '.join(ASPECTS)}")
        if len(invocation.paths) < 2:
            raise ConfigError(
                f"compare has {len(invocation.paths)} run folders, wanted at least 2: compare RUN RUN ..."
            )
        out = options["out"]
        check_folder(out, "--out")
        runs = [read_run(path) for path in dict.fromkeys(invocation.paths)]
        comparison = compare(runs, options["baseline"], window, start, ignored)
        page = write(comparison, out, f"Against {comparison.baseline}", invocation.line)
        say("", *aligned(tables.rows_of(comparison)))
        say(tables.method_of(comparison), *(f"- {flag}" for flag in tables.flags_of(comparison)))
        say(f"page:    {page}")
