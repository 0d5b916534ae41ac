"""A run as commands that a person could type."""

import shlex
from collections.abc import Iterator, Mapping

from nnunetv2_mscs.pipeline.commands import as_typed
from nnunetv2_mscs.pipeline.graph.stage import Here, Stage
from nnunetv2_mscs.pipeline.state.run_folder import RunFolder
from nnunetv2_mscs.pipeline.state.standing import DONE, Standing


def as_script(
    run: RunFolder, stands: Mapping[str, Standing], here: Here, environment: Mapping[str, str]
) -> Iterator[str]:
    """The lines of a shell script that does what is left of the run; what is done stands in it as comments."""
    for name, value in environment.items():
        yield f"export {name}={shlex.quote(value)}"
    yield f"RUN={shlex.quote(str(run.path))}"
    yield 'mkdir -p "$RUN"'
    shown = {str(run.path): "$RUN"} | {value: f"${name}" for name, value in environment.items() if "/" in value}
    for standing in stands.values():
        yield ""
        yield f"# {standing.stage.title}: {_in_words(standing)}"
        yield from (_shortened(line, shown) for line in _lines(standing, here))


def _shortened(line: str, shown: Mapping[str, str]) -> str:
    """With variables for folders whose names need no quotes: within them no shell would replace a variable."""
    for place, variable in shown.items():
        if shlex.quote(place) == place:
            line = line.replace(f" {place}/", f" {variable}/").replace(f" {place} ", f" {variable} ")
    return line


def _in_words(standing: Standing) -> str:
    if standing.uncertain:
        return f"{standing.reason}, and is done again if that changes what it reads"
    return f"{standing.what}: {standing.reason}" if standing.reason else standing.what


def _lines(standing: Standing, here: Here) -> Iterator[str]:
    if standing.what == DONE:
        yield from (f"# {line}" for line in _commands(standing.stage, here))
        return
    if standing.removes and not standing.stage.replaces:
        yield shlex.join(["rm", "-rf", *map(str, standing.removes)])
    yield from _commands(standing.stage, here)


def _commands(stage: Stage, here: Here) -> Iterator[str]:
    yield from (as_typed(words) for words in stage.commands(here))
