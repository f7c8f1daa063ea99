"""The card of a suite: what was claimed, what was measured, by which command, at which commit and when."""

import datetime
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mot_lightning.analysis.compare.comparison import Comparison
from mot_lightning.analysis.compare.estimate import Estimate
from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.analysis.suite.verdict import Judged
from mot_lightning.errors import ConfigError

KEYS = ("suite", "command", "commit", "date", "machine", "learning_rates", "swept", "claims", "figures", "failures")


def card(
    suite: Suite, comparison: Comparison, judged: Sequence[Judged], failures: Mapping[str, str], command: str
) -> dict[str, Any]:
    """The content of a card, plain values alone."""
    return {
        "suite": suite.suite,
        "command": command,
        "commit": _commit(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "learning_rates": {f"{arm.name} {arm.size}": arm.learning_rate for arm in comparison.arms},
        "swept": {f"{arm.name} {arm.size}": [*arm.grid] for arm in comparison.arms},
        "claims": [
            {"claim": one.claim.claim, "quantity": one.quantity, "verdict": one.verdict, **_numbers(one.estimate)}
            for one in judged
        ],
        "figures": [
            {"arm": row.arm, "size": row.size, "modality": row.modality, "yardstick": row.yardstick,
             **_numbers(row.steps), "loss": round(row.loss.value, 5), "flags": [*row.flags]}
            for row in comparison.rows
        ],
        "failures": dict(failures),
    }  # fmt: skip


def _numbers(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"value": None, "low": None, "high": None, "seeds": 0}
    rounded = [round(number, 4) if number == number else None for number in estimate[:3]]  # NaN is not itself
    return {"value": rounded[0], "low": rounded[1], "high": rounded[2], "seeds": estimate.n}


def read_card(path: Path) -> dict[str, Any]:
    """Raises ConfigError if a file is not a card."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ConfigError(f"--check {path} cannot be read: {reason}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"--check {path} holds a {type(content).__name__}, wanted the card of a suite")
    if missing := [key for key in KEYS if key not in content]:
        raise ConfigError(f"--check {path} has no {missing[0]}, wanted the card of a suite")
    try:
        differences(content, content)  # what is compared after hours of runs is there
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"--check {path} has claims or figures without {error}, wanted the card of a suite") from None
    return content


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Where a new card disagrees with an old one: another verdict, or an s outside the old interval."""
    lines = []
    claims = {claim["claim"]: claim for claim in new["claims"]}
    for claim in old["claims"]:
        verdict = claims.get(claim["claim"], {}).get("verdict", "not judged")
        if verdict != claim["verdict"]:
            lines.append(f"{claim['claim']}: {verdict}, where the card says {claim['verdict']}")
    figures = {(figure["arm"], figure["size"], figure["modality"]): figure for figure in new["figures"]}
    for figure in old["figures"]:
        value = figures.get((figure["arm"], figure["size"], figure["modality"]), {}).get("value")
        low, high = figure["low"], figure["high"]
        known = low is not None and high is not None  # of one seed, there is no interval
        if not figure["yardstick"] and known and not (value is not None and low <= value <= high):
            lines.append(f"s({figure['arm']}, {figure['modality']}) is {value}, outside the card's [{low}, {high}]")
    return lines


def _commit() -> str:
    """Of the checkout that the package is in, with "+" if it was changed; else the version."""
    folder = Path(__file__).resolve().parents[3]

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True).stdout.strip()

    try:
        if (folder / ".git").exists() and (commit := git("rev-parse", "--short", "HEAD")):
            return commit + ("+" if git("status", "--porcelain", "-uno") else "")
    except OSError:  # there is no git
        pass
    from importlib.metadata import version

    return f"version {version('mot_lightning')}"
