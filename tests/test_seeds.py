"""Seeds derived from several numbers are distinct."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mot_lightning.seeds import mix


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=4, unique=True), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_seed_depends_on_the_order_of_numbers(numbers, random):
    permuted = random.sample(numbers, len(numbers))
    assert (mix(*numbers) == mix(*permuted)) == (numbers == permuted)
    assert 0 <= mix(*numbers) < 2**63


def test_seeds_of_neighbouring_numbers_differ():
    seeds = {mix(seed, step, rank) for seed in range(10) for step in range(50) for rank in range(4)}
    assert len(seeds) == 10 * 50 * 4
