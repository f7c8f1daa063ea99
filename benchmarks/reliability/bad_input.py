"""Bad settings, bad files and attacks, each in a child with a time limit: one line and exit code 2, before any work.

python benchmarks/reliability/bad_input.py [--count 400] [--quick]

An odd value that means something may work: what it builds is printed as a config. Nothing may be executed.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from bad_files import attacks, bad_files
from bad_settings import bad_settings
from common import RUN, begin, finish
from trial import outcome

with begin(__doc__, count=400, quick=40) as (trials, folder):
    table = [*bad_settings()]
    files, hostile = [*bad_files(folder)], [*attacks(folder)]
    every = max(1, len(table) // max(1, trials - len(files)))
    chosen = [*table[::every], *files, *hostile]
    chosen = chosen[:: max(1, len(chosen) // trials)] if trials < 100 else chosen
    counts = {"refused": 0, "works": 0, "traceback": 0, "hang": 0, "killed": 0, "executed": 0}
    failures: list[str] = []
    for name, arguments in chosen:
        result, message = outcome(folder, arguments, RUN)
        counts[result] += 1
        attack = (name, arguments) in hostile
        if result not in ("refused", "works") or (attack and result != "refused"):
            failures.append(f"{name!r}: {result}: {message.splitlines()[-1][:200] if message else ''}")
    print(f"{len(files)} files and {len(hostile)} attacks")
    finish(len(chosen), counts, failures)
