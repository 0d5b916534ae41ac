"""Run the demo: its stages one after another, carried out and recorded as those of `mscs run`."""

import shlex
from collections.abc import Callable
from pathlib import Path

from nnunetv2_mscs.demo.first_mask import first_mask_line
from nnunetv2_mscs.demo.settings import DemoSettings
from nnunetv2_mscs.demo.stages import FIRST_MASK, demo_stages, environment
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import as_typed
from nnunetv2_mscs.pipeline.logs import read_progress
from nnunetv2_mscs.pipeline.progress import command_bar
from nnunetv2_mscs.pipeline.run_stage import remove, run_stage
from nnunetv2_mscs.pipeline.stage import Here, Stage
from nnunetv2_mscs.pipeline.standing import DONE, RESUMES, standing, standings
from nnunetv2_mscs.pipeline.state import Record, RunFolder
from nnunetv2_mscs.workplace.leftovers import LOCK, sole_run
from nnunetv2_mscs.workplace.resources import default_processes


def run_demo(
    folder: Path,
    settings: DemoSettings,
    *,
    device: str = "cpu",
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> float:
    """Run what is left of the demo in `folder` and print each command; returns the seconds that all stages took.

    Args:
        folder: new or empty, or that of an earlier call with the same settings.
        settings: what decides on the result.
        device: cpu, cuda or mps; a demo may continue on another one.
        overwrite: start over.
        say: takes each command as a person would type it.

    Raises:
        MscsError: the folder holds something else, or a demo with other settings; or a stage fails.
    """
    epochs = _epochs(settings.trainer)
    run, here = RunFolder(folder), Here(default_processes(), device)
    check_folder(run)
    variables = environment(folder.resolve())
    stages = demo_stages(folder.resolve(), settings)
    with sole_run(folder, place=folder):
        if overwrite:
            _start_over(run)
        _check_settings(run, stages)
        say(f"cd {shlex.quote(str(folder))}")
        say("export " + " ".join(f'{name}="{value}"' for name, value in environment(Path("$PWD")).items()))
        seconds = 0.0
        for stage in stages:
            seconds += _run(run, stage, here, variables, epochs, say).seconds
            if stage.name == FIRST_MASK:
                say(first_mask_line(folder))
        return seconds


def _run(
    run: RunFolder, stage: Stage, here: Here, variables: dict[str, str], epochs: int, say: Callable[[str], None]
) -> Record:
    for words in stage.commands(here):
        say(f"$ {as_typed(words)}")
    if standing(run, stage).what == DONE:
        record = run_stage(run, stage, here, environment=variables)
        say(f"  done before, in {record.seconds:.0f} s")
        return record
    length, begun = (epochs, _epochs_begun(run, stage)) if stage.training else (None, 0)
    with command_bar(stage.title, length, begun=begun) as bar:
        return run_stage(run, stage, here, environment=variables, on_line=bar.line)


def _epochs_begun(run: RunFolder, stage: Stage) -> int:
    """The epoch in which an earlier attempt at the training stopped."""
    progress = read_progress(run.log(stage.name)) if standing(run, stage).what == RESUMES else None
    return (progress.epoch if progress else None) or 0


def check_folder(run: RunFolder) -> None:
    """Raise MscsError unless the folder is new, empty or a demo's, even one that was killed in its first moments."""
    if run.path.exists() and not run.path.is_dir():
        raise MscsError(f"{run.path} is not a folder.", "Choose another with --out.")
    if run.path.exists() and not run.records.is_dir() and {path.name for path in run.path.iterdir()} - {LOCK}:
        raise MscsError(f"{run.path} holds something that is not a demo.", "Choose another folder with --out.")


def _check_settings(run: RunFolder, stages: list[Stage]) -> None:
    """Raise MscsError if something finished would have to be replaced."""
    stands = standings(run, {stage.name: stage for stage in stages}).values()
    if lost := [one for one in stands if one.removes and not one.uncertain]:
        raise MscsError(
            f"{run.path} holds a demo with other settings or files; {lost[0].stage.title}: {lost[0].reason}.",
            "Choose another folder with --out, or start over with --overwrite.",
        )


def _start_over(run: RunFolder) -> None:
    """Remove all of a former demo; its folder of records stays, so that it is known as a demo's at any moment."""
    run.records.mkdir(exist_ok=True)
    for place in [*run.records.iterdir(), *run.path.iterdir()]:
        if place not in (run.records, run.path / LOCK):
            remove(place)


def _epochs(trainer: str) -> int:
    from nnunetv2_mscs.training.variants import trainer_by_name

    found = trainer_by_name(trainer)
    if found is None or found.epochs is None:
        raise MscsError(f"{trainer} is no trainer of ours with its length in the name.", "Such as MSCSTrainer_5epochs.")
    return found.epochs
