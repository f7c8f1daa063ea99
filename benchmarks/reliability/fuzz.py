"""Random values of random settings, one or several at once: a config, or one line and exit code 2, before any work.

python benchmarks/reliability/fuzz.py [--count 3000] [--quick]

Each trial runs in a child with limits of time and memory.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from bad_settings import NUMBERS, OTHERS
from bad_settings import settings as all_settings
from common import begin, finish
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from runs import TINY
from trial import outcome

# as many values of the right kind as odd ones: a refused name or type would hide what comes after it
usual = st.one_of(
    st.integers(0, 16).map(str), st.integers(0, 40).map(lambda n: str(2**n)), st.floats(0, 1).map(str),
    st.sampled_from(("true", "false", "null", "auto", "[1]", "[1, 2]", "[]", "{}", "AdamW", "Patches", "text", "1e-3")),
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
nested = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
odd = st.one_of(
    st.sampled_from((*NUMBERS, *OTHERS)), st.integers(-9, 9).map(str), st.integers().map(str), st.floats().map(str),
    st.text(max_size=20), nested.map(json.dumps),
)  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn, names: list[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """One to three settings with values, of which the last may be odd, and what they need beside them."""
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
    beside = [argument for _, arguments in chosen for argument in arguments]
    values = [*(draw(usual) for _ in chosen[1:]), draw(usual | odd)]
    return (*beside, *(f"--{name}={value}" for (name, _), value in zip(chosen, values, strict=True)))


with begin(__doc__, count=3000, quick=60) as (trials, folder):
    counts = {"refused": 0, "works": 0, "traceback": 0, "hang": 0, "killed": 0, "executed": 0}
    failures: list[str] = []

    @seed(0)
    @settings(max_examples=trials, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=[*HealthCheck])  # fmt: skip
    @given(command_lines([*all_settings()]))
    def attempt(arguments: tuple[str, ...]) -> None:
        result, message = outcome(folder, arguments, TINY)
        counts[result] += 1
        if result not in ("refused", "works"):
            failures.append(f"{arguments!r}: {result}: {message.splitlines()[-1][:200] if message else ''}")
            print(failures[-1], file=sys.stderr, flush=True)

    attempt()
    finish(sum(counts.values()), counts, failures)
