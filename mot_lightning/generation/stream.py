"""Text on the terminal while it is sampled, id by id."""

from collections.abc import Mapping

import torch

from mot_lightning.codecs import Codec
from mot_lightning.errors import say
from mot_lightning.media import Text


class Stream:
    """Prints texts while they are sampled; an incomplete character at the end waits for its next bytes."""

    def __init__(self, codecs: Mapping[str, Codec]) -> None:
        self.codecs = codecs
        self.ids: list[int] = []
        self.printed = ""

    def __call__(self, row: int, name: str, id: int | None) -> None:
        """Print the next id of a segment; None ends the segment."""
        codec = self.codecs[name]
        if not isinstance(codec.media_type, Text):
            return
        if id is not None:
            self.ids.append(id)
        text = str(codec.decode(torch.tensor(self.ids, dtype=torch.long)))
        if id is not None:
            text = text.rstrip("\ufffd")
        if text.startswith(self.printed):
            say(text[len(self.printed) :], end="" if id is not None else "\n", flush=True)
            self.printed = text
        if id is None:
            self.ids, self.printed = [], ""
