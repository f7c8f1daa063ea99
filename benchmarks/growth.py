"""Growth of a training step's time and memory with the number of tokens and the number of modalities.

    python benchmarks/growth.py [--json FILE] [--png FILE] [--threads N] [--quick]

Tokens: documents of 256 in one batch, and one document of all tokens. Modalities: 1,024 tokens split among one to six.
All sizes run in turns in one process; figures are medians.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from backbone import saved_bytes_per_token, settings, step
from paired import begin, seconds, write

from mot_lightning.backbone import Backbone
from mot_lightning.sequence import Grammar, InterleavedBatch, Segment, Tokens, pack

VOCABULARY = Tokens(vocab_size=64)


def batch(model: Backbone, lengths: list[int]) -> InterleavedBatch:
    """Documents of these lengths, split evenly among the modalities in segments of about 32 tokens."""
    names = model.modalities
    grammar = Grammar(dict.fromkeys(names, VOCABULARY), dict.fromkeys(names, True), names[0], names)
    documents = []
    for length in lengths:
        document, room, turn = [], length - 1, 0
        while room >= 3:
            n = min(30, room - 2)
            document.append(Segment(names[turn % len(names)], torch.randint(64, (n,))))
            room, turn = room - n - 2, turn + 1
        documents.append(document)
    return pack(documents, grammar, max(lengths))


def model(dim: int, modalities: int) -> Backbone:
    torch.manual_seed(0)
    return Backbone(settings(dim), [f"m{i}" for i in range(modalities)])


def medians(runs: dict[int, Callable[[], None]], rounds: int) -> dict[int, float]:
    times: dict[int, list[float]] = {size: [] for size in runs}
    for number in range(rounds + 1):
        for size, run in runs.items():
            elapsed = seconds(run)
            if number:  # the first round warms up
                times[size].append(elapsed)
    return {size: statistics.median(measured) for size, measured in times.items()}


def main() -> None:
    arguments = begin(__doc__, png={"type": Path, "default": Path("growth.png"), "help": "file for the picture"})
    dim, rounds = (64, 1) if arguments.quick else (256, 5)
    sizes = [256 * 2**i for i in range(3 if arguments.quick else 7)]
    three = model(dim, 3)
    packed = {n: batch(three, [256] * (n // 256)) for n in sizes}
    single = {n: batch(three, [n]) for n in sizes}
    many = {m: (net := model(dim, m), batch(net, [512, 512])) for m in range(1, 7)}
    lines = {
        "documents of 256": medians({n: step(three, b) for n, b in packed.items()}, rounds),
        "one document": medians({n: step(three, b) for n, b in single.items()}, rounds),
    }
    by_modalities = medians({m: step(net, b) for m, (net, b) in many.items()}, 3 * rounds)
    saved = {n: saved_bytes_per_token(three, b) * n * three.settings.depth / 2**20 for n, b in packed.items()}
    figures = {f"seconds.{name.replace(' ', '_')}.{n}": t for name, line in lines.items() for n, t in line.items()}
    figures |= {f"modalities_over_one.{m}": t / by_modalities[1] for m, t in by_modalities.items()}
    figures |= {f"saved_mib.{n}": mib for n, mib in saved.items()}
    for name, value in figures.items():
        print(f"{name:<36} {value:9.4f}")

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    for name, line in lines.items():
        axes[0].loglog(list(line), list(line.values()), "o-", label=name)
    axes[0].set(xlabel="tokens in a batch", ylabel="seconds a step", title="time")
    axes[0].legend()
    axes[1].loglog(list(saved), list(saved.values()), "o-", color="tab:green")
    axes[1].set(xlabel="tokens in a batch", ylabel="MiB saved for backward", title="memory")
    axes[2].plot(list(by_modalities), [t / by_modalities[1] for t in by_modalities.values()], "o-", color="tab:red")
    axes[2].set(xlabel="modalities, 1,024 tokens in all", ylabel="step time over one modality", ylim=(0, 1.5))
    axes[2].set_title("towers")
    figure.savefig(arguments.png, dpi=120)
    print(f"picture: {arguments.png}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
