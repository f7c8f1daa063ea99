"""Files of safetensors: tensors that share memory are written once, and reading runs no code."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mot_lightning.errors import ConfigError, NotWritten
from mot_lightning.runs.atomic import replacing

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Write tensors whole, or not at all; of those that share memory, as tied weights do, the first alone.

    Returns:
        For each tensor that is not written, the name of the one that it is the same as.

    Raises:
        NotWritten: the system refused a write.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    written: dict[str, Tensor] = {}
    first: dict[tuple[object, ...], str] = {}  # names of the tensors in memory
    tied = {}
    for name, tensor in tensors.items():
        kept = first.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype), name)
        if kept == name or not tensor.numel():
            written[name] = tensor.detach().contiguous().cpu()
        else:
            tied[name] = kept
    try:
        with replacing(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            save_file(written, file.name, metadata={"format": "pt"})
            with Path(file.name).open("rb") as new:  # safetensors puts a file of its own there, for its owner alone
                os.fchmod(new.fileno(), mode)
                os.fsync(new.fileno())
    except SafetensorError as error:
        raise NotWritten(f"{path} cannot be written: {error}") from error
    return tied


def read_tensors(path: Path, argument: str) -> dict[str, Tensor]:
    """The tensors of a file, on the host.

    Args:
        argument: what the file's folder was given for, in errors.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ConfigError(f"{argument} {path.parent} has no {path.name}{_pickled(path.parent)}")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{argument} {path} cannot be read: damaged, cut short or no safetensors: {reason}") from None


def _pickled(folder: Path) -> str:
    """The end of an error about a missing file: that there is a pickled one, which is not read."""
    names = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLED)
    return f", but {names[0]}, which is pickled and could run code when read: wanted safetensors" if names else ""
