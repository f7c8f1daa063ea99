"""The FLOPs of training over those of a forward pass, for the ledger and for comparisons, which need no torch."""

TRAINING_FACTOR = 3  # the backward pass computes the gradients of both factors of each product
