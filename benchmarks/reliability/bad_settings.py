"""Bad values for every setting: of the wrong type, out of range, empty, or the name of nothing."""

import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module

from mot_lightning.cli.settings_help import settings_parser

NUMBERS = ("-1", "0", ".nan", ".inf", "-.inf", "1" + 30 * "0", "1e400", "1.5")
OTHERS = ("", "null", "x", "[1]", "[]", "{a: 1}", "true", "nothing.Nowhere", "\x1b[31m", "..", "$x", "é\u202e")
CODECS = {"text": ("Bytes", "BPE", "HFTokenizer"), "image": ("Patches", "VQ", "VAE"),
          "speech": ("LogMelUnits", "MelLatents", "HubertUnits", "NeuralCodec")}  # fmt: skip
OBJECTIVES = {"text": ("NextToken",), "speech": ("NextToken",),
              "image": ("FlowMatching", "Diffusion", "NextLatent", "Regression")}  # fmt: skip
# what a class needs beside it: ids and latents are learned by different objectives
BESIDE = {"MelLatents": ("--model.modalities.speech.objective=FlowMatching",)}
# what trains for hours, or for as long as it takes to fill the memory, is not run; -1 and 0 have a meaning
UNLIMITED = {"trainer.max_steps", "trainer.max_epochs", "trainer.min_steps", "trainer.min_epochs"}


def settings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name of each setting that the command line knows, and the arguments that it needs beside it."""
    for action in settings_parser()._actions:
        if action.dest not in ("help", "data") and not action.dest.endswith(".help"):
            yield action.dest, ()
    data = import_module("datamodules").Digits
    for name in _arguments(data):
        yield f"data.{name}", ()
    for package, role, table in (("codecs", "codec", CODECS), ("objectives", "objective", OBJECTIVES)):
        for modality, names in table.items():
            path = f"model.modalities.{modality}.{role}"
            for name in names:
                kind = getattr(import_module(f"mot_lightning.{package}"), name)
                beside = (f"--{path}={name}", *BESIDE.get(name, ()))
                yield path, beside
                for argument in _arguments(kind):
                    yield f"{path}.{argument}", beside
    for modality in CODECS:
        yield f"model.modalities.{modality}", ()
        yield f"model.modalities.{modality}.weight", ()


def _arguments(kind: type) -> Iterator[str]:
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            continue
        yield name
        for option in typing.get_args(parameter.annotation) or (parameter.annotation,):
            if is_dataclass(option) and not isinstance(option, types.UnionType):
                yield from (f"{name}.{field.name}" for field in fields(option))


def bad_settings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """A name for each trial, and the arguments of its command line."""
    for name, beside in settings():
        for value in (*NUMBERS, *OTHERS):
            yield f"--{name}={value}", (*beside, f"--{name}={value}")
