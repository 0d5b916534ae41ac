"""How long `mscs convert` takes beside plain reading and writing of the same files by SimpleITK.

    python benchmarks/convert.py                                   # 250 cases
    python benchmarks/convert.py --cases 20 --rounds 3 -o convert.json

Cases are phantoms; beyond `--phantoms` they are those again, each a little brighter. Plain reading and writing reads
every file once and writes it as the data set holds it: images as 32-bit floats, masks as bytes. Commands run in
processes of their own; the rounds of all commands alternate. CPU seconds count on a machine with other work.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
import torch
from reporting import conditions, print_table, write_json

PLAIN = """
import sys
from pathlib import Path
import SimpleITK as sitk

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
source, out = map(Path, sys.argv[1:])
for file in sorted(source.rglob("*.nii.gz")):
    kind = sitk.sitkUInt8 if file.parent.name == "masks" else sitk.sitkFloat32
    sitk.WriteImage(sitk.ReadImage(str(file), kind), str(out / file.name), useCompression=True)
"""


def make_source(folder: Path, cases: int, phantoms: int, size: Sequence[int], spacing: Sequence[float]) -> None:
    """Phantoms in the layout of images and masks, and as many more of a brightness of their own as are asked for."""
    made = min(cases, phantoms)
    words = ("phantom", folder, "--cases", made, "--size", *size, "--spacing", *spacing)
    subprocess.run(_mscs(*words), check=True, capture_output=True)
    for number in range(made, cases):
        for kind in ("images", "masks"):
            for file in sorted((folder / kind).glob(f"phantom_{number % made:03d}*")):
                copy = file.with_name(file.name.replace(f"_{number % made:03d}", f"_{number:03d}"))
                image = sitk.ReadImage(str(file))
                if kind == "images":
                    array = sitk.GetArrayFromImage(image)
                    brighter = sitk.GetImageFromArray(np.rint(array * (1 + number / 1000)).astype(array.dtype))
                    brighter.CopyInformation(image)
                    image = brighter
                sitk.WriteImage(image, str(copy), useCompression=True)


def measured(words: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    begin = time.perf_counter()
    process = subprocess.Popen(
        words, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed:\n{said[-3000:]}")
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": used.ru_utime + used.ru_stime,
    }


def digest(folder: Path) -> str:
    """Of all files of a data set by name and content, but for the place that it was read from."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*.nii.gz")):
        found.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:16]


def _mscs(*words: object) -> list[str]:
    return [sys.executable, "-m", "nnunetv2_mscs.cli.main", *map(str, words)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cases", type=int, default=250)
    add("--phantoms", type=int, default=10, help="that are made (default 10)")
    add("--size", nargs=3, type=int, default=(128, 128, 25), metavar=("X", "Y", "Z"))
    add("--spacing", nargs=3, type=float, default=(1.8, 1.8, 5.5), metavar=("X", "Y", "Z"))
    add("--source", type=Path, metavar="DIR", help="phantoms that are made already")
    add("--rounds", type=int, default=1)
    add("--processes", nargs="+", type=int, default=[1, 2], metavar="N")
    add("-o", "--output", type=Path, default=Path("convert.json"), metavar="FILE")
    args = parser.parse_args(argv)
    with TemporaryDirectory() as place:
        source = args.source or Path(place, "source")
        if not args.source:
            make_source(source, args.cases, args.phantoms, args.size, args.spacing)
        count = len(list((source / "masks").glob("*.nii.gz")))
        names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        environment = {name: str(Path(place, name)) for name in names}
        plain = Path(place, "plain")
        for folder in (*environment.values(), plain):
            Path(folder).mkdir()
        commands = {"plain reading and writing": [sys.executable, "-c", PLAIN, str(source), str(plain)]}
        for processes in args.processes:
            words = ("convert", source, 1, "Speed", "--overwrite", "-np", processes)
            commands[f"mscs convert -np {processes}"] = _mscs(*words)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                found[name].append(measured(command, environment))
        converted = digest(Path(environment["nnUNet_raw"]))
        shutil.rmtree(plain)
    rows = [
        {"command": name, "cases": count, **{key: median(one[key] for one in rounds) for key in rounds[0]}}
        for name, rounds in found.items()
    ]
    for row in rows:
        row["times_plain_cpu"] = row["cpu_seconds"] / rows[0]["cpu_seconds"]
        row["times_plain"] = row["seconds"] / rows[0]["seconds"]
    columns = ("seconds", "cpu_seconds", "times_plain", "times_plain_cpu")
    print_table(["command", *columns], [[row["command"], *(f"{row[key]:.2f}" for key in columns)] for row in rows])
    report = {"conditions": conditions(torch.device("cpu")), "images_sha256": converted, "rows": rows}
    write_json(args.output, report)
    print(f"written: {args.output}; images {converted}")


if __name__ == "__main__":
    main()
