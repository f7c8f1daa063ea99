"""`export`: a tower of a checkpoint as a language model for transformers."""

from pathlib import Path

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.config.paths import check_folder
from mot_lightning.errors import ConfigError, say


class Export(Command):
    name = "export"
    summary = "write a tower as a language model that transformers loads"
    checkpoint_help = "the checkpoint, or the folder of a run (required)"
    takes_settings = False
    options = (
        Option("out", "FOLDER", "new folder (required): config, safetensors and tokenizer", Path),
        Option("tower", "MODALITY", "the modality whose tower is written (required)"),
    )
    examples = ()

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.experiment import startup
        from mot_lightning.interop.export import export_tower
        from mot_lightning.pipeline import MoTPipeline
        from mot_lightning.runs.checkpoint import read_checkpoint

        out, tower, path = invocation.options["out"], invocation.options["tower"], invocation.ckpt_path
        assert path is not None
        for name in ("out", "tower"):
            if invocation.options[name] is None:
                raise ConfigError(f"--{name} is missing, wanted --out=FOLDER and --tower=MODALITY")
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"--out {out} exists, wanted a new or empty folder")
        check_folder(out, "--out")
        startup.quiet()
        try:
            pipeline = MoTPipeline.from_checkpoint(read_checkpoint(path), invocation.allow)
            if tower not in pipeline.codecs:
                raise ConfigError(f"--tower is {tower!r}, wanted one of {', '.join(pipeline.codecs)}")
            family = export_tower(pipeline.model, tower, pipeline.codecs[tower], out)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        say(f"export:  {out}, a language model of the family {family}")
