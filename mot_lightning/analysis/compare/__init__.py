"""Compares runs by step matching, as in MoT (arXiv 2411.04996): from run folders alone, without torch."""
