"""Run the demo's stages, each once: what is finished is not done again, whatever ended the former call."""

import json
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from nnunetv2_mscs.demo.settings import DemoSettings
from nnunetv2_mscs.demo.stages import DemoStage, environment, stages
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import as_typed
from nnunetv2_mscs.pipeline.progress import command_bar
from nnunetv2_mscs.workplace.leftovers import sole_run
from nnunetv2_mscs.workplace.running import run_command
from nnunetv2_mscs.workplace.whole_files import write_whole

STATE, MARK, LOGS = ".demo", "demo.json", "logs"
# What a kill within its first moments leaves.
UNFINISHED_MARK = f".part-{MARK}"


def run_demo(
    folder: Path,
    settings: DemoSettings,
    *,
    device: str = "cpu",
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> float:
    """Run what is left of the demo in `folder`, telling each command; returns the seconds that all stages took.

    Args:
        folder: new or empty, or that of a former call with the same settings.
        settings: what decides on the result.
        device: cpu, cuda or mps; a demo may go on where it was not begun.
        overwrite: start over.
        say: takes each command as a person would type it.

    Raises:
        MscsError: the folder holds something else, or a demo with other settings; or a stage fails.
    """
    epochs = _epochs(settings.trainer)
    check_folder(folder, settings, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with sole_run(folder / STATE):
        progress = _Progress(folder, settings, overwrite=overwrite)
        variables = environment(folder.resolve())
        say(f"cd {shlex.quote(str(folder))}")
        say("export " + " ".join(f'{name}="{value}"' for name, value in environment(Path("$PWD")).items()))
        left = list(stages(settings, device=device, epochs=epochs))
        while left:
            stage = left[0]
            say(f"$ {as_typed(stage.words)}")
            if stage.title in progress.seconds:
                say(f"  done before, in {progress.seconds[stage.title]:.0f} s")
            else:
                _run_stage(left, folder, variables, progress)
            del left[0]
        return sum(progress.seconds.values())


def _run_stage(left: Sequence[DemoStage], folder: Path, variables: dict[str, str], progress: "_Progress") -> None:
    """Run the first of the stages that are left, without anything that it, or they, may have made before."""
    stage, *later = left
    for made in [*([] if stage.resumes else [stage]), *later]:
        _remove(folder / made.makes)
    start = time.monotonic()
    log = folder / LOGS / f"{stage.title.replace(' ', '_')}.log"
    with command_bar(stage.title, stage.epochs) as bar:
        run_command(
            stage.words,
            typed=as_typed(stage.words),
            folder=folder,
            log=log,
            state=folder / STATE,
            environment=variables,
            on_line=bar.line,
        )
    progress.finish(stage.title, time.monotonic() - start)


def check_folder(folder: Path, settings: DemoSettings, *, overwrite: bool) -> None:
    """Whether the demo may work in the folder.

    Raises:
        MscsError: it is no folder, holds something else, or a demo with other settings that is not to be overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise MscsError(f"{folder} is not a folder.", "Choose another with --out.")
    if not folder.exists() or {path.name for path in folder.iterdir()} <= {STATE, UNFINISHED_MARK}:
        return
    mark = folder / MARK
    if not mark.is_file():
        raise MscsError(f"{folder} holds something that is not a demo.", "Choose another folder with --out.")
    former, ours = json.loads(mark.read_text())["settings"], _as_json(settings)
    if former != ours and not overwrite:
        changed = [f"{key} {former.get(key)}" for key in former | ours if former.get(key) != ours.get(key)]
        raise MscsError(
            f"{folder} holds a demo with other settings: {', '.join(changed)}.",
            "Choose another folder with --out, or start over with --overwrite.",
        )


class _Progress:
    """Which stages are finished, and what they took; kept in the demo's folder."""

    def __init__(self, folder: Path, settings: DemoSettings, *, overwrite: bool):
        self.folder = folder
        self.settings = _as_json(settings)
        self.seconds: dict[str, float] = {}
        if (folder / MARK).is_file() and not overwrite:
            self.seconds = json.loads((folder / MARK).read_text())["seconds"]
        self._write()  # before anything goes: from here on it is a demo that has just begun
        if overwrite:
            for path in folder.iterdir():
                if path.name not in (STATE, MARK):
                    _remove(path)

    def finish(self, title: str, seconds: float) -> None:
        self.seconds[title] = seconds
        self._write()

    def _write(self) -> None:
        write_whole(
            self.folder / MARK, json.dumps({"settings": self.settings, "seconds": self.seconds}, indent=2) + "\n"
        )


def _as_json(settings: DemoSettings) -> dict:
    return json.loads(json.dumps(asdict(settings)))


def _epochs(trainer: str) -> int:
    from nnunetv2_mscs.training.variants import trainer_by_name

    found = trainer_by_name(trainer)
    if found is None or found.epochs is None:
        raise MscsError(f"{trainer} is no trainer of ours with its length in the name.", "Such as MSCSTrainer_5epochs.")
    return found.epochs


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
