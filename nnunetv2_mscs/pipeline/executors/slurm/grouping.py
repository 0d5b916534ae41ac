"""Which stages become one job, and which a job array."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nnunetv2_mscs.pipeline.graph.stage import Stage


@dataclass(frozen=True)
class JobGroup:
    """Stages for one job, in their order; or trainings, each a task of an array.

    Args:
        name: of the job.
        stages: names.
        is_array: each stage is a job of its own.
        uses_gpu: whether they are worth a GPU.
        needs: positions of the groups whose success it waits for.
    """

    name: str
    stages: tuple[str, ...]
    is_array: bool
    uses_gpu: bool
    needs: tuple[int, ...]


def job_groups(stages: Mapping[str, Stage], left: Iterable[str]) -> list[JobGroup]:
    """The stages that are left as groups, each after those it needs.

    Neighbours of one kind share a job. Trainings that need no other are one array; those that do, as a cascade's, the
    next.
    """
    left = set(left)
    waves: dict[str, tuple[int, str]] = {}
    for name, stage in stages.items():
        if name in left:
            kind = _kind(stage)
            needed = [waves[need] for need in stage.needs if need in left]
            waves[name] = (max((wave + _is_later(kind, other) for wave, other in needed), default=0), kind)
    keys = sorted(set(waves.values()), key=lambda key: key[0])
    groups: list[JobGroup] = []
    for wave, kind in keys:
        members = tuple(name for name in waves if waves[name] == (wave, kind))
        needs = {keys.index(waves[need]) for name in members for need in stages[name].needs if need in left}
        groups.append(
            JobGroup(
                members[0] if len(members) == 1 else f"{kind}{wave}",
                members,
                is_array=kind == "train",
                uses_gpu=kind != "cpu",
                needs=tuple(sorted(needs - {len(groups)})),
            )
        )
    return groups


def _kind(stage: Stage) -> str:
    if stage.training:
        return "train"
    return "gpu" if stage.uses_gpu else "cpu"


def _is_later(kind: str, needed: str) -> bool:
    return kind != needed or kind == "train"
