"""Programs of benchmarks/, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.forked_workers import run_forked

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(name: str, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_forked([sys.executable, str(BENCHMARKS / name), *map(str, words)], cwd, os.environ)
