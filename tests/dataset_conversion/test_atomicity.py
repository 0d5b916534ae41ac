"""A dataset appears as a whole or not at all: after errors, signals, kills, and while an old one is replaced."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnunetv2_mscs.dataset_conversion import kept_scans, writer
from nnunetv2_mscs.dataset_conversion.destination import Destination
from nnunetv2_mscs.dataset_conversion.staging import PREFIX, staged
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace import locks
from nnunetv2_mscs.workplace.hidden_places import clear_leftovers
from nnunetv2_mscs.workplace.parallel import run_parallel
from tests.interrupts import heed_interrupts

# The command with its writing slowed down, in the workers too, so that a signal meets it in the middle.
SLOW = """
import sys, time
from nnunetv2_mscs.dataset_conversion import kept_scans
write = kept_scans.write_volume
def slow_write(*args):
    write(*args)
    time.sleep(0.4)
kept_scans.write_volume = slow_write
if __name__ == "__main__":
    from nnunetv2_mscs.cli.main import main
    sys.exit(main(sys.argv[1:]))
"""


def start(tmp_path: Path, *words: object) -> subprocess.Popen:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    command = [sys.executable, str(script), *map(str, words)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def wait_for_writing(raw: Path, process: subprocess.Popen, files: int = 2) -> Path:
    """The hidden folder, once a few of its files are written."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(raw.glob(f"{PREFIX}*/kept/*/*.nii.gz"))) >= files:
            return next(raw.glob(f"{PREFIX}*"))
        time.sleep(0.02)
    raise AssertionError(f"no file was written: {process.communicate(timeout=10)}")


def members(session: int) -> list[int]:
    """Processes of a session, other than those that have ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("processes", [1, 2])
def test_a_kill_in_the_middle_leaves_no_dataset_and_no_worker(tmp_path, raw, source, mscs, processes):
    process = start(tmp_path, "convert", source, 1, "X", "-np", processes)
    hidden = wait_for_writing(raw, process)
    process.kill()
    process.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert members(process.pid) == []
    assert [path.name for path in raw.iterdir()] == [hidden.name]
    assert not hidden.name.startswith("Dataset")
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert [path.name for path in raw.iterdir()] == ["Dataset001_X"]


@pytest.mark.parametrize(("number", "processes"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_signal_tidies_up(tmp_path, raw, source, number, processes):
    process = start(tmp_path, "convert", source, 1, "X", "-np", processes)
    wait_for_writing(raw, process)
    if processes == 1:
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert list(raw.iterdir()) == []


def test_the_folder_of_a_live_run_is_left_alone(raw):
    with staged(Destination(raw, "Dataset001_X"), overwrite=False) as folder:
        (folder / "file").write_text("x")
        script = (
            "import sys; from pathlib import Path;"
            "from nnunetv2_mscs.workplace.hidden_places import clear_leftovers;"
            f"sys.exit(len(clear_leftovers(Path(sys.argv[1]), {PREFIX!r})))"
        )
        assert subprocess.run([sys.executable, "-c", script, str(raw)], cwd=raw, check=False).returncode == 0
        assert (folder / "file").is_file()
    assert (raw / "Dataset001_X/file").is_file()


def test_an_error_while_writing_leaves_no_trace(raw, source, mscs, monkeypatch):
    written = []

    def fail(*args):
        written.append(args)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        return write(*args)

    write = kept_scans.write_volume
    monkeypatch.setattr(kept_scans, "write_volume", fail)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "No space left on device" in outcome.err
    assert list(raw.iterdir()) == []


def test_folders_made_for_a_failed_run_go_again(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError), staged(Destination(tmp_path / "a/b", "Dataset001_X"), overwrite=False):
        raise RuntimeError
    assert not (tmp_path / "a").exists()


def test_the_old_dataset_stays_until_the_new_one_is_complete(raw, source, mscs, monkeypatch):
    assert mscs("convert", source, 1, "X").code == 0
    old = (raw / "Dataset001_X/dataset.json").stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_cases_csv", lambda *_: 1 / 0)
        assert mscs("convert", source, 1, "X", "--overwrite").code == 1
    assert (raw / "Dataset001_X/dataset.json").stat().st_ino == old
    assert [path.name for path in raw.iterdir()] == ["Dataset001_X"]
    for path in source.rglob("c*"):
        path.unlink()
    assert mscs("convert", source, 1, "X", "--overwrite").code == 0
    assert json.loads((raw / "Dataset001_X/dataset.json").read_text())["numTraining"] == 2
    assert [path.name for path in raw.iterdir()] == ["Dataset001_X"]


def test_a_dataset_set_aside_by_a_killed_run_is_put_back(raw):
    place = raw / f"{PREFIX}dead"
    (place / "replaced/Dataset001_X").mkdir(parents=True)
    (place / "replaced/Dataset001_X/dataset.json").write_text("{}")
    (place / "lock").touch()
    assert clear_leftovers(raw, PREFIX) == [place]
    assert (raw / "Dataset001_X/dataset.json").is_file()
    assert not place.exists()


def test_that_dataset_is_back_before_the_next_run_looks_for_it(raw, source, mscs):
    place = raw / f"{PREFIX}dead"
    (place / "replaced/Dataset001_X").mkdir(parents=True)
    (place / "lock").touch()
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert f"{raw / 'Dataset001_X'} exists" in outcome.err
    assert [path.name for path in raw.iterdir()] == ["Dataset001_X"]


def test_a_folder_just_made_is_not_taken_for_abandoned(raw):
    place = raw / f"{PREFIX}fresh"
    place.mkdir()
    assert clear_leftovers(raw, PREFIX) == []
    assert list(place.iterdir()) == []
    hour_ago = time.time() - 3600
    os.utime(place, (hour_ago, hour_ago))
    assert clear_leftovers(raw, PREFIX) == [place]


def fail_to_lock(number: int):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_will_do(raw, monkeypatch, number):
    monkeypatch.setattr(locks.fcntl, "flock", fail_to_lock(number))
    with staged(Destination(raw, "Dataset001_X"), overwrite=False) as folder:
        (folder / "file").touch()
        assert clear_leftovers(raw, PREFIX) == []
    assert [path.name for path in raw.iterdir()] == ["Dataset001_X"]
    assert (raw / "Dataset001_X/file").is_file()


def test_a_failing_lock_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.fcntl, "flock", fail_to_lock(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        staged(Destination(tmp_path / "a/b", "Dataset001_X"), overwrite=False).__enter__()
    assert not (tmp_path / "a").exists()


def test_a_dataset_that_cannot_be_put_back_is_not_deleted(raw, monkeypatch):
    (raw / "Dataset001_X").mkdir()
    (raw / "Dataset001_X/old").touch()
    rename = Path.rename

    def failing(self, target):
        if self.name == "new" or self.parent.name == "replaced":
            raise OSError("no rename")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no rename"), staged(Destination(raw, "Dataset001_X"), overwrite=True):
        pass
    assert len(list(raw.glob(f"{PREFIX}*/replaced/Dataset001_X/old"))) == 1


def test_a_failing_rename_keeps_the_old_dataset(raw, monkeypatch):
    (raw / "Dataset001_X").mkdir()
    (raw / "Dataset001_X/old").touch()
    rename = Path.rename

    def failing(self, target):
        if self.name == "new":
            raise OSError("no rename")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no rename"), staged(Destination(raw, "Dataset001_X"), overwrite=True):
        pass
    assert (raw / "Dataset001_X/old").is_file()


def test_two_runs_at_once_do_not_mix(raw):
    with pytest.raises(MscsError, match="appeared"), staged(Destination(raw, "Dataset001_X"), overwrite=False):
        (raw / "Dataset001_X").mkdir()
    assert [path.name for path in raw.iterdir()] == ["Dataset001_X"]


def test_a_worker_that_dies_is_a_clear_error():
    with pytest.raises(MscsError, match=r"crashed or was killed \(out of memory\?\) while it worked on one of: 3, 4\."):
        run_parallel(os._exit, [3, 4], processes=2, description="dying")
