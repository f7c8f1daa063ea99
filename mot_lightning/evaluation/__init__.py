"""Evaluation of a model: the tasks of the data, their metrics, and the table of results."""
