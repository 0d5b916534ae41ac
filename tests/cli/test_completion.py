"""Shells complete commands and options: asked as bash asks, by the variables of argcomplete's protocol."""

import os
import subprocess
import sys

import pytest


def completions(line: str, folder) -> set[str]:
    answer = folder / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    command = [sys.executable, "-m", "nnunetv2_mscs"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, cwd=folder)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return {word.strip() for word in answer.read_text().split("\n") if word}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mscs re", {"report"}),
        ("mscs predict --thr", {"--threshold"}),
        ("mscs run ./scans 501 Stroke --gpu-", {"--gpu-memory-target"}),
        ("mscs run ./scans 501 Stroke --device ", {"cpu", "cuda", "mps"}),
        ("mscs convert --layout s", {"sample-folders"}),
        ("mscs status --w", {"--workspace", "--watch"}),
        ("mscs nothing --w", set()),
    ],
)
def test_commands_options_and_choices(line, expected, tmp_path):
    assert completions(line, tmp_path) == expected


def test_help_loads_nothing_heavy():
    code = "import sys; from nnunetv2_mscs.cli.main import build_parser; build_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "nnunetv2_mscs.cli.run" in loaded
    heavy = {"argcomplete", "yaml", "torch", "nnunetv2", "SimpleITK", "numpy", "pandas", "scipy", "nibabel", "tqdm"}
    assert not heavy & set(loaded)
