"""Renders the spoken digits with espeak-ng: `python -m datamodules.digits.spoken.make` replaces all of them.

A developer's tool; nothing else needs the `espeak-ng` command.
"""

import csv
import io
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio.functional as F
from torch import Tensor

FOLDER = Path(__file__).parent
SAMPLE_RATE = 8_000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# words per minute, and pitch within a voice (0 to 99 in espeak): the ranges of renderings are disjoint
RENDERINGS = (((130, 145), (50, 59)), ((145, 160), (30, 39)), ((160, 175), (60, 69)), ((175, 190), (40, 49)))
LEVELS = 10  # bits besides the sign; FLAC omits the zero bits below them (16 bits would take 9 MB)
SECONDS = (0.25, 0.8)

ACCENTS = (
    "en-us",
    "en",  # British; en-gb and en-uk silently ignore the variant
    "en-gb-scotland",
    "en-us-nyc",
    "en-gb-x-gbclan",
    "en-029",
    "en-gb-x-rp",
    "en-gb-x-gbcwmd",
)

# Variants that share their formants (Mario and Michael, the three stephs, ...) stay in one split: a variant is a
# speaker, and speakers of val and test must not be in train.
VARIANTS = {
    "train": [
        "m1",
        "f2",
        "Gene",
        "aunty",
        "m2",
        "belinda",
        "Mario",
        "steph",
        "m4",
        "linda",
        "Michael",
        "f4",
        "m7",
        "anika",
        "max",
        "f5",
        "m8",
        "shelby",
        "Denis",
        "steph2",
        "Diogo",
        "steph3",
        "miguel",
        "victor",
        "antonio",
        "pedro",
        "iven2",
        "marcelo",
        "david",
        "benjamin",
        "edward",
        "Nguyen",
    ],
    "val": ["f1", "m6", "Alicia", "grandpa", "robert"],
    "test": ["f3", "m5", "Andrea", "Alex", "Annie", "m3", "grandma", "paul"],
}


def voices(split: str) -> list[str]:
    """The voices of a split as espeak names them, "accent+variant"; the accents alternate."""
    return [f"{ACCENTS[i % len(ACCENTS)]}+{variant}" for i, variant in enumerate(VARIANTS[split])]


def trim(wave: Tensor) -> Tensor:
    """Cut both ends of `(n,)` where they are 40 dB below the peak, but keep 10 ms for weak fricatives."""
    loud = torch.nonzero(wave.abs() > 0.01 * wave.abs().max()).squeeze(1)
    margin = SAMPLE_RATE // 100
    return wave[max(int(loud[0]) - margin, 0) : int(loud[-1]) + margin + 1]


def render(voice: str, word: str, speed: int, pitch: int) -> np.ndarray:
    """One clip of 0.25 to 0.8 s: int16 `(n,)` at 8 kHz with its peak at 0.8; the speed adapts to the length."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    sound = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    wave = trim(F.resample(torch.from_numpy(samples), rate, SAMPLE_RATE))
    if not SECONDS[0] <= len(wave) / SAMPLE_RATE <= SECONDS[1]:
        return render(voice, word, speed + (10 if len(wave) > SECONDS[1] * SAMPLE_RATE else -10), pitch)
    wave = (wave * (0.8 * 2**LEVELS / wave.abs().max())).round() * 2 ** (15 - LEVELS)
    return np.asarray(wave, dtype=np.int16)


def main() -> None:
    """Replace the FLAC files and `cuts.csv`. Raises SystemExit in one line without espeak-ng."""
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is not installed: it renders the spoken digits")
    for path in FOLDER.glob("*.flac"):
        path.unlink()
    cuts: list[tuple[str, str, str, int, int, int]] = []
    seen: set[bytes] = set()
    for split in VARIANTS:
        for voice in voices(split):
            file, clips, start = f"{split}_{voice.replace('+', '_')}.flac", [], 0
            for digit, word in enumerate(WORDS):
                for speeds, pitches in RENDERINGS:
                    rng = random.Random(f"{voice} {word} {speeds}")
                    clip = render(voice, word, rng.randint(*speeds), rng.randint(*pitches))
                    if clip.tobytes() in seen:
                        raise ValueError(f"{voice} says {word!r} exactly as an earlier clip, wanted distinct clips")
                    seen.add(clip.tobytes())
                    cuts.append((file, split, voice, digit, start, start + len(clip)))
                    clips.append(clip)
                    start += len(clip)
            soundfile.write(FOLDER / file, np.concatenate(clips), SAMPLE_RATE, "PCM_16", compression_level=1.0)
    with (FOLDER / "cuts.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("file", "split", "voice", "digit", "start", "end"))
        writer.writerows(cuts)


if __name__ == "__main__":
    main()
