"""Configs as plain nested data: files, merging, classes, hints and messages."""
