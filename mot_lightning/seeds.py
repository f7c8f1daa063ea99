"""Seeds from numbers such as (seed, step, rank): all randomness is a pure function of these."""

import torch


def generator_for(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by a tuple of numbers: (seed, step, rank) in training, (seed, sample) in generation.

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
    """A 63-bit seed from several numbers (splitmix64 finaliser over a running sum)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
