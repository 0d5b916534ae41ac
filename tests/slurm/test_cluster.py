"""The fixture itself: what our jobs rely on works on this Slurm as it does on a cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster


def submit(slurm: Cluster, folder: Path, script: str, *options: str) -> str:
    """The number of a new job that carries out a line of bash; %j.txt in the folder takes its output."""
    return slurm.command(
        "sbatch", "--parsable", f"--chdir={folder}", f"--output={folder}/%j.txt", *options, "--wrap", script
    )


def wait_for_file(file: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < end, f"{file} did not appear"
        time.sleep(0.1)


def test_tasks_of_an_array_get_a_gpu_each_and_what_waits_for_them_comes_after(slurm, tmp_path):
    array = submit(
        slurm, tmp_path, "echo $CUDA_VISIBLE_DEVICES > gpu_$SLURM_ARRAY_TASK_ID; sleep 1", "--array=0-1", "--gpus=1"
    )
    after = submit(slurm, tmp_path, "cat gpu_* > all", f"--dependency=afterok:{array}")
    slurm.wait_for(after, "")
    assert sorted((tmp_path / "all").read_text().split()) == ["0", "1"]


def test_a_job_can_start_steps(slurm, tmp_path):
    job = submit(slurm, tmp_path, "srun bash -c 'echo step $SLURM_STEP_ID > step'")
    slurm.wait_for(job, "")
    assert (tmp_path / "step").read_text() == "step 0\n"


def test_what_waits_for_a_failed_job_goes_if_so_told(slurm, tmp_path):
    failing = submit(slurm, tmp_path, "sleep 1; exit 3")
    after = submit(slurm, tmp_path, "touch after", f"--dependency=afterok:{failing}", "--kill-on-invalid-dep=yes")
    slurm.wait_for(after, "")
    assert not (tmp_path / "after").exists()


def test_a_requeued_job_starts_again(slurm, tmp_path):
    job = submit(slurm, tmp_path, "echo >> starts; [ $(wc -l < starts) = 2 ] || sleep 300", "--requeue")
    wait_for_file(tmp_path / "starts")
    slurm.command("scontrol", "requeue", job)
    slurm.wait_for(job, "")
    assert (tmp_path / "starts").read_text() == "\n\n"


def test_a_cancelled_job_is_told_and_then_ended(slurm, tmp_path):
    job = submit(slurm, tmp_path, "trap 'touch told' TERM; touch started; sleep 300; sleep 300")
    wait_for_file(tmp_path / "started")
    slurm.command("scancel", job)
    slurm.wait_for(job, "")
    assert (tmp_path / "told").exists()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_cluster(tmp_path, running_slurm, ended_by):
    """By hand it is a command: Ctrl-C or SIGTERM ends it, and the daemons end with it even if it is killed."""
    script = str(Path(__file__).with_name("cluster.py"))
    with subprocess.Popen([sys.executable, script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout is not None
        configuration = cluster.stdout.readline().strip().removeprefix("export ")
        assert processes_with(configuration)
        cluster.send_signal(ended_by)
    end = time.monotonic() + 20
    while processes_with(configuration):
        assert time.monotonic() < end
        time.sleep(0.1)


def processes_with(variable: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(os.readlink(folder / "exe"))
        except OSError:
            continue
    return found
