"""Trained models as files: what a zip contains, what is checked before it is installed, how to predict with it."""
