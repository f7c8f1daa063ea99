"""Examples of tasks as files: prompts, real media and samples, with a JSON file that says which belong together.

They lie in `samples/` of a run: `prompts/` holds what does not change in training, `step_<n>/` the samples of a step.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mot_lightning.runs.atomic import write_json

NAME = "examples.json"


class Example(NamedTuple):
    """One prompt, the sample for it, and the real medium in its place, each as a file."""

    caption: str
    prompt: Sequence[Path]
    generated: Path
    real: Path | None = None


class Examples(NamedTuple):
    """All examples of one task.

    Attributes:
        roles: what `generated` and `real` are called.
        note: how the samples were made.
    """

    title: str
    step: int
    examples: Sequence[Example]
    roles: tuple[str, str] = ("generated", "real")
    note: str = ""


def write_examples(folder: Path, tasks: Sequence[Examples]) -> None:
    """Write `examples.json` into the folder of a step, with paths relative to its parent."""

    def name(path: Path) -> str:
        return path.relative_to(folder.parent).as_posix()

    content = [
        {
            **task._asdict(),
            "examples": [
                {
                    "caption": example.caption,
                    "prompt": [name(path) for path in example.prompt],
                    "generated": name(example.generated),
                    "real": name(example.real) if example.real else None,
                }
                for example in task.examples
            ],
        }
        for task in tasks
    ]
    write_json(folder / NAME, content)


def last_examples(samples: Path) -> list[Examples]:
    """The examples of the last step in `samples/`; empty without any."""
    written = list(samples.glob(f"step_*/{NAME}"))
    if not written:
        return []
    last = max(written, key=lambda path: int(path.parent.name.removeprefix("step_")))
    tasks = []
    for content in json.loads(last.read_text(encoding="utf-8")):
        examples = [
            Example(
                entry["caption"],
                [samples / name for name in entry["prompt"]],
                samples / entry["generated"],
                samples / entry["real"] if entry["real"] else None,
            )
            for entry in content["examples"]
        ]
        tasks.append(
            Examples(content["title"], content["step"], examples, tuple(content["roles"]), content.get("note", ""))
        )
    return tasks
