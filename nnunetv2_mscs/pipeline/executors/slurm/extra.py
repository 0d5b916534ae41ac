"""Options that a user writes as for sbatch: read, and put in the place of ours that ask for the same."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nnunetv2_mscs.errors import MscsError

FLAG = re.compile(r"--(?P<name>[A-Za-z][\w-]*)(?:[= ](?P<value>.*))?")
SHORT = re.compile(r"-(?P<letter>[A-Za-z])[= ]?(?P<value>.*)")
LONG_FORMS = {
    "A": "account",
    "c": "cpus-per-task",
    "C": "constraint",
    "D": "chdir",
    "G": "gpus",
    "L": "licenses",
    "M": "clusters",
    "n": "ntasks",
    "N": "nodes",
    "p": "partition",
    "q": "qos",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
}
# A run needs its own: its jobs are found by their names, wait for each other, and know how long they may run.
OURS = ("array", "dependency", "job_name", "kill_on_invalid_dep", "time_min")
# Options, and what of ours they ask for in another way; sbatch refuses some of these side by side.
REPLACED = {
    **dict.fromkeys(("gpus", "gpus_per_task", "gpus_per_socket"), "gpus_per_node"),
    **dict.fromkeys(("mem_per_cpu", "mem_per_gpu"), "mem"),
    "cpus_per_gpu": "cpus_per_task",
    "no_requeue": "requeue",
}
OF_GPUS = ("gpus", "gpus_per_node", "gpus_per_task", "gpus_per_socket", "mem_per_gpu", "cpus_per_gpu", "gpu_bind")
GPU_RESOURCES = ("gpu", "gres/gpu")


def extra_options(texts: Iterable[str]) -> dict[str, Any]:
    """Options such as --reservation=x, by their names as submitit spells them, with underscores.

    Raises:
        MscsError: one is none of sbatch's long options, or one that a run sets itself.
    """
    extra: dict[str, Any] = {}
    for text in texts:
        match = FLAG.fullmatch(text.strip())
        if not match:
            raise MscsError(f"{text!r} is no option of sbatch in its long form.", _long_form(text.strip()))
        # submitit writes what has underscores with hyphens, but looks for this one with its hyphen.
        name = match["name"].replace("-", "_") if match["name"] != "open-mode" else match["name"]
        if name in OURS:
            raise MscsError(f"--{match['name']} is for the run itself to set.", "Leave it out of extra.")
        extra[name] = True if match["value"] is None else match["value"]
    return extra


def _long_form(text: str) -> str:
    match = SHORT.fullmatch(text)
    if not match or match["letter"] not in LONG_FORMS:
        return "Write it as there, with two dashes: --reservation=x."
    return f"Write --{LONG_FORMS[match['letter']]}={match['value'] or '...'}."


def with_extra(asked: Mapping[str, Any], extra: Mapping[str, Any], *, has_gpu: bool) -> dict[str, Any]:
    """What is asked of sbatch for a job, with the extra options in the place of what they replace.

    A job without a GPU gets none by them either.
    """
    added = {name: value for name, value in extra.items() if has_gpu or name not in OF_GPUS}
    replaced = {REPLACED.get(name) for name in added}
    resources = str(added.get("gres", "")).split(",")
    others = [one for one in resources if one.split(":")[0] not in GPU_RESOURCES]
    if len(others) < len(resources):
        replaced.add("gpus_per_node")
        if not has_gpu:
            added["gres"] = ",".join(others)
            added = {name: value for name, value in added.items() if value}
    return {**{name: value for name, value in asked.items() if name not in replaced}, **added}
