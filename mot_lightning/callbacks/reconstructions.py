"""Callbacks of codec training: reconstructions to look at, their quality, and the trained network as a folder."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from mot_lightning.callbacks.report import Report, closing_lines, write_metrics
from mot_lightning.codecs.fitting import CODEC_SAMPLES, choose
from mot_lightning.errors import NotWritten, say
from mot_lightning.media.board import board
from mot_lightning.runs.atomic import os_error
from mot_lightning.runs.best_effort import best_effort
from mot_lightning.runs.examples import Example, Examples, write_examples
from mot_lightning.runs.page import write_page
from mot_lightning.training.codec_module import CodecModule
from mot_lightning.training.metrics import log_row


def images_of(module: CodecModule, split: str, limit: int | None = None) -> Tensor:
    """The first images of a split, or without a limit up to 10,000 at random, (b, c, h, w), on the network's device."""
    media = module.trainer.datamodule.media(module.modality, split)  # type: ignore[attr-defined]
    first = choose(media, CODEC_SAMPLES) if limit is None else [media[i] for i in range(min(limit, len(media)))]
    return torch.stack(list(first)).to(module.device)


class Reconstructions(Callback):
    """At each validation, logs the quality and writes `samples/<step>/...`: originals beside their reconstructions.

    Args:
        prompts: images to show; 0 writes no file.
    """

    def __init__(self, prompts: int = 20) -> None:
        if prompts < 0:
            raise ValueError(f"samples.prompts is {prompts}, wanted 0 or more")
        self.prompts = prompts

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        stem = f"val/{pl_module.modality}"
        quality = pl_module.codec.quality(images_of(pl_module, "val"))
        log_row(pl_module, {f"{stem}/{name}": value for name, value in quality.items()}, trainer.global_step)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not self.prompts or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        with best_effort("the samples of a validation"):
            self._write(trainer, pl_module)

    def _write(self, trainer: Any, pl_module: Any) -> None:
        codec, images = pl_module.codec, images_of(pl_module, "val", self.prompts)
        with torch.no_grad():
            reconstructed = codec.images(codec.latents(images))
        errors = [(a - b).square().mean() for a, b in zip(images, reconstructed, strict=True)]
        captions = [f"{10 * (1 / error).log10():.1f} dB" for error in errors]
        folder = Path(trainer.default_root_dir) / "samples" / f"step_{trainer.global_step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        media_type, pairs = codec.media_type, zip(images.cpu(), reconstructed.cpu(), strict=True)
        examples, cells = [], []
        for i, (caption, (image, reconstruction)) in enumerate(zip(captions, pairs, strict=True)):
            original, stem = folder.parent / f"original_{i:02}", folder / f"reconstruction_{i:02}"
            files = media_type.write(image, original), media_type.write(reconstruction, stem)
            examples.append(Example(caption, (), files[1], files[0]))
            cells.append(
                [("reconstruction", media_type.picture(reconstruction)), ("original", media_type.picture(image))]
            )
        with best_effort(str(folder / "reconstructions.png")):
            board(captions, cells).savefig(folder / "reconstructions.png")
        shown = Examples("reconstructions", trainer.global_step, examples, ("reconstruction", "original"))
        write_examples(folder, [shown])
        write_page(folder.parents[1])


class CodecReport(Report):
    """Writes the network to `codec/` in the format of diffusers and the metrics to `metrics.json`, and prints them.

    Args:
        prompts: test images to measure; null takes all.
    """

    def __init__(self, prompts: int | None = None) -> None:
        super().__init__(prompts=prompts)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.codec.on_train_end(pl_module.calibration_images)
        folder = Path(trainer.default_root_dir) / "codec"
        try:
            pl_module.codec.save_pretrained(folder)
        except Exception as error:
            if cause := os_error(error):
                raise NotWritten(f"{folder} cannot be written: {cause.strerror}") from error
            raise

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        # 0 skips the measurement, as in `Report`
        images = () if self.prompts == 0 else images_of(pl_module, "test", self.prompts)
        quality = pl_module.codec.quality(images) if len(images) else {}
        losses = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        measured = {f"test/{pl_module.modality}/{name}": value for name, value in quality.items()}
        parameters = sum(weights.numel() for weights in pl_module.network.parameters())
        metrics = {**losses, **measured, "model/parameters": parameters, **self.fit}
        folder = Path(trainer.default_root_dir)
        write_metrics(folder, metrics)
        width = max(map(len, metrics))
        say("\n" + "\n".join(f"{name:<{width}}  {value:,.4g}" for name, value in metrics.items()))
        files = {"page": folder / "index.html", "codec": folder / "codec", "figures": folder / "metrics.json"}
        say(*closing_lines(trainer, **files, samples=folder / "samples"))
