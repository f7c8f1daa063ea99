"""A suite: a grid of runs that answers claims, learning rates first, each arm with the same sweep."""
