"""A training step never synchronises with the device: it reads nothing back and copies nothing from the host."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import make_document, make_model, needs_cuda, on
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mot_lightning.backbone.attention.flex import FlexAttention, VisibleRanges
from mot_lightning.sequence import pack

aten = torch.ops.aten
# operations that synchronise: reading a value, or a shape that depends on values
READS = {aten._local_scalar_dense, aten.item, aten.nonzero, aten.masked_select, aten.unique_dim, aten._unique2}
COPIES = {aten._to_copy, aten.copy_}
FROM_LISTS = {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}


class WatchLists(TorchFunctionMode):
    """Fails on tensors built on the device from Python numbers."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        tensor = func(*args, **(kwargs or {}))
        assert func not in FROM_LISTS or tensor.device.type != "meta", f"{func} copies to the device"
        return tensor


class WatchOperations(TorchDispatchMode):
    """Fails on operations that would synchronise; meta tensors stand in for the device's."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        packet, devices = func.overloadpacket, {x.device.type for x in args if isinstance(x, torch.Tensor)}
        target = (kwargs or {}).get("device")
        assert packet not in READS or "meta" not in devices, f"{func} reads the device"
        if packet in COPIES and "cpu" in devices:
            assert "meta" not in devices, f"{func} copies to the device"
            assert target is None or torch.device(target).type == "cpu", f"{func} copies to the device"
        if packet is aten.index and "meta" in devices:
            assert all(x is None or x.dtype != torch.bool for x in args[1]), "boolean masks give dynamic shapes"
        return func(*args, **(kwargs or {}))


@contextmanager
def watch():
    with WatchLists(), WatchOperations():
        yield


def documents():
    rng = np.random.default_rng(0)
    return [make_document(rng, kinds) for kinds in (["text", "image", "speech"], ["image", "text"], ["text"])]


@pytest.mark.parametrize("image", ["adaln", "additive", "diffusion"])
@pytest.mark.parametrize("towers", [{}, {"all": ["text", "image", "speech"]}])
def test_training_step_does_not_synchronise(image, towers):
    model = make_model(image, towers).train()
    batch = on("meta", pack(documents(), model.grammar, 64))
    model.to("meta")
    with watch():
        losses = model(batch)
        sum((one.loss * one.weight).sum() for one in losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_block_mask_is_built_without_synchronising():
    layout = on("meta", pack(documents(), make_model().grammar, 64)).layout
    with watch():
        assert FlexAttention(VisibleRanges.of(layout)).mask is not None


def test_watch_detects_synchronising_operations():
    x = torch.ones(3, device="meta")
    for wait in (lambda: torch.tensor([1.0], device="meta"), x.nonzero, lambda: x.new_tensor([1.0]), lambda: x[x > 0]):
        with pytest.raises((AssertionError, NotImplementedError, RuntimeError)), watch():
            wait()


@needs_cuda
@pytest.mark.filterwarnings("ignore")  # warnings of torch.compile
@pytest.mark.parametrize("compile", [False, True])
def test_training_step_on_cuda_does_not_synchronise(compile):
    model = make_model(compile=compile).train().cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batch = on("cuda", pack(documents(), model.grammar, 64))
    for number in range(3):  # the first compiles
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            sum((one.loss * one.weight).sum() for one in model(batch, number).values()).backward()
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
