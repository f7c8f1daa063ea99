"""A language model of Hugging Face, read through transformers: its config and its weights, without running code."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mot_lightning.codecs.language_model_tokenizer import LanguageModelTokenizer
from mot_lightning.codecs.pretrained import all_weights, load_pretrained
from mot_lightning.config.checked import checked
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require
from mot_lightning.interop.families import FAMILIES, backbone_settings
from mot_lightning.objectives import NextToken

SAFE, INDEX = "*.safetensors", "model.safetensors.index.json"


@checked("model.pretrained")
@dataclass(frozen=True)
class Pretrained:
    """The language model that a tower starts from.

    Attributes:
        name_or_path: its folder, or its name on the hub.
        copy_to: modalities whose towers start as copies of it (BAGEL, arXiv 2505.14683).
    """

    name_or_path: str | Path
    copy_to: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name_or_path", absolute_or_name(self.name_or_path, "model.pretrained"))


LanguageModels = dict[str, Pretrained]  # by modality


class LanguageModel:
    """A language model in a folder or on the hub; its weights are read when they are asked for.

    Attributes:
        backbone: the settings of `BackboneSettings` that it determines.
        rows: of its table: ids, with padding.
        tied: whether one table embeds and predicts.

    Raises:
        ValueError: there is none, its family is not served, or its weights are pickled or incomplete.
    """

    def __init__(self, name_or_path: str | Path) -> None:
        self.name_or_path = absolute_or_name(name_or_path, "model.pretrained")
        self.config = self._load(lambda: _config(self.name_or_path))
        self.backbone: dict[str, Any] = self._load(lambda: backbone_settings(self.config))
        self.rows, self.tied = self.config.vocab_size, bool(self.config.tie_word_embeddings)
        self._load(self._check_ends)
        self._load(lambda: _check_files(Path(self.name_or_path)))

    @property
    def ends(self) -> tuple[int | None, int | None]:
        """The ids that begin and end its texts: the second for both, if only that one is known.

        Of several that end them, the first.
        """
        eos = self.config.eos_token_id
        eos = eos[0] if isinstance(eos, list) else eos
        bos = eos if self.config.bos_token_id is None else self.config.bos_token_id
        return bos, eos

    def _check_ends(self) -> None:
        for name, id in zip(("bos_token_id", "eos_token_id"), self.ends, strict=True):
            require(f"its {name}", id, f"an id below vocab_size, {self.rows}", id is None or 0 <= id < self.rows)

    def codec(self) -> LanguageModelTokenizer:
        """The codec of its texts."""
        codec = LanguageModelTokenizer(self.name_or_path, self.rows, self.ends[1], self.config.bos_token_id)
        codec.tokenizer  # noqa: B018  one that does not fit is refused here
        return codec

    def objective(self) -> NextToken:
        """The objective of its texts: its own table, beside tables for control ids."""
        return NextToken(tie=self.tied, embedding_scale=1.0, decouple_control=True)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """By their names in transformers, in float32; a tied table once."""

        def load() -> Any:
            from transformers import AutoModelForCausalLM  # takes seconds

            options = {"use_safetensors": True, "trust_remote_code": False, "dtype": torch.float32}
            loaded: Any = AutoModelForCausalLM.from_pretrained(self.name_or_path, **options, output_loading_info=True)
            return all_weights(loaded)

        weights: dict[str, Tensor] = self._load(load).state_dict()
        return {name: x for name, x in weights.items() if not (self.tied and name == "lm_head.weight")}

    def _load(self, load: Callable[[], Any]) -> Any:
        return load_pretrained(load, "model.pretrained", self.name_or_path, "a language model")


def _config(name_or_path: str) -> Any:
    from transformers import AutoConfig, PretrainedConfig

    if Path(name_or_path).is_absolute() and not Path(name_or_path).is_dir():
        raise ValueError("there is no such folder")
    family = PretrainedConfig.get_config_dict(name_or_path)[0].get("model_type")
    if family is None:
        raise ValueError("it has no config.json that names a model_type")
    if family not in FAMILIES:  # before a class of its own is looked for
        raise ValueError(f"its model_type is {family!r}, wanted one of {', '.join(FAMILIES)}")
    return AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)


def _check_files(folder: Path) -> None:
    """Raises ValueError if a folder lacks files of weights, or has only those that would run code when read."""
    if not folder.is_dir():  # on the hub
        return
    if (index := folder / INDEX).is_file():
        shards = {*json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        if missing := sorted(shard for shard in shards if not (folder / shard).is_file()):
            raise ValueError(f"it lacks {missing[0]}, which {INDEX} names")
    elif not any(folder.glob(SAFE)):
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
        reason = f"has {pickled[0]}, which is pickled and could run code" if pickled else "has no weights"
        raise ValueError(f"it {reason}, wanted model.safetensors")
