"""What a data set of some size costs before training: seconds and bytes of every stage of `mscs run`.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --cases 50 250 --size 192 192 20 -np 2

Phantoms of that size are converted, their fingerprint is taken, they are planned for and preprocessed, each stage by
the command that `mscs run` uses. It is done for two numbers of cases; the line through them has what a start costs and
what a case costs, and gives the figures for other numbers, which are marked as extrapolated. The last row is the look
at what is done that every call of `mscs run` and `mscs status` begins with.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from reporting import conditions, print_table, write_json

from nnunetv2_mscs.nnunet_files.environment import folders_of
from nnunetv2_mscs.pipeline.commands import as_typed, environment, mscs_command
from nnunetv2_mscs.pipeline.run_stage import run_stage
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.stage import Here
from nnunetv2_mscs.pipeline.stages import build_stages
from nnunetv2_mscs.pipeline.standing import standings
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.workplace.running import run_command

TARGETS = (250, 2_500, 25_000)
DATA_STAGES = (
    *("convert", "fingerprint", "splits", "references"),
    *("plan_MSCSPlans", "preprocess_MSCSPlans_3d_fullres"),
)
LOOK = "look at what is done"
MEGABYTE = 1e6


def measure(folder: Path, cases: int, size: list[int], workers: int) -> dict[str, dict[str, float]]:
    """Seconds and megabytes of each stage for so many phantoms."""
    folder.mkdir()
    phantoms = mscs_command("phantom", folder / "phantoms", "--cases", cases, "--size", *size, "-np", workers)
    run_command(phantoms, typed=as_typed(phantoms), folder=folder, log=folder / "log", state=folder)
    settings, folders = RunSettings(str(folder / "phantoms"), 1, "Scaling"), folders_of(folder / "workspace")
    stages = build_stages(settings, folders)
    run = RunFolder.of(folders, settings.dataset)
    run.path.mkdir(parents=True)
    variables = environment(folders, training_workers=workers, workers=workers)
    rows = {}
    for name in DATA_STAGES:
        record = run_stage(run, stages[name], Here(workers), environment=variables)
        rows[name] = {"seconds": record.seconds, "megabytes": _bytes(stages[name].makes) / MEGABYTE}
    start = time.perf_counter()
    standings(run, {name: stages[name] for name in rows})
    rows[LOOK] = {"seconds": time.perf_counter() - start, "megabytes": 0.0}
    shutil.rmtree(folder)
    return rows


def _bytes(places: tuple[Path, ...]) -> float:
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    return float(sum(file.stat().st_size for file in files))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs=2, default=[20, 100], metavar="N", help="two numbers of phantoms")
    parser.add_argument("--size", type=int, nargs=3, default=[192, 192, 20], metavar="N")
    parser.add_argument("-np", "--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("scaling.json"))
    args = parser.parse_args()
    few, many = sorted(args.cases)
    with tempfile.TemporaryDirectory() as place:
        measured = {n: measure(Path(place) / str(n), n, args.size, args.processes) for n in (few, many)}
    for what in ("seconds", "megabytes"):
        print_table(*_table(measured, what, few, many))
        print()
    write_json(
        args.json,
        {
            "conditions": conditions(torch.device("cpu")),
            "size": args.size,
            "processes": args.processes,
            "measured": {str(cases): rows for cases, rows in measured.items()},
        },
    )
    return 0


def _table(
    measured: Mapping[int, Mapping[str, Mapping[str, float]]], what: str, few: int, many: int
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: measured for both numbers of cases, and along the line through them for others."""
    header = [what, f"{few} cases", f"{many} cases", "a case", *(f"{n:,} (extrapolated)" for n in TARGETS)]
    rows = []
    for name in measured[many]:
        low, high = measured[few][name][what], measured[many][name][what]
        slope = max(0.0, (high - low) / (many - few))
        beyond = [f"{high + slope * (n - many):,.0f}" for n in TARGETS]
        rows.append([name, f"{low:.1f}", f"{high:.1f}", f"{slope:.3f}", *beyond])
    return header, rows


if __name__ == "__main__":
    sys.exit(main())
