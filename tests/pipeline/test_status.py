"""A run's status, from records and logs as a run leaves them, and real processes and locks."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from nnunetv2_mscs.nnunet_files.environment import folders_of
from nnunetv2_mscs.pipeline.liveness import Surroundings, life_of
from nnunetv2_mscs.pipeline.logs import TrainingProgress
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.signatures import content_signatures
from nnunetv2_mscs.pipeline.slurm_queue import SlurmJobState
from nnunetv2_mscs.pipeline.stages import build_stages
from nnunetv2_mscs.pipeline.standing import inputs_of
from nnunetv2_mscs.pipeline.state import Record, RunFolder, State, write_record
from nnunetv2_mscs.pipeline.status import StageStatus, expected_end, run_status
from nnunetv2_mscs.workplace.leftovers import marked, sole_run
from tests.pipeline.training_logs import attempt

HOST = socket.gethostname()
FOLD_0, FOLD_1 = (f"train_MSCSTrainer_10epochs__MSCSPlans__3d_fullres_fold{fold}" for fold in (0, 1))


class Begun:
    """A run whose stages are carried out by hand."""

    def __init__(self, folder):
        source = folder / "scans"
        for name in ("images/a_adc.nii.gz", "images/a_dwi.nii.gz", "masks/a.nii.gz"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(name)
        settings = RunSettings(str(source), 7, "Watched", epochs=10, folds=(0, 1))
        self.folders = folders_of(folder / "workspace")
        self.run = RunFolder.of(self.folders, settings.dataset)
        self.stages = build_stages(settings, self.folders)
        self.run.write_settings(settings, self.folders, {"executor": "local"})

    def record(self, name, state, **values):
        stage = self.stages[name]
        record = Record(
            name, state, dict(stage.parameters), inputs_of(self.run, stage), began=time.time() - 60, host=HOST
        )
        record = replace(record, **values)
        write_record(self.run, record)
        return record

    def done(self, *names):
        for name in names:
            for place in self.stages[name].makes:
                target = place if place.suffix else place / "file"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(name)
            for place in self.stages[name].outputs:
                if not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_text(name)
            self.record(name, State.DONE, seconds=5.0, outputs=content_signatures(self.stages[name].outputs))

    def up_to_training(self):
        self.done(*list(self.stages)[: list(self.stages).index(FOLD_0)])

    def log(self, name, text):
        self.run.logs.mkdir(exist_ok=True)
        self.run.log(name).write_text(text)

    def states(self, **options):
        return {stage.name: stage.state for stage in run_status(self.run, **options).stages}

    def stage(self, name, **options):
        return next(stage for stage in run_status(self.run, **options).stages if stage.name == name)


@pytest.fixture
def begun(tmp_path):
    return Begun(tmp_path)


def test_nothing_begun_yet(begun):
    status = run_status(begun.run)

    assert status.state == "interrupted"
    assert [stage.name for stage in status.stages] == list(begun.stages)
    assert {stage.state for stage in status.stages} == {"waiting"}


def test_all_done(begun):
    begun.done(*begun.stages)
    status = run_status(begun.run)

    assert status.state == "done"
    assert status.files_checked
    assert status.count("done") == len(begun.stages)


def test_a_changed_file_makes_its_stage_stale_and_those_after_it_perhaps(begun):
    begun.done(*begun.stages)
    begun.folders.raw.joinpath("Dataset007_Watched", "file").write_text("other")
    states = begun.states()

    assert states["convert"] == "stale"
    assert states["fingerprint"] == states["report"] == "done"
    assert "perhaps done again" in begun.stage("fingerprint").reason
    assert run_status(begun.run).state == "stale"
    assert "changed" in begun.stage("convert").reason
    assert set(begun.states(check_files=False).values()) == {"done"}


def test_a_running_stage_is_alive_while_its_process_holds_the_folder(begun):
    begun.up_to_training()
    begun.record(FOLD_0, State.RUNNING, pid=os.getpid(), gpus="1")
    begun.log(FOLD_0, attempt(0, 3, epochs=10))
    with sole_run(begun.run.path):
        status = run_status(begun.run)
        fold = begun.stage(FOLD_0)

    assert status.state == fold.state == "running"
    assert not status.files_checked
    assert (fold.progress.epoch, fold.progress.epochs, fold.gpus) == (3, 10, "1")
    assert fold.seconds >= 60
    assert status.expected_end > time.time()
    assert begun.stage(FOLD_0).state == "interrupted"


def test_looking_does_not_take_the_lock_from_a_run(begun):
    stop, looked = threading.Event(), threading.Event()

    def look():
        while not stop.is_set():
            run_status(begun.run)
            looked.set()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(8):
            looked.clear()
            with sole_run(begun.run.path):
                assert looked.wait(timeout=60), "it looks while the run holds its lock"
    finally:
        stop.set()
        thread.join()


def test_a_stage_of_a_killed_run_is_interrupted(begun):
    begun.up_to_training()
    begun.record(FOLD_0, State.RUNNING, pid=2**22 + 1)

    assert begun.stage(FOLD_0).state == "interrupted"
    assert run_status(begun.run).state == "interrupted"


def test_what_a_killed_run_left_running_still_runs(begun):
    begun.up_to_training()
    begun.record(FOLD_0, State.RUNNING, pid=2**22 + 1)
    mark = {**begun.run.mark(FOLD_0), **marked(begun.run.path)}
    words = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(words, env={**os.environ, **mark}, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as left:
        left.stdout.readline()
        fold = begun.stage(FOLD_0)
        left.stdin.close()

    assert fold.state == "running"
    assert str(left.pid) in fold.reason


def test_what_runs_elsewhere_is_not_known_here(begun):
    begun.up_to_training()
    begun.record(FOLD_0, State.RUNNING, host="elsewhere")
    fold = begun.stage(FOLD_0)

    assert (fold.state, run_status(begun.run).state) == ("unknown", "unknown")
    assert "elsewhere" in fold.reason


def test_a_failed_stage_tells_why_and_blocks_those_after_it(begun):
    begun.up_to_training()
    begun.done(FOLD_1)
    begun.record(FOLD_0, State.FAILED, error="nnUNetv2_train exited with 1:\n  ...\n")
    begun.log(FOLD_0, attempt(0, 1, extra=["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."]))
    fold = begun.stage(FOLD_0)
    states = begun.states()

    assert run_status(begun.run).state == fold.state == "failed"
    assert "CUDA out of memory" in fold.last_lines[-1]
    assert [remedy.finding for remedy in fold.remedies] == ["The GPU has too little memory."]
    assert states["report"] == "blocked"
    assert "fold 0 failed" in begun.stage("report").reason
    assert states[FOLD_1] == "done"


def test_a_failed_stage_waits_while_another_run_is_going_to_try_again(begun):
    begun.up_to_training()
    begun.record(FOLD_0, State.FAILED, pid=2**22 + 1)
    with sole_run(begun.run.path):
        assert begun.stage(FOLD_0).state == "waiting"
        assert begun.stage("report").state == "waiting"


def test_without_its_scans_a_run_tells_of_what_was_begun(begun):
    begun.done("convert", "fingerprint")
    shutil.rmtree(begun.folders.raw.parent.parent / "scans")
    status = run_status(begun.run)

    assert [stage.name for stage in status.stages] == ["convert", "fingerprint"]
    assert "Only stages that have begun" in status.notes[0]


def test_it_is_json(begun):
    begun.up_to_training()
    begun.record(FOLD_0, State.FAILED)
    begun.log(FOLD_0, attempt(0, 1) + "MemoryError\n")
    values = json.loads(json.dumps(run_status(begun.run).as_json()))

    fold = next(stage for stage in values["stages"] if stage["name"] == FOLD_0)
    assert values["state"] == fold["state"] == "failed"
    assert fold["progress"]["epoch"] == 1
    assert fold["remedies"][0].keys() == {"finding", "remedy"}


def _job(state, job="12_0", reason=""):
    return Surroundings(jobs={FOLD_0: SlurmJobState(job, state, reason)})


@pytest.mark.parametrize(
    ("around", "lives", "queued"),
    [
        (_job("RUNNING"), True, False),
        (_job("COMPLETING"), True, False),
        (_job("PENDING", reason="BeginTime"), False, True),
        (_job("TIMEOUT"), False, False),
        (_job("RUNNING", job="99_0"), False, False),
        (Surroundings(unasked="There is no squeue on this machine."), None, False),
    ],
)
def test_a_stage_in_a_job_lives_as_its_job_does(begun, around, lives, queued):
    life = life_of(begun.run, begun.record(FOLD_0, State.RUNNING, job="12_0"), around)

    assert (life.lives, life.queued) == (lives, queued)


def _training(name, state, *, seconds=0.0, end=None):
    progress = TrainingProgress(epochs=10, epoch=3, epochs_end=end) if end else None
    return StageStatus(f"train_{name}", name, state, seconds=seconds, progress=progress)


def test_the_end_is_that_of_the_longest_training():
    stages = (_training("a", "running", seconds=100, end=1200.0), _training("b", "running", seconds=100, end=1300.0))

    assert expected_end(stages, 1000.0) == (1300.0, False)


def test_trainings_that_wait_take_their_turn():
    """One at a time: the rest of this one, and two more of 300 s each."""
    stages = (_training("a", "running", seconds=100, end=1200.0), _training("b", "waiting"), _training("c", "waiting"))

    assert expected_end(stages, 1000.0) == (1000 + 200 + 2 * 300, False)


def test_no_end_is_told_before_an_epoch_ended():
    assert expected_end((_training("a", "running"),), 1000.0) == (None, False)
    assert expected_end((_training("a", "done"),), 1000.0) == (None, False)
