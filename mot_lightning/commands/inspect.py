"""`inspect`: what a model will be trained on, before it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.commands.fit import Fit
from mot_lightning.config.paths import check_folder
from mot_lightning.errors import ConfigError, say

if TYPE_CHECKING:
    from mot_lightning.media.html import Piece
    from mot_lightning.sequence import Segment

SHOWN = 8  # documents on the page


class Inspect(Command):
    name = "inspect"
    summary = "look at training documents, their tokens and packing, without training"
    needs_checkpoint = False
    checkpoint_help = "take the config of a checkpoint"
    examples = Fit.examples[:5]
    options = (
        Option("documents", "N", "how many training documents are counted (256)", int, 256),
        Option("out", "FOLDER", "new folder for the page and its files (inspection)", Path, Path("inspection")),
    )

    def run(self, invocation: Invocation) -> None:
        import torch

        from mot_lightning.analysis.inspect import inspect
        from mot_lightning.analysis.inspection_page import write_inspection
        from mot_lightning.bar import Bar
        from mot_lightning.commands.untrained import untrained
        from mot_lightning.experiment import checks
        from mot_lightning.media.table import aligned
        from mot_lightning.signals import interruptible

        count, out = invocation.options["documents"], invocation.options["out"].expanduser()
        if count < 1:
            raise ConfigError(f"--documents is {count}, wanted at least 1")
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"--out {out} exists, wanted a new or empty folder")
        check_folder(out, "--out")
        with interruptible():
            if (experiment := untrained(self.name, invocation)) is None:
                return
            checks.check(experiment, "inspect")
            module: Any = experiment.module
            data = experiment.data
            dataset = data.documents("train")
            with Bar(data.first("train", count), total=count, desc="Inspecting", unit="document") as bar:
                documents = [dataset[index] for index in bar]
            grammar = module.model.grammar
            sizes = data.batch_sizes([sum(map(grammar.length, one.pieces or [one])) for one in documents])
            inspection = inspect(documents, grammar, sizes, dataset.collate)
            used = [document for document in documents if not document.skipped]
            out.mkdir(parents=True, exist_ok=True)
            with torch.no_grad():
                shown = [(one, _pieces(module, one, out / f"{i:02}")) for i, one in enumerate(used[:SHOWN])]
            codec_names = {f"{name} by": type(codec).__name__ for name, codec in module.codecs.items()}
            batch = dataset.collate(used[: sizes[0]])
            title = f"{experiment.config['experiment']}: training documents"
            page = write_inspection(out, title, inspection, shown, batch, grammar, codec_names)
        tables = [inspection.table(), *([inspection.skipped_table()] if inspection.skipped else [])]
        say("\n".join(["", *(line for table in tables for line in (*aligned(table), ""))]))
        say(*(f"{name}: {value}" for name, value in inspection.facts()))
        say(f"page:    {page}")


def _pieces(module: Any, document: "list[Segment]", stem: Path) -> "list[Piece | None]":
    """The media of a document, decoded from its tokens and written to files; None where they cannot be decoded."""
    from mot_lightning.media.html import Piece

    pieces: list[Piece | None] = []
    for k, (name, tokens) in enumerate((segment.modality, segment.tokens) for segment in document):
        codec = module.codecs[name]
        if not codec.decodable:
            pieces.append(None)
            continue
        file = codec.media_type.write(codec.decode(tokens), stem.with_name(f"{stem.name}_{k}_{name}"))
        pieces.append(Piece(name, file, prompt=True))
    return pieces
