"""Watching a run: where each stage stands, how far its training is, and what helps if it failed."""
