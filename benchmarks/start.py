"""CPU seconds of `mscs predict` by step, imports included, for one study; and a picture of them before and after.

    python benchmarks/start.py SCANS -o after.json
    python benchmarks/start.py --draw before.json after.json --picture docs/speed.png

SCANS is a folder with one study. CPU seconds of all threads hardly depend on what else the machine does.
"""

import argparse
import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


class Clock:
    """CPU seconds of this process by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before = 0.0

    def took(self, step: str) -> None:
        """All since the last call belongs to this step."""
        now = time.process_time()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._before
        self._before = now


def measure(scans: Path, out: Path) -> dict[str, Any]:
    clock = Clock()
    from nnunetv2_mscs.models import predicting

    clock.took("own modules, SciPy, SimpleITK")
    import torch

    clock.took("torch")
    from nnunetv2_mscs.models import predictor

    predictor.import_for_prediction()
    import nnunetv2_mscs.models.networks  # noqa: F401

    clock.took("nnU-Net")
    source = predicting.find_model("synthetic")
    model = predictor.Predictor(source, "cpu")
    clock.took("load the model")
    results = predicting.Results(out)
    for folder in (predicting.SHEETS, predicting.SLICES):
        (out / folder).mkdir(parents=True)
    request = predicting.PredictRequest((scans,), "synthetic", out)
    study = predicting.find_studies([scans], wanted=predicting.Wanted(source.channels))[0]
    command = predicting._Command(model, results, {}, request)
    read = command.read(study)
    clock.took("read")
    probabilities = model._networks.probabilities

    def timed(*words: Any) -> Any:
        clock.took("measure")
        found = probabilities(*words)
        clock.took("preprocess, network, resample")
        return found

    model._networks.probabilities = timed
    predicted = command.predict(study, read)
    clock.took("measure")
    record = command.write(study, predicted)
    results.write_record(record)
    results.write_table([record])
    predicting.write_page(out / predicting.PAGE, [record], sheets="sheets", slices="slices", model=model.model_name)
    clock.took("write mask, pictures, page")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"cpu_seconds": clock.seconds, "peak_gb": peak, "torch": torch.__version__}


def draw(reports: Sequence[Path], picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((8, 0.7 + 0.6 * len(reports)), layout="constrained")
    axes = figure.subplots()
    found = {file.stem: json.loads(file.read_text())["cpu_seconds"] for file in reports}
    steps = list(dict.fromkeys(step for seconds in found.values() for step in seconds))
    left = [0.0] * len(found)
    for step in steps:
        widths = [seconds.get(step, 0.0) for seconds in found.values()]
        axes.barh(list(found), widths, left=left, label=step)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("CPU seconds")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(picture, dpi=100)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("scans", type=Path, nargs="?", metavar="SCANS")
    add("-o", "--output", type=Path, default=Path("start.json"), metavar="FILE")
    add("--draw", nargs="+", type=Path, metavar="JSON", help="draw these instead of measuring")
    add("--picture", type=Path, default=Path("start.png"), metavar="PNG")
    args = parser.parse_args(argv)
    if args.draw:
        return draw(args.draw, args.picture)
    if not args.scans:
        parser.error("name SCANS, or --draw")
    with TemporaryDirectory() as folder:
        report = measure(args.scans, Path(folder, "out"))
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    for step, seconds in report["cpu_seconds"].items():
        print(f"{seconds:6.2f} {step}")
    print(f"{sum(report['cpu_seconds'].values()):6.2f} all; peak {report['peak_gb']:.2f} GB; written: {args.output}")


if __name__ == "__main__":
    main()
