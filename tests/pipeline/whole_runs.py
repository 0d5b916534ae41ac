"""Whole runs on a few small phantoms, what they must have made, and kills in their midst.

`python -m tests.pipeline.whole_runs DIR --kills 20 --seed 1` kills a run at random moments of all its stages, and
compares it with one that its dry run's commands have made.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from nnunetv2_mscs.pipeline.state import FOLDER, RunFolder, State, read_record
from nnunetv2_mscs.workplace.leftovers import end_leftovers, marked
from tests.forked_workers import programs_that_ask_for_a_fork, run_forked

DATASET_ID, DATASET = 7, "Dataset007_Tiny"
TRAINER = "MSCSTrainer_2epochs_4iterations"
MODEL = f"{TRAINER}__MSCSPlans__2d"
FOLDS = (0, 1)
FEW_WORKERS = {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}
ON_THIS_MACHINE = ("-np", 1)
# In its first epoch `begun_run` is killed.
BEGUN = f"train_{MODEL}_fold0"
LONGEST_S = 900
# What differs from run to run: times in names and pages, and what says where a run lies.
VARYING = ("training_log_", "progress.png", "debug.json", ".lock")
# nnU-Net copies these beside the postprocessed masks where postprocessing did not help, which hangs on the training.
COPIED_AT_TIMES = ("postprocessed/plans.json", "postprocessed/dataset.json")


@dataclass(frozen=True)
class Kill:
    """One kill, meant for a stage; so many seconds after the stage had begun, which then was in this state.

    Args:
        hit: whether there was still a run to be killed.
    """

    stage: str
    seconds: float
    state: str
    hit: bool

    @property
    def in_its_midst(self) -> bool:
        return self.hit and self.state == State.RUNNING.value


def mscs(*words: object) -> list[str]:
    return [sys.executable, "-m", "nnunetv2_mscs.cli.main", *map(str, words)]


def call(words: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess:
    """A command in a new Python, as a user's."""
    environment = {**_environment(), **variables}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_S)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**kept, **FEW_WORKERS, "ALL_SAMPLES": "as the run that this is compared with"}


def make_phantoms(folder: Path, cases: int = 10) -> Path:
    words = ("phantom", folder / "phantoms", "--cases", cases, "--seed", 3, "--size", 48, 48, 6, "--spacing", 4, 4, 10)
    run_forked(mscs(*words), folder, _environment()).check_returncode()
    return folder / "phantoms"


def run_words(
    source: Path, workspace: Path, *options: object, executor: Sequence[object] = ON_THIS_MACHINE
) -> list[str]:
    """The command of the run that all of this is about; `executor` is what differs from one executor to another."""
    return mscs(
        *("run", source, DATASET_ID, DATASET.split("_")[1], "--workspace", workspace, "--test-fraction", 0.2),
        *("--configurations", "2d", "--folds", *FOLDS, "--trainer", TRAINER, "--gpu-memory-target", 0.82),
        *("--device", "cpu", *executor, *options),
    )


def run_folder(workspace: Path) -> RunFolder:
    return RunFolder(workspace / "nnUNet_results" / DATASET / FOLDER)


def paste_dry_run(source: Path, workspace: Path) -> subprocess.CompletedProcess:
    """Print the run's plan, then paste it into a shell in which every error is the end; its commands are forked."""
    plan = run_forked(run_words(source, workspace, "--dry-run"), workspace.parent, _environment())
    plan.check_returncode()
    with programs_that_ask_for_a_fork() as programs:
        environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
        return call(["bash", "-e", "-c", plan.stdout], workspace.parent, **environment)


def kill_in_first_epoch(source: Path, workspace: Path, stage: str) -> None:
    """Start the run, kill it with SIGKILL in the first epoch of a training, and end what it leaves running."""
    run = run_folder(workspace)
    environment = {**os.environ, **FEW_WORKERS}
    with subprocess.Popen(
        run_words(source, workspace), env=environment, stdout=subprocess.DEVNULL, cwd=workspace.parent
    ) as process:
        while process.poll() is None and not (run.log(stage).is_file() and "Epoch 0" in run.log(stage).read_text()):
            time.sleep(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    end_leftovers(marked(run.path))


def run_with_kills(
    source: Path, workspace: Path, stages: Sequence[str], rng: random.Random, longest_s: float = 12
) -> list[Kill]:
    """Start the run, kill it with SIGKILL at a random moment of each of these stages, and start it again each time.

    Args:
        longest_s: after the beginning of a stage; most kills come sooner, as most stages are short.
    """
    kills = []
    run = run_folder(workspace)
    for stage in stages:
        environment = {**os.environ, **FEW_WORKERS}
        with subprocess.Popen(
            run_words(source, workspace), env=environment, stdout=subprocess.DEVNULL, cwd=workspace.parent
        ) as process:
            began = _wait_for(run, stage, process)
            time.sleep(rng.uniform(0, longest_s) * rng.random())
            record = read_record(run, stage)
            hit = process.poll() is None
            process.send_signal(signal.SIGKILL)
        state = record.state.value if record else "not begun"
        kills.append(Kill(stage, time.time() - began, state, hit))
    return kills


def _wait_for(run: RunFolder, stage: str, process: subprocess.Popen) -> float:
    """Wait until a stage has begun, or ended; returns when."""
    start = time.time()
    while process.poll() is None and time.time() < start + LONGEST_S:
        record = read_record(run, stage)
        if record is not None and (record.state == State.DONE or record.began > start):
            return time.time()
        time.sleep(0.02)
    return time.time()


def made(workspace: Path) -> list[str]:
    """All files of a run that are its result, without those that only tell how it went."""
    files = []
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        for file in (workspace / name).rglob("*"):
            path = file.relative_to(workspace)
            told = FOLDER in path.parts and TOLD.intersection(path.parts)
            varies = file.name.startswith(VARYING) or file.name.endswith(VARYING) or str(path).endswith(COPIED_AT_TIMES)
            if file.is_file() and not told and not varies:
                files.append(str(path))
    return sorted(files)


TOLD = {"stages", "logs", "run.json", "lock", "jobs.json", "jobs", "slurm"}
SAME_CONTENT = (
    f"nnUNet_raw/{DATASET}/splits_final.json",
    f"nnUNet_preprocessed/{DATASET}/splits_final.json",
    f"nnUNet_preprocessed/{DATASET}/MSCSPlans.json",
    f"nnUNet_preprocessed/{DATASET}/dataset_fingerprint.json",
)


def differences(one: Path, other: Path) -> list[str]:
    """In words, what two runs have made differently; trainings have no seed, so that their numbers may differ."""
    found = [f"only in one of them: {file}" for file in sorted(set(made(one)) ^ set(made(other)))]
    found += [
        f"not the same: {file}" for file in SAME_CONTENT if (one / file).read_text() != (other / file).read_text()
    ]
    for fold in FOLDS:
        epochs, others = (epochs_trained(place, fold) for place in (one, other))
        if epochs != others or epochs is None:
            found.append(f"fold {fold} has {epochs} and {others} epochs")
    cases, others = (evaluated_cases(place) for place in (one, other))
    return found + (["other cases evaluated"] if cases != others else [])


def epochs_trained(workspace: Path, fold: int) -> int | None:
    """How many epochs the history of a finished training has."""
    import torch

    file = workspace / "nnUNet_results" / DATASET / MODEL / f"fold_{fold}" / "checkpoint_final.pth"
    if not file.is_file():
        return None
    logging = torch.load(file, map_location="cpu", weights_only=False)["logging"]
    return (
        len(logging["train_losses"]) if len(logging["train_losses"]) == len(logging["dice_per_class_or_region"]) else 0
    )


def evaluated_cases(workspace: Path) -> list[str]:
    lines = (run_folder(workspace).evaluation / "cases.csv").read_text().splitlines()[1:]
    return sorted(line.split(",")[0] for line in lines)


def stage_names(workspace: Path) -> list[str]:
    """All stages of a finished run, in the order in which they began."""
    records = [json.loads(file.read_text()) for file in run_folder(workspace).records.glob("*.json")]
    return [record["stage"] for record in sorted(records, key=lambda record: record["began"])]


ALL_STAGES = (
    *("convert", "fingerprint", "splits", "references", "plan_MSCSPlans", "preprocess_MSCSPlans_2d"),
    *(f"train_{MODEL}_fold{fold}" for fold in FOLDS),
    *("best_configuration", "predict", "evaluate", "report", "evaluate_test", "report_test"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    folder = args.folder.resolve()
    source = make_phantoms(folder)
    (folder / "pasted").mkdir()
    (folder / "killed").mkdir()
    pasted = paste_dry_run(source, folder / "pasted")
    print(f"pasted commands ended with {pasted.returncode}\n{pasted.stderr[-500:] if pasted.returncode else ''}")
    rng = random.Random(args.seed)
    stages = sorted([*ALL_STAGES, *rng.choices(ALL_STAGES, k=args.kills)][: args.kills], key=ALL_STAGES.index)
    for kill in run_with_kills(source, folder / "killed", stages, rng):
        what = "killed" if kill.hit else "had ended"
        print(f"{what} {kill.seconds:5.1f} s after the begin of {kill.stage} ({kill.state})", flush=True)
    last = call(run_words(source, folder / "killed"), folder)
    print(last.stdout[-1500:], last.stderr[-1500:])
    found = differences(folder / "pasted", folder / "killed")
    print("\n".join(found) or "no difference")
    return 1 if found or last.returncode or pasted.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
