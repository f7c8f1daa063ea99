"""`generate`: continues prompts from the command line or a file, and writes files and a page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.config.files import parse_value
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import ConfigError

if TYPE_CHECKING:
    from mot_lightning.generation import GenerationSettings
    from mot_lightning.pipeline import MoTPipeline
    from mot_lightning.sequence import Segment

MAX_SAMPLES = 1_000_000  # of a prompt: finished samples wait in memory
BY_MODALITY = re.compile(r"(guidance|lengths)\.(\w+)")


class Generate(Command):
    name = "generate"
    summary = "continue a prompt of text, images and audio"
    checkpoint_help = "the checkpoint, the folder of a run or of export (required)"
    takes_settings = False
    options = (
        Option("prompt", "TEXT_OR_FILE", "text, or the path of an image or a sound; image:photo.png also\n"
               "                           names the modality; repeat it for more segments of one document",
               repeated=True),
        Option("prompts", "FILE", "one prompt per line; in a .jsonl file, a list of texts and paths per\n"
               "                           line, with paths relative to the file's folder", Path),
        Option("negative_prompt", "TEXT_OR_FILE",
               "\n                           what guidance leads away from; repeat it as --prompt", repeated=True),
        Option("continue_final_segment", "", "continues the prompt's last segment, not with a new one", bool, False),
        Option("num_samples", "N", "continuations of each prompt (1)", int, 1),
        Option("batch_size", "N", "samples per batch (64); changes samples only by rounding", int, 64),
        Option("modalities", "a,b", "segments to generate, in order; by default the model chooses"),
        Option("lengths.NAME", "N", "tokens of a segment, for a modality without a stop id"),
        Option("guidance", "G", "classifier-free guidance scale (2); --guidance.NAME G of one modality", float),
        Option("temperature", "T", "of ids and of the choice of modality; 0 is greedy (0.5)", float),
        Option("top_k", "N", "sample among the N likeliest ids (0: all)", int),
        Option("top_p", "P", "nucleus sampling (0.95)", float),
        Option("min_p", "P", "minimum probability, relative to the likeliest id (0)", float),
        Option("repetition_penalty", "R", "of ids already in the segment (1)", float),
        Option("max_segments", "N", "maximum number of segments, if the model chooses (4)", int),
        Option("max_length", "N", "maximum new tokens of a segment with a stop id (256)", int),
        Option("seed", "N", "of all sampling (0); samples do not depend on each other", int, 0),
        Option("model.modalities.NAME.codec.name_or_path", "DIR",
               "\n                           the folder of a pretrained codec, if it moved"),
        Option("out", "FOLDER", "new folder for index.html, page.md, request.json, text, PNG and WAV\n"
               "                           (generated/N in the checkpoint's run folder, if it has one)", Path),
    )  # fmt: skip

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.experiment.startup import keep_freed_memory
        from mot_lightning.generation.prompts import encode, read_prompts, read_words
        from mot_lightning.interop.source import read_source
        from mot_lightning.pipeline import MoTPipeline
        from mot_lightning.signals import interruptible

        options = dict(invocation.options)
        if invocation.configs or invocation.print_config:
            raise ConfigError("generate takes no --config and no --print_config: the checkpoint has its config")
        by_modality, name_or_path = _by_modality(invocation.settings)
        for name, minimum, most in (
            ("num_samples", 1, MAX_SAMPLES),
            ("batch_size", 1, MAX_SAMPLES),
            ("seed", 0, 2**63 - 1),
        ):
            if options[name] < minimum:
                raise ConfigError(f"--{name} is {options[name]}, wanted at least {minimum}")
            if options[name] > most:
                raise ConfigError(f"--{name} is {options[name]}, wanted at most {most}")
        if options["prompt"] and options["prompts"]:
            raise ConfigError("--prompt and --prompts are both given, wanted one of them")
        file = options["prompts"]
        words = read_prompts(file) if file else [options["prompt"]]
        keep_freed_memory()
        assert invocation.ckpt_path is not None
        with interruptible():
            path = invocation.ckpt_path
            checkpoint = read_source(path, "--ckpt_path")
            try:
                pipeline = MoTPipeline.from_checkpoint(checkpoint, invocation.allow, name_or_path)
                control, folder = pipeline.model.grammar.control, file.parent if file else Path()
                prompts = [[read_words(pipeline.codecs, control, word, folder) for word in line] for line in words]
                documents = [encode(pipeline.codecs, prompt) for prompt in prompts]
                negative = [read_words(pipeline.codecs, control, word, Path()) for word in options["negative_prompt"]]
                negative_prompt = encode(pipeline.codecs, negative)
                settings = _settings(pipeline, options, by_modality)
                pipeline.check(documents, settings, negative_prompt)
            except ConfigError:
                raise
            except ValueError as error:
                raise ConfigError(str(error)) from error
            request = {
                "experiment": checkpoint["config"].get("experiment"),
                "prompts": words,
                "negative_prompt": options["negative_prompt"],
                "checkpoint": str(path),
                "step": checkpoint["global_step"],
                "num_samples": options["num_samples"],
            }
            _write_samples(pipeline, prompts, documents, negative_prompt, settings, options, request, path)


def _by_modality(settings: Sequence[tuple[str, str]]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Values of `--guidance.NAME` and `--lengths.NAME`, and new folders of codecs, by modality."""
    from mot_lightning.runs.compatibility import MOVED

    by_modality: dict[str, dict[str, Any]] = {"guidance": {}, "lengths": {}}
    name_or_path = {}
    for name, text in settings:
        if match := BY_MODALITY.fullmatch(name):
            value = parse_value(text)
            integer = match[1] == "lengths"
            if isinstance(value, bool) or not isinstance(value, int if integer else int | float):
                raise ConfigError(f"--{name} is {text!r}, wanted a {'whole ' if integer else ''}number")
            by_modality[match[1]][match[2]] = value
        elif match := MOVED.fullmatch(name):
            name_or_path[match[1]] = absolute_or_name(text, f"--{name}")
        elif name == "lengths":
            raise ConfigError(f"--lengths is {text}, wanted --lengths.MODALITY")
        else:
            raise ConfigError(f"generate has no option --{name}: see generate --help")
    return by_modality, name_or_path


def _settings(
    pipeline: "MoTPipeline", options: Mapping[str, Any], by_modality: Mapping[str, dict[str, Any]]
) -> "GenerationSettings":
    from mot_lightning.generation import GenerationSettings

    names = GenerationSettings.__dataclass_fields__
    given = {name: value for name, value in options.items() if name in names and value is not None}
    if "modalities" in given:
        given["modalities"] = tuple(given["modalities"].replace(" ", "").split(","))
    settings = GenerationSettings(**{**given, "lengths": by_modality["lengths"]})
    if settings.guidance is None and not any(map(pipeline.supports_guidance, pipeline.codecs)):
        print("guidance is off: no modality was trained unconditionally (data.document_settings.condition_dropout)")
    return pipeline.with_guidance(settings, by_modality["guidance"])


def _write_samples(
    pipeline: "MoTPipeline",
    prompts: Sequence[Any],
    documents: Sequence[Sequence["Segment"]],
    negative_prompt: Sequence["Segment"],
    settings: "GenerationSettings",
    options: Mapping[str, Any],
    request: Mapping[str, Any],
    checkpoint: Path,
) -> None:
    """Continue all prompts in batches; after an exception, finished batches are still written."""
    from mot_lightning.bar import Bar
    from mot_lightning.generation import output
    from mot_lightning.generation.stream import Stream
    from mot_lightning.runs.find import WEIGHTS, run_folder_of
    from mot_lightning.signals import shielded

    folder = output.new_folder(options["out"], (run_folder_of(checkpoint) or Path.cwd()) / "generated")
    output.write_request(folder, request, settings, checkpoint / WEIGHTS if checkpoint.is_dir() else checkpoint)
    samples, size = options["num_samples"], options["batch_size"]
    numbers = [k for _ in prompts for k in range(samples)]  # so that sample k does not depend on the other prompts
    repeated = [document for document in documents for _ in range(samples)]
    stream = Stream(pipeline.codecs) if len(repeated) == 1 else None
    continued: list[list[Segment]] = []
    try:
        with Bar(total=len(repeated), desc="Generating", unit="sample", disable=stream is not None) as bar:
            for start in range(0, len(repeated), size):
                batch = slice(start, start + size)
                continued += pipeline.continue_segments(
                    repeated[batch], settings, numbers[batch], stream, negative_prompt
                )
                bar.update(len(continued) - start)
    finally:
        if stream is not None and stream.printed:
            print()
        if continued:
            with shielded():
                output.write_documents(folder, request, settings, pipeline.codecs, prompts, continued)
