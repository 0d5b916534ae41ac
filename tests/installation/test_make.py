"""`make setup` says what it does in a line per step, and where all that pip printed is if it fails."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FAKE_PYTHON = """#!/bin/bash
mkdir -p "$3/bin"
printf '#!/bin/bash\\nseq 1000 1999; exit %s\\n' "$PIP_ENDS_WITH" > "$3/bin/python"
chmod +x "$3/bin/python"
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("status", [0, 3])
def test_set_up_prints_steps_and_keeps_what_pip_says(tmp_path, status):
    for name in ("Makefile", "setup.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    for name in ("nnunetv2_mscs", "dataset_conversion", "results_templates"):
        (tmp_path / name).mkdir()
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    command = ["make", "--no-print-directory", "setup", f"PYTHON={python}", "VENV=environment"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PIP_ENDS_WITH": str(status)},
        capture_output=True,
        text=True,
    )
    assert len((tmp_path / "environment/install.log").read_text().splitlines()) == 1000
    said = done.stdout.splitlines()
    if status == 0:
        assert len(said) == 4
        assert said[-1] == "next: source environment/bin/activate && mscs doctor"
    else:
        assert done.returncode != 0
        assert "installing failed: all of it is in environment/install.log" in done.stderr
        assert "1999" in done.stderr
        assert "1000" not in done.stderr
    assert (done.returncode == 0) == (status == 0)
