"""What a suite is: its arms, learning rates, seeds and claims, as its YAML file says."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from mot_lightning.analysis.suite.claim import Claim
from mot_lightning.analysis.suite.content import check_content
from mot_lightning.config.files import find, parse_value, read_yaml
from mot_lightning.config.hints import did_you_mean
from mot_lightning.config.merge import as_list
from mot_lightning.errors import ConfigError

SECTIONS = ("model", "data", "trainer", "samples", "report", "allow", "init_from")  # of settings of a run
DETERMINED = {
    "seed": "seeds",
    "experiment": "the names of arms",
    "runs": "--out",
    "config": "configs",
    "model.optimizer.learning_rate": "learning_rates",
}
OPTIONS = ("processes", "list", "check", "out")  # of the command: a misspelt one is taken for a setting


@dataclass(frozen=True)
class Suite:
    """A grid of runs.

    Attributes:
        suite: its name.
        arms: config files of each, merged over `configs`.
        baseline: the arm that the others are compared with.
        configs: config files of all runs.
        settings: settings of all runs, by dotted name; those of the file may be nested.
        sizes: settings of each size that all arms are run at, by its name; one size without settings by default.
        learning_rates: of the sweep, for each arm and size, at least two. Where the best is an edge, the sweep is
            widened by another, at most `widened` times.
        sweep_steps, sweep_seed: of the runs that learning rates are chosen by, on validation.
        seeds: of the runs that are compared, on the test split.
        ignore: of data, budget and schedule, those in which arms may differ.
        claims: to be judged.
    """

    suite: str
    arms: Mapping[str, Sequence[str]]
    baseline: str
    configs: Sequence[str]
    learning_rates: Sequence[float]
    sweep_steps: int
    seeds: Sequence[int] = (0, 1, 2)
    sweep_seed: int = 100
    widened: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})
    ignore: Sequence[str] = ()
    claims: Sequence[Claim] = ()

    def __post_init__(self) -> None:
        rates = self.learning_rates
        for name, value, requirement, fits in (
            ("arms", [*self.arms], "two or more", len(self.arms) >= 2),
            ("sizes", self.sizes, "one or more", bool(self.sizes)),
            ("baseline", self.baseline, f"one of {', '.join(self.arms)}", self.baseline in self.arms),
            ("learning_rates", [*rates], "two or more, each above 0", len({*rates}) >= 2 and min(rates) > 0),
            ("sweep_steps", self.sweep_steps, "1 or more", self.sweep_steps >= 1),
            ("seeds", [*self.seeds], "one or more, all different", bool(self.seeds) and _distinct(self.seeds)),
            ("sweep_seed", self.sweep_seed, "none of seeds", self.sweep_seed not in self.seeds),
            ("widened", self.widened, "0 or more", self.widened >= 0),
        ):
            if not fits:
                raise ConfigError(f"{name} is {value!r}, wanted {requirement}")
        for name in (name for settings in (self.settings, *self.sizes.values()) for name in settings):
            if name in DETERMINED:
                raise ConfigError(f"{name} is set, but a suite determines it by {DETERMINED[name]}: leave it out")
            if name.partition(".")[0] not in SECTIONS:
                raise ConfigError(
                    f"{name} is no setting of a run, wanted one of {', '.join(SECTIONS)}{did_you_mean(name, OPTIONS)}"
                )
        for claim in self.claims:
            if (claim.below is None) is (claim.above is None):
                raise ConfigError(f"claim {claim.claim!r} has below {claim.below} and above {claim.above}, wanted one")
            sizes = [name for name in self.sizes if name]
            if claim.size not in (sizes or [""]):
                choices = f"one of {', '.join(sizes)}" if sizes else "none: the suite has one size"
                raise ConfigError(f"claim {claim.claim!r} has size {claim.size!r}, wanted {choices}")
            arms = [claim.arm, *([claim.bound[0]] if isinstance(claim.bound, tuple) else [])]
            for arm in arms:
                if arm not in self.arms:
                    hint = did_you_mean(arm, self.arms)
                    raise ConfigError(
                        f"claim {claim.claim!r} names {arm!r}, wanted one of {', '.join(self.arms)}{hint}"
                    )


def read_suite(path: Path, settings: Iterable[tuple[str, str]] = ()) -> Suite:
    """A suite from its file.

    Args:
        settings: more settings of all runs: dotted names, and texts of their values.

    Raises:
        ConfigError: the file is not a suite.
    """
    path = find(path, "suite")
    content = read_yaml(path, "suite")
    check_content(str(path), content, Suite)
    for number, claim in enumerate(content.get("claims", ()), 1):
        check_content(f"{path}, claim {number}", claim, Claim)
    claims = [Claim(**claim) for claim in content.pop("claims", ())]
    arms = {name: _texts(files) for name, files in content.pop("arms").items()}
    shared = merged(leaves(content.pop("settings", {})), settings)
    sizes = {name: merged(leaves(of_size)) for name, of_size in content.pop("sizes", {"": {}}).items()}
    try:
        return Suite(**content, arms=arms, sizes=sizes, settings=shared, claims=claims)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def leaves(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; a class with its arguments is one value."""
    for key, value in settings.items():
        name = f"{path}.{key}".strip(".")
        if isinstance(value, Mapping) and "class_path" not in value:
            yield from leaves(value, name)
        else:
            yield name, value


def merged(*layers: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Settings by dotted name: a later one replaces an earlier one, and those whose names end in + add up to a list.

    They are in the order in which they hold: what is added to a list comes after the list.
    """
    settings: dict[str, Any] = {}
    for name, value in chain(*layers):
        earlier = settings.pop(name, None)
        if not name.endswith("+"):
            settings.pop(f"{name}+", None)  # what was added to the list that it replaces
        elif earlier is not None:
            both = [parse_value(x) if isinstance(x, str) else x for x in (earlier, value)]
            value = [item for part in both for item in as_list(part)]
        settings[name] = value
    return settings


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _distinct(values: Sequence[Any]) -> bool:
    return len({*values}) == len(values)
