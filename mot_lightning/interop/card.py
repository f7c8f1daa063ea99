"""The model card, README.md of an exported model: what it is, how it is loaded, how it was trained and tested."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import yaml

from mot_lightning.codecs import Codec
from mot_lightning.codecs.base import NAME_OR_PATH
from mot_lightning.config.classes import LIBRARIES, OURS
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.parameters import active_parameters, total_parameters

PACKAGES = ("mot_lightning", "torch", "lightning", "transformers", "diffusers", "safetensors")
PAPER = "[Mixture-of-Transformers](https://arxiv.org/abs/2411.04996)"
CALL = """```python
from mot_lightning import MoTPipeline

pipeline = MoTPipeline.from_pretrained({arguments}){remark}
(document,) = pipeline([[]], max_segments=2, max_length=64)  # an empty prompt: the model begins, and chooses modalities
print([modality for modality, media in document])
```"""


def model_card(
    checkpoint: Mapping[str, Any],
    model: MixtureOfTransformers,
    codecs: Mapping[str, Codec],
    repo_id: str | None,
    title: str,
    license: str | None = None,
) -> str:
    """Markdown with the metadata that the Hub reads.

    Args:
        checkpoint: of the pipeline, which `config.json` holds, too.
        repo_id: the repository that it is for; None of a folder.
        license: an identifier of the Hub, such as apache-2.0.
    """
    training = checkpoint["training"] or {}
    trained = (training.get("settings") or {}).get("model") or {}
    modalities = ", ".join(model.grammar.names)
    parts = [
        f"# {title}",
        f"A {PAPER} over one sequence of {modalities}, trained with mot_lightning. {_backbone(model)}",
        _table(("modality", "objective", "codec", "tokens", "parameters of a token"), _modalities(model, codecs)),
        _limits(checkpoint["limits"], codecs),
        "## Use",
        CALL.format(
            arguments=", ".join([f'"{repo_id or "."}"', *_arguments(checkpoint, codecs)]),
            remark="" if repo_id else "  # this folder, or its repository",
        ),
    ]
    if tested := list(_tested(training.get("metrics") or {})):
        parts += ["## Test", _table(("modality", "quantity", "value", "samples"), tested)]
    if training:
        parts += ["## Training", *_training(training)]
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    parts += ["## Versions", f"Written with {versions}, Python {platform.python_version()}."]
    return (
        f"---\n{yaml.safe_dump(_metadata(codecs, license, trained), sort_keys=False)}---\n\n"
        + "\n\n".join(parts)
        + "\n"
    )


def _metadata(codecs: Mapping[str, Codec], license: str | None, trained: Mapping[str, Any]) -> dict[str, Any]:
    """What the Hub reads: any-to-any is its word for models that take and make several kinds of media."""
    kinds = {type(codec.media_type) for codec in codecs.values()}
    sources = [source["name_or_path"] for source in (trained.get("pretrained") or {}).values()]
    bases = sorted({source for source in sources if "/" in source})  # a folder's is only its last part
    return {
        **({"license": license} if license else {}),
        "library_name": "mot_lightning",
        **({"base_model": bases} if bases else {}),
        **({"pipeline_tag": "any-to-any"} if len(kinds) > 1 else {}),
        "tags": ["mixture-of-transformers", *(["multimodal"] if len(kinds) > 1 else [])],
    }


def _backbone(model: MixtureOfTransformers) -> str:
    settings, towers = model.backbone.settings, [", ".join(tower) for tower in model.backbone.towers]
    of = f"{len(towers)} towers ({'; '.join(towers)})" if len(towers) > 1 else "one tower"
    size = f"{settings.depth} layer{'s' * (settings.depth != 1)} of dimension {settings.dim}, {of}"
    return f"It has {total_parameters(model):,} parameters: {size}."


def _modalities(model: MixtureOfTransformers, codecs: Mapping[str, Codec]) -> Iterator[tuple[str, ...]]:
    for name, objective in model.objectives.items():
        codec = codecs[name]
        kind = f"{codec.vocab_size:,} ids" if codec.vocab_size else f"latents of size {codec.latent_dim}"
        control = ", with control tokens" if name == model.grammar.control else ""
        active = f"{active_parameters(model, name):,}"
        yield name, type(objective).__name__, type(codec).__name__, kind + control, active


def _limits(limits: Mapping[str, Any] | None, codecs: Mapping[str, Codec]) -> str:
    lines = []
    if limits:
        guided = ", ".join(limits["unconditional"])
        guidance = f"classifier-free guidance serves {guided}" if guided else "it has no classifier-free guidance"
        lines = [f"It was trained on documents of up to {limits['row_length']} tokens; {guidance}."]
    for name, codec in codecs.items():
        if codec.pretrained_hash:
            lines.append(
                f"The codec of {name} reads a pretrained network that is not in this folder: "
                f"`{_last_part(getattr(codec, NAME_OR_PATH))}`, or wherever "
                f'`from_pretrained(..., name_or_path={{"{name}": ...}})` says.'
            )
    return " ".join(lines) or "Its training set no limits."


def _last_part(path: Any) -> str:
    """A path without the folders above it, which say nothing elsewhere; names on a hub stay."""
    return str(path).rpartition("/")[2] if str(path).startswith("/") else str(path)


def _arguments(checkpoint: Mapping[str, Any], codecs: Mapping[str, Codec]) -> Iterator[str]:
    """More arguments of `from_pretrained` that loading needs."""
    paths = _class_paths(checkpoint["config"]["model"])
    known = tuple(f"{package}." for package in (*OURS, *LIBRARIES))
    allow = sorted({path.partition(".")[0] for path in paths if not path.startswith(known)})
    if allow:
        yield f"allow={allow}"
    local = {name: getattr(codec, NAME_OR_PATH) for name, codec in codecs.items() if codec.pretrained_hash}
    if moved := {name: f"FOLDER_OF_{_last_part(path)}" for name, path in local.items() if str(path).startswith("/")}:
        yield f"name_or_path={moved}"


def _class_paths(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if isinstance(path := config.get("class_path"), str) and "." in path:
            yield path
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from _class_paths(item)


def _tested(metrics: Mapping[str, float]) -> Iterator[tuple[str, str, str, str]]:
    for key, value in metrics.items():
        if isinstance(value, int | float) and not key.endswith("_samples"):
            modality, _, quantity = key.removeprefix("test/").rpartition("/")
            yield modality or "all", quantity, f"{value:,.4g}", f"{metrics.get(f'{key}_samples', '')}"


def _training(training: Mapping[str, Any]) -> Iterator[str]:
    settings = training.get("settings") or {}
    step = training.get("step")
    steps = f"{step:,} steps, with averaged weights." if step is not None else "The weights are averaged."
    yield " ".join([steps, *_start(settings.get("model") or {})])
    if "data" in settings:  # else it was built in Python
        yield "These settings, as `config.yaml`, train it anew; paths are shortened to their last part:"
        yield "    python -m mot_lightning fit --config config.yaml"
    if settings:
        shown = yaml.safe_dump(settings, sort_keys=False)
        yield f"<details><summary>Settings</summary>\n\n```yaml\n{shown}```\n\n</details>"


def _start(model: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on the towers that did not start at random, and on parts that did not learn.

    Args:
        model: settings of its training.
    """
    for name, source in (model.get("pretrained") or {}).items():
        copies = "".join(f", and so did that of {other}" for other in source.get("copy_to") or ())
        yield f"The tower of {name} started as the language model `{source['name_or_path']}`{copies}."
    optimizer = model.get("optimizer") or {}
    kinds = {"tower": optimizer.get("towers") or {}, "objective": optimizer.get("objectives") or {}}
    parts = [f"{kind} {name}" for kind, parts in kinds.items() for name, part in parts.items() if part.get("freeze")]
    if parts:
        yield f"Frozen: {', '.join(parts)}."


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
