"""Digits without some of their splits, and without tasks."""

from datamodules import Digits


class EmptySplits(Digits):
    """Digits of which some splits have no document.

    Args:
        empty: their names.
    """

    def __init__(self, empty: tuple[str, ...] = ("val", "test"), batch_size: int = 4, seed: int = 0):
        super().__init__(batch_size=batch_size, seed=seed)
        self.empty = empty

    def size(self, split):
        return 0 if split in self.empty else super().size(split)

    def tasks(self, split):
        return []
