"""Trainers by name: `<Trainer>_<P>patience_<N>epochs_<M>iterations` for every P, N and M, in this order.

nnU-Net looks a trainer up by its name alone, in every process anew, and so the name has to carry patience and length.
Each part can be left out, but iterations stand only after epochs, and a patience only where training stops early.
"""

import re
from functools import cache

from nnunetv2_mscs.training.adapting_trainer import MSCSTrainerAdapt
from nnunetv2_mscs.training.early_stopping_trainer import MSCSTrainerEarlyStopping
from nnunetv2_mscs.training.lesion_trainer import MSCSTrainerLesion
from nnunetv2_mscs.training.paper_trainer import MSCSTrainerPaper
from nnunetv2_mscs.training.trainer import MSCSTrainer

BASES: dict[str, type[MSCSTrainer]] = {
    base.__name__: base
    for base in (MSCSTrainer, MSCSTrainerAdapt, MSCSTrainerEarlyStopping, MSCSTrainerLesion, MSCSTrainerPaper)
}
NAME = re.compile(
    r"(?P<base>[A-Za-z]+)(_(?P<patience>[1-9]\d*)patience)?"
    r"(_(?P<epochs>[1-9]\d*)epochs(_(?P<iterations>[1-9]\d*)iterations)?)?"
)

LENGTH = re.compile("([1-9][0-9]*)(patience|epochs?|iterations?)")


@cache
def trainer_by_name(name: str) -> type[MSCSTrainer] | None:
    """The trainer class of that name, or None if the name is not one of ours. The same name gives the same class."""
    if name in BASES:
        return BASES[name]
    match = NAME.fullmatch(name)
    if match is None or match["base"] not in BASES:
        return None
    base = BASES[match["base"]]
    if match["patience"] and not issubclass(base, MSCSTrainerEarlyStopping):
        return None
    attributes = {
        "__module__": __name__,  # where pickle finds it again, by the __getattr__ below
        "__doc__": f"{base.__name__} with patience and length as in its name.",
    }
    numbers = {key: int(match[key]) for key in ("patience", "epochs", "iterations") if match[key]}
    return type(name, (base,), attributes | numbers)


def names_like(name: str) -> list[str]:
    """The names of ours with the patience and length that a mistyped name asks for, in full words."""
    _, *parts = name.split("_")
    words = [f"{match[1]}{match[2]}" for part in parts if (match := LENGTH.fullmatch(part))]
    plural = [re.sub("[hn]$", r"\g<0>s", word) for word in words]
    return [full for base in BASES if trainer_by_name(full := "_".join([base, *plural]))]


def __getattr__(name: str) -> type[MSCSTrainer]:
    trainer = trainer_by_name(name)
    if trainer is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return trainer
