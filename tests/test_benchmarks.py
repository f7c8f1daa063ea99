"""The benchmarks run and write the figures that the README quotes; their speed is not tested."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DIFFERENCES = ("trainer_overhead_ms", "memory_growth", "memory_growth.tokens")  # which may be below 0
PEER = pytest.mark.skipif(find_spec("transfusion_pytorch") is None, reason="needs the group `bench`")


def slow(name, keys, *marks):
    return pytest.param(name, keys, marks=[pytest.mark.slow, *marks])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kills", "flips", "disk_full", "bad_input"])
def test_reliability_script_counts_no_failure(tmp_path, name):
    command = [sys.executable, "-W", "ignore", ROOT / f"benchmarks/reliability/{name}.py", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert " trials: " in done.stdout


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("growth", ["modalities_over_one.6", "seconds.one_document.256", "saved_mib.1024"]),
        slow(
            "backbone", ["mot_over_dense.64.1024.2", "bool_mask_over_ours.2x512", "gemm_share.64", "padded_over_packed"]
        ),
        slow("trainer", ["bare_step_ms"]),
        slow("telemetry", ["attention_mass_over_step", "gradient_cosines_over_step", "tower_similarity_over_step"]),
        slow("towers", ["noise_probe", "narrow_image_over_default", "joined_half_flops", "both_over_default"]),
        slow("data", ["noise_overhead"]),
        slow("data_sources", ["loader_over_step", "encoded_over_raw", "index_seconds_1m", "memory_growth"]),
        slow("gpu", ["mfu.mot", "mfu.dense", "mot_over_dense", "uncaptured_over_mot", "grouped_over_mot"]),
        slow("gpu_generation", ["text_tokens_per_second.1", "roofline_share.2", "copy_gb_per_second"]),
        slow(
            "generation",
            ["peer_image_cfg", "peer_image_batch4_per_flop", "peer_text_decode", "peer_text_decode_per_flop"],
            PEER,
        ),
        slow("peers", ["peer_train.ragged_64", "peer_train_per_flop.ragged_64"], PEER),
    ],
)
def test_benchmark_runs_and_writes_its_figures(tmp_path, name, keys):
    command = [sys.executable, ROOT / f"benchmarks/{name}.py", "--quick", f"--json={tmp_path / 'figures.json'}"]
    command += [f"--png={tmp_path / 'growth.png'}"] if name == "growth" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures.pop("machine")) >= {"cpu", "torch", "threads", "date", "commit"}
    assert set(keys) <= set(figures)
    assert all(value > 0 for name, value in figures.items() if name not in DIFFERENCES)
    assert name != "growth" or (tmp_path / "growth.png").stat().st_size > 10_000
