"""The trainers and their variants by name; nothing heavy is imported before a class is asked for."""

import importlib

__all__ = ["MSCSTrainer", "MSCSTrainerAdapt", "MSCSTrainerEarlyStopping", "MSCSTrainerLesion", "MSCSTrainerPaper"]


def __getattr__(name: str):
    if not name.startswith("MSCSTrainer"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("nnunetv2_mscs.training.variants"), name)
