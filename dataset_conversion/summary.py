"""The summary that a user reads after a conversion: what was written where, and what to type next."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from nnunetv2_mscs.dataset_conversion.checking import CaseReport
from nnunetv2_mscs.dataset_conversion.convert import Conversion
from nnunetv2_mscs.nnunet_files.dataset import FOLDS
from nnunetv2_mscs.nnunet_files.environment import exports_here
from nnunetv2_mscs.workplace.resources import processes_here


def summarise(conversion: Conversion, dataset_id: int) -> str:
    """The text of the summary."""
    reports, roles = conversion.reports, Counter(conversion.role_of.values())
    trained = [report for report in reports if conversion.role_of[report.case.name] == "train"]
    lines = [
        ("written", str(conversion.destination.path)),
        ("layout", conversion.layout),
        ("cases", _cases(roles)),
        ("channels", ", ".join(f"{i} = {name}" for i, name in enumerate(reports[0].channels))),
        ("ADC units", _units(reports)),
        ("spacing", _spacing(reports)),
        ("lesions", _lesions(trained)),
        ("folds", _folds(conversion)),
        ("findings", _findings(conversion)),
    ]
    clean = " --clean" if conversion.needs_clean else ""
    text = [f"{label:<10} {value}" for label, value in lines if value]
    workers = processes_here().others
    plan = f"nnUNetv2_plan_and_preprocess -d {dataset_id} -pl MSCSPlanner{clean} -np {workers} -npfp {workers}"
    return "\n".join([*text, "", f"next:      {exports_here()}", f"           {plan}"])


def _cases(roles: Counter[str]) -> str:
    parts = [f"{roles['train']} for training"]
    if roles["test"]:
        parts.append(f"{roles['test']} for testing")
    if roles["unlabelled"]:
        parts.append(f"{roles['unlabelled']} without masks (imagesTs)")
    return ", ".join(parts)


def _units(reports: Sequence[CaseReport]) -> str:
    counts = Counter(report.adc_unit for report in reports if report.adc_unit)
    found = ", ".join(f"{unit} in {count}" for unit, count in sorted(counts.items()))
    kept = "kept" if set(counts) == {"scaled"} else "written in 10^-6 mm2/s"
    return f"{found}; {kept}" if found else ""


def _spacing(reports: Sequence[CaseReport]) -> str:
    median = np.median([report.grid.spacing for report in reports if report.grid], axis=0)
    return " x ".join(f"{s:.3g}" for s in median) + " mm (median)"


def _lesions(reports: Sequence[CaseReport]) -> str:
    volumes = [report.volume_ml or 0.0 for report in reports]
    empty = sum(volume == 0 for volume in volumes)
    text = f"{np.median(volumes):.3g} mL (median), {min(volumes):.3g} to {max(volumes):.3g} mL"
    return f"{text}, {empty} without lesion" if empty else text


def _folds(conversion: Conversion) -> str:
    if not conversion.folds:
        return "none (one patient)"
    sizes = "/".join(str(len(fold["val"])) for fold in conversion.folds)
    text = f"{len(conversion.folds)}, by patient, balanced by lesion volume ({sizes} cases validate)"
    few = len(conversion.folds) < len(FOLDS)
    return f"{text}; train folds 0 to {len(conversion.folds) - 1}" if few else text


def _findings(conversion: Conversion) -> str:
    counts = Counter(item.severity for item in conversion.findings)
    parts = [f"{counts[s]} {s}{'s' * (counts[s] > 1)}" for s in ("warning", "note") if counts[s]]
    return ", ".join(parts) + " (table above)" if parts else ""
