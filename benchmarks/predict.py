"""How long a study takes from the command typed to the mask saved, by step, beside nnU-Net's own command and its U-Net.

    python benchmarks/predict.py                                  # one study and twenty, two kinds of scans
    python benchmarks/predict.py --grids 192x192x20 --studies 1 --rounds 3 -o predict.json
    python benchmarks/predict.py --cold --threads 1 2             # after the packages' files were forgotten, too
    python benchmarks/predict.py --grids 96x96x20 --studies 1 --slices-times 1 2 4 8 16 32

Scans are phantoms. `mscs predict` runs with the weights of this package as a user starts it;
nnUNetv2_predict_from_modelfolder runs with the same model, and with nnU-Net's U-Net on the same plans (its weights are
random, which changes no time). Every command runs in a process of its own; the rounds of all commands alternate.
CPU seconds, of all cores together, count on a machine with other work. With several studies reading and writing run
beside the network, so that the steps add up to more than the whole. --slices-times repeats a scan's slices, and shows
what a step costs for each voxel.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
import torch
from reporting import conditions, print_table, write_json
from unet import with_unet

from nnunetv2_mscs.models.shipped import shipped_folder
from nnunetv2_mscs.nnunet_files.commands import nnunet_command
from nnunetv2_mscs.nnunet_files.environment import process_variables

SPACINGS_MM = {"192x192x20": (1.2, 1.2, 6.0), "112x112x73": (2.0, 2.0, 2.0)}
# A grid of another size covers a head.
HEAD_MM = (230.0, 230.0, 140.0)
STEPS = ("read", "preprocess", "network", "resample", "measure", "write")
OURS, NNUNET, UNET = "mscs predict", "nnUNetv2_predict", "nnUNetv2_predict, U-Net"


def make_scans(folder: Path, grid: str, studies: int, times: int) -> None:
    """Phantoms as files of nnU-Net's names, their slices so many times one after the other."""
    size = grid.split("x")
    spacing = SPACINGS_MM.get(grid) or [round(mm / int(n), 3) for mm, n in zip(HEAD_MM, size, strict=True)]
    words = ("phantom", folder / "phantoms", "--cases", studies, "--size", *size, "--spacing", *spacing)
    subprocess.run(_mscs(*words), check=True, capture_output=True)
    (folder / "scans").mkdir()
    for number, channel in enumerate(("adc", "dwi")):
        for file in (folder / "phantoms/images").glob(f"*_{channel}.nii.gz"):
            named = folder / "scans" / file.name.replace(f"_{channel}.", f"_{number:04d}.")
            image = sitk.ReadImage(str(file))
            longer = sitk.GetImageFromArray(np.tile(sitk.GetArrayFromImage(image), (times, 1, 1)))
            longer.SetSpacing(image.GetSpacing())
            longer.SetDirection(image.GetDirection())
            longer.SetOrigin(image.GetOrigin())
            sitk.WriteImage(longer, str(named), useCompression=True)


def forget_packages() -> None:
    """Ask the system to drop the files of Python and its packages from memory; those in use elsewhere stay."""
    for folder in {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}:
        for file in Path(folder).rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_unet(folder: Path) -> Path:
    """nnU-Net's U-Net of the shipped model's plans, with random weights."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    shutil.copytree(shipped_folder(), folder)
    plans, dataset = (json.loads((folder / name).read_text()) for name in ("plans.json", "dataset.json"))
    plans = with_unet(plans)
    manager = PlansManager(plans)
    network = nnUNetTrainer.build_network_architecture(manager, manager.get_configuration("2d"), 2, 2, False)
    (folder / "plans.json").write_text(json.dumps(plans))
    file = folder / "fold_all/checkpoint_final.pth"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint |= {"network_weights": network.state_dict(), "trainer_name": "nnUNetTrainer"}
    checkpoint["init_args"] |= {"plans": plans, "dataset_json": dataset}
    torch.save(checkpoint, file)
    return folder


def commands(scans: Path, out: Path, unet: Path, threads: int) -> dict[str, list[str]]:
    def nnunet(model: Path) -> list[str]:
        words = ("-i", scans, "-o", out, "-m", model, "-f", "all", "-device", "cpu", "-npp", threads, "-nps", threads)
        return nnunet_command("nnUNetv2_predict_from_modelfolder", *words, "--disable_tta")

    return {
        OURS: _mscs("predict", scans, "-o", out, "--device", "cpu"),
        NNUNET: nnunet(shipped_folder()),
        UNET: nnunet(unet),
    }


def _mscs(*words: object) -> list[str]:
    return [sys.executable, "-m", "nnunetv2_mscs.cli.main", *map(str, words)]


def measured(words: Sequence[str], threads: int) -> dict[str, float]:
    """Seconds, CPU seconds, and peak memory of a command's largest process, in GB."""
    few = process_variables(augmenting=threads, others=threads)
    environment = {**os.environ, **few, "OMP_NUM_THREADS": str(threads)}
    begin = time.perf_counter()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed:\n{said[-3000:]}")
    whole, cpu = time.perf_counter() - begin, used.ru_utime + used.ru_stime
    return {"whole": whole, "cpu": cpu, "peak_gb": used.ru_maxrss / 1e6}


def steps_of(out: Path) -> dict[str, float]:
    """Seconds of all studies by step, as their records say."""
    records = [json.loads(file.read_text())["seconds"] for file in out.glob("*.json")]
    return {step: sum(one.get(step, 0.0) for one in records) for step in STEPS}


def run_all(grid: str, studies: int, times: int, args: argparse.Namespace, folder: Path, unet: Path) -> list[dict]:
    """The medians of all rounds, one row for each command, number of threads, and for cold and warm."""
    make_scans(folder, grid, studies, times)
    found: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    for _ in range(args.rounds):
        for threads in args.threads:
            for name, words in commands(folder / "scans", folder / "out", unet, threads).items():
                for state in ("cold", "warm") if args.cold else ("warm",):
                    if name not in args.commands:
                        continue
                    if state == "cold":
                        forget_packages()
                    shutil.rmtree(folder / "out", ignore_errors=True)
                    figures = measured(words, threads)
                    if name == OURS:
                        steps = steps_of(folder / "out")
                        figures |= {"start": figures["whole"] - sum(steps.values()), **steps}
                        if studies > 1:
                            del figures["start"]
                    found.setdefault((name, threads, state), []).append(figures)
    return [
        {"grid": grid, "slices_times": times, "studies": studies, "command": name, "threads": threads, "state": state}
        | {key: median(one[key] for one in rounds) for key in rounds[0]}
        for (name, threads, state), rounds in found.items()
    ]


def shown(row: dict) -> str:
    """The scans of a row, and how it was run where that is not the usual way."""
    times = f" (slices x {row['slices_times']})" if row["slices_times"] > 1 else ""
    return f"{row['grid']}{times}, {row['threads']} thread(s), {row['state']}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--grids", nargs="+", default=list(SPACINGS_MM), metavar="XxYxZ", help=f"default {' '.join(SPACINGS_MM)}")
    add("--studies", nargs="+", type=int, default=[1, 20], metavar="N", help="default 1 20")
    add("--rounds", type=int, default=1)
    add("--threads", nargs="+", type=int, default=[2], metavar="N", help="default 2")
    add("--cold", action="store_true", help="also start each command from files that are not in memory")
    add("--slices-times", nargs="+", type=int, default=[1], metavar="N", help="repeat the slices of the scans")
    add("--commands", nargs="+", choices=(OURS, NNUNET, UNET), default=(OURS, NNUNET, UNET), help="default: all")
    add("-o", "--output", type=Path, default=Path("predict.json"), metavar="FILE")
    args = parser.parse_args(argv)
    rows: list[dict] = []
    with TemporaryDirectory() as place:
        unet = write_unet(Path(place, "unet"))
        for grid in args.grids:
            for studies in args.studies:
                for times in args.slices_times:
                    folder = Path(place, f"{grid}_{studies}_{times}")
                    folder.mkdir()
                    rows += run_all(grid, studies, times, args, folder, unet)
                    shutil.rmtree(folder)
    columns = ("whole", "cpu", "start", *STEPS)
    table = [
        [f"{row['command']}, {row['studies']} x {shown(row)}"]
        + [f"{row[key]:.1f}" if key in row else "" for key in columns]
        + [f"{row['peak_gb']:.2f}"]
        for row in rows
    ]
    print_table(["command", *columns, "peak, GB"], table)
    report = {"conditions": conditions(torch.device("cpu")) | {"threads": args.threads}, "rows": rows}
    write_json(args.output, report)
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
