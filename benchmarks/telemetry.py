"""What telemetry costs where it logs, over the training step of conf/default.yaml, forward and backward.

    python benchmarks/telemetry.py [--budget S] [--json FILE] [--threads N] [--quick]

At `trainer.log_every_n_steps: 10`, a tenth of it is paid a step.
"""

from paired import BUDGET, begin, ratio, write

from mot_lightning.callbacks import AttentionMass, GradientCosines, LossByTime, Separability, TowerSimilarity
from mot_lightning.experiment.build import build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.experiment.startup import quiet

PROBES = {
    "attention_mass": AttentionMass(),
    "gradient_cosines": GradientCosines(),
    "loss_by_time": LossByTime(),
    "separability": Separability(),
    "tower_similarity": TowerSimilarity(),
}


def main() -> None:
    arguments = begin(__doc__, budget=BUDGET)
    quiet()
    settings = [("data.batch_size", "2"), ("model.backbone.depth", "1")] if arguments.quick else []
    experiment = build(resolve([], settings), [])
    module, data = experiment.module, experiment.data
    module.prepare(data)
    batch = next(iter(data.train_dataloader()))

    def step() -> None:
        losses = module.model(batch, 0)
        sum((one.loss * one.weight).sum() for one in losses.values()).backward()
        module.model.zero_grad()

    budget = 0.1 if arguments.quick else arguments.budget
    figures = {
        f"{name}_over_step": ratio(lambda probe=probe: probe.measure(module, batch), step, budget)
        for name, probe in PROBES.items()
    }
    for name, value in figures.items():
        print(f"{name:<28} {value:.2f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
