"""The data loader of a split: of documents in batches of equally many or by their tokens, or of media to train a codec.

Knows settings of a datamodule and a trainer; the order is that of the caller.
"""

from typing import Any

import torch
from torch.utils.data import DataLoader

from datamodules.batches import DocumentBatches
from datamodules.documents import Media, Split
from datamodules.steps import StepLoader, step_sizes
from datamodules.token_batches import token_batches


def loader(data: Any, split: Split, order: Any) -> DataLoader[Any]:
    """A loader of a datamodule's split in the order of a sampler."""
    modality, tokens = data.codec_modality, data.tokens
    dataset: Any = Media(data.media(modality, split)) if modality else data.documents(split)
    settings: dict[str, Any] = {
        "collate_fn": dataset.collate,
        "num_workers": data.num_workers,
        "pin_memory": torch.cuda.is_available(),  # copies to the device then need not block
        "persistent_workers": data.num_workers > 0,
    }
    if modality or (split != "train" and tokens is None):
        return DataLoader(dataset, data.batch_size, sampler=order, **settings)
    if tokens is None:
        batches: Any = DocumentBatches(order, data.batch_size)
    else:
        limit = getattr(data.trainer, f"limit_{split}_batches", 1.0)
        batches = token_batches(order, dataset.length, tokens, limit)
    if split == "train":
        return StepLoader(dataset, batches, lambda: step_sizes(data.trainer), **settings)
    return DataLoader(dataset, batch_sampler=batches, **settings)
