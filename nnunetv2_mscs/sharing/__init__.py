"""Trained models as files: what goes into a zip, what is checked before one is installed, how to predict with it."""
