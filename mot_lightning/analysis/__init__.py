"""Analysis of a model: what it costs."""
