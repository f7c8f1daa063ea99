"""CLIPScore of images and the texts that they were made from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchmetrics.multimodal.clip_score import CLIPScore as CLIPScoreOfTensors

from mot_lightning.codecs.pretrained import all_weights
from mot_lightning.evaluation.metrics.features import stacked
from mot_lightning.evaluation.metrics.pretrained import load

SIZE = 50  # images at a time


class CLIPScore(CLIPScoreOfTensors):
    """Mean cosine between an image and the text of its prompt in a CLIP (arXiv 2104.08718), from 0 to 100.

    Args:
        name_or_path: a folder or hub name of transformers' CLIPModel, with its processor.

    Raises:
        ValueError: there is no CLIP there, or it is not in safetensors.
    """

    compares_with = "texts"

    def __init__(self, name_or_path: str | Path = "openai/clip-vit-large-patch14") -> None:
        expected = "a folder or hub name of a CLIPModel and its processor"
        super().__init__(lambda: load("CLIPScore", name_or_path, _load, expected))

    def update(self, media: Sequence[Tensor], targets: Sequence[str]) -> None:  # type: ignore[override]
        for start in range(0, len(media), SIZE):
            super().update(list(stacked(media[start : start + SIZE])), list(targets[start : start + SIZE]))


class _Features(nn.Module):
    """A CLIP whose features are tensors, as torchmetrics expects them; those of transformers 5 are not."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip, self.config = clip, clip.config

    def get_image_features(self, pixels: Tensor) -> Tensor:
        return _pooled(self.clip.get_image_features(pixels))

    def get_text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        return _pooled(self.clip.get_text_features(ids, mask))


def _pooled(features: Any) -> Tensor:
    return features if isinstance(features, Tensor) else features.pooler_output


def _load(name: str, local_files_only: bool, trust_remote_code: bool) -> Any:
    from transformers import CLIPModel, CLIPProcessor

    clip: Any = CLIPModel.from_pretrained(
        name, use_safetensors=True, output_loading_info=True, local_files_only=local_files_only
    )
    return _Features(all_weights(clip)).eval(), CLIPProcessor.from_pretrained(name, local_files_only=local_files_only)
