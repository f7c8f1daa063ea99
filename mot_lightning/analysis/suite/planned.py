"""A run of a suite: its command, its folder, and how far it has come."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mot_lightning.analysis.suite.settings import Suite, merged
from mot_lightning.runs.find import LAST, PREVIOUS

QUIET = ("--report.prompts=0", "--samples.prompts=0", "--trainer.enable_progress_bar=false")
STEPS = "trainer.max_steps"


@dataclass(frozen=True)
class PlannedRun:
    """One run of the grid.

    Attributes:
        steps: null takes those of the config.
    """

    suite: Suite
    folder: Path
    arm: str
    learning_rate: float
    seed: int
    steps: int | None = None
    size: str = ""

    @property
    def name(self) -> str:
        return f"{f'{self.arm} {self.size}'.strip()}, rate {self.learning_rate:g}, seed {self.seed}"

    @property
    def home(self) -> Path:
        """The folder that has its run folders: a resumed run has another one."""
        return self.folder / self.size / f"rate_{self.learning_rate:g}" / f"seed_{self.seed}" / self.arm

    @property
    def run_folders(self) -> list[Path]:
        """From the first to the newest."""
        numbered = [path for path in self.home.glob("*") if path.name.isdigit()]
        return sorted(numbered, key=lambda path: int(path.name))

    @property
    def finished(self) -> Path | None:
        """The run folder of the finished run; null if there is none yet."""
        return next((path for path in reversed(self.run_folders) if (path / "metrics.json").is_file()), None)

    @property
    def checkpoint(self) -> Path | None:
        """Of the newest run folder that has one, to resume from."""
        files = (path / "checkpoints" / name for path in reversed(self.run_folders) for name in (LAST, PREVIOUS))
        return next((file for file in files if file.is_file()), None)

    @property
    def validation_loss(self) -> float:
        """At its end; infinite if it did not finish."""
        from mot_lightning.analysis.compare.recorded import read_run

        return float(read_run(self.finished, 1).curves["val"][""].losses[-1]) if self.finished else float("inf")

    @property
    def configs(self) -> list[str]:
        """Its config files, in order."""
        return [*self.suite.configs, *self.suite.arms[self.arm]]

    @property
    def settings(self) -> dict[str, str]:
        """Its settings beside these, as text by dotted name; those that only name or silence it are not among them."""
        steps = {STEPS: self.steps} if self.steps else {}
        settings = merged(self.suite.settings.items(), self.suite.sizes[self.size].items(), steps.items())
        return {name: _text(value) for name, value in settings.items()}

    def arguments(self) -> list[str]:
        """The command line after `python -m mot_lightning`, from its checkpoint if it has begun."""
        places = [f"--runs={self.home.parent}", f"--experiment={self.arm}"]
        if self.checkpoint:
            allow = [f"--allow={self.settings['allow']}"] if "allow" in self.settings else []  # no checkpoint has it
            return ["fit", f"--ckpt_path={self.checkpoint}", *allow, *places, *QUIET]
        configs = [f"--config={config}" for config in self.configs]
        flags = [f"--{name}={text}" for name, text in self.settings.items()]
        rate = f"--model.optimizer.learning_rate={self.learning_rate:g}"
        scored = [] if self.steps else ["--trainer.callbacks+=TestCurve"]
        return ["fit", *configs, *flags, rate, f"--seed={self.seed}", *scored, *places, *QUIET]

    def command(self) -> list[str]:
        return [sys.executable, "-m", "mot_lightning", *self.arguments()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
