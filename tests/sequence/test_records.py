"""Records of a batch."""

import numpy as np
import torch
from conftest import TOKENS
from lightning.fabric.utilities import move_data_to_device

from mot_lightning.sequence import Grammar, Segment, Step, pack

CAUSAL = {"text": True, "image": False, "speech": True}
GRAMMAR = Grammar(TOKENS, CAUSAL, "text", ("image", "speech", "text"))


def test_a_batch_moves_whole_and_keeps_on_the_host_what_the_host_reads():
    batch = pack([[Segment("text", torch.arange(3)), Segment("image", torch.zeros(4, 3))]], GRAMMAR, 32)
    batch = batch._replace(step=Step(0, 1, {}, np.array([7]), 1))
    moved = move_data_to_device(batch, torch.device("meta"))
    tensors = [x for record in (moved.layout, *moved.by_modality.values()) for x in record if torch.is_tensor(x)]
    assert len(tensors) == 5 + 12 * len(GRAMMAR.groups)
    assert {x.device.type for x in tensors} == {"meta"}
    assert moved.layout.counts == batch.layout.counts
    assert moved.layout.blocks is batch.layout.blocks
    assert moved.step is batch.step
