"""What each command does, once its config is whole: check, make the run folder, run.

Whatever can be refused is refused before the run folder exists.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

from mot_lightning import run_folder
from mot_lightning.callbacks.diverged import Diverged
from mot_lightning.callbacks.stop import Stopped, stoppable
from mot_lightning.codecs.base import check_codecs
from mot_lightning.codecs.text import Text
from mot_lightning.config import ConfigError
from mot_lightning.lightning_cli import MoTCLI, instantiate
from mot_lightning.memory import keep_freed_memory
from mot_lightning.module import MoTModule


def quiet() -> None:
    """Silence what Lightning, once imported, says of itself at each start, and what is meant as it is."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*does not have many workers.*", ".*treespec, LeafSpec.*", ".*in eval mode at the start.*"):
        warnings.filterwarnings("ignore", message=message)


@stoppable()
def run(
    command: str,
    config: dict[str, Any],
    allow: list[str],
    checkpoint: dict[str, Any] | None,
    path: Path | None,
    options: dict[str, Any],
) -> None:
    """Run a command.

    Args:
        config: whole.
        allow: packages whose classes a config may name, besides ours.
        checkpoint, path: what `--ckpt_path` names.
        options: of `generate`.

    Raises:
        ConfigError: bad input.
        SystemExit: a signal stopped it, or a loss is no number any more.
    """
    quiet()
    keep_freed_memory()
    made = False
    while not made:
        folder = run_folder.choose(config.get("runs", "runs"), config.get("experiment", "default"))
        cli = instantiate(config, allow, folder)
        cli.model.config = cli.whole(config)
        if checkpoint is not None:
            _check_weights(cli.model, checkpoint, path)
        if command == "generate":
            if not isinstance(cli.model, MoTModule):
                raise ConfigError(f"--ckpt_path {path} is of a codec, wanted a model's")
            from mot_lightning.generation.command import run_generate

            run_generate(cli.model, checkpoint, path, options)
            return
        _check_attention(cli, command)
        _check_data(cli, command)
        # another run may have been faster: then the next number
        made = not cli.trainer.is_global_zero or run_folder.create(folder, config)
    if command == "fit":
        _fit(cli, checkpoint, path, folder)
    else:
        getattr(cli.trainer, command)(cli.model, cli.datamodule, ckpt_path=path, weights_only=True, verbose=False)
        if command == "validate":  # a test has its table
            for name, value in cli.trainer.callback_metrics.items():
                print(f"{name:<32} {float(value):8.4f}")


def _fit(cli: MoTCLI, checkpoint: dict[str, Any] | None, path: Path | None, folder: Path) -> None:
    if checkpoint is not None and path is not None:
        metrics: Any = cli.trainer.loggers[0]
        rows = path.parent.parent / "metrics.csv"
        if rows.is_file():
            metrics.begin_with(rows, checkpoint["global_step"])
        else:
            print(f"{rows} is missing: the new metrics.csv begins at step {checkpoint['global_step']}", file=sys.stderr)
    last = folder / "checkpoints" / "last.ckpt"
    finished = checkpoint is not None and checkpoint["global_step"] >= cli.trainer.max_steps
    if checkpoint is not None and finished:
        print(f"{path} is at step {checkpoint['global_step']} of {cli.trainer.max_steps}: nothing is left to train")
    try:
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=path, weights_only=True)
    except Stopped as stopped:
        on = f"; go on with: python -m mot_lightning fit --ckpt_path {last}" if last.is_file() else ""
        print(f"\n{stopped}{on}", file=sys.stderr)
        raise SystemExit(128 + stopped.number) from None
    except Diverged as diverged:
        kept = f"its last good checkpoint is {last}" if last.is_file() else "it had no checkpoint yet"
        print(f"\nerror: {diverged}; {kept}", file=sys.stderr)
        raise SystemExit(1) from None
    if finished:  # Lightning trains nothing, calls no hook
        cli.trainer.save_checkpoint(last)
        cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    try:
        cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    except Stopped as stopped:
        print(f"\n{stopped}; judge with: python -m mot_lightning test --ckpt_path {last}", file=sys.stderr)
        raise SystemExit(128 + stopped.number) from None


def _check_attention(cli: MoTCLI, command: str) -> None:
    """Flex attention has no backward pass on the CPU: refused before anything is made."""
    device = cli.trainer.strategy.root_device.type
    settings = getattr(getattr(cli.model, "model", None), "backbone", None)
    if command == "fit" and settings is not None and settings.settings.attention == "flex" and device == "cpu":
        raise ConfigError("model.backbone.attention is flex, wanted auto, sdpa or block_list to train on the CPU")


def _check_data(cli: MoTCLI, command: str) -> None:
    """Read the data and encode one medium of each modality, so that what does not fit is refused now."""
    if cli.trainer.max_steps < 1 and command == "fit":
        raise ConfigError(f"trainer.max_steps is {cli.trainer.max_steps}, wanted at least 1")
    every = cli.trainer.val_check_interval
    if command == "fit" and not (isinstance(every, int) and every >= 1):
        raise ConfigError(f"trainer.val_check_interval is {every}, wanted steps, at least 1")
    try:
        cli.datamodule.prepare_data()
        cli.datamodule.setup("fit")
        for name, codec in cli.model.codecs.items():
            medium = cli.datamodule.media(name, "train")[0]
            if isinstance(codec, Text) != isinstance(medium, str):
                wanted = (
                    "one of texts, as the data hold" if isinstance(medium, str) else "none of texts: the data hold none"
                )
                raise ConfigError(f"model.modalities.{name}.codec is {type(codec).__name__}, wanted {wanted}")
            codec.check(medium)
        if isinstance(cli.model, MoTModule):
            cli.datamodule.connect(dict(cli.model.codecs), cli.model.model.grammar)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_weights(module: Any, checkpoint: dict[str, Any], path: Path | None) -> None:
    found, wanted = checkpoint["state_dict"], module.state_dict()
    extra = "_extra_state"  # what a codec learned, of any shape
    fixed = [k for k in wanted if not k.endswith(extra)]
    differ = sorted({*found} ^ {*wanted}) or [k for k in fixed if found[k].shape != wanted[k].shape]
    if differ:
        raise ConfigError(
            f"--ckpt_path {path} is of another model: they differ in {differ[0]} and {len(differ) - 1} more"
        )
    try:
        check_codecs(module.codecs, checkpoint)
    except ValueError as error:
        raise ConfigError(f"--ckpt_path {path}: {error}") from error
