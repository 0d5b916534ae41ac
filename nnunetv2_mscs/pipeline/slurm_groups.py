"""Which stages share a job, and which become a job array."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nnunetv2_mscs.pipeline.stage import Stage

# Trainer and plans: the models of a run, whatever their configurations.
Models = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class JobGroup:
    """Stages of one job, in their order; or trainings, each a task of an array.

    Args:
        name: of the job; unique.
        stages: their names.
        is_array: each stage is a job of its own.
        uses_gpu: whether they are worth a GPU.
        needs: names of the stages of other groups whose success it waits for.
    """

    name: str
    stages: tuple[str, ...]
    is_array: bool
    uses_gpu: bool
    needs: tuple[str, ...]


@dataclass(frozen=True)
class _Key:
    """What the stages of a group have in common: so that a failed stage stops no other model's stages.

    Args:
        wave: how many changes of kind, or trainings, come before them.
        kind: what they need of a machine.
        before: models of the trainings before them, their own included.
        after: models of the trainings after them, their own included.
    """

    wave: int
    kind: str
    before: Models
    after: Models

    @property
    def order(self) -> tuple[int, int, int]:
        """Higher for a group that needs another: along the needs `before` only grows, and `after` only shrinks."""
        return self.wave, len(self.before), -len(self.after)


def job_groups(stages: Mapping[str, Stage], left: Iterable[str]) -> list[JobGroup]:
    """The stages that are left as groups, each after those it needs.

    Neighbours of one kind share a job if the same models are before and after them. The trainings of a model are one
    array; those that need other trainings, as in a cascade, are the next array.
    """
    left = set(left)
    before, after = _models_before(stages), _models_after(stages)
    keys: dict[str, _Key] = {}
    for name, stage in stages.items():
        if name in left:
            kind = _kind(stage)
            needed = [keys[need] for need in stage.needs if need in left]
            wave = max((key.wave + (kind != key.kind or kind == "train") for key in needed), default=0)
            keys[name] = _Key(wave, kind, before[name], after[name])
    groups: list[JobGroup] = []
    for key in sorted(dict.fromkeys(keys.values()), key=lambda key: key.order):
        members = tuple(name for name in keys if keys[name] == key)
        needs = dict.fromkeys(need for name in members for need in stages[name].needs if need in left)
        groups.append(
            JobGroup(
                members[0] if len(members) == 1 else f"{key.kind}{len(groups)}",
                members,
                is_array=key.kind == "train",
                uses_gpu=key.kind != "cpu",
                needs=tuple(need for need in needs if need not in members),
            )
        )
    return groups


def _models_before(stages: Mapping[str, Stage]) -> dict[str, Models]:
    found: dict[str, Models] = {}
    for name, stage in stages.items():
        found[name] = _own_model(stage).union(*(found[need] for need in stage.needs))
    return found


def _models_after(stages: Mapping[str, Stage]) -> dict[str, Models]:
    found = {name: _own_model(stage) for name, stage in stages.items()}
    for name in reversed(list(stages)):
        for need in stages[name].needs:
            found[need] |= found[name]
    return found


def _own_model(stage: Stage) -> Models:
    return frozenset([(stage.training.trainer, stage.training.plans)] if stage.training else [])


def _kind(stage: Stage) -> str:
    if stage.training:
        return "train"
    return "gpu" if stage.uses_gpu else "cpu"
