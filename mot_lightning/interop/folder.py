"""A whole model as a folder that others can read: a checkpoint of averaged weights, without pickles.

`config.json` has what builds the model, `model.safetensors` its weights, `codecs.safetensors` what the codecs learned.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mot_lightning.config.paths import check_folder
from mot_lightning.config.recorded import plain
from mot_lightning.errors import ConfigError
from mot_lightning.interop.state import join, split
from mot_lightning.interop.tensor_file import read_tensors, write_tensors
from mot_lightning.runs.atomic import write_text
from mot_lightning.runs.checkpoint import AVERAGED, CODECS, FORMAT, check_format, strip_prefix
from mot_lightning.runs.find import CONFIG, WEIGHTS

LEARNED, CARD = "codecs.safetensors", "README.md"
FILES = (CONFIG, WEIGHTS, LEARNED, CARD)


def check_new_folder(folder: Path, name: str) -> None:
    """Raises ConfigError if there is something at a path already, or no folder can be written there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{name} {folder} exists, wanted a new or empty folder")
    check_folder(folder, name)


def write_folder(folder: Path, checkpoint: Mapping[str, Any], card: str) -> None:
    """Write a checkpoint of averaged weights as a folder; `config.json` comes last, so that one cut short has none.

    Args:
        checkpoint: as `MoTPipeline.checkpoint` gives it.
        card: the model card.

    Raises:
        ValueError: a codec learned what neither safetensors nor JSON can hold.
        NotWritten: the system refused a write.
    """
    from importlib.metadata import version

    weights = checkpoint["state_dict"]
    learned, others = split(strip_prefix(weights, CODECS))
    tied = write_tensors(folder / WEIGHTS, strip_prefix(weights, AVERAGED))
    write_tensors(folder / LEARNED, learned)
    write_text(folder / CARD, card)
    content = {
        "format": FORMAT,
        "mot_lightning": version("mot_lightning"),
        "model": checkpoint["config"]["model"],
        "limits": checkpoint["limits"],
        "tied_weights": tied,
        "codecs": checkpoint["codecs"],
        "codec_state": others,
        "training": checkpoint["training"],
    }
    write_text(folder / CONFIG, json.dumps(plain(content), indent=2) + "\n")


def read_folder(folder: Path, argument: str = "folder") -> dict[str, Any]:
    """The checkpoint of a folder that `write_folder` wrote; no code is run.

    Args:
        argument: what the folder was given for, in errors.

    Raises:
        ConfigError: a file is missing, damaged, pickled, of another format or of another library.
    """
    content = _read_config(folder, argument)
    training = content.get("training") or {}
    weights = read_tensors(folder / WEIGHTS, argument)
    learned = read_tensors(folder / LEARNED, argument)
    weights |= {name: weights[kept] for name, kept in content["tied_weights"].items() if kept in weights}
    try:
        state = join(learned, content["codec_state"])
    except ValueError as error:
        raise ConfigError(f"{argument} {folder / LEARNED} is not that of {CONFIG}: {error}") from None
    return {
        "config": {"experiment": training.get("experiment"), "model": content["model"]},
        "state_dict": {
            **{f"{AVERAGED}{name}": value for name, value in weights.items()},
            **{f"{CODECS}{name}": value for name, value in state.items()},
        },
        "global_step": training.get("step"),
        **{name: content[name] for name in ("format", "limits", "codecs", "training")},
    }


def _read_config(folder: Path, argument: str) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"{argument} {folder} has no {CONFIG}, wanted a folder that export wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{argument} {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or "mot_lightning" not in content:
        of = f": it is of a {content['model_type']}" if isinstance(content, dict) and "model_type" in content else ""
        raise ConfigError(f"{argument} {path} is not of mot_lightning{of}, wanted that of a whole model")
    check_format(content.get("format", 1), f"{argument} {path}")
    for name in ("model", "limits", "tied_weights", "codecs", "codec_state", "training"):
        missing = name not in content or (content[name] is None and name not in ("limits", "training"))
        if missing or not isinstance(content[name], dict | None):
            raise ConfigError(f"{argument} {path} has {name} {content.get(name)!r:.60}, wanted a mapping")
    if (limits := content["limits"]) and {*limits} != {"row_length", "unconditional"}:
        raise ConfigError(f"{argument} {path} has limits {limits!r:.60}, wanted row_length and unconditional")
    return content
