"""Programs of benchmarks/, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.forked_workers import run_forked

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(name: str, *words: object, cwd: Path, fresh: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a program; in a `fresh` Python if it measures memory, of which forked processes have some from the start."""
    command = [sys.executable, str(BENCHMARKS / name), *map(str, words)]
    if fresh:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=1200)
    return run_forked(command, cwd, os.environ)
