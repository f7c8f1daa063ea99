"""Changes in the weights of a pretrained network's folder."""

from pathlib import Path

from safetensors.torch import load_file, save_file


def lose_a_weight(folder: str | Path) -> str:
    """Remove one weight from the file, and return its name."""
    (path,) = Path(folder).glob("*.safetensors")
    weights = load_file(path)
    name = sorted(weights)[0]
    save_file({key: weights[key] for key in weights if key != name}, path, metadata={"format": "pt"})
    return name


def alter_a_weight(folder: str | Path) -> None:
    """Change one number of the file."""
    (path,) = Path(folder).glob("*.safetensors")
    weights = load_file(path)
    weights[min(weights)].view(-1)[0] += 1
    save_file(weights, path, metadata={"format": "pt"})
