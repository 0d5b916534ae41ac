"""Stages that write small files with Python's own interpreter, for tests of what carries them out."""

import sys
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.pipeline.stage import Here, Stage, Training, all_of

WRITE = """
import sys, time, pathlib
*inputs, out, text, seconds = sys.argv[1:]
time.sleep(float(seconds))
read = "".join(pathlib.Path(one).read_text() for one in inputs)
pathlib.Path(out).write_text(read + text)
"""


def writing_stage(
    folder: Path,
    name: str,
    *needs: Stage,
    text: str = "",
    seconds: float = 0.0,
    code: str = WRITE,
    sources: Sequence[Path] = (),
    trains: bool = False,
    **options,
) -> Stage:
    """A stage that writes what its needs and sources hold, and then `text`, into folder/<name>.txt.

    With `trains` it is a training, whose final checkpoint is that file.
    """
    out = folder / f"{name}.txt"
    inputs = [*(place for need in needs for place in need.makes), *sources]

    def commands(here: Here) -> Sequence[Sequence[str]]:
        return [[sys.executable, "-c", code, *map(str, inputs), str(out), text or name, str(seconds)]]

    return Stage(
        name,
        name,
        commands,
        parameters={"text": text},
        needs=all_of(*(need.name for need in needs)),
        sources=tuple(sources),
        makes=(out,),
        training=Training("T", "P", out) if trains else None,
        **options,
    )


def by_name(*stages: Stage) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages}
