"""Norm, gain and rotation of queries and keys: however they are computed, they are these one after the other."""

import pytest
import torch

from mot_lightning.backbone.norm import rms_norm
from mot_lightning.backbone.rope import rope, rotate
from mot_lightning.backbone.turn import norm_and_rotate

WAYS = {
    "with gradients": norm_and_rotate,
    "without": torch.no_grad()(norm_and_rotate),
    "compiled": torch.compile(norm_and_rotate, backend="aot_eager", dynamic=True),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch's own, while it compiles
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("gained", [True, False], ids=["gains", "no norm"])
@pytest.mark.parametrize("sizes", [[5], [3, 2], [0, 4, 1]])
@pytest.mark.parametrize("heads", [(3, 3), (4, 2)])
def test_it_is_norm_gain_and_rotation_one_after_the_other_with_their_gradients(heads, sizes, gained, way):
    generator = torch.Generator().manual_seed(0)
    n, (h, kv_heads) = sum(sizes), heads
    shapes = [(n, h + 2 * kv_heads, 8), (len(sizes), 2, 8), (n, h, 8), (n, kv_heads, 8), (n, kv_heads, 8)]
    qkv, gains, *grads = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    inputs = [qkv.requires_grad_(), gains.requires_grad_()][: 1 + gained]
    cos, sin = (angle.double() for angle in rope(torch.arange(n), 8))

    def apart():
        q, k, v = qkv.split([h, kv_heads, kv_heads], dim=1)
        if gained:
            own = gains.repeat_interleave(torch.tensor(sizes), dim=0)
            q, k = (rms_norm(x) * own[:, i, None] for i, x in enumerate((q, k)))
        return rotate(q, cos[:, None], sin[:, None]), rotate(k, cos[:, None], sin[:, None]), v

    own = gains.unbind() if gained else []
    found, wanted = WAYS[way](qkv, heads, own, cos[:, None, None], sin[:, None, None], sizes), apart()
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    if way != "without":
        ours, theirs = (torch.autograd.grad(out, inputs, grads) for out in (found, wanted))
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
