"""A Hypothesis strategy for random texts."""

from hypothesis import strategies as st

characters = st.one_of(st.integers(0, 0xD7FF), st.integers(0xE000, 0x10FFFF)).map(chr)  # all but surrogates
texts = st.lists(characters).map("".join)
