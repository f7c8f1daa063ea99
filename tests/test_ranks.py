"""Several ranks learn what one would from the same documents, and count exactly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_resume import TINY, rows, run, weights

from datamodules.sampler import ResumableSampler
from mot_lightning.arguments import split_arguments
from mot_lightning.cli import build_config, settle
from mot_lightning.config import default_config, read_yaml
from mot_lightning.lightning_cli import instantiate
from mot_lightning.seeds import generator_for

ROOT = Path(__file__).resolve().parents[1]
# noise is seeded by rank, so what is compared has none: text and speech, no dropout
QUIET = [*TINY, "--model.modalities.image=null", "--model.backbone.dropout=0", "--trainer.max_steps=3"]
KINDS = ("text+image+speech", "text+image", "text+speech", "image+speech", "image", "text", "speech")
ALONE = {kind: 0.5 if kind in ("text", "speech") else 0 for kind in KINDS}


def run_two_ranks(folder: Path, strategy: str, *arguments: str) -> None:
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", f"--trainer.strategy={strategy}"]
    command = [sys.executable, "-W", "ignore", "-m", "mot_lightning", "fit", *arguments, *ranks, f"--runs={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, cwd=folder.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in (folder / "default").iterdir()] == ["0"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
@pytest.mark.parametrize("documents", [4, 1], ids=["uneven batches", "a rank without a modality"])
def test_two_ranks_equal_one_with_the_same_global_batch(tmp_path, strategy, documents):
    arguments = [*QUIET, *([f"--data.documents={json.dumps(ALONE)}"] if documents == 1 else [])]
    assert run(tmp_path / "one", "fit", *arguments, f"--data.batch_size={2 * documents}") == 0
    run_two_ranks(tmp_path / "two", strategy, *arguments, f"--data.batch_size={documents}")
    one, two = tmp_path / "one/default/0", tmp_path / "two/default/0"
    assert [row["step"] for row in rows(one)] == [row["step"] for row in rows(two)]
    for a, b in zip(rows(one), rows(two), strict=True):
        assert a.keys() == b.keys()
        for name in ("train/text/loss", "train/speech/loss"):
            if name in a:
                assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4)
    ours, theirs = weights(one), weights(two)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def learned_by_one_process(arguments: list[str]) -> dict[str, torch.Tensor]:
    """What two ranks should learn: the losses of both ranks' documents, each with its rank's noise, over all counts."""
    config = settle(build_config(split_arguments(["fit", *arguments]), read_yaml(default_config()), False), [])
    cli = instantiate(config, [], Path("nowhere"))
    module, data = cli.model, cli.datamodule
    data.setup("fit")
    for name, codec in module.codecs.items():
        codec.fit(data.media(name, "train"))
    data.connect(dict(module.codecs), module.model.grammar)
    steps, documents = cli.trainer.max_steps, data.documents("train")
    draws = [iter(ResumableSampler(len(documents), data.seed, 0, rank, 2)) for rank in range(2)]
    optimizer, schedule = module.optimization.build(module.model, steps, fused=True)
    for step in range(steps):
        batches = [documents.together([documents[next(own)] for _ in range(data.batch_size)]) for own in draws]
        seen = [
            module.sums(module.model(batch, generator_for(module.seed, step, rank)), batch)
            for rank, batch in enumerate(batches)
        ]
        optimizer.zero_grad()
        module.weighted(seen[0] + seen[1]).backward()
        torch.nn.utils.clip_grad_norm_(module.model.parameters(), cli.trainer.gradient_clip_val)
        optimizer.step()
        schedule.step()
    return module.state_dict()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("reduction", ["segment", "batch"])
def test_two_ranks_share_every_reduction_and_each_draws_noise_of_its_own(tmp_path, reduction):
    """One rank with the same batch would draw other noise: what is compared is a process that draws both ranks'."""
    arguments = [
        *TINY, "--model.backbone.dropout=0", "--trainer.max_steps=3", f"--model.reduction={reduction}",
        "--model.modalities.speech.objective=MaskedToken",
    ]  # fmt: skip
    expected = learned_by_one_process(arguments)
    run_two_ranks(tmp_path / "two", "ddp", *arguments)
    found = weights(tmp_path / "two/default/0")
    for name in (name for name in found if name.startswith("model.")):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.timeout(300)
def test_a_tower_in_slices_that_saw_nothing_yet_goes_on_as_a_whole_one(tmp_path):
    first = {kind: float(kind == "text") for kind in KINDS}
    more = [f"--data.documents={json.dumps(ALONE)}", "--trainer.max_steps=5"]
    last = "default/0/checkpoints/last.ckpt"
    arguments = [*QUIET, f"--data.documents={json.dumps(first)}"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(one, "fit", *arguments, "--data.batch_size=4") == 0
    assert run(one / "more", "fit", f"--ckpt_path={one / last}", *more) == 0
    run_two_ranks(two, "fsdp2", *arguments, "--data.batch_size=2")
    run_two_ranks(two / "more", "fsdp2", f"--ckpt_path={two / last}", *more)
    ours, theirs = (weights(folder / "more/default/0") for folder in (one, two))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


@pytest.mark.timeout(240)
def test_sharded_weights_are_sampled_judged_saved_and_loaded_as_whole_ones(tmp_path):
    by_codebook = "--model.modalities.speech.objective={class_path: NextToken, init_args: {lookup: codebook}}"
    arguments = [*TINY, "--samples.prompts=1", "--report.prompts=1", by_codebook]
    run_two_ranks(tmp_path / "two", "fsdp2", *arguments)
    folder = tmp_path / "two/default/0"
    assert (folder / "samples/step_000006/text_to_image.png").is_file()
    found = json.loads((folder / "metrics.json").read_text())
    last = f"--ckpt_path={folder / 'checkpoints/last.ckpt'}"
    assert run(tmp_path / "one", "test", last, "--trainer.devices=1", "--trainer.strategy=auto") == 0
    again = json.loads((tmp_path / "one/default/0/metrics.json").read_text())
    for name in ("test/image/judge_accuracy_samples", "model/parameters", "model/image/active_parameters"):
        assert found[name] == again[name]
    run_two_ranks(tmp_path / "more", "fsdp2", last, "--trainer.max_steps=8")
    assert [int(row["step"]) for row in rows(tmp_path / "more/default/0")][-1] == 8


THEIRS = "lightning.pytorch.strategies.ModelParallelStrategy"


def test_other_ways_to_shard_are_refused(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, f"--trainer.strategy.class_path={THEIRS}", "--trainer.accelerator=cpu") == 2
    assert "wanted fsdp2" in capsys.readouterr().err
