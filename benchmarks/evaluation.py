"""How long the metrics take: a case on one core, by kind of case and group of metrics; and a whole `mscs evaluate`.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --cases 250 --processes 2

The masks are made up: a reference of rough pieces in about the given number and volume, and a prediction with another
surface, some pieces lost, some added. Beside each case stand nnU-Net's own counts for Dice and IoU, and one Euclidean
distance transform of the whole image, of which the usual implementations take several. The command is timed as a user
starts it, on files, beside nnU-Net's own evaluation of the same files with as many processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from reporting import conditions, print_table, spread, write_json
from scipy import ndimage

from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.evaluation.distances import average_hausdorff_distances, directed_distances, surface_distances
from nnunetv2_mscs.evaluation.lesions import Lesions, count_metrics, isles22_metrics, matching_metrics, size_counts
from nnunetv2_mscs.evaluation.surface_dice import surface_dice
from nnunetv2_mscs.evaluation.voxels import Confusion, background_metrics, overlap_metrics, volume_metrics

GRIDS = {  # size (Z, Y, X), spacing in mm
    "192x192x20": ((20, 192, 192), (5.0, 1.2, 1.2)),
    "256x256x26": ((26, 256, 256), (6.0, 0.898, 0.898)),
    "112x112x73": ((73, 112, 112), (2.0, 2.0, 2.0)),
}
LESIONS = ((5, 1), (20, 15), (150, 1), (150, 40))  # mL, pieces
BRAIN_MM = np.array([45.0, 75.0, 60.0])  # half axes of where lesions lie
TARGET_MS = 200
TARGET_SECONDS_OF_250 = 60


def made_up(
    shape: Sequence[int], spacing_mm: Sequence[float], volume_ml: float, pieces: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A reference of about so many pieces and so large, most in one, and a prediction of it; (Z, Y, X) bool."""
    rng = np.random.default_rng(seed)
    shares = rng.lognormal(0, 1.0, pieces)
    shares[0] = 3 * shares[1:].sum() + 1  # an infarct of a territory, and emboli
    radii = -np.sort(-np.cbrt(volume_ml * 1000 * shares / shares.sum() * 3 / (4 * np.pi)))
    along = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    axes = [
        (np.arange(size) * mm).reshape(shape_of) for size, mm, shape_of in zip(shape, spacing_mm, along, strict=True)
    ]
    rough = [
        ndimage.gaussian_filter(rng.normal(size=shape), [3.0 / mm for mm in spacing_mm], mode="wrap") for _ in range(2)
    ]
    rough = [field / field.std() for field in rough]
    reference, prediction = np.zeros((2, *shape), dtype=bool)
    for number, (place, radius) in enumerate(zip(places_mm(radii, shape, spacing_mm, rng), radii, strict=True)):
        distance = np.sqrt(sum((axis - mm) ** 2 for axis, mm in zip(axes, place, strict=True)))
        surface = distance - radius - 0.15 * radius * rough[0]
        if number % 8 != 7:
            reference |= surface <= max(0, surface.min())
        if number % 8 != 6:
            surface -= 0.12 * radius * rough[1]
            prediction |= surface <= max(0, surface.min())
    return reference, prediction


def places_mm(
    radii: np.ndarray, shape: Sequence[int], spacing_mm: Sequence[float], rng: np.random.Generator
) -> list[np.ndarray]:
    """Centres of balls in the brain that keep apart, as far as 300 tries find a place."""
    centre = (np.array(shape) - 1) / 2 * spacing_mm
    places: list[np.ndarray] = []
    for number, radius in enumerate(radii):
        for _ in range(300):
            direction = rng.normal(size=3)
            reach = direction / np.linalg.norm(direction) * rng.random() ** (1 / 3)
            place = centre + reach * np.maximum(BRAIN_MM - radius, 0)
            apart = [np.linalg.norm(place - other) for other in places]
            if all(mm > 1.4 * (radius + near) + 4 for mm, near in zip(apart, radii[:number], strict=True)):
                break
        places.append(place)
    return places


def groups(reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, Callable]:
    """Name -> what is timed. As `evaluate_masks` does it, each on the box around both masks but the voxels."""
    box = ndimage.find_objects((reference | prediction).astype(np.uint8))[0]
    cropped = reference[box], prediction[box]
    voxel_volume_ml = float(np.prod(spacing_mm)) / 1000

    def voxels() -> None:
        confusion = Confusion.of(reference, prediction)
        background_metrics(confusion), overlap_metrics(confusion), volume_metrics(confusion, voxel_volume_ml)

    def distances() -> None:
        sides = directed_distances(*cropped, spacing_mm), directed_distances(*cropped[::-1], spacing_mm)
        surface_distances(*sides), average_hausdorff_distances(*sides)

    def lesions() -> None:
        found = Lesions.of(*cropped)
        count_metrics(found), size_counts(found, voxel_volume_ml), isles22_metrics(found), matching_metrics(found)

    def counts_of_nnunet() -> None:
        from nnunetv2.evaluation.evaluate_predictions import compute_tp_fp_fn_tn

        compute_tp_fp_fn_tn(reference, prediction)

    return {
        "all": lambda: evaluate_masks(reference, prediction, spacing_mm),
        "voxels": voxels,
        "HD95, ASSD, AHD": distances,
        "NSD": lambda: surface_dice(*cropped, spacing_mm),
        "lesions": lesions,
        "nnU-Net's counts": counts_of_nnunet,
        "one distance transform": lambda: ndimage.distance_transform_edt(~reference, spacing_mm),
    }


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def time_cases(grids: Sequence[str], rounds: int) -> list[dict]:
    """A dictionary a kind of case, with the spread of seconds by group."""
    figures = []
    for grid in grids:
        shape, spacing_mm = GRIDS[grid]
        for volume_ml, pieces in LESIONS:
            reference, prediction = made_up(shape, spacing_mm, volume_ml, pieces)
            found = evaluate_masks(reference, prediction, spacing_mm)
            times: dict[str, list[float]] = {}
            for turn in range(rounds + 1):
                for name, work in groups(reference, prediction, spacing_mm).items():
                    elapsed = seconds(work)
                    if turn:
                        times.setdefault(name, []).append(elapsed)
            figures.append(
                {
                    "grid": grid,
                    "volume_ml": found["volume_reference_ml"],
                    "pieces": [found["lesion_count_reference"], found["lesion_count_prediction"]],
                    "dice": found["dice"],
                    "seconds": {name: spread(values) for name, values in times.items()},
                }
            )
            print(
                f"{grid}, {volume_ml} mL in {pieces}: {1000 * figures[-1]['seconds']['all']['median']:.0f} ms",
                flush=True,
            )
    return figures


def write_data_set(folder: Path, cases: int) -> None:
    """Masks of all kinds of case in turn, each time moved, in folders `references` and `predictions`."""
    kinds = [(made_up(*grid, *lesions), grid[1]) for grid in GRIDS.values() for lesions in LESIONS]
    for place in ("references", "predictions"):
        (folder / place).mkdir()
    for number in range(cases):
        masks, spacing_mm = kinds[number % len(kinds)]
        steps = np.random.default_rng(number).integers(-3, 4, 3)
        for place, mask in zip(("references", "predictions"), masks, strict=True):
            image = sitk.GetImageFromArray(np.roll(mask, steps, (0, 1, 2)).astype(np.uint8))
            image.SetSpacing(spacing_mm[::-1])
            sitk.WriteImage(image, str(folder / place / f"case_{number:03}.nii.gz"))
    print(f"{cases} cases written", flush=True)


NNUNET = """
import sys
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
if __name__ == "__main__":
    references, predictions, output, processes = sys.argv[1:]
    compute_metrics_on_folder(references, predictions, output, SimpleITKIO(), ".nii.gz", [1], None, int(processes))
"""


def time_command(cases: int, processes: int) -> dict:
    """Seconds of the whole command and of nnU-Net's evaluation, and how far their Dice and IoU lie apart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data_set(folder, cases)
        script = folder / "nnunet_evaluation.py"
        script.write_text(NNUNET)
        places = [str(folder / place) for place in ("predictions", "references")]
        commands = {
            "mscs evaluate": [
                *(sys.executable, "-m", "nnunetv2_mscs.cli.main", "evaluate", *places),
                *("-o", str(folder / "out"), "-np", str(processes)),
            ],
            "nnU-Net": [sys.executable, str(script), *places[::-1], str(folder / "nnunet.json"), str(processes)],
        }
        figures: dict = {"cases": cases, "processes": processes, "seconds": {}}
        for which, command in commands.items():
            start = time.perf_counter()
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                sys.exit(f"{which} failed:\n{result.stderr[-2000:]}")
            figures["seconds"][which] = time.perf_counter() - start
            print(f"{which}: {figures['seconds'][which]:.1f} s for {cases} cases", flush=True)
        figures["largest_difference"] = largest_difference(folder / "out/cases.csv", folder / "nnunet.json")
    return figures


def largest_difference(cases_csv: Path, nnunet_json: Path) -> dict[str, float]:
    """Of Dice and IoU from nnU-Net's, over all cases."""
    import csv

    theirs = {
        Path(case["reference_file"]).name.removesuffix(".nii.gz"): case["metrics"]["1"]
        for case in json.loads(nnunet_json.read_text())["metric_per_case"]
    }
    with cases_csv.open(newline="") as stream:
        ours = {row["case"]: row for row in csv.DictReader(stream)}
    if ours.keys() != theirs.keys():
        sys.exit("mscs evaluate and nnU-Net did not evaluate the same cases")
    return {
        name: max(abs(float(ours[case][name.lower()]) - theirs[case][name]) for case in ours)
        for name in ("Dice", "IoU")
    }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", nargs="+", choices=GRIDS, default=list(GRIDS), metavar="GRID", help=", ".join(GRIDS))
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each case (default 5)")
    parser.add_argument("--cases", type=int, default=0, help="cases for the whole command (default: without)")
    parser.add_argument("--processes", type=int, default=2, help="for the whole command (default 2)")
    parser.add_argument("-o", "--output", type=Path, default=Path("evaluation.json"), help="the figures as JSON")
    args = parser.parse_args(argv)
    if min(args.rounds, args.processes) < 1 or args.cases < 0:
        parser.error("--rounds and --processes are at least 1, --cases at least 0")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    args = parse(argv)
    figures = time_cases(args.grids, args.rounds)
    command = time_command(args.cases, args.processes) if args.cases else None
    print()
    print_table(*table(figures))
    slowest = 1000 * max(figure["seconds"]["all"]["median"] for figure in figures)
    print(f"slowest case: {slowest:.0f} ms a core, of {TARGET_MS} ms allowed")
    if command:
        print()
        rows = [
            [which, f"{elapsed:.1f}", f"{1000 * elapsed / args.cases:.0f}"]
            for which, elapsed in command["seconds"].items()
        ]
        print_table([f"{args.cases} cases, {args.processes} processes", "s", "ms a case"], rows)
        apart = ", ".join(f"{name} {value:.1g}" for name, value in command["largest_difference"].items())
        print(f"largest difference from nnU-Net's: {apart}; allowed for 250 cases: {TARGET_SECONDS_OF_250} s")
    report = {"conditions": conditions(torch.device("cpu")), "cases": figures, "command": command}
    write_json(args.output, report)


def table(figures: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: medians in ms on one core."""
    names = list(figures[0]["seconds"])
    header = ["case", "mL", "lesions", "Dice", *(f"{name}, ms" for name in names)]
    rows = [
        [
            figure["grid"],
            f"{figure['volume_ml']:.1f}",
            "{:.0f}, {:.0f}".format(*figure["pieces"]),
            f"{figure['dice']:.2f}",
            *(f"{1000 * figure['seconds'][name]['median']:.1f}" for name in names),
        ]
        for figure in figures
    ]
    return header, rows


if __name__ == "__main__":
    main()
