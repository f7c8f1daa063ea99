"""Pictures of a comparison, as in the paper's figures: losses over steps, matched steps, and losses over FLOPs."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mot_lightning.analysis.compare.arms import Arm
from mot_lightning.analysis.compare.comparison import Comparison
from mot_lightning.analysis.compare.laws import Law, frontier, runs_over_sizes

COLOURS = ("#59636e", "#0b62c4", "#c2410c", "#2f7d4f", "#8250df", "#b3882c", "#b3382c")  # the baseline is grey
SIZE = 3.4  # inches of a panel
MARKERS = {"": "o", ">": ">", "<": "<", "?": "d"}
TICKS = (0.05, 0.1, 0.2, 0.5, 0.7, 1, 1.4, 2, 5, 10)


def shares(comparison: Comparison) -> Figure:
    """s of each arm with its interval, and of the baseline against itself in grey; an arrow is a bound."""

    def panel(axes: Any, modality: str) -> None:
        rows = [row for row in comparison.rows if row.modality == modality and row.arm != comparison.baseline][::-1]
        several = len({arm.size for arm in comparison.arms}) > 1
        for place, row in enumerate(rows):
            colour = COLOURS[0] if row.yardstick else _colour(comparison, row.arm)
            value, low, high, _ = row.steps
            axes.plot(value, place, MARKERS[row.steps.sign], color=colour, markersize=5)
            ends = [low or value, high if np.isfinite(high) else value]  # a bound has no other end
            axes.plot(ends, [place, place], color=colour, linewidth=1.4)
        axes.axvline(1, color=COLOURS[0], linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_yticks(range(len(rows)), [f"{row.arm} {row.size}" if several else row.arm for row in rows], fontsize=8)
        axes.set_xticks([tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", labelsize=8)
        axes.set(xlabel=f"s: share of the steps of {comparison.baseline}", ylim=(-0.6, len(rows) - 0.4))

    return _panels(comparison, panel)


def losses(comparison: Comparison) -> Figure:
    """The smoothed losses of each arm at its best learning rate: thin for each seed, thick the mean."""

    def panel(axes: Any, modality: str) -> None:
        for arm in comparison.arms:
            curves = [comparison.curve(run, modality) for run in arm.best.values()]
            colour = _colour(comparison, arm.name)
            for curve in curves:
                axes.plot(curve.steps, curve.losses, color=colour, linewidth=0.6, alpha=0.5)
            if all(np.array_equal(curve.steps, curves[0].steps) for curve in curves):
                average = np.mean([curve.losses for curve in curves], axis=0)
                first = arm is next(one for one in comparison.arms if one.name == arm.name)
                axes.plot(curves[0].steps, average, color=colour, linewidth=1.6, label=arm.name if first else None)
        axes.set(xlabel="step", ylabel=f"{comparison.split} loss")

    return _panels(comparison, panel)


def matched(comparison: Comparison) -> Figure:
    """Steps of each arm over those of the baseline at equal loss; the dotted diagonal is the baseline itself."""

    def panel(axes: Any, modality: str) -> None:
        last = 0.0
        for arm in (arm for arm in comparison.arms if arm.name != comparison.baseline):
            references = [one for one in comparison.arms if (one.name, one.size) == (comparison.baseline, arm.size)]
            colour = _colour(comparison, arm.name)
            label: str | None = _label(comparison, arm)
            for seed, run in arm.best.items():
                if seed not in references[0].best:
                    continue
                matching = comparison.matching((references[0].best[seed], run), modality)
                axes.plot(matching.baseline, matching.other, ".", color=colour, markersize=3)
                last = max(last, matching.baseline[-1])
                ends = np.array([0, matching.baseline[-1]])
                axes.plot(ends, matching.slope * ends, color=colour, linewidth=0.8, label=label)
                label = None
        axes.plot([0, last], [0, last], ":", color=COLOURS[0], linewidth=1)
        axes.set(xlabel=f"step of {comparison.baseline}", ylabel="step at equal loss", xlim=(0, None), ylim=(0, None))

    return _panels(comparison, panel)


def scaling(comparison: Comparison, laws: list[Law]) -> Figure:
    """The frontier of losses over training FLOPs, and the law of each arm."""

    def panel(axes: Any, modality: str) -> None:
        for law in (law for law in laws if law.modality == modality):
            colour = _colour(comparison, law.arm)
            points = [frontier(comparison, runs, modality) for runs in runs_over_sizes(comparison, law.arm)]
            for flops, values in points:
                axes.plot(flops, values, ".", color=colour, markersize=3)
            ends = np.array([min(flops.min() for flops, _ in points), max(flops.max() for flops, _ in points)])
            axes.plot(ends, law.coefficient * ends**-law.exponent.value, color=colour, linewidth=1,
                      label=f"{law.arm}: FLOPs$^{{-{law.exponent.value:.3f}}}$")  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="training FLOPs", ylabel=f"{comparison.split} loss")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")

    return _panels(comparison, panel)


def _panels(comparison: Comparison, draw: Callable[[Any, str], None]) -> Figure:
    """A panel for each modality."""
    count = len(comparison.modalities)
    figure = Figure(figsize=(SIZE * count + 0.4, SIZE), layout="constrained", dpi=150)
    for axes, modality in zip(figure.subplots(1, count, squeeze=False)[0], comparison.modalities, strict=True):
        draw(axes, modality)
        axes.set_title(modality)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure


def _colour(comparison: Comparison, name: str) -> str:
    names = [comparison.baseline, *dict.fromkeys(a.name for a in comparison.arms if a.name != comparison.baseline)]
    return COLOURS[names.index(name) % len(COLOURS)]


def _label(comparison: Comparison, arm: Arm) -> str:
    return arm.name if len({one.size for one in comparison.arms}) == 1 else f"{arm.name} {arm.size}"
