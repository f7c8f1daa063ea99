"""A training step never waits for the device: nothing is read back, and nothing of the host's is copied there."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import make_document, make_model, needs_cuda, on
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mot_lightning.backbone.attention.flex import FlexAttention
from mot_lightning.sequence import pack

aten = torch.ops.aten
# what a host has to wait for: a number, or a shape that depends on numbers
READS = {aten._local_scalar_dense, aten.item, aten.nonzero, aten.masked_select, aten.unique_dim, aten._unique2}
COPIES = {aten._to_copy, aten.copy_}
FROM_LISTS = {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}


class WatchLists(TorchFunctionMode):
    """Refuses tensors that are made of the host's numbers and sent to the device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        tensor = func(*args, **(kwargs or {}))
        assert func not in FROM_LISTS or tensor.device.type != "meta", f"{func} copies to the device"
        return tensor


class WatchOperations(TorchDispatchMode):
    """Refuses what would make the host wait for a device; meta tensors stand for the device's."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        packet, devices = func.overloadpacket, {x.device.type for x in args if isinstance(x, torch.Tensor)}
        target = (kwargs or {}).get("device")
        assert packet not in READS or "meta" not in devices, f"{func} reads the device"
        if packet in COPIES and "cpu" in devices:
            assert "meta" not in devices, f"{func} copies to the device"
            assert target is None or torch.device(target).type == "cpu", f"{func} copies to the device"
        if packet is aten.index and "meta" in devices:
            assert all(x is None or x.dtype != torch.bool for x in args[1]), "a mask makes a shape that nobody knows"
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
def test_a_step_reads_nothing_back_and_copies_nothing(image, towers):
    model = make_model(image, towers).train()
    batch = on("meta", pack(documents(), model.grammar, 64))
    model.to("meta")
    with watch():
        losses = model(batch, None)
        sum((one.loss * one.weight).sum() for one in losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_block_mask_reads_nothing_back():
    layout = on("meta", pack(documents(), make_model().grammar, 64)).layout
    with watch():
        FlexAttention(layout)


def test_the_watch_sees_what_it_should():
    x = torch.ones(3, device="meta")
    for wait in (lambda: torch.tensor([1.0], device="meta"), x.nonzero, lambda: x.new_tensor([1.0]), lambda: x[x > 0]):
        with pytest.raises((AssertionError, NotImplementedError, RuntimeError)), watch():
            wait()


@needs_cuda
@pytest.mark.filterwarnings("ignore")  # of compiling
@pytest.mark.parametrize("compile", [False, True])
def test_a_step_on_cuda_never_waits(compile):
    model = make_model(compile=compile).train().cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batch = on("cuda", pack(documents(), model.grammar, 64))
    generator = torch.Generator("cuda").manual_seed(0)
    for number in range(3):  # the first compiles
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            sum((one.loss * one.weight).sum() for one in model(batch, generator).values()).backward()
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
