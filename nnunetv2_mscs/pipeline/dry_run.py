"""A run as commands that a person could type."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

from nnunetv2_mscs.pipeline.commands import as_typed
from nnunetv2_mscs.pipeline.local import VISIBLE_GPUS, Slot
from nnunetv2_mscs.pipeline.stage import REPLACED, Here
from nnunetv2_mscs.pipeline.standing import DONE, Standing
from nnunetv2_mscs.pipeline.state import RunFolder


def as_script(
    run: RunFolder,
    stands: Mapping[str, Standing],
    here: Here,
    environment: Mapping[str, str],
    slots: Sequence[Slot] = (),
    jobs: Sequence[str] = (),
) -> Iterator[str]:
    """The lines of a shell script that does what is left of the run.

    Stages that are done, or that may have to be done again, are comments in it: a person sees whether they have to.

    Args:
        run: its folder.
        stands: how every stage stands.
        here: where the stages are carried out.
        environment: variables for all commands.
        slots: places; each stage that is worth a GPU names the GPUs of the next.
        jobs: the jobs of a cluster that would do the same, one line each.
    """
    yield from (f"# {line}" for line in jobs)
    shared = {name: value for slot in slots for name, value in slot.environment.items() if name != VISIBLE_GPUS}
    for name, value in {**environment, **shared}.items():
        yield f"export {name}={shlex.quote(value)}"
    yield f"RUN={shlex.quote(str(run.path))}"
    yield 'mkdir -p "$RUN"'
    shown = {str(run.path): "$RUN"} | {value: f"${name}" for name, value in environment.items() if "/" in value}
    places = cycle([slot for slot in slots if slot.gpus] or [Slot()])
    for standing in stands.values():
        place = next(places) if standing.stage.uses_gpu else Slot()
        gpus = f"{VISIBLE_GPUS}={','.join(place.gpus)} " if place.gpus else ""
        yield ""
        yield f"# {standing.stage.title}: {_in_words(standing)}"
        yield from (_shortened(line, shown) for line in _lines(standing, here, gpus))


def _shortened(line: str, shown: Mapping[str, str]) -> str:
    """A line with variables instead of folders, except within quotes, where a shell would not replace them."""
    for place, variable in shown.items():
        if shlex.quote(place) == place:
            line = line.replace(f" {place}/", f" {variable}/").replace(f" {place} ", f" {variable} ")
    return line


def _in_words(standing: Standing) -> str:
    if standing.uncertain:
        return f"done, but {standing.reason}; do this too if what it reads has changed by then"
    return f"{standing.what}: {standing.reason}" if standing.reason else standing.what


def _lines(standing: Standing, here: Here, gpus: str) -> Iterator[str]:
    commands = [f"{gpus}{as_typed(words)}" for words in standing.stage.commands(here)]
    if standing.removes and standing.stage.former != REPLACED:
        commands.insert(0, shlex.join(["rm", "-rf", *map(str, standing.removes)]))
    is_comment = standing.what == DONE or standing.uncertain
    yield from (f"# {line}" if is_comment else line for line in commands)
