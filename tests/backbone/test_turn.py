import pytest
import torch

from mot_lightning.backbone.norm import rms_norm
from mot_lightning.backbone.rope import rope, rotate
from mot_lightning.backbone.turn import norm_and_rotate


@pytest.mark.parametrize("sizes", [[5], [3, 2], [0, 4, 1]])
@pytest.mark.parametrize("groups", [1, 2])
def test_one_pass_is_norm_gain_and_rotation_one_after_the_other_with_their_gradients(sizes, groups):
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(sum(sizes), groups, 3, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    gains = torch.randn(len(sizes), groups, 8, generator=generator, dtype=torch.float64)
    inputs = x.requires_grad_(), gains.requires_grad_()
    cos, sin = (angle.double() for angle in rope(torch.arange(sum(sizes)), 8))

    def apart():
        gain = gains.repeat_interleave(torch.tensor(sizes), dim=0)[:, :, None]
        return rotate(rms_norm(x) * gain, cos[:, None, None], sin[:, None, None])

    found = []
    for out in (norm_and_rotate(x, gains, cos, sin, sizes), apart()):
        found.append((out, *torch.autograd.grad(out, inputs, grad)))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)
