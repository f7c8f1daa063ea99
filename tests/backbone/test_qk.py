"""The fused QK norm, gain and rotation equals the three operations in sequence."""

from itertools import product

import pytest
import torch

from mot_lightning.backbone.norm import rms_norm
from mot_lightning.backbone.qk import qk_norm_rope
from mot_lightning.backbone.rope import rope, rotate

EPS = 0.125  # large enough to matter, and exact in float32
HEADS, SIZES = [(3, 3), (4, 2)], [[5], [3, 2], [0, 4, 1]]
WAYS = {
    "with gradients": qk_norm_rope,
    "without": torch.no_grad()(qk_norm_rope),
    "compiled": torch.compile(qk_norm_rope, backend="aot_eager", dynamic=True),
}
CELLS = [
    pytest.param(*cell, marks=[pytest.mark.slow] * (cell[-1] == "compiled" and cell[:2] != (HEADS[1], SIZES[2])))
    for cell in product(HEADS, SIZES, (True, False), WAYS)
]


@pytest.mark.filterwarnings("ignore")  # PyTorch's own warnings while compiling
@pytest.mark.parametrize(("heads", "sizes", "gained", "way"), CELLS)
def test_fused_equals_norm_gain_and_rotation_with_gradients(heads, sizes, gained, way):
    generator = torch.Generator().manual_seed(0)
    n, (h, kv_heads) = sum(sizes), heads
    shapes = [(n, h + 2 * kv_heads, 8), (len(sizes), 2, 8), (n, h, 8), (n, kv_heads, 8), (n, kv_heads, 8)]
    qkv, gains, *grads = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    inputs = [qkv.requires_grad_(), gains.requires_grad_()][: 1 + gained]
    cos, sin = (angle.double() for angle in rope(torch.arange(n), 8))

    def unfused():
        q, k, v = qkv.split([h, kv_heads, kv_heads], dim=1)
        if gained:
            by_token = gains.repeat_interleave(torch.tensor(sizes), dim=0)
            q, k = (rms_norm(x, eps=EPS) * by_token[:, i, None] for i, x in enumerate((q, k)))
        return rotate(q, cos[:, None], sin[:, None]), rotate(k, cos[:, None], sin[:, None]), v

    by_tower = gains.unbind() if gained else []
    ours, expected = WAYS[way](qkv, heads, by_tower, cos[:, None, None], sin[:, None, None], sizes, EPS), unfused()
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    if way != "without":
        gradients = [torch.autograd.grad(out, inputs, grads) for out in (ours, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
