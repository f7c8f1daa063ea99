"""Seeds derived from several numbers are distinct."""

import torch
from conftest import needs_cuda
from hypothesis import given, settings
from hypothesis import strategies as st

from mot_lightning.seeds import mix, seed_layers


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=4, unique=True), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_seed_depends_on_the_order_of_numbers(numbers, random):
    permuted = random.sample(numbers, len(numbers))
    assert (mix(*numbers) == mix(*permuted)) == (numbers == permuted)
    assert 0 <= mix(*numbers) < 2**63


def test_seeds_of_neighbouring_numbers_differ():
    seeds = {mix(seed, step, rank) for seed in range(10) for step in range(50) for rank in range(4)}
    assert len(seeds) == 10 * 50 * 4


def test_layers_sample_as_after_manual_seed():
    layer, ones = torch.nn.Dropout(0.5), torch.ones(1000)
    torch.manual_seed(2**62 + 1)
    expected = layer(ones)
    seed_layers(2**62 + 1, torch.device("cpu"))
    assert torch.equal(layer(ones), expected)


def test_layers_on_a_device_of_no_generator_sample_as_after_manual_seed():
    """As XLA's, of which torch has no device module: `torch.manual_seed` knows what to do."""
    layer, ones = torch.nn.Dropout(0.5), torch.ones(1000)
    torch.manual_seed(5)
    expected = layer(ones)
    seed_layers(5, torch.device("xla"))
    assert torch.equal(layer(ones), expected)


@needs_cuda
def test_layers_on_a_gpu_sample_as_after_manual_seed():
    layer, ones = torch.nn.Dropout(0.5), torch.ones(1000, device="cuda")
    torch.manual_seed(7)
    expected = layer(ones)
    seed_layers(7, torch.device("cuda"))
    assert torch.equal(layer(ones), expected)
