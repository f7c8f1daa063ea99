"""A command line in a child process with limits of time and memory, and whether its end is tidy."""

import os
import resource
import signal
from pathlib import Path

from common import child, ended, quiet_run

from mot_lightning.errors import CONTROL

SECONDS = 20
BYTES = 4 * 2**30  # of data; a width of 1e9 would fill the machine's memory and stall it


def outcome(folder: Path, arguments: tuple[str, ...], base: list[str]) -> tuple[str, str]:
    """What became of `fit --print_config`, and its error output.

    Args:
        base: settings that come before the arguments.

    Returns:
        "works", "refused" (exit code 2 and one line, before any work), "hang", "executed" (what a file named was
        called), "killed" or "traceback".
    """
    report = folder / "report"

    def work() -> int:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
        os.chdir(folder)
        code, message = quiet_run(folder / "runs", "fit", *base, *arguments, "--print_config")
        report.write_text(message, encoding="utf-8", errors="backslashreplace")
        return code

    code = ended(child(work))
    message = report.read_text(encoding="utf-8") if report.exists() else ""
    report.unlink(missing_ok=True)
    if code == -signal.SIGALRM:
        return "hang", message
    if code < 0:
        return "killed", message
    if (folder / "executed").exists():
        return "executed", message
    if code == 0:
        return "works", message
    tidy = code == 2 and message.startswith("error: ") and "\n" not in message and not CONTROL.search(message)
    return "refused" if tidy and not (folder / "runs").exists() else "traceback", message
