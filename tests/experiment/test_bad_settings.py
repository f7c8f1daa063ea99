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


FEW = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=HEALTH)
MORE = settings(max_examples=60, deadline=None, derandomize=False, suppress_health_check=HEALTH)


@pytest.mark.parametrize("tried", [FEW, pytest.param(MORE, marks=pytest.mark.slow)], ids=["few", "more"])
def test_any_value_of_any_setting_works_or_is_refused_in_one_line(tmp_path, capsys, tried):
    @given(st.data())
    @tried
    def holds(data):
        check(data, tmp_path, capsys)

    holds()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--trainer.logger.init_args.patch_io=null",), "trainer.logger is {'init_args': {'patch_io': None}}, wanted the"),
     (("--trainer.callbacks=[{a: 1}]",), "trainer.callbacks is {'a': 1}, wanted the name of a class"),
     (("--model.modalities.image.codec={class_path: 5}",), "codec is {'class_path': 5}, wanted the name of a class"),
     (("--model.optimizer.algorithm={a: 1}",), "model.optimizer.algorithm is {'a': 1}, wanted the name of a class"),
     (("--data.document_settings=[1]",), "data.document_settings is [1], wanted a mapping of settings"),
     (("--data.speed_perturbation={a: 1}",), "data.speed_perturbation is {'a': 1}, wanted a list"),
     (("--trainer.strategy=dpp",), "trainer.strategy is 'dpp', did you mean ddp?"),
     (("--trainer.profiler=x",), "trainer.profiler is 'x', wanted one of simple, advanced, pytorch, xla"),
     (("--trainer.devices=1000", "--trainer.accelerator=cpu"), "trainer.devices is 1000, wanted auto, or processes on"),
     (("--trainer.num_nodes=1000000",), "trainer.num_nodes is 1000000, wanted from 1 to 10,000"),
     (("--trainer.max_time={a: 1}",), "trainer.max_time is {'a': 1}, wanted numbers of days"),
     (("--trainer.gradient_clip_val=.nan",), "trainer.gradient_clip_val is nan, wanted 0 (off) or more"),
     (("--model.modalities.image.codec={'': 1}",), "model.modalities.image.codec has a setting without a name: {''"),
     (("--trainer.barebones=true",), "trainer.barebones cannot be set"),
     (("--data.batch_size=100000000000000000000",), "data.batch_size is 100000000000000000000, wanted a number of 64"),
     (("--data.tokens=100",), "data.tokens is 100, wanted at least data.row_length, 128"),
     (("--data.tokens=1000000000000",), "wanted at least data.row_length, 128, and at most 10,000,000"),
    (("--data=Records", "--data.source=Table", "--data.source.path=3"), "data.source.path is 3, wanted a path"),
    (("--data.tokens=0",), "data.tokens is 0, wanted at least data.row_length, 128"),
     (("--data.tokens=x",), "data.tokens is x, wanted a whole number"),
     (("--model.backbone.depth=100000",), "backbone.depth is 100000, wanted at most 4096"),
     (("--model.backbone.dim=1000000000000",), "cannot allocate its weights of more numbers than memory can address"),
     (("--model.backbone.dim=10000000",), "cannot allocate its weights of 7,200,0")],
)  # fmt: skip
def test_odd_values_that_reached_a_library_are_refused_by_their_name(refusal, arguments, message):
    assert message in refusal("fit", *TINY, *arguments)


@pytest.mark.parametrize("name", ["strategy", "accelerator", "profiler", "logger", "callbacks", "precision"])
def test_the_content_of_a_file_named_as_a_part_of_the_trainer_is_not_printed(refusal, tmp_path, name):
    (tmp_path / "secret").write_text("password: SECRET\n")
    assert "SECRET" not in refusal("fit", *TINY, f"--trainer.{name}={tmp_path / 'secret'}")


@pytest.mark.parametrize(
    ("argument", "message"),
    [("--data.num_workers=-1", "num_workers is -1, wanted 0 or more"),
     ("--model.modalities.speech.codec.n_mels=-1", "n_mels is -1, wanted at least 1"),
     ("--model.modalities.speech.codec.hop_ms=0", "hop_ms is 0, wanted at least 1"),
     ("--trainer.accumulate_grad_batches=0", "accumulate_grad_batches is 0, wanted at least 1")],
)  # fmt: skip
def test_value_out_of_range_is_refused_before_a_run_begins(refusal, argument, message):
    assert message in refusal("fit", *TINY, argument)
