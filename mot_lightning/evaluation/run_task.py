"""One cross-modal task on one model: prompts are encoded, continued by a segment, and decoded.

Knows codecs and generation; leaves judging to the task.
"""

from collections.abc import Callable
from typing import Any

from mot_lightning.evaluation.tasks import Task
from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.module import MoTModule
from mot_lightning.sequence import Segment

AT_ONCE = 100  # prompts in a batch


def run_task(
    module: MoTModule, task: Task, guidance: float, seed: int, progress: Callable[[int], Any] = lambda n: None
) -> list[Any]:
    """The media made for each prompt, by the averaged weights.

    Args:
        guidance: classifier-free guidance scale; 1 is none.
        seed: sample i is drawn from (seed, i).
        progress: told the number of prompts done after each batch.
    """
    settings = GenerationSettings(
        (task.target,),
        max_length=task.max_length,
        temperature=task.temperature,
        guidance={task.target: guidance},
        seed=seed,
    )
    made = []
    for start in range(0, len(task.prompts), AT_ONCE):
        prompts = [
            [Segment(name, module.codecs[name].encode(media)) for name, media in prompt]
            for prompt in task.prompts[start : start + AT_ONCE]
        ]
        written = generate(module.average, prompts, settings, samples=range(start, start + len(prompts)))
        made += [module.codecs[task.target].decode(segments[0].tokens.cpu()) for segments in written]
        progress(len(prompts))
    return made
