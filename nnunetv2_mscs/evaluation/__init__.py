"""How well masks agree with the truth: metrics, statistics over cases, and comparison of models."""
