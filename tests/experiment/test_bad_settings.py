"""Random values of random settings: a config, or one line; never a traceback."""

import sys
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import ROOT, TINY, run

sys.path.insert(0, str(ROOT / "benchmarks/reliability"))

from bad_settings import NUMBERS, OTHERS
from bad_settings import settings as all_settings

values = st.one_of(
    st.sampled_from((*NUMBERS, *OTHERS)), st.integers(-9, 9).map(str), st.floats().map(str), st.text(max_size=8)
)
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@cache
def names():
    return [*all_settings()]


def check(data, folder, capsys):
    name, beside = data.draw(st.sampled_from(names()))
    arguments = [*beside, f"--{name}={data.draw(values)}"]
    capsys.readouterr()
    code = run(folder, "fit", *TINY, *arguments, "--print_config")
    lines = capsys.readouterr().err.splitlines()
    assert code == 0 or (code == 2 and len(lines) == 1)


@given(st.data())
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=HEALTH)
def test_any_value_of_any_setting_works_or_is_refused_in_one_line(tmp_path, capsys, data):
    check(data, tmp_path, capsys)


@pytest.mark.parametrize(
    ("argument", "message"),
    [("--data.num_workers=-1", "num_workers is -1, wanted 0 or more"),
     ("--model.modalities.speech.codec.n_mels=-1", "n_mels is -1, wanted at least 1"),
     ("--model.modalities.speech.codec.hop_ms=0", "hop_ms is 0, wanted at least 1"),
     ("--trainer.accumulate_grad_batches=0", "accumulate_grad_batches is 0, wanted at least 1"),
     ("--trainer.devices=9999", "trainer.devices is 9999, wanted at most")],
)  # fmt: skip
def test_value_out_of_range_is_refused_before_a_run_begins(refusal, argument, message):
    assert message in refusal("fit", *TINY, argument)
