"""The files of a run: its folder, logs and checkpoints, and whether a checkpoint fits a model."""
