"""Stages that write small files with Python's own interpreter, for tests of what carries them out."""

import sys
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.pipeline.stage import Here, Stage

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
    **options,
) -> Stage:
    """A stage that writes what its needs and sources hold, and then `text`, into folder/<name>.txt."""
    out = folder / f"{name}.txt"
    inputs = [*(place for need in needs for place in need.makes), *sources]

    def commands(here: Here) -> Sequence[Sequence[str]]:
        return [[sys.executable, "-c", code, *map(str, inputs), str(out), text or name, str(seconds)]]

    return Stage(
        name,
        name,
        commands,
        parameters={"text": text},
        needs=tuple(need.name for need in needs),
        sources=tuple(sources),
        makes=(out,),
        outputs=lambda: [out],
        **options,
    )


def by_name(*stages: Stage) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages}
