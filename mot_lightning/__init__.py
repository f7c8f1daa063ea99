"""Controlled experiments with Mixture-of-Transformers on PyTorch Lightning."""
