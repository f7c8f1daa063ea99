"""Training steps with a narrow image tower, and with towers that join in half of the layers, over those of the default.

    python benchmarks/towers.py [--budget S] [--json FILE] [--threads N] [--quick]

Forward and backward passes of the same documents; `_flops` is the ratio of the forward passes' FLOPs.
"""

from collections.abc import Callable
from pathlib import Path

from paired import BUDGET, begin, ratio, write

from mot_lightning.analysis.ledger import costs
from mot_lightning.experiment.build import build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.experiment.startup import quiet

CONF = Path(__file__).parents[1] / "conf/backbone"
VARIANTS = {
    "narrow_image": ["narrow_image"],
    "joined_half": ["joined_half"],
    "both": ["narrow_image", "joined_half"],  # as LaViDa-O (arXiv 2509.19244)
}


def step_and_flops(names: list[str], settings: list[tuple[str, str]]) -> tuple[Callable[[], None], float]:
    """A training step on the first batch of a run with these configs, and the FLOPs of its forward pass."""
    experiment = build(resolve([f"{CONF / name}.yaml" for name in names], settings), [])
    module, data = experiment.module, experiment.data
    module.prepare(data)
    batch = next(iter(data.train_dataloader()))
    counts = zip(module.model.grammar.groups, batch.layout.counts, strict=True)
    by_modality = costs(module.model, batch)

    def step() -> None:
        losses = module.model(batch, 0)
        sum((one.loss * one.weight).sum() for one in losses.values()).backward()
        module.model.zero_grad()

    return step, sum(n * by_modality[name].flops for name, n in counts)


def main() -> None:
    arguments = begin(__doc__, budget=BUDGET)
    quiet()
    settings = [("data.batch_size", "2")] if arguments.quick else []
    budget = 0.1 if arguments.quick else arguments.budget
    default, default_flops = step_and_flops([], settings)
    figures = {"noise_probe": ratio(default, default, budget)}
    for name, configs in VARIANTS.items():
        step, flops = step_and_flops(configs, settings)
        figures |= {f"{name}_over_default": ratio(step, default, budget), f"{name}_flops": flops / default_flops}
    for name, value in figures.items():
        print(f"{name:<28} {value:.3f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
