"""User-defined objectives in an external package."""

from mot_lightning.objectives import FlowMatching


class SlowFlow(FlowMatching):
    """Flow matching that samples in more steps."""

    def __init__(self) -> None:
        super().__init__(steps=30)


class MeanFlow(FlowMatching):
    """Returns the mean of its losses, not each."""

    def loss(self, hidden, embedded):
        return super().loss(hidden, embedded).mean()


class ShortFlow(FlowMatching):
    """Its loss lacks an argument."""

    def loss(self, hidden):
        return hidden


class RaisingFlow(FlowMatching):
    """Its loss raises."""

    def loss(self, hidden, embedded):
        return hidden @ hidden


class NoObjective:
    """Is no objective at all."""


class NeedyFlow(FlowMatching):
    """Needs an argument."""

    def __init__(self, needed: int) -> None:
        super().__init__(steps=needed)
