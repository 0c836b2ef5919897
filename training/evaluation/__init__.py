"""Judges a model folder: bits per byte and exact lines on code it never saw."""
