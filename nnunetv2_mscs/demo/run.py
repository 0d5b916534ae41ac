"""Run the demo's stages, each once: what is finished is not done again, whatever ended the former call."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from nnunetv2_mscs.demo.settings import DemoSettings
from nnunetv2_mscs.demo.stages import Stage, environment, stages
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import as_typed, run_command
from nnunetv2_mscs.pipeline.leftovers import sole_run
from nnunetv2_mscs.pipeline.progress import command_bar

STATE, MARK, LOGS = ".demo", "demo.json", "logs"


def run_demo(
    folder: Path, settings: DemoSettings, *, overwrite: bool = False, say: Callable[[str], None] = print
) -> float:
    """Run what is left of the demo in `folder`, telling each command; returns the seconds that all stages took.

    Raises:
        MscsError: the folder holds something else, or a demo with other settings; or a stage fails.
    """
    epochs = _epochs(settings.trainer)
    check_folder(folder, settings, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with sole_run(folder / STATE):
        progress = _Progress(folder, settings, overwrite=overwrite)
        variables = environment(folder.resolve())
        say(f"cd {folder}")
        say("export " + " ".join(f"{name}={value}" for name, value in environment(Path("$PWD")).items()))
        for stage in stages(settings, epochs):
            say(f"$ {as_typed(stage.words)}")
            if stage.title in progress.seconds:
                say(f"  done before, in {progress.seconds[stage.title]:.0f} s")
                continue
            _run_stage(stage, folder, variables, progress)
        return sum(progress.seconds.values())


def _run_stage(stage: Stage, folder: Path, variables: dict[str, str], progress: "_Progress") -> None:
    if not stage.resumes:
        _remove(folder / stage.makes)
    start = time.monotonic()
    log = folder / LOGS / f"{stage.title.replace(' ', '_')}.log"
    with command_bar(stage.title, stage.epochs) as bar:
        run_command(stage.words, folder=folder, log=log, state=folder / STATE, environment=variables, on_line=bar.line)
    progress.finish(stage.title, time.monotonic() - start)


def check_folder(folder: Path, settings: DemoSettings, *, overwrite: bool) -> None:
    """Whether the demo may work in the folder.

    Raises:
        MscsError: it is no folder, holds something else, or a demo with other settings that is not to be overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise MscsError(f"{folder} is not a folder.", "Choose another with --out.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    mark = folder / MARK
    if not mark.is_file():
        if {path.name for path in folder.iterdir()} <= {STATE}:
            return
        raise MscsError(f"{folder} holds something that is not a demo.", "Choose another folder with --out.")
    former = json.loads(mark.read_text())["settings"]
    ours = json.loads(json.dumps(asdict(settings)))
    if former != ours and not overwrite:
        changed = [f"{key} {former.get(key)}" for key in ours if former.get(key) != ours[key]]
        raise MscsError(
            f"{folder} holds a demo with other settings: {', '.join(changed)}.",
            "Choose another folder with --out, or start over with --overwrite.",
        )


class _Progress:
    """Which stages are finished, and what they took; kept in the demo's folder."""

    def __init__(self, folder: Path, settings: DemoSettings, *, overwrite: bool):
        self.file = folder / MARK
        self.settings = asdict(settings)
        self.seconds: dict[str, float] = {}
        if overwrite:
            for path in folder.iterdir():
                if path.name != STATE:
                    _remove(path)
        elif self.file.is_file():
            self.seconds = json.loads(self.file.read_text())["seconds"]
        self._write()

    def finish(self, title: str, seconds: float) -> None:
        self.seconds[title] = seconds
        self._write()

    def _write(self) -> None:
        unfinished = self.file.with_name(f"{MARK}.part")
        unfinished.write_text(json.dumps({"settings": self.settings, "seconds": self.seconds}, indent=2) + "\n")
        unfinished.replace(self.file)


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
