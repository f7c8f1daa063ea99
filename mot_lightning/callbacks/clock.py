"""A clock of training, which stops for what is not training."""

import time

import torch


class Clock:
    """Seconds in which it ran."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.running_since: float | None = None  # None while it is stopped

    def start(self) -> None:
        """A clock that runs goes on."""
        if self.running_since is None:
            self.running_since = time.monotonic()

    def stop(self, device: torch.device) -> None:
        """Stop it once the device has done what it was given."""
        if self.running_since is not None:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            self.seconds += time.monotonic() - self.running_since
            self.running_since = None
