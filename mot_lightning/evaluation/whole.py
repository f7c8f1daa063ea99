"""All parts of an evaluation of one model on one split, in order."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mot_lightning.bar import Bar
from mot_lightning.evaluation.chosen import Chosen, with_chosen
from mot_lightning.evaluation.conditional import pair_rows, pair_sums, pairs_of
from mot_lightning.evaluation.document_losses import document_sums, loss_rows, noise_seeds
from mot_lightning.evaluation.evaluate import runs_of
from mot_lightning.evaluation.examples import write_examples
from mot_lightning.evaluation.extractors import extractors_of
from mot_lightning.evaluation.measure import restricted, task_rows, with_defaults
from mot_lightning.evaluation.rows import Row
from mot_lightning.evaluation.run import run_task
from mot_lightning.evaluation.source_losses import DocumentSources, source_rows
from mot_lightning.evaluation.tasks import Task
from mot_lightning.evaluation.times import denoised, time_curve, time_rows, time_sums
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.runs.curves import draw
from mot_lightning.runs.examples import Examples
from mot_lightning.sequence import InterleavedBatch
from mot_lightning.training.target_bytes import TargetBytes

FIRST = 1000  # documents whose losses are measured by time and given another modality
PASSES = 8  # with other noise


class Evaluation:
    """Losses and tasks of a module.

    Args:
        module: a `MoTModule`, connected to the data.
        settings: split, weights, guidance, prompts, metrics, temperature and seeds, as the card has them.
        chosen: metrics beside those of the tasks.
        progress_bar: whether to show how far it is.
    """

    def __init__(
        self, module: Any, data: Any, settings: Mapping[str, Any], chosen: Chosen, progress_bar: bool = True
    ) -> None:
        self.module, self.data, self.settings, self.progress_bar = module, data, settings, progress_bar
        self.chosen = chosen
        self.split, self.seeds = settings["split"], settings["seeds"]
        self.noise_seeds = noise_seeds(self.seeds["noise"], PASSES)
        self.model = (module.ema_model if settings["weights"] == "averaged" else module.model).eval()
        self.pipeline = MoTPipeline(module.codecs, self.model, module.limits)

    def batches(self) -> Iterator[InterleavedBatch]:
        """The split, on the model's device, with a bar."""
        loader = self.data.test_dataloader() if self.split == "test" else self.data.val_dataloader()
        with Bar(loader, desc="Losses", unit="batch", disable=not self.progress_bar) as bar:
            for batch in bar:
                yield batch.to(self.module.device)

    def losses(self) -> list[Row]:
        """The losses of each modality, and of each in each of several sources."""
        target_bytes = TargetBytes(self.module.codecs, self.model.grammar)
        sources = DocumentSources()
        sums = document_sums(self.model, sources.noted(self.batches()), self.seeds["noise"], target_bytes)
        seed = self.seeds["bootstrap"]
        return [*loss_rows(self.model, self.module.codecs, sums, seed), *source_rows(self.model, sums, sources, seed)]

    @cached_property
    def documents(self) -> list[Any]:
        """The first documents of the split, for what is measured several times."""
        dataset = self.data.documents(self.split)
        indices = list(self.data.first(self.split, FIRST))
        return [document for index in indices if not (document := dataset[index]).skipped]

    def conditional(self) -> list[Row]:
        """The loss of each modality after another one, and alone."""
        rows: list[Row] = []
        predicted = self.model.grammar.predicted
        pairs = {pair: some for pair, some in pairs_of(self.documents).items() if pair[1] in predicted}
        begins = {document[0].modality for document in self.documents if document}
        total = sum(map(len, pairs.values()))
        with Bar(total=total, desc="Given another", unit="pair", disable=not (total and self.progress_bar)) as bar:
            for (given, name), documents in pairs.items():
                sums = pair_sums(self.model, documents, self.noise_seeds, self.data.batch_size, self.module.device)
                alone = name in begins or self.pipeline.supports_guidance(name)
                note = "" if alone else "it was not trained alone (data.document_settings.condition_dropout)"
                discrete = self.model.objectives[name].discrete
                rows += pair_rows((given, name), sums, discrete, self.seeds["bootstrap"], note)
                bar.update(len(documents))
        return rows

    def times(self) -> tuple[list[Row], list[str]]:
        """The losses of diffusion and flow matching by time, and their curves as SVG."""
        rows: list[Row] = []
        if not denoised(self.model):
            return rows, []
        dataset, size = self.data.documents(self.split), self.data.batch_size
        starts = range(0, len(self.documents), size)
        with Bar(starts, desc="Times", unit="batch", disable=not self.progress_bar) as bar:
            batches = (dataset.collate(self.documents[k : k + size]).to(self.module.device) for k in bar)
            sums = time_sums(self.model, batches, self.noise_seeds)
        for name, of_documents in sums.items():
            rows += time_rows(name, of_documents, self.seeds["bootstrap"])
        return rows, [draw(time_curve(name, x, self.split), "t") for name, x in sums.items() if x.any()]

    @cached_property
    def task_runs(self) -> list[tuple[Task, float]]:
        """The data's tasks that the model can do, with their metrics, and guidance.

        Raises:
            ConfigError: the settings name a metric that no task has.
        """
        prompts, temperature = self.settings["prompts"], self.settings["temperature"]
        tasks = [] if prompts == 0 else self.data.tasks(self.split)
        tasks = [task.subset(prompts) for task in tasks] if prompts else tasks
        tasks = tasks if temperature is None else [task.with_temperature(temperature) for task in tasks]
        tasks = [with_defaults(task) for task in with_chosen(tasks, self.chosen, self.pipeline.codecs)]
        if self.settings["metrics"] is not None:
            tasks = restricted(tasks, self.settings["metrics"])
        return runs_of(self.pipeline, tasks, self.settings["guidance"])

    def extractors(self) -> dict[str, Any]:
        """What the metrics of tasks see media through."""
        return extractors_of([task for task, _ in self.task_runs])

    def tasks(self, folder: Path, shown: int, step: int) -> tuple[list[Row], list[Examples]]:
        """The metrics of the data's tasks, and samples of these to look at.

        Args:
            folder: of the samples' files.
            shown: how many samples of a task.
            step: of the checkpoint.
        """
        rows: list[Row] = []
        examples = []
        total = sum(len(task.prompts) for task, _ in self.task_runs)
        with Bar(total=total, desc="Tasks", unit="sample", disable=not (total and self.progress_bar)) as bar:
            for task, scale in self.task_runs:
                bar.set_postfix_str(task.title)
                media = run_task(self.pipeline, task, scale, self.seeds["samples"], bar.update)
                rows += task_rows(task, media, scale, self.seeds["bootstrap"])
                if shown:
                    note = f"{self.settings['weights']} weights, guidance {scale:g}"
                    place = folder / f"guidance_{scale:g}"
                    examples.append(write_examples(self.pipeline.codecs, task, media, place, shown, step, note))
        return rows, examples
