"""A run in small: stages with the graph of a real one, whose commands write a few lines and sleep."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nnunetv2_mscs.pipeline.stage import Here, Stage, Training, all_of

STEPS = 12
# Goes on after the last line that it finds, as a training after its checkpoint; a line every quarter of a second.
TRAINING = """
import sys, time
from pathlib import Path
file, steps = Path(sys.argv[1]), int(sys.argv[2])
file.parent.mkdir(exist_ok=True)
Path(sys.argv[1] + ".starts").open("a").write("start\\n")
done = len(file.read_text().splitlines()) if file.exists() else 0
for step in range(done, steps):
    time.sleep(0.25)
    with file.open("a") as out:
        out.write(f"{step}\\n")
"""
WRITING = "import sys; open(sys.argv[1], 'w').write(' '.join(sys.argv[2:]))"


def fake_stages(folder: Path, steps: int = STEPS, folds: int = 3) -> dict[str, Stage]:
    """convert, preprocess; a training a fold; best_configuration, predict, evaluate."""
    trainings = [_train(folder, fold, steps) for fold in range(folds)]
    stages = [
        _write("convert", folder),
        _write("preprocess", folder, "convert"),
        *trainings,
        _write("best_configuration", folder, *[stage.name for stage in trainings]),
        _write("predict", folder, "best_configuration", uses_gpu=True),
        _write("evaluate", folder, "predict"),
    ]
    return {stage.name: stage for stage in stages}


def long_stages(folder: Path, steps: int) -> dict[str, Stage]:
    """A training, and beside it a stage that never ends."""
    endless = [sys.executable, "-c", "import time; time.sleep(600)"]
    stages = [
        replace(_train(folder, 0, steps), needs={}),
        Stage("predict", "predict", lambda here: [endless], {}, makes=(folder / "predict",)),
    ]
    return {stage.name: stage for stage in stages}


def two_models(folder: Path, steps: int = STEPS) -> dict[str, Stage]:
    """A run whose rival cannot be trained."""
    ours = replace(_train(folder, 0, steps), needs=all_of("convert"))
    rival = _failing(replace(_train(folder, 1, steps), needs=all_of("convert")), "Rival")
    stages = [
        _write("convert", folder),
        ours,
        rival,
        _write("best_configuration", folder, ours.name),
        _write("evaluate", folder, ours.name, rival.name),
        _write("predict", folder, "best_configuration", uses_gpu=True),
    ]
    return {stage.name: stage for stage in stages}


def cascade(folder: Path, steps: int = STEPS) -> dict[str, Stage]:
    """Two trainings, of which one fails, and one that comes after the other."""
    first, second = (replace(_train(folder, fold, steps), needs=all_of("convert")) for fold in (0, 1))
    stages = [
        _write("convert", folder),
        first,
        _failing(second, "T"),
        replace(_train(folder, 2, steps), needs=all_of("convert", first.name)),
    ]
    return {stage.name: stage for stage in stages}


def _failing(stage: Stage, trainer: str) -> Stage:
    assert stage.training is not None
    words = [sys.executable, "-c", "import sys; sys.exit(3)"]
    return replace(stage, commands=lambda here: [words], training=replace(stage.training, trainer=trainer))


def _write(name: str, folder: Path, *needs: str, uses_gpu: bool = False) -> Stage:
    file = folder / name

    def commands(here: Here) -> Sequence[Sequence[str]]:
        return [[sys.executable, "-c", WRITING, str(file), here.device, str(here.workers)]]

    return Stage(name, name, commands, {}, all_of(*needs), makes=(file,), uses_gpu=uses_gpu)


def _train(folder: Path, fold: int, steps: int) -> Stage:
    file = folder / f"fold_{fold}" / "steps"
    return Stage(
        f"train_fold{fold}",
        f"train fold {fold}",
        lambda here: [[sys.executable, "-c", TRAINING, str(file), str(steps)]],
        {"fold": fold},
        all_of("preprocess"),
        makes=(file.parent,),
        checked=(file,),
        uses_gpu=True,
        training=Training("T", "P", file.parent / "final"),
    )
