import pytest
import torch

from mot_lightning.backbone.norm import rms_norm
from mot_lightning.backbone.rope import rope, rotate
from mot_lightning.backbone.turn import turn


@pytest.mark.parametrize("sizes", [[5], [3, 2], [0, 4, 1]])
@pytest.mark.parametrize("heads", [(3, 3), (4, 2)])
def test_one_pass_is_norm_gain_and_rotation_one_after_the_other_with_their_gradients(sizes, heads):
    generator = torch.Generator().manual_seed(0)
    n, (h, kv_heads) = sum(sizes), heads
    shapes = [(n, h + 2 * kv_heads, 8), (len(sizes), 2, 8), (n, h, 8), (n, kv_heads, 8), (n, kv_heads, 8)]
    qkv, gains, *grads = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    inputs = qkv.requires_grad_(), gains.requires_grad_()
    cos, sin = (angle.double() for angle in rope(torch.arange(n), 8))

    def apart():
        q, k, v = qkv.split([h, kv_heads, kv_heads], dim=1)
        own = gains.repeat_interleave(torch.tensor(sizes), dim=0)
        turned = [rotate(rms_norm(x) * own[:, i, None], cos[:, None], sin[:, None]) for i, x in enumerate((q, k))]
        return *turned, v

    found = []
    for out in (turn(qkv, heads, gains.unbind(), cos[:, None, None], sin[:, None, None], sizes), apart()):
        found.append((*out, *torch.autograd.grad(out, inputs, grads)))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)
