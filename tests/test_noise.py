"""Noise by seeds: its distribution, and that it is the same in any batch."""

import math

import numpy as np
import pytest
import torch
from conftest import needs_cuda

from mot_lightning.noise import Noise
from mot_lightning.seeds import GAMMA, mix, mix_each

MANY = 1 << 16


def tokens(n, segment=0):
    """The seeds of the tokens of a segment."""
    return torch.from_numpy(mix_each(np.full(n, mix(segment)), np.arange(n)))


def samples():
    noise = Noise(torch.arange(MANY), tokens(MANY))
    return {
        "uniform": noise.uniform(),
        "token_uniform": noise.token_uniform(),
        "normal": noise.normal(),
        "token_normal": noise.token_normal(4).flatten(),
        "odd": noise.token_normal(1).flatten(),
        "segments": Noise(torch.arange(0, MANY << 20, 1 << 20)).normal(),  # seeds that are far from random
    }


def cdf(name, x):
    return x.double() if "uniform" in name else (1 + torch.erf(x.double() / math.sqrt(2))) / 2


@pytest.mark.parametrize("name", samples())
def test_noise_has_its_distribution(name):
    """Kolmogorov and Smirnov: the largest distance of the distributions, of 1.63 / sqrt(n) at one percent."""
    x = samples()[name]
    assert x.dtype == torch.float32
    n, ordered = len(x), cdf(name, x).sort().values
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    assert max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()) < 1.63 / n**0.5
    mean, variance = (0.5, 1 / 12) if "uniform" in name else (0, 1)
    assert abs(x.mean() - mean) < 4 * (variance / n) ** 0.5
    assert x.var().item() == pytest.approx(variance, rel=0.03)
    assert "uniform" not in name or (x.min() >= 0 and x.max() < 1)
    assert "uniform" in name or 4 < x.abs().max() < 7  # the tails are there


def test_neighbours_are_independent():
    """Of tokens, channels, segments, calls and seeds, and of their squares."""
    noise = Noise(torch.arange(MANY), tokens(MANY))
    first, again, one = noise.token_normal(8), noise.token_normal(8), noise.normal()
    pairs = [(first[:-1, 0], first[1:, 0]), (first, again), (one[:-1], one[1:]), (one, first[:, 0])]
    pairs += [(first[:, i], first[:, j]) for i in range(8) for j in range(i)]
    pairs += [(first, Noise(one, tokens(MANY, 1)).token_normal(8)), (one, noise.uniform())]
    pairs += [(first, Noise(one, tokens(MANY), seed=1).token_normal(8))]
    for a, b in pairs:
        for moments in ((a, b), (a.square(), b.square()), (a, b.square())):
            correlation = torch.corrcoef(torch.stack([x.flatten() for x in moments]))[0, 1]
            assert abs(correlation) < 4.5 / a.numel() ** 0.5


def test_hash_is_splitmix64():
    """The first numbers of its reference implementation, from state 0."""
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    hashed = mix_each(np.zeros(3, np.int64), np.arange(1, 4))
    assert hashed.view(np.uint64).tolist() == expected
    counters = (np.arange(1, 4, dtype=np.uint64) * np.uint64(GAMMA)).view(np.int64)
    noise = Noise(torch.from_numpy(counters) - mix(5, 1), seed=5)
    assert noise.uniform().tolist() == [(number >> 40) / 2**24 for number in expected]


def test_noise_of_a_token_does_not_depend_on_the_others():
    seeds = tokens(100)
    whole = Noise(seeds, seeds, 3)
    parts = [Noise(seeds[i : i + 7], seeds[i : i + 7], 3) for i in range(0, 98, 7)]
    for sample in (Noise.uniform, Noise.normal, Noise.token_uniform, lambda noise: noise.token_normal(5)):
        assert torch.equal(torch.cat([sample(part) for part in parts]), sample(whole)[:98])


def test_no_segments_and_no_tokens():
    noise = Noise(torch.zeros(0, dtype=torch.long))
    assert noise.uniform().shape == noise.normal().shape == noise.token_uniform().shape == (0,)
    assert noise.token_normal(3).shape == (0, 3)


@needs_cuda
def test_noise_is_the_same_on_cuda():
    here, there = (Noise(tokens(99).to(device), tokens(99).to(device), 1) for device in ("cpu", "cuda"))
    for sample in (Noise.uniform, Noise.token_uniform):
        assert torch.equal(sample(here), sample(there).cpu())
    torch.testing.assert_close(here.token_normal(16), there.token_normal(16).cpu(), rtol=1e-5, atol=1e-5)


def test_noise_is_float32_whatever_the_default_dtype():
    expected = samples()
    try:
        torch.set_default_dtype(torch.bfloat16)
        rounded = samples()
    finally:
        torch.set_default_dtype(torch.float32)
    for name, x in expected.items():
        assert rounded[name].dtype == torch.float32
        assert torch.equal(rounded[name], x)
