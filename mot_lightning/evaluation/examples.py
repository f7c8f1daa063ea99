"""The first samples of a task as files, beside their prompts and the real media."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_lightning.codecs import Codec
from mot_lightning.evaluation.tasks import Task
from mot_lightning.runs.examples import Example, Examples


def write_examples(
    codecs: Mapping[str, Codec], task: Task, media: Sequence[Any], folder: Path, count: int, step: int, note: str
) -> Examples:
    """Write `count` samples, spread evenly over the prompts.

    Args:
        folder: that the files go to.
        step: of the checkpoint.
        note: how the samples were made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    types = {name: codec.media_type for name, codec in codecs.items()}
    examples = []
    for i in (k * len(media) // min(count, len(media)) for k in range(min(count, len(media)))):
        stem = folder / f"{task.slug}_{i:05}"
        prompt = [
            types[name].write(medium, stem.with_name(f"{stem.name}_prompt_{k}_{name}"))
            for k, (name, medium) in enumerate(task.prompts[i])
        ]
        real = None
        if task.references is not None:
            real = types[task.target].write(task.references[i], stem.with_name(f"{stem.name}_real"))
        examples.append(Example(task.caption(i), prompt, types[task.target].write(media[i], stem), real))
    return Examples(task.title, step, examples, note=note)
