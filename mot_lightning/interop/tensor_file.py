"""Files of safetensors: tensors that share memory are written once, and reading runs no code."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mot_lightning.errors import ConfigError, NotWritten
from mot_lightning.runs.atomic import replacing

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Write tensors whole, or not at all.

    Of those that share memory, as tied weights do, the first is written; the file's metadata name it for each other
    one, as `safetensors.torch.save_model` does.

    Args:
        notes: more metadata.

    Raises:
        NotWritten: the system refused a write.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    written: dict[str, Tensor] = {}
    first: dict[tuple[object, ...], str] = {}  # names of the tensors in memory
    same = {}
    for name, tensor in tensors.items():
        kept = first.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype), name)
        if kept == name or not tensor.numel():
            written[name] = tensor.detach().contiguous().cpu()
        else:
            same[name] = kept
    try:
        with replacing(path) as file:
            save_file(written, file.name, metadata={**same, **(notes or {}), "format": "pt"})
    except SafetensorError as error:
        raise NotWritten(f"{path} cannot be written: {error}") from error


def read_tensors(path: Path, argument: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file, those written once under each of their names, and its other metadata.

    Args:
        argument: what the file's folder was given for, in errors.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ConfigError(f"{argument} {path.parent} has no {path.name}{_pickled(path.parent)}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            notes = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{argument} {path} cannot be read: damaged, cut short or no safetensors: {reason}") from None
    same = {name: kept for name, kept in notes.items() if kept in tensors}
    restored = {**tensors, **{name: tensors[kept] for name, kept in same.items()}}
    return restored, {name: note for name, note in notes.items() if name not in same}


def _pickled(folder: Path) -> str:
    """The end of an error about a missing file: that there is a pickled one, which is not read."""
    names = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLED)
    return f", but {names[0]}, which is pickled and could run code when read: wanted safetensors" if names else ""
