"""The `generate` command: a prompt from the command line, continued and written as files.

Knows prompts and files; `generate.py` makes the tokens.
"""

from pathlib import Path
from typing import Any

from mot_lightning.arguments import Arguments
from mot_lightning.config import ConfigError, parse_value
from mot_lightning.generation.generate import GenerationSettings, generate
from mot_lightning.module import MoTModule
from mot_lightning.sequence import Segment

DEFAULTS = {"guidance": 2.0, "temperature": 0.5, "top_p": 0.95, "max_segments": 4, "num_samples": 1, "seed": 0}


def take_options(arguments: Arguments) -> dict[str, Any]:
    """The options of `generate`, taken out of the settings.

    Raises:
        ConfigError: a number is none.
    """
    options: dict[str, Any] = {"prompt": arguments.pop("prompt"), "out": next(iter(arguments.pop("out")[-1:]), None)}
    for name, default in DEFAULTS.items():
        value = parse_value((arguments.pop(name) or [str(default)])[-1])
        whole = isinstance(default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ConfigError(f"--{name} is {value!r}, wanted a {'whole ' if whole else ''}number")
        options[name] = value
    options["modalities"] = (
        tuple(",".join(arguments.pop("modalities")).replace(" ", "").split(","))
        if any(name == "modalities" for name, _ in arguments.settings)
        else ()
    )
    if options["num_samples"] < 1:
        raise ConfigError(f"--num_samples is {options['num_samples']}, wanted at least 1")
    return options


def read_prompt(module: MoTModule, words: str) -> tuple[str, Any]:
    """(modality, media) of one prompt: a file is read by the codec that can, other words are text.

    Raises:
        ConfigError: a file that no codec can read, or a path that does not exist.
    """
    path = Path(words)
    files = {name: codec for name, codec in module.codecs.items() if name != module.model.grammar.control}
    endings = {ending for codec in files.values() for ending in codec.suffixes}
    try:
        exists = path.is_file()
    except OSError:  # a text too long to be a path
        exists = False
    if not exists:
        if path.suffix.lower() in endings and len(words.split()) == 1:
            raise ConfigError(f"--prompt {words} does not exist")
        return module.model.grammar.control, words
    refusals = []
    # a file's ending may lie: the codec it names is asked first, then the others
    for name, codec in sorted(files.items(), key=lambda item: path.suffix.lower() not in item[1].suffixes):
        try:
            return name, codec.read(path)
        except ValueError as error:
            refusals.append(f"{name}: {error}")
    raise ConfigError(f"--prompt {words} is neither {' nor '.join(sorted(files))}: {'; '.join(refusals)}")


def run_generate(
    module: MoTModule, checkpoint: dict[str, Any] | None, path: Path | None, options: dict[str, Any]
) -> None:
    """Continue the prompt, print what was made and write it to files.

    Raises:
        ConfigError: a prompt or an option does not fit.
    """
    assert checkpoint is not None
    assert path is not None
    module.load_state_dict(checkpoint["state_dict"])
    module.eval()
    unknown = [name for name in options["modalities"] if name not in module.modalities]
    if unknown:
        raise ConfigError(f"--modalities names {unknown[0]!r}, wanted some of {', '.join(module.modalities)}")
    try:
        prompt = [read_prompt(module, words) for words in options["prompt"]]
        segments = [Segment(name, module.codecs[name].encode(media)) for name, media in prompt]
        settings = GenerationSettings(
            options["modalities"],
            options["max_segments"],
            256,
            options["temperature"],
            options["top_p"],
            options["guidance"],
            options["seed"],
        )
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
    folder = Path(options["out"]) if options["out"] else _next_folder(path.parent.parent / "generated")
    if folder.exists():
        raise ConfigError(f"--out {folder} exists, wanted a new folder: nothing is overwritten")
    written = generate(module.average, [segments] * options["num_samples"], settings)
    folder.mkdir(parents=True)
    for i, document in enumerate(written):
        print(f"sample {i}: {' '.join(options['prompt']) or '(no prompt)'}")
        if not document:
            print("  (the model ended the document)")
        for j, segment in enumerate(document):
            codec = module.codecs[segment.modality]
            media = codec.decode(segment.tokens.cpu())
            file = codec.write(media, folder / f"{i:02}_{j}_{segment.modality}")
            print(f"  {segment.modality}: {media if isinstance(media, str) else ''}".rstrip() + f"   {file}")


def _next_folder(root: Path) -> Path:
    number = 0
    while (root / str(number)).exists():
        number += 1
    return root / str(number)
