"""Single bit flips in each region of a checkpoint: refused in one line, or harmless as all values are equal.

python benchmarks/reliability/flips.py [--count 450] [--quick]
"""

import random
import re
from pathlib import Path

import torch
from common import RUN, begin, finish, quiet_run

from mot_lightning.errors import ConfigError
from mot_lightning.runs.checkpoint import read_checkpoint


def regions(content: bytes) -> dict[str, list[int]]:
    """Byte positions by region of the archive."""
    headers = [match.start() for match in re.finditer(rb"PK\x03\x04", content)]
    directory, end = content.index(b"PK\1\2"), content.rindex(b"PK\5\6")
    size = len(content)
    first = content.index(b"PK\3\4", 4)
    return {
        "local headers": [i for start in headers for i in range(start, start + 30)],
        "names and padding": [i for start in headers for i in range(start + 30, start + 64)],
        "pickle": list(range(64, first)),
        "weights": list(range(first, directory)),
        "central directory": list(range(directory, content.rindex(b"PK\6\6"))),
        "its 64-bit end": list(range(content.rindex(b"PK\6\6"), end)),
        "its end": list(range(end, end + 22)),
        "mark of the digest": list(range(end + 22, size - 64)),
        "digest": list(range(size - 64, size)),
    }


def equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and [*one] == [*other] and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return one == other


def outcome(path: Path, expected: object) -> str:
    try:
        return "harmless" if equal(read_checkpoint(path), expected) else "wrong"
    except ConfigError as error:
        return "refused" if "\n" not in str(error) else "refused in several lines"


with begin(__doc__, count=450, quick=45) as (trials, folder):
    code, message = quiet_run(folder, "fit", *RUN, "--samples.prompts=0")
    assert code == 0, message
    path = folder / "default/0/checkpoints/last.ckpt"
    content, expected = path.read_bytes(), read_checkpoint(path)
    counts = {"refused": 0, "harmless": 0, "wrong": 0, "refused in several lines": 0}
    failures: list[str] = []
    places = regions(content)
    for number in range(trials):
        name = [*places][number % len(places)]
        position, bit = random.choice(places[name]), random.randrange(8)
        flipped = bytearray(content)
        flipped[position] ^= 1 << bit
        (folder / "flipped.ckpt").write_bytes(flipped)
        result = outcome(folder / "flipped.ckpt", expected)
        counts[result] += 1
        if result not in ("refused", "harmless"):
            failures.append(f"bit {bit} of byte {position} ({name}): {result}")
    print(f"{len(content):,} bytes in {len(places)} regions: {', '.join(places)}")
    finish(trials, counts, failures)
