"""A pipeline as files: read from a checkpoint, a folder or the Hub, and written as a folder without pickles."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import torch

from mot_lightning.codecs import Codec
from mot_lightning.config.instantiate import instantiate
from mot_lightning.config.paths import absolute
from mot_lightning.config.recorded import class_spec, plain
from mot_lightning.config.types import check_types
from mot_lightning.errors import ConfigError
from mot_lightning.generation import GenerationLimits
from mot_lightning.interop.card import model_card
from mot_lightning.interop.folder import check_new_folder, write_folder
from mot_lightning.interop.hub import check_repository, upload
from mot_lightning.interop.source import read_source
from mot_lightning.modality import assemble
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.runs.checkpoint import AVERAGED, CODECS, FORMAT, strip_prefix
from mot_lightning.runs.compatibility import check_codecs, check_names_and_shapes


class SavedPipeline:
    """Codecs and a model that can be loaded and saved.

    Args:
        codecs: of each modality.
        model: with averaged weights.
        limits: what the model was trained on; None allows everything.
        training: steps, settings and figures of its training as plain values, for the model card.
    """

    def __init__(
        self,
        codecs: Mapping[str, Codec],
        model: MixtureOfTransformers,
        limits: GenerationLimits | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        self.codecs, self.model, self.limits, self.training = codecs, model, limits, training

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        allow: Sequence[str] = (),
        name_or_path: Mapping[str, str | Path] | None = None,
        revision: str | None = None,
    ) -> Self:
        """The pipeline of a trained model.

        Args:
            path: a checkpoint, a run folder or its folder of checkpoints (last.ckpt, or else best.ckpt, or else the
                only one), a folder of `save_pretrained`, or a repository of the Hugging Face Hub, "USER/NAME".
            allow: packages whose classes its config may name, besides those of this framework.
            name_or_path: by modality, the new folder of a pretrained codec that was moved.
            revision: of the repository: a branch, a tag or a commit.

        Raises:
            ConfigError: the file or repository is missing, damaged, of another format, or not of a model.
            ValueError: a codec is not the one that the model was trained with.
        """
        arguments = {"path": path, "allow": allow, "name_or_path": name_or_path, "revision": revision}
        check_types(SavedPipeline.from_pretrained, arguments)
        return cls.from_checkpoint(read_source(path, revision=revision), allow, name_or_path)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Mapping[str, Any],
        allow: Sequence[str] = (),
        name_or_path: Mapping[str, str | Path] | None = None,
    ) -> Self:
        """The pipeline of a checkpoint in memory."""
        settings = copy.deepcopy(checkpoint["config"]["model"])
        if "modalities" not in settings:
            raise ConfigError("the checkpoint is a codec's, wanted a model's")
        settings = {name: settings[name] for name in ("modalities", "control", "backbone") if name in settings}
        for name, path in (name_or_path or {}).items():
            if name not in settings["modalities"]:
                raise ConfigError(f"name_or_path names {name!r}, wanted some of {', '.join(settings['modalities'])}")
            settings["modalities"][name]["codec"].setdefault("init_args", {})["name_or_path"] = str(path)
        arguments = instantiate(assemble, settings, allow)
        with torch.random.fork_rng(devices=[]):  # the initial weights are replaced below
            model = assemble(**arguments)
        codecs = {name: modality.codec for name, modality in arguments["modalities"].items()}
        check_codecs(codecs, checkpoint)
        weights = checkpoint["state_dict"]
        for name, codec in codecs.items():
            codec.load_state_dict(strip_prefix(weights, f"codecs.{name}."))
        averaged = strip_prefix(weights, AVERAGED)
        check_names_and_shapes(averaged, model.state_dict())
        model.load_state_dict(averaged)
        limits = checkpoint.get("limits")
        return cls(
            codecs,
            model.eval(),
            GenerationLimits.from_state_dict(limits) if limits else None,
            checkpoint.get("training"),
        )

    def checkpoint(self) -> dict[str, Any]:
        """What `from_checkpoint` reads: plain values, and the averaged weights, which keep their memory."""
        modalities = {
            name: {"codec": class_spec(codec), "objective": class_spec(self.model.objectives[name])}
            for name, codec in self.codecs.items()
        }
        weights = {f"{AVERAGED}{name}": value for name, value in self.model.state_dict().items()}
        for name, codec in self.codecs.items():
            weights |= {f"{CODECS}{name}.{key}": value for key, value in codec.state_dict().items()}
        model, backbone = {"modalities": modalities}, plain(self.model.backbone.settings)
        return {
            "format": FORMAT,
            "config": {"model": {**model, "control": self.model.grammar.control, "backbone": backbone}},
            "state_dict": weights,
            "codecs": {name: codec.fingerprint(codec.state_dict()) for name, codec in self.codecs.items()},
            "limits": None if self.limits is None else self.limits.state_dict(),
            "training": None if self.training is None else plain(self.training),
        }

    def save_pretrained(self, folder: str | Path, license: str | None = None) -> None:
        """Write the model, its codecs and a model card to a folder that `from_pretrained` reads; nothing is pickled.

        Args:
            folder: new or empty.
            license: of the card, such as "apache-2.0".

        Raises:
            ConfigError: there is something in the folder, or it cannot be written to.
        """
        check_types(SavedPipeline.save_pretrained, {"folder": folder, "license": license})
        folder = absolute(folder, "folder")
        check_new_folder(folder, "folder")
        self._write(folder, None, license)

    def push_to_hub(
        self, repo_id: str, private: bool | None = None, token: str | None = None, license: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face Hub; returns the address.

        Args:
            repo_id: the repository, "USER/NAME"; it is created if there is none.
            private: whether a new repository is private; None leaves it to the account.
            token: None takes that of `hf auth login`, or of the environment variable HF_TOKEN.
            license: of the card, such as "apache-2.0".

        Raises:
            ConfigError: it is no name of a repository.
            NotWritten: the Hub refuses, or cannot be reached.
        """
        arguments = {"repo_id": repo_id, "private": private, "token": token, "license": license}
        check_types(SavedPipeline.push_to_hub, arguments)
        check_repository(repo_id, "repo_id")
        with TemporaryDirectory() as folder:
            self._write(Path(folder), repo_id, license)
            return upload(Path(folder), repo_id, private, token)

    def _write(self, folder: Path, repo_id: str | None, license: str | None) -> None:
        checkpoint, title = self.checkpoint(), repo_id.rpartition("/")[2] if repo_id else folder.name
        write_folder(folder, checkpoint, model_card(checkpoint, self.model, self.codecs, repo_id, title, license))
