import os
import signal
import sys
import threading
import time

import pytest

from mot_lightning.analysis.suite.execute import execute
from mot_lightning.analysis.suite.planned import PlannedRun
from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.signals import interruptible

SUITE = Suite("s", {"dense": [], "mot": []}, "dense", [], [0.01, 0.02], sweep_steps=1)
WRITE = "import pathlib, sys; p = pathlib.Path(sys.argv[1]) / '0'; p.mkdir(parents=True)\n"


class Script(PlannedRun):
    """A run that is a script of a few lines, in a process of its own."""

    script = "(p / 'metrics.json').touch()"

    def command(self):
        return [sys.executable, "-c", WRITE + self.script, str(self.home)]


class Failing(Script):
    script = "print('a line'); sys.exit('error: it is broken')"


class Alone(Script):
    script = (
        "import os; (p / 'group').write_text(str(os.getpgrp())); (p / 'metrics.json').touch()\n"
        "(p / 'threads').write_text(os.environ['OMP_NUM_THREADS'])"
    )


class Long(Script):
    script = (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: ((p / 'checkpoint').touch(), sys.exit(143)))\n"
        "(p / 'begun').touch()\ntime.sleep(60)"
    )


def test_all_runs_run_and_one_that_fails_is_said(tmp_path, capsys):
    runs = [Script(SUITE, tmp_path, "dense", 0.01, 0), Failing(SUITE, tmp_path, "mot", 0.01, 0),
            Script(SUITE, tmp_path, "mot", 0.01, 1)]  # fmt: skip
    failures = execute(runs, tmp_path / "logs", 2, "Runs")
    assert [bool(run.finished) for run in runs] == [True, False, True]
    log = tmp_path / f"logs/{tmp_path.name}_mot_rate_0.01_seed_0.log"
    assert failures == {"mot, rate 0.01, seed 0": f"exit code 1: error: it is broken ({log})"}
    assert "a line" in log.read_text()
    assert "seed 0 failed: exit code 1: error: it is broken" in capsys.readouterr().out


def test_finished_and_failed_runs_do_not_run_again(tmp_path):
    done, failing = Script(SUITE, tmp_path, "dense", 0.01, 0), Failing(SUITE, tmp_path, "mot", 0.01, 0)
    execute([done], tmp_path / "logs", 1, "Runs")
    written = (done.finished / "metrics.json").stat().st_mtime_ns
    assert execute([done, failing], tmp_path / "logs", 1, "Runs", {failing.name}) == {}
    assert (done.finished / "metrics.json").stat().st_mtime_ns == written


def test_signal_lets_the_runs_write_their_checkpoints(tmp_path):
    runs = [Long(SUITE, tmp_path, arm, 0.01, 0) for arm in ("dense", "mot")]

    def interrupt():
        while not all((run.home / "0/begun").exists() for run in runs):
            time.sleep(0.02)
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    with pytest.raises(SystemExit) as end, interruptible():
        execute(runs, tmp_path / "logs", 2, "Runs")
    assert end.value.code == 128 + signal.SIGTERM
    assert all((run.home / "0/checkpoint").exists() for run in runs)


def test_a_terminal_signals_the_suite_alone_and_threads_are_those_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    run = Alone(SUITE, tmp_path, "dense", 0.01, 0)
    execute([run], tmp_path / "logs", 1, "Runs")
    assert int((run.finished / "group").read_text()) != os.getpgrp()
    assert (run.finished / "threads").read_text() == "77"
