"""`export`: a trained model as a folder without pickles, or a tower of it as a language model for transformers."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.config.hints import did_you_mean
from mot_lightning.errors import ConfigError, say

if TYPE_CHECKING:
    from mot_lightning.pipeline import MoTPipeline


class Export(Command):
    name = "export"
    summary = "write the model for MoTPipeline and the Hub, or a tower for transformers"
    checkpoint_help = "the checkpoint, or the folder of a run (required)"
    takes_settings = False
    options = (
        Option("out", "FOLDER", "new folder: config, safetensors, and a model card or a tokenizer", Path),
        Option("tower", "MODALITY", "write this modality's tower alone, as a language model"),
        Option("push_to_hub", "USER/NAME", "\n                           upload to this repository of the Hub"),
        Option("private", "", "make a new repository private", bool, False),
        Option("license", "ID", "the license that the model card names, such as apache-2.0"),
    )  # fmt: skip
    examples = ()

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.experiment import startup
        from mot_lightning.interop.source import read_source
        from mot_lightning.pipeline import MoTPipeline

        options, path = invocation.options, invocation.ckpt_path
        assert path is not None
        _check(invocation)
        startup.quiet()
        try:
            pipeline = MoTPipeline.from_checkpoint(read_source(path, "--ckpt_path"), invocation.allow)
            if options["tower"] is None:
                _write_model(pipeline, options)
            else:
                _write_tower(pipeline, options)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def _check(invocation: Invocation) -> None:
    """Raises ConfigError if options do not fit each other, or where they point."""
    from mot_lightning.interop.folder import check_new_folder
    from mot_lightning.interop.hub import check_repository

    if invocation.settings:
        name, names = f"--{invocation.settings[0][0]}", [f"--{option.name}" for option in Export.options]
        hint = did_you_mean(name, names)
        raise ConfigError(f"{name} is no option of export, wanted some of {', '.join(names)}{hint}")
    if invocation.configs or invocation.print_config:
        raise ConfigError("export takes no --config and no --print_config: the checkpoint has its config")
    options = invocation.options
    if options["out"] is None and options["push_to_hub"] is None:
        raise ConfigError("--out is missing, wanted --out=FOLDER, or --push_to_hub=USER/NAME")
    if options["private"] and options["push_to_hub"] is None:
        raise ConfigError("--private is given without --push_to_hub, wanted both")
    if options["license"] is not None and options["tower"] is not None:
        raise ConfigError("--license is given with --tower, wanted one of them: a tower has no model card")
    if options["push_to_hub"] is not None:
        check_repository(options["push_to_hub"], "--push_to_hub")
    if options["out"] is not None:
        check_new_folder(options["out"], "--out")


def _write_model(pipeline: "MoTPipeline", options: Any) -> None:
    out, repository, content = options["out"], options["push_to_hub"], f"the model of {', '.join(pipeline.codecs)}"
    if out is not None:
        pipeline.save_pretrained(out, options["license"])
        say(f"export:  {out}, {content}")
    if repository is not None:
        address = pipeline.push_to_hub(repository, options["private"] or None, license=options["license"])
        say(f"export:  {address}, {content}")


def _write_tower(pipeline: "MoTPipeline", options: Any) -> None:
    from mot_lightning.interop.export import export_tower
    from mot_lightning.interop.hub import upload

    tower, out, repository = options["tower"], options["out"], options["push_to_hub"]
    if tower not in pipeline.codecs:
        raise ConfigError(f"--tower is {tower!r}, wanted one of {', '.join(pipeline.codecs)}")
    with TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        family = export_tower(pipeline.model, tower, pipeline.codecs[tower], folder)
        address = None if repository is None else upload(folder, repository, options["private"] or None)
    for place in filter(None, (out, address)):
        say(f"export:  {place}, a language model of the family {family}")
