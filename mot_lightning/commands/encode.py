"""`encode`: run the codecs once over all records, to train from their tokens."""

import re
from pathlib import Path
from typing import Any

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.commands.fit import Fit
from mot_lightning.config.paths import check_folder
from mot_lightning.errors import ConfigError, say


class Encode(Command):
    name = "encode"
    summary = "run the codecs once over all records; fit then trains from the tokens, by --data.source=Tokens"
    needs_checkpoint = False
    checkpoint_help = "take the config and the codecs of a checkpoint"
    examples = Fit.examples[:5]
    options = (
        Option("out", "FOLDER", "folder of the tokens (required); what is there already is not made again", Path),
        Option("shard", "K/N", "encode the k-th of n shares, as one of n machines (1/1)", str, "1/1"),
        Option("workers", "N", "processes that encode (0: this one)", int, 0),
    )

    def run(self, invocation: Invocation) -> None:
        from torch.utils.data import DataLoader

        from datamodules.encoding import Parts, check_encodable, check_same, write_encoding
        from datamodules.sources.tokens import ENCODING, load_codecs, read_encoding
        from mot_lightning.bar import Bar
        from mot_lightning.commands.untrained import untrained
        from mot_lightning.experiment import checks
        from mot_lightning.runs.checkpoint import read_checkpoint
        from mot_lightning.signals import interruptible
        from mot_lightning.training.initial_weights import restore_codecs

        out, workers = invocation.options["out"], invocation.options["workers"]
        if out is None:
            raise ConfigError("--out is missing, wanted a folder for the tokens")
        if workers < 0:
            raise ConfigError(f"--workers is {workers}, wanted 0 or more")
        shard, shards = _shard(invocation.options["shard"])
        check_folder(out, "--out")
        with interruptible():
            if (experiment := untrained(self.name, invocation)) is None:
                return
            module: Any = experiment.module
            data = experiment.data
            if invocation.ckpt_path:
                restore_codecs(module, read_checkpoint(invocation.ckpt_path))
            try:
                check_encodable(data)
                begun = read_encoding(out) if (out / ENCODING).exists() else None
                if begun:
                    data.setup("fit")
                    check_same(out, begun, data)
                    load_codecs(out, begun, dict(module.codecs), module.fitted_codecs)
                    module.fitted_codecs |= {*module.codecs}
            except ValueError as error:
                raise ConfigError(str(error)) from error
            checks.check(experiment, self.name)
            parts = Parts(out, begun or write_encoding(out, data, dict(module.codecs)), data, dict(module.codecs))
            share = range(shard - 1, len(parts), shards)
            missing = [number for number in share if not parts.written(number)]
            total = sum(map(parts.size, share))
            loader: Any = DataLoader(parts, batch_size=None, sampler=missing, num_workers=workers)
            done = total - sum(map(parts.size, missing))
            with Bar(desc="Encoding", unit="record", total=total, initial=done) as bar:
                for written in loader:
                    if isinstance(written, ValueError):
                        raise ConfigError(str(written)) from None
                    if isinstance(written, Exception):
                        raise written
                    bar.update(written)
        remaining = sum(not parts.written(number) for number in range(len(parts)))
        say(f"tokens:  {out}" if not remaining else f"{remaining} of {len(parts)} parts are left to the other shards")


def _shard(text: str) -> tuple[int, int]:
    """The number of a shard, from 1, and of all."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard is {text!r}, wanted K/N with K from 1 to N, such as 3/16")
    return int(match[1]), int(match[2])
