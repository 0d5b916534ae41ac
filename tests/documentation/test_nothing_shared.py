"""No file of the scans, label maps and masks beside the project is in it, nor in what is installed."""

from pathlib import Path

import nnunetv2_mscs

PROJECT = Path(__file__).resolve().parents[2]
SMALLEST = 200  # bytes: an empty mask or a word may be the same by chance
OURS = ("nnunetv2_mscs", "dataset_conversion", "results_templates", "docs", "benchmarks", "tests")


def test_no_file_is_one_of_those_beside_the_project(real_folder):
    beside = {}
    for path in real_folder.parent.rglob("*"):
        if path.is_file() and path.stat().st_size >= SMALLEST:
            beside.setdefault(path.stat().st_size, []).append(path)
    assert len(beside) > 20
    installed = Path(nnunetv2_mscs.__file__).parent
    folders = [*(PROJECT / name for name in OURS), installed]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    same = [
        (path, other)
        for path in files
        for other in beside.get(path.stat().st_size, ())
        if path.read_bytes() == other.read_bytes()
    ]
    assert same == []
