"""One cross-modal task on one model: encodes the prompts, continues each by one segment, and decodes it.

Knows a pipeline and a task; measuring is left to the metrics of the task.
"""

from collections.abc import Callable
from typing import Any

from mot_lightning.evaluation.tasks import Task
from mot_lightning.generation import GenerationSettings
from mot_lightning.generation.prompts import encode
from mot_lightning.pipeline import MoTPipeline

BATCH_SIZE = 100  # prompts generated at a time


def run_task(
    pipeline: MoTPipeline, task: Task, guidance: float, seed: int, progress: Callable[[int], Any] = lambda n: None
) -> list[Any]:
    """The generated medium of each prompt.

    Args:
        guidance: classifier-free guidance scale; 1 is no guidance.
        seed: the sample of prompt i is seeded by (seed, i).
        progress: called after each batch with its number of prompts.
    """
    settings = GenerationSettings(
        (task.target,),
        max_length=task.max_length,
        temperature=task.temperature,
        top_p=1.0,  # the model's own distribution is measured
        guidance={task.target: guidance},
        seed=seed,
    )
    media = []
    for start in range(0, len(task.prompts), BATCH_SIZE):
        prompts = [encode(pipeline.codecs, list(prompt)) for prompt in task.prompts[start : start + BATCH_SIZE]]
        documents = pipeline.continue_segments(prompts, settings, samples=range(start, start + len(prompts)))
        media += [pipeline.codecs[task.target].decode(segments[0].tokens.cpu()) for segments in documents]
        progress(len(prompts))
    return media
