"""A user-defined objective in an external package."""

from mot_lightning.objectives import FlowMatching


class SlowFlow(FlowMatching):
    """Flow matching that samples in more steps."""

    def __init__(self) -> None:
        super().__init__(steps=30)
