"""Prediction on the CPU where there is no /proc and no fork, as on macOS, and no file locks either, as on Windows."""

import subprocess
import sys

import pytest

from tests.models.new_scans import write_study

FORBID = """
import builtins, io, multiprocessing, os, sys

def lacking(function):
    def call(path, *others, **options):
        if str(path).startswith(("/proc", "/dev/shm")):
            raise FileNotFoundError(2, "this system has no such folder", str(path))
        return function(path, *others, **options)
    return call

def fork(*_):
    raise AssertionError("this system does not fork")

builtins.open = io.open = lacking(io.open)
for name in ("open", "stat", "listdir", "scandir"):
    setattr(os, name, lacking(getattr(os, name)))
os.fork = os.forkpty = fork
multiprocessing.set_start_method("spawn")
multiprocessing.get_context("fork").Process._Popen = fork
del os.sched_getaffinity
if SYSTEM == "Windows":
    import torch  # which asks sys.platform whether there are forks
    sys.modules["fcntl"] = sys.modules["resource"] = None
    del os.fork, os.forkpty, os.register_at_fork, os.killpg, os.sysconf, os.getuid
"""
PREDICT = """
from nnunetv2_mscs.cli.main import main
status = main(["predict", SCANS, "-m", MODEL, "-o", OUT, "--device", DEVICE, "--fast"])

from nnunetv2_mscs import Predictor
found = Predictor(MODEL, "cpu", fast=True).predict(adc=SCANS + "/adc.nii.gz", dwi=SCANS + "/dwi.nii.gz")
assert found.mask.any()
sys.exit(status)
"""


def run_on(system, code, **values):
    names = "".join(f"{name} = {value!r}\n" for name, value in {"SYSTEM": system, **values}.items())
    return subprocess.run([sys.executable, "-c", names + FORBID + code], capture_output=True, text=True)


@pytest.mark.parametrize(("system", "device"), [("macOS", "cpu"), ("Windows", "auto")])
def test_a_scan_is_predicted(system, device, model, tmp_path):
    scans = write_study(tmp_path / "scan")
    out = tmp_path / "out"
    done = run_on(system, PREDICT, SCANS=str(scans), MODEL=str(model), OUT=str(out), DEVICE=device)
    assert done.returncode == 0, done.stderr
    assert {"cases.csv", "index.html", "scan.nii.gz"} <= {path.name for path in out.iterdir()}


@pytest.mark.parametrize(
    "use",
    [
        "open('/proc/self/stat')",
        "os.listdir('/proc')",
        "os.fork()",
        "multiprocessing.get_context('fork').Process(target=print).start()",
    ],
)
def test_what_is_forbidden_is_noticed(use):
    assert run_on("macOS", use).returncode != 0
