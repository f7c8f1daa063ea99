"""The `generate` command: prompts from the command line or a file, continued, and written as files and a page.

Knows options and files; `generate.py` makes the tokens, `page.py` shows them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mot_lightning.arguments import Arguments
from mot_lightning.callbacks.stop import unstoppable
from mot_lightning.codecs import Codec
from mot_lightning.config import ConfigError, parse_value
from mot_lightning.generation.generate import GenerationSettings, generate
from mot_lightning.generation.media import Document, decode, encode, read_file
from mot_lightning.generation.page import Piece, as_html, as_markdown, kind
from mot_lightning.module import MoTModule
from mot_lightning.sequence import Segment

DEFAULTS = {
    "temperature": 0.5,
    "top_k": 0,
    "top_p": 0.95,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "max_segments": 4,
    "max_length": 256,
    "num_samples": 1,
    "batch_size": 64,
    "seed": 0,
}
GUIDANCE = 2.0  # where the model was trained for it and nothing else is asked


def take_options(arguments: Arguments) -> dict[str, Any]:
    """The options of `generate`, taken out of the settings.

    Raises:
        ConfigError: a number is none, or the file of prompts does not fit.
    """
    options: dict[str, Any] = {"out": next(iter(arguments.pop("out")[-1:]), None)}
    words, files = arguments.pop("prompt"), arguments.pop("prompts")
    if words and files:
        raise ConfigError("--prompt and --prompts are both given, wanted one of them")
    options["prompts"] = read_prompts(Path(files[-1])) if files else [list(words)]
    options["beside"] = Path(files[-1]).parent if files else Path()
    for name, default in DEFAULTS.items():
        options[name] = _number(name, (arguments.pop(name) or [str(default)])[-1], isinstance(default, int))
    for name, whole in (("guidance", False), ("lengths", True)):
        options[name] = {
            key.partition(".")[2]: _number(key, value, whole)
            for key, value in arguments.settings
            if key == name or key.startswith(f"{name}.")
        }
        arguments.settings = [s for s in arguments.settings if s[0].partition(".")[0] != name]
    if "" in options["lengths"]:
        raise ConfigError(f"--lengths is {options['lengths']['']}, wanted --lengths.MODALITY")
    named = arguments.pop("modalities")
    options["modalities"] = tuple(",".join(named).replace(" ", "").split(",")) if named else ()
    for name, least in (("num_samples", 1), ("batch_size", 1), ("seed", 0)):
        if options[name] < least:
            raise ConfigError(f"--{name} is {options[name]}, wanted at least {least}")
    return options


def _number(name: str, text: str, whole: bool) -> Any:
    value = parse_value(text)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ConfigError(f"--{name} is {value!r}, wanted a {'whole ' if whole else ''}number")
    return value


def read_prompts(path: Path) -> list[list[str]]:
    """The prompts in a file: a line each or, in one that ends in .jsonl, a JSON list of texts and paths each.

    Raises:
        ConfigError: it cannot be read, or a line is no such list.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--prompts {path} cannot be read: {getattr(error, 'strerror', 'not UTF-8')}") from None
    # newlines alone part lines: JSON may hold what Unicode calls one
    lines = {number: line for number, line in enumerate(text.split("\n"), 1) if line.strip()}
    if not lines:
        raise ConfigError(f"--prompts {path} has 0 prompts, wanted at least 1")
    if path.suffix.lower() != ".jsonl":
        return [[line] for line in lines.values()]
    prompts = []
    for number, line in lines.items():
        try:
            prompt = json.loads(line)
        except json.JSONDecodeError:
            prompt = None
        if not isinstance(prompt, list) or not all(isinstance(piece, str) for piece in prompt):
            raise ConfigError(
                f"--prompts {path}, line {number} is {line[:40]!r}, wanted a JSON list of texts and paths"
            )
        prompts.append(prompt)
    return prompts


def read_piece(module: MoTModule, words: str, folder: Path) -> tuple[str, Any]:
    """(modality, media) of part of a prompt: a file is read by the codec that can, other words are text.

    Args:
        folder: that a relative path starts from.

    Raises:
        ValueError: a file that no codec can read, or a path that does not exist.
    """
    path = folder / words
    files = {name: codec for name, codec in module.codecs.items() if name != module.model.grammar.control}
    endings = {ending for codec in files.values() for ending in codec.suffixes}
    try:
        exists = path.is_file()
    except OSError:  # a text too long to be a path
        exists = False
    named = path.suffix.lower() in endings and len(words.split()) == 1
    return read_file(files, path) if exists or named else (module.model.grammar.control, words)


class Stream:
    """Prints texts while they are drawn, id by id; an end that later ids may change, half a character, waits."""

    def __init__(self, codecs: Mapping[str, Codec]) -> None:
        self.codecs = codecs
        self.ids: list[int] = []
        self.shown = ""

    def __call__(self, row: int, name: str, id: int | None) -> None:
        codec = self.codecs[name]
        if kind(Path(f"a{codec.suffixes[0]}")) != "text":
            return
        if id is not None:
            self.ids.append(id)
        text = str(codec.decode(torch.tensor(self.ids, dtype=torch.long)))
        if id is not None:
            text = text.rstrip("\ufffd")
        if text.startswith(self.shown):
            print(text[len(self.shown) :], end="" if id is not None else "\n", flush=True)
            self.shown = text
        if id is None:
            self.ids, self.shown = [], ""


def run_generate(
    module: MoTModule, checkpoint: dict[str, Any] | None, path: Path | None, options: dict[str, Any]
) -> None:
    """Continue the prompts, print what was made and write it to files.

    Raises:
        ConfigError: a prompt or an option does not fit.
    """
    assert checkpoint is not None
    assert path is not None
    module.restore(checkpoint)
    try:
        prompts = [[read_piece(module, words, options["beside"]) for words in prompt] for prompt in options["prompts"]]
        segments = [encode(module.codecs, prompt) for prompt in prompts]
        settings = _settings(module, options)
        settings.check(module.model.grammar)
        if module.trained is not None:
            module.trained.check(module.model.grammar, segments, settings)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
    folder = Path(options["out"]) if options["out"] else _next_folder(path.parent.parent / "generated")
    if folder.exists():
        raise ConfigError(f"--out {folder} exists, wanted a new folder: nothing is overwritten")
    samples = options["num_samples"]
    numbers = [k for _ in prompts for k in range(samples)]  # whatever else is in the file, sample k is the same
    asked = [document for document in segments for _ in range(samples)]
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--out {folder} cannot be made: {error.strerror}") from None
    stream, size = Stream(module.codecs) if len(asked) == 1 else None, options["batch_size"]
    made: list[list[Segment]] = []
    request = {
        "prompts": options["prompts"],
        "num_samples": samples,
        "settings": asdict(settings),
        "checkpoint": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "step": checkpoint["global_step"],
        "version": version("mot_lightning"),
    }
    (folder / "request.json").write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
    title = f"{path.parent.parent.name}/{path.name}, seed {settings.seed}"
    try:
        with tqdm(total=len(asked), desc="Generating", unit="sample", disable=stream is not None) as bar:
            for start in range(0, len(asked), size):
                batch = slice(start, start + size)
                made += generate(module.average, asked[batch], settings, numbers[batch], stream)
                bar.update(len(made) - start)
    finally:  # whatever ends it, batches that were finished are not lost
        if stream is not None and stream.shown:
            print()
        if made:
            with unstoppable():
                _write_page(module, folder, title, [prompt for prompt in prompts for _ in range(samples)], made)


def _write_page(
    module: MoTModule, folder: Path, title: str, prompts: list[Document], made: list[list[Segment]]
) -> None:
    """All media that were made, as files and on a page; then the terminal is told, which may be gone."""
    documents, lines = [], []
    for number, (prompt, document) in enumerate(zip(prompts, made, strict=False)):
        pieces, said = _write(module, folder, number, prompt, decode(module.codecs, document))
        documents.append(pieces)
        lines += said
    (folder / "index.html").write_text(as_html(documents, title), encoding="utf-8")
    (folder / "page.md").write_text(as_markdown(documents, title), encoding="utf-8")
    if len(made) < len(prompts):
        lines.append(f"{len(made)} of {len(prompts)} samples were finished")
    print(*lines, f"page: {folder / 'index.html'}", sep="\n")


def _settings(module: MoTModule, options: dict[str, Any]) -> GenerationSettings:
    taken = {name: value for name, value in options.items() if name in GenerationSettings.__dataclass_fields__}
    named = dict(taken.pop("guidance"))
    scale = named.pop("", None)
    settings = GenerationSettings(**taken, guidance=GUIDANCE if scale is None else scale)
    grammar = module.model.grammar
    by_name = {name: settings.scale(name, grammar.causal[name]) for name in grammar.names}
    if scale not in (None, 1) and all(own == 1 for own in by_name.values()):
        known = " or ".join(f"--guidance.{name} {scale}" for name in grammar.names if module.guides(name))
        wanted = f"{known}: no modality is made as a whole" if known else "1: the model was not trained for any"
        raise ConfigError(f"--guidance is {scale}, wanted {wanted}")
    if scale is None:  # nobody asked: only where it can be
        by_name = {name: own if module.guides(name) else 1.0 for name, own in by_name.items()}
        if not any(map(module.guides, by_name)):
            print("guidance is off: nothing was learned without a prompt (data.condition_dropout)")
    return replace(settings, guidance={**by_name, **named})


def _write(
    module: MoTModule, folder: Path, number: int, prompt: Document, made: Document
) -> tuple[list[Piece], list[str]]:
    """Write one document's media, and say in lines what they are."""
    words = " ".join(media if isinstance(media, str) else f"<{name}>" for name, media in prompt)
    lines = [f"sample {number}: {words or '(no prompt)'}"]
    if not made:
        lines.append("  (the model ended the document)")
    pieces = []
    for stem, document in (("prompt_", prompt), ("", made)):
        for i, (name, media) in enumerate(document):
            codec = module.codecs[name]
            file = codec.write(media, folder / f"{number:02}_{stem}{i}_{name}")
            pieces.append(Piece(name, file, prompt=bool(stem)))
            if not stem:
                lines.append(f"  {name}: {media if isinstance(media, str) else ''}".rstrip() + f"   {file}")
    return pieces, lines


def _next_folder(root: Path) -> Path:
    number = 0
    while (root / str(number)).exists():
        number += 1
    return root / str(number)
