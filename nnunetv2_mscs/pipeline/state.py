"""What a run keeps on disk: its folder with settings and logs, and a record of every stage."""

import dataclasses
import json
import os
import shlex
import time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import dataset_name
from nnunetv2_mscs.nnunet_files.environment import RESULTS, VARIABLES, Folders, folders_of
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.workplace.whole_files import write_whole

FORMAT = 1
FOLDER, SETTINGS = "mscs_run", "run.json"
# The jobs of the last submission to Slurm, and the folder of submitit's scripts and of what jobs print beside the logs.
JOBS, SUBMISSION = "jobs.json", "jobs"
STAGE_MARK = "MSCS_STAGE"


@dataclass(frozen=True)
class RunFolder:
    """Where a run of one data set keeps its state: `mscs_run` in the data set's folder of nnUNet_results."""

    path: Path

    @classmethod
    def of(cls, folders: Folders, dataset: str) -> "RunFolder":
        return cls(folders.results / dataset / FOLDER)

    @property
    def records(self) -> Path:
        return self.path / "stages"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def unprocessed_predictions(self) -> Path:
        return self.path / "predictions_unprocessed"

    @property
    def before(self) -> Path:
        """Masks of all training cases by the model that is adapted, which has seen none of them."""
        return self.path / "before"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    @property
    def test_evaluation(self) -> Path:
        return self.path / "evaluation_test"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def test_report(self) -> Path:
        return self.path / "report_test.html"

    def log(self, stage: str) -> Path:
        return self.logs / f"{stage}.log"

    def command(self, name: str) -> str:
        """`mscs NAME` for this run as it can be typed; with --workspace if nnU-Net's variables name other folders."""
        dataset, results = self.path.absolute().parent, self.path.absolute().parent.parent
        words = ["mscs", name, str(int(dataset.name[len("Dataset") :].partition("_")[0]))]
        named = os.environ.get(RESULTS)
        if not named or Path(os.path.abspath(named)) != results:
            words += ["--workspace", str(results.parent)]
        return shlex.join(words)

    def mark(self, stage: str) -> dict[str, str]:
        """The variable that marks the processes of a stage."""
        return {STAGE_MARK: f"{self.path.resolve()}:{stage}"}

    def write_settings(self, settings: RunSettings, folders: Folders, execution: dict[str, Any]) -> None:
        """Keep what the run was last asked for, and how it is carried out."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "nnunetv2_mscs": __version__,
            "written": time.time(),
            "folders": folders.environment,
            "settings": settings.as_json(),
            "execution": execution,
        }
        write_whole(self.path / SETTINGS, json.dumps(content, indent=2) + "\n")

    def read(self) -> dict[str, Any]:
        """What `write_settings` wrote.

        Raises:
            MscsError: there is no run, or one of another version.
        """
        file = self.path / SETTINGS
        try:
            content = json.loads(file.read_text())
        except FileNotFoundError:
            raise MscsError(f"No run in {self.path}.", "Start one with mscs run.") from None
        except (OSError, ValueError) as error:
            raise MscsError(f"{file} cannot be read: {error}.", "Start the run again.") from None
        if content.get("format") != FORMAT:
            raise MscsError(
                f"{file} was written by nnunetv2-mscs {content.get('nnunetv2_mscs')}, in another format.",
                "Use that version, or start the run again.",
            )
        return content

    def settings(self) -> RunSettings:
        return RunSettings.from_json(self.read()["settings"])

    def folders(self) -> Folders:
        places = self.read()["folders"]
        return Folders(*(Path(places[name]) for name in VARIABLES))


def find_runs(workspace: Path | None, dataset_id: int | None = None) -> list[RunFolder]:
    """All runs, or those of a data set, in nnUNet_results of a workspace, or in that of nnU-Net's variables.

    Raises:
        MscsError: there is none, or the workspace does not exist.
    """
    if workspace and not workspace.is_dir():
        raise MscsError(f"The workspace {workspace} does not exist.", "Check the path.")
    results = folders_of(workspace).results
    dataset = "Dataset*" if dataset_id is None else dataset_name(dataset_id, "*")
    runs = [RunFolder(file.parent) for file in sorted(results.glob(f"{dataset}/{FOLDER}/{SETTINGS}"))]
    if not runs:
        if dataset_id is None:
            raise MscsError(f"There is no run in {results}.", "Start one with mscs run.")
        there = f" --workspace {shlex.quote(str(workspace))}" if workspace else ""
        remedy = f"See mscs status{there} for all runs, or start one with mscs run."
        raise MscsError(f"There is no run of data set {dataset_id} in {results}.", remedy)
    return runs


class State(str, Enum):
    """How a stage stands by its record; one that says RUNNING may belong to a process that was killed."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Record:
    """The record of a stage: whether, where and with what inputs it runs or ran, and what it made.

    Args:
        stage: its name.
        state: see `State`.
        parameters: those of the stage when it began.
        inputs: digest of what each of its needs and sources held when it began.
        outputs: signature of every file it made (see `content_signatures`); empty until it has made all of them.
        adopted: files among them that others have put there, which are never removed.
        to_clear: whether what lay in its places before is still to be removed.
        began: when the last attempt began, in seconds since 1970.
        ended: likewise; None while it runs.
        seconds: that all attempts took together.
        attempts: how often it began with these inputs and parameters.
        host, pid: of the process that carries it out.
        job: the cluster's id of that process's job.
        gpus: what CUDA_VISIBLE_DEVICES held for it; None if it was not set.
        error: of a failed one, the sentence for the user.
    """

    stage: str
    state: State
    parameters: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    adopted: list[str] = field(default_factory=list)
    to_clear: bool = False
    began: float = 0.0
    ended: float | None = None
    seconds: float = 0.0
    attempts: int = 1
    host: str = ""
    pid: int = 0
    job: str = ""
    gpus: str | None = None
    error: str = ""


def record_file(run: RunFolder, stage: str) -> Path:
    return run.records / f"{stage}.json"


def read_record(run: RunFolder, stage: str) -> Record | None:
    """The record of a stage; None if there is none or it cannot be read: then the stage counts as never begun."""
    try:
        values = json.loads(record_file(run, stage).read_text())
        return Record(**{**values, "state": State(values["state"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(run: RunFolder, record: Record) -> None:
    run.records.mkdir(parents=True, exist_ok=True)
    write_whole(record_file(run, record.stage), json.dumps(dataclasses.asdict(record), indent=1) + "\n")
