"""`rms_norm` equals PyTorch's in values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from mot_lightning.backbone.norm import EPS, RMSNorm, inverse_rms, rms_norm


@pytest.mark.parametrize("eps", [EPS, 0.25])
@pytest.mark.parametrize("shape", [(5, 8), (3, 2, 4, 6), (0, 8)])
def test_rms_norm_equals_torch_with_gradients(shape, eps):
    x = torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(0), requires_grad=True)
    theirs = F.rms_norm(x, x.shape[-1:], eps=eps)
    torch.testing.assert_close(rms_norm(x, eps=eps), theirs)
    torch.testing.assert_close(rms_norm(x.detach(), eps=eps), theirs.detach())
    weight = torch.randn_like(x)
    (ours,) = torch.autograd.grad((rms_norm(x, eps=eps) * weight).sum(), x)
    torch.testing.assert_close(ours, torch.autograd.grad((theirs * weight).sum(), x)[0])


def test_zero_vector_has_a_finite_gradient():
    x = torch.zeros(2, 4, requires_grad=True)
    RMSNorm(4)(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_eps_of_a_first_call_without_gradients_serves_training():
    with torch.inference_mode():
        inverse_rms(torch.ones(2, 4), eps=0.7)
    x = torch.ones(2, 4, requires_grad=True)
    inverse_rms(x, eps=0.7).sum().backward()
    assert x.grad is not None
