"""What every benchmark does with its figures: name the conditions, print a table, write JSON."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import torch


def conditions(device: torch.device) -> dict:
    """The machine and the versions that the figures belong to."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": device.type,
        "device_name": name,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest value, median and 90th percentile of repeated measurements."""
    ninetieth = quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]
    return {"min": min(values), "median": median(values), "p90": ninetieth}


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    rule = [
        "-" * width if column == 0 else "-" * (max(width, 2) - 1) + ":"
        for column, width in enumerate(max(width, 2) for width in widths)
    ]
    for row in (header, rule, *rows):
        cells = [
            str(cell).ljust(width) if column == 0 else str(cell).rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("| " + " | ".join(cells) + " |")


def write_json(file: Path, report: dict) -> None:
    """Write the figures as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.part")
    unfinished.write_text(json.dumps(report, indent=2) + "\n")
    unfinished.replace(file)
    print(f"figures: {file}")
