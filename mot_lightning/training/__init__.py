"""Parts of training: loss sums, optimizer, sharding, divergence checks, and the training of codecs."""
