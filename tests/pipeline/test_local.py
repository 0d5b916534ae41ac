"""A run on one machine: order, places, GPUs, failures, kills, and one run at a time."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.local import Follower, Slot, run_local, slots_for
from nnunetv2_mscs.pipeline.stage import Here
from nnunetv2_mscs.pipeline.state import RunFolder, State, read_record
from nnunetv2_mscs.workplace.leftovers import sole_run
from nnunetv2_mscs.workplace.locks import is_held
from tests.interrupts import heed_interrupts
from tests.pipeline.small_stages import by_name, writing_stage

GPU = "import os, sys, time; time.sleep(1); open(sys.argv[-3], 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"
NO_GPU = "import os, sys; open(sys.argv[-3], 'w').write(str('CUDA_VISIBLE_DEVICES' in os.environ))"
FAILS = "raise SystemExit('no')"


def carry_out(run, stages, slots=None, follower=None):
    return run_local(run, stages, slots or [Slot()], Here(), environment={}, follower=follower or Follower())


def test_stages_run_after_those_they_need(run, tmp_path):
    a = writing_stage(tmp_path, "a")
    b, c = writing_stage(tmp_path, "b", a), writing_stage(tmp_path, "c", a)
    d = writing_stage(tmp_path, "d", b, c)
    outcome = carry_out(run, by_name(a, b, c, d), [Slot(), Slot()])
    assert not outcome.failed
    assert (tmp_path / "d.txt").read_text() == "abacd"


def test_a_failure_stops_what_comes_after_and_nothing_else(run, tmp_path):
    a = writing_stage(tmp_path, "a", code=FAILS)
    b, c = writing_stage(tmp_path, "b", a), writing_stage(tmp_path, "c")
    outcome = carry_out(run, by_name(a, b, c))
    assert list(outcome.failed) == ["a"]
    assert outcome.blocked == ["b"]
    assert read_record(run, "b") is None
    assert read_record(run, "c").state == State.DONE
    again = carry_out(run, by_name(writing_stage(tmp_path, "a"), b, c))
    assert not again.failed
    assert not again.blocked


def test_each_fold_has_a_gpu_of_its_own_and_all_are_used(run, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    folds = [writing_stage(tmp_path, f"fold_{i}", code=GPU, uses_gpu=True) for i in range(4)]
    other = writing_stage(tmp_path, "evaluate", code=NO_GPU)
    spans = {}
    follower = Follower(
        begins=lambda stage, slot: spans.setdefault(stage.name, [slot.gpus, time.monotonic()]),
        ends=lambda stage, record: spans[stage.name].append(time.monotonic()),
    )
    outcome = carry_out(run, by_name(*folds, other), slots_for(["3", "5"], 1), follower)
    assert not outcome.failed
    written = [(tmp_path / f"fold_{i}.txt").read_text() for i in range(4)]
    assert sorted(written) == ["3", "3", "5", "5"]
    assert [read_record(run, f"fold_{i}").gpus for i in range(4)] == written
    assert (tmp_path / "evaluate.txt").read_text() == "False"
    for gpu in ("3", "5"):
        first, second = sorted((b, e) for gpus, b, e in (spans[f"fold_{i}"] for i in range(4)) if gpus == (gpu,))
        assert second[0] >= first[1] - 0.6  # the place is free before the follower is told
    begins = [spans[f"fold_{i}"][1] for i in range(2)]
    assert max(begins) < min(spans[f"fold_{i}"][2] for i in range(2))


def test_places_for_gpus():
    assert slots_for([], 1) == [Slot()]
    two = slots_for(["0", "1", "2", "3", "4"], 2)
    assert [slot.gpus for slot in two] == [("0", "1"), ("2", "3"), ()]
    assert two[0].environment == {"CUDA_VISIBLE_DEVICES": "0,1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert two[2].environment == {}
    with pytest.raises(MscsError, match="is to have 3 GPUs, but there are 2"):
        slots_for(["0", "1"], 3)


RUNNER = """
import sys
from pathlib import Path
from nnunetv2_mscs.pipeline.local import Follower, Slot, run_local
from nnunetv2_mscs.pipeline.stage import Here
from nnunetv2_mscs.workplace.leftovers import sole_run
from nnunetv2_mscs.pipeline.state import RunFolder
sys.path.insert(0, sys.argv[2])
from tests.pipeline.small_stages import by_name, writing_stage
folder = Path(sys.argv[1])
stages = by_name(writing_stage(folder, "a"), writing_stage(folder, "b", seconds=float(sys.argv[3])))
with sole_run(folder / "run"):
    run_local(RunFolder(folder / "run"), stages, [Slot()], Here(), environment={},
              follower=Follower(begins=lambda stage, slot: print(stage.name, flush=True)))
"""


def runner(folder: Path, seconds: float) -> subprocess.Popen:
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", RUNNER, str(folder), str(root), str(seconds)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, cwd=folder, preexec_fn=heed_interrupts)


def read_until(process: subprocess.Popen, line: str) -> None:
    while process.stdout.readline().strip() != line:
        assert process.poll() is None, process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_the_next_call_does_the_rest(tmp_path, number):
    (tmp_path / "run").mkdir()
    run = RunFolder(tmp_path / "run")
    with runner(tmp_path, 60) as process:
        read_until(process, "b")
        assert is_held(tmp_path / "run" / "lock")
        with pytest.raises(MscsError, match=f"Process {process.pid} on .* is at work in {tmp_path}"):
            sole_run(run.path).__enter__()
        time.sleep(0.3)
        process.send_signal(number)
    assert not is_held(tmp_path / "run" / "lock")
    assert read_record(run, "a").state == State.DONE
    assert read_record(run, "b").state == (State.RUNNING if number == signal.SIGKILL else State.INTERRUPTED)
    with runner(tmp_path, 0) as process:
        assert process.communicate()[0].split() == ["b"]
    assert read_record(run, "b").state == State.DONE
    assert (tmp_path / "b.txt").read_text() == "b"
