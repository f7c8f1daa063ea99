"""Folders of runs with loss curves of a known law, for tests of `compare` and `suite`."""

import csv
import json

import numpy as np
import yaml

MODALITIES = ("image", "text")


def loss_at(steps, exponent=0.3, floor=0.5):
    return 4.0 * steps**-exponent + floor


def recorded_run(
    folder,
    experiment="dense",
    seed=0,
    rate=0.01,
    slopes=None,
    scale=1.0,
    towers=None,
    dim=32,
    max_steps=2000,
    flops=1000.0,
    noise=0.0,
    split="val",
    tail=0.0,
    **changes,
):
    """Write a run that has the losses of `loss_at` after `slopes[modality]` times its steps.

    Args:
        slopes: s by modality; 1 by default.
        scale: factor of all losses.
        noise: standard deviation of the logarithm of each loss.
        split: val alone, or test for rows of both.
        tail: what is added to the last loss.
        changes: dotted names of config values to replace.
    """
    slopes = dict.fromkeys(MODALITIES, 1.0) | (slopes or {})
    config = {
        "experiment": experiment,
        "seed": seed,
        "model": {
            "modalities": {name: {"codec": {"class_path": "C"}, "objective": {"class_path": "O"}} for name in slopes},
            "backbone": {"dim": dim, "depth": 2, "towers": towers or {}, "experts": {}},
            "optimizer": {"learning_rate": rate, "schedule": "constant", "warmup_steps": 50},
            "reduction": "token",
        },
        "data": {"class_path": "D", "init_args": {"batch_size": 16, "num_workers": seed}},
        "trainer": {"max_steps": max_steps},
    }
    for name, value in changes.items():
        *parents, last = name.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    rng = np.random.default_rng((seed, len(experiment)))
    steps = np.arange(50, max_steps + 1, 50)
    rows = []
    for step in steps:
        row = {"step": int(step)}
        for stage in ("val", "test") if split == "test" else ("val",):
            losses = {}
            for name, s in slopes.items():
                losses[name] = scale * loss_at(step / s) * np.exp(noise * rng.standard_normal())
                losses[name] += tail if step == steps[-1] else 0
                row[f"{stage}/{name}/loss"] = losses[name]
            row[f"{stage}/loss"] = sum(losses.values())
        rows.append(row)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    figures = {"fit/steps": max_steps, "fit/training_seconds": max_steps * flops / 1e5}
    for name in slopes:
        figures |= {f"fit/{name}/tokens": 100 * max_steps, f"model/{name}/forward_flops_per_token": flops}
    (folder / "metrics.json").write_text(json.dumps(figures))
    return folder
