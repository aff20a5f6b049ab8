"""Functions that a model calls."""
