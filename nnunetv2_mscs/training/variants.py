"""Trainers by name: `MSCSTrainer_<N>epochs` and `MSCSTrainer_<N>epochs_<M>iterations` for every N and M.

nnU-Net looks a trainer up by its name alone, in every process anew, and so the name has to carry the length.
"""

import re
from functools import cache

from nnunetv2_mscs.training.trainer import MSCSTrainer

BASES = {"MSCSTrainer": MSCSTrainer}
LENGTH = re.compile(r"(?P<base>[A-Za-z]+)_(?P<epochs>[1-9]\d*)epochs(_(?P<iterations>[1-9]\d*)iterations)?")


@cache
def trainer_by_name(name: str) -> type[MSCSTrainer] | None:
    """The trainer class of that name, or None if the name is not one of ours. The same name gives the same class."""
    if name in BASES:
        return BASES[name]
    match = LENGTH.fullmatch(name)
    if match is None or match["base"] not in BASES:
        return None
    base = BASES[match["base"]]
    iterations = match["iterations"]
    attributes = {
        "__module__": __name__,  # where pickle finds it again, by the __getattr__ below
        "__doc__": f"{base.__name__} with the length in its name.",
        "epochs": int(match["epochs"]),
        "iterations": None if iterations is None else int(iterations),
    }
    return type(name, (base,), attributes)


def __getattr__(name: str) -> type[MSCSTrainer]:
    trainer = trainer_by_name(name)
    if trainer is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return trainer
