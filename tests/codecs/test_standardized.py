"""Arrays as standardised rows, without loss."""

import pytest
import torch

from mot_lightning.codecs import Standardized

SCALES = torch.tensor([0.01, 1.0, 500.0])


def arrays(count=40):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3 + i % 4, 3, generator=generator) * SCALES + 7 for i in range(count)]


@pytest.fixture
def codec():
    codec = Standardized((None, 3))
    codec.fit(arrays())
    return codec


def test_each_column_of_the_training_rows_has_unit_scale_and_comes_back(codec):
    rows = torch.cat([codec.encode(array) for array in arrays()])
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(3), rtol=1e-3, atol=0)
    array = arrays()[3]
    torch.testing.assert_close(codec.decode(codec.encode(array)), array)
    other = Standardized((None, 3))
    other.load_state_dict(codec.state_dict())
    assert torch.equal(other.encode(array), codec.encode(array))


def test_a_column_of_one_value_stays_finite():
    codec = Standardized((None, 2))
    codec.fit([torch.tensor([[1.0, 0.3], [2.0, 0.3]])])
    assert codec.encode(torch.tensor([[1.0, 0.3], [1.0, 0.4]]))[:, 1].abs().max() < 1


def test_the_length_is_fixed_or_has_a_limit():
    assert (Standardized((4, 2)).length, Standardized((None, 2), 9).max_length) == (4, 9)
    with pytest.raises(ValueError, match=r"array is \(3, 2\), wanted \(4, 2\)"):
        Standardized((4, 2)).encode(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="array has 10 rows, wanted at most max_length, 9"):
        Standardized((None, 2), 9).encode(torch.zeros(10, 2))
    for shape in ((0, 2), (None, 0)):
        with pytest.raises(ValueError, match=r"shape is .*, wanted"):
            Standardized(shape)
