"""Checks before a run begins: what the machine has, what the run will need, and what cannot go well."""
