"""Bad settings, bad files and attacks, each in a child with a time limit: one line and exit code 2, before any work.

python benchmarks/reliability/bad_input.py [--count 400] [--quick]

An odd value that means something may work: what it builds is printed as a config. Nothing may be executed.
"""

import os
import signal
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from bad_files import attacks, bad_files
from bad_settings import bad_settings
from common import RUN, begin, child, ended, finish, quiet_run

SECONDS = 20


def outcome(folder: Path, arguments: tuple[str, ...]) -> tuple[str, str]:
    """What became of a command line, and its error output."""
    report = folder / "report"

    def work() -> int:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        os.chdir(folder)
        code, message = quiet_run(folder / "runs", "fit", *RUN, *arguments, "--print_config")
        report.write_text(message, encoding="utf-8", errors="backslashreplace")
        return code

    code = ended(child(work))
    message = report.read_text(encoding="utf-8") if report.exists() else ""
    report.unlink(missing_ok=True)
    if code == -signal.SIGALRM:
        return "hang", message
    if (folder / "executed").exists():
        return "executed", message
    if code == 0:
        return "works", message
    tidy = code == 2 and len(message.splitlines()) == 1 and message.startswith("error: ") and "\x1b" not in message
    return "refused" if tidy and not (folder / "runs").exists() else "traceback", message


with begin(__doc__, count=400, quick=40) as (trials, folder):
    table = [*bad_settings()]
    files, hostile = [*bad_files(folder)], [*attacks(folder)]
    every = max(1, len(table) // max(1, trials - len(files)))
    chosen = [*table[::every], *files, *hostile]
    chosen = chosen[:: max(1, len(chosen) // trials)] if trials < 100 else chosen
    counts = {"refused": 0, "works": 0, "traceback": 0, "hang": 0, "executed": 0}
    failures: list[str] = []
    for name, arguments in chosen:
        result, message = outcome(folder, arguments)
        counts[result] += 1
        attack = (name, arguments) in hostile
        if result not in ("refused", "works") or (attack and result != "refused"):
            failures.append(f"{name!r}: {result}: {message.splitlines()[-1][:200] if message else ''}")
    print(f"{len(files)} files and {len(hostile)} attacks")
    finish(len(chosen), counts, failures)
