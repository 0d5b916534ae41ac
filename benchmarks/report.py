"""How long the report of many cases takes to make, how large it becomes, and how soon a browser shows it.

    python benchmarks/report.py
    python benchmarks/report.py --cases 250 --size 96 96 12 --processes 2

Some phantoms are made, and used in turn as cases: each time with another prediction, the true mask moved, grown or
emptied. `mscs evaluate` and `mscs report` are timed as a user starts them. Where Chromium and selenium are found, the
page is opened from the disk, sorted, and a case opened in it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import SimpleITK as sitk
import torch
from reporting import conditions, print_table, write_json
from scipy import ndimage

from nnunetv2_mscs.phantom import PhantomSettings, write_phantoms

TARGET_MB = 15
EVERY_EMPTY = 12  # one of so many predictions
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync")
SORT = "const start = performance.now(); document.querySelector(arguments[0]).click(); document.body.offsetHeight;"
OPEN = """
const done = arguments[0], start = performance.now();
document.querySelector('#case-table tbody tr:not([hidden]) button').click();
document.querySelector('dialog figure img').decode().then(() => done(performance.now() - start), () => done(null));
"""


def write_data_set(folder: Path, cases: int, phantoms: int, size: tuple[int, int, int], processes: int) -> None:
    """images/, masks/ and predictions/ of so many cases."""
    source = folder / "phantoms"
    facts = write_phantoms(source, PhantomSettings(size=size), cases=phantoms, seed=0, processes=processes)
    for place in ("images", "masks", "predictions"):
        (folder / place).mkdir()
    names = sorted(path.name.removesuffix(".nii.gz") for path in (source / "masks").iterdir())
    assert len(names) == len(facts)
    for number in range(cases):
        name, case = names[number % phantoms], f"case_{number:03}"
        for image in (source / "images").glob(f"{name}_*"):
            os.link(image, folder / "images" / image.name.replace(name, case))
        os.link(source / "masks" / f"{name}.nii.gz", folder / "masks" / f"{case}.nii.gz")
        mask = sitk.ReadImage(str(source / "masks" / f"{name}.nii.gz"))
        predicted = sitk.GetImageFromArray(prediction(sitk.GetArrayFromImage(mask) > 0, number).astype(np.uint8))
        predicted.CopyInformation(mask)
        sitk.WriteImage(predicted, str(folder / "predictions" / f"{case}.nii.gz"))
    print(f"{cases} cases of {phantoms} phantoms written", flush=True)


def prediction(mask: np.ndarray, seed: int) -> np.ndarray:
    """The mask moved by some voxels in plane, then grown, shrunk or left; now and then nothing."""
    rng = np.random.default_rng(seed)
    moved = np.roll(mask, rng.integers(-2, 3, 2), (1, 2))
    in_plane = np.ones((1, 3, 3), bool)
    changed = [moved, ndimage.binary_dilation(moved, in_plane), ndimage.binary_erosion(moved, in_plane)]
    return changed[rng.integers(3)] & (seed % EVERY_EMPTY != 0)


def timed(words: Sequence[str | Path]) -> float:
    """Seconds that a command of mscs takes from its start to its end."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "nnunetv2_mscs.cli.main", *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"mscs {words[0]} failed:\n{result.stderr[-2000:]}")
    return time.perf_counter() - start


def time_browser(page: Path, rounds: int) -> dict[str, float] | None:
    """Medians in seconds of loading, sorting and opening a case in Chromium; None where there is none."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        return None
    if not browser or not driver:
        return None
    times: dict[str, list[float]] = {"loaded": [], "sorted": [], "case opened": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as profile:
            options = webdriver.ChromeOptions()
            options.binary_location = browser
            for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1300,900"):
                options.add_argument(flag)
            with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as session:
                session.get(page.as_uri())
                loaded = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
                times["loaded"].append(session.execute_script(loaded) / 1000)
                title = "#case-table th[data-key=hd95_mm] button"
                elapsed = session.execute_script(SORT + "return performance.now() - start", title)
                times["sorted"].append(elapsed / 1000)
                times["case opened"].append(session.execute_async_script(OPEN) / 1000)
    return {name: median(values) for name, values in times.items()}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=250, help="default 250")
    parser.add_argument("--phantoms", type=int, default=10, help="different ones among them (default 10)")
    parser.add_argument(
        "--size", nargs=3, type=int, default=(192, 192, 20), metavar=("X", "Y", "Z"), help="voxels (default 192 192 20)"
    )
    parser.add_argument("--processes", type=int, default=2, help="default 2")
    parser.add_argument("--rounds", type=int, default=3, help="of the browser (default 3)")
    parser.add_argument("--keep", type=Path, metavar="FILE.html", help="keep the page")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.json"), help="the figures as JSON")
    args = parser.parse_args(argv)
    if min(args.cases, args.phantoms, args.processes, args.rounds) < 1:
        parser.error("--cases, --phantoms, --processes and --rounds are at least 1")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    args = parse(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data_set(folder, args.cases, min(args.phantoms, args.cases), tuple(args.size), args.processes)
        evaluation, page = folder / "evaluation", folder / "report.html"
        places = (folder / "predictions", folder / "masks", "--images", folder / "images")
        processes = ("-np", str(args.processes))
        figures: dict = {"cases": args.cases, "size": list(args.size), "processes": args.processes}
        figures["seconds"] = {
            "mscs evaluate": timed(["evaluate", *places, "-o", evaluation, *processes]),
            "mscs report": timed(["report", evaluation, "-o", page, *processes]),
        }
        figures["megabytes"] = page.stat().st_size / 1e6
        figures["sheets"] = page.read_text(encoding="utf-8").count('id="sheet-')
        figures["browser_seconds"] = time_browser(page, args.rounds)
        if args.keep:
            shutil.copy(page, args.keep)
    print_table([f"{args.cases} cases, {args.processes} processes", "figure"], table(figures))
    print(f"allowed: {TARGET_MB} MB")
    write_json(args.output, {"conditions": conditions(torch.device("cpu")), **figures})


def table(figures: dict) -> list[list[str]]:
    """Rows: what was measured, and the figure with its unit."""
    rows = [[name, f"{seconds:.1f} s"] for name, seconds in figures["seconds"].items()]
    rows.append(["mscs report, a case", f"{1000 * figures['seconds']['mscs report'] / figures['cases']:.0f} ms"])
    rows += [["page", f"{figures['megabytes']:.1f} MB"], ["cases with a sheet", str(figures["sheets"])]]
    for name, seconds in (figures["browser_seconds"] or {}).items():
        rows.append([f"Chromium: {name}", f"{1000 * seconds:.0f} ms"])
    return rows


if __name__ == "__main__":
    main()
