"""Seeds from numbers such as (seed, document, segment): all randomness is a pure function of these."""

import numpy as np
import torch

# of splitmix64 (doi 10.1145/2714064.2660195, figure 16)
GAMMA = 0x9E3779B97F4A7C15
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))  # shift and multiplier


def generator_for(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by a tuple of numbers: (seed, sample) in generation, (seed, step) in training a codec.

    As no state is carried from step to step, a resumed run equals an uninterrupted one.
    """
    return torch.Generator(device).manual_seed(mix(*numbers))


def seed_layers(seed: int, device: torch.device) -> None:
    """Seed the default generators of the host and of a device, from which layers such as dropout sample.

    As `torch.manual_seed`, which seeds all devices, and formats the Python stack while CUDA is not initialised.
    """
    if device.type not in ("cpu", "cuda", "mps"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def mix(*numbers: int) -> int:
    """A 63-bit seed from several numbers (splitmix64's finaliser over a running sum)."""
    state = 0
    for number in numbers:
        state = (state + number + GAMMA) & 0xFFFFFFFFFFFFFFFF
        for shift, multiplier in ROUNDS:
            state = ((state ^ (state >> shift)) * multiplier) & 0xFFFFFFFFFFFFFFFF
    return state >> 1


def mix_each(seeds: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """A seed from each of n seeds and an index, both int64, (n,); all 64 bits are random."""
    state = seeds.astype(np.uint64) + indices.astype(np.uint64) * np.uint64(GAMMA)
    for shift, multiplier in ROUNDS:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(multiplier)
    return state.view(np.int64)
