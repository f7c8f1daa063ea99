"""How good a model is: tasks and their judges, distances between distributions, and what a token costs."""
