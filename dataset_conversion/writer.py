"""nnU-Net's raw dataset format: images, labels, dataset.json, splits_final.json, and cases.csv for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nnunetv2_mscs import __version__
from nnunetv2_mscs.dataset_conversion.checking import CaseReport
from nnunetv2_mscs.dataset_conversion.kept_scans import FILE_ENDING, KeptScans
from nnunetv2_mscs.nnunet_files.dataset import (
    DATASET_JSON,
    IMAGES_TR,
    IMAGES_TS,
    LABELS_TR,
    LABELS_TS,
    SPLITS,
    Folds,
    reader_along,
)
from nnunetv2_mscs.scans.channels import ReadingRules
from nnunetv2_mscs.scans.units import SCALED
from nnunetv2_mscs.workplace.parallel import run_parallel

IMAGES = {"train": IMAGES_TR, "test": IMAGES_TS, "unlabelled": IMAGES_TS}
LABELS = {"train": LABELS_TR, "test": LABELS_TS}


@dataclass(frozen=True)
class DatasetFacts:
    """Facts for dataset.json besides the cases: name, source, how it was read, and along which axes it is stored."""

    name: str
    source: str
    layout: str
    rules: ReadingRules
    axes: str
    unlabelled: str = ""


def write_dataset(
    folder: Path,
    reports: Sequence[CaseReport],
    role_of: Mapping[str, str],
    folds: Folds,
    facts: DatasetFacts,
    roots: Sequence[Path],
    kept: KeptScans,
    *,
    processes: int,
) -> None:
    """Write the whole dataset into an empty folder; the scans are moved into it.

    Args:
        folder: where to.
        reports: of all cases, none with an error.
        role_of: "train", "test" or "unlabelled" for each case name.
        folds: nnU-Net's splits; without any, no splits_final.json is written.
        facts: the rest of dataset.json.
        roots: folders that file names in cases.csv are relative to.
        kept: all scans.
        processes: how many to use.
    """
    for name in (IMAGES_TR, LABELS_TR, *(IMAGES[role] for role in set(role_of.values()))):
        (folder / name).mkdir(exist_ok=True)
    if "test" in role_of.values():
        (folder / LABELS_TS).mkdir()
    turned = [report for report in reports if report.turned_from]
    work = partial(_turn, kept=kept, axes=facts.axes)
    run_parallel(work, turned, processes=processes, description="turning")
    for report in reports:
        role = role_of[report.name]
        labels = folder / LABELS[role] if role in LABELS and report.volume_ml is not None else None
        kept.move(report.name, len(report.channels), folder / IMAGES[role], labels)
    if folds:
        _write_json(folds, folder / SPLITS)
    write_cases_csv(folder / "cases.csv", reports, role_of, folds, roots)
    _write_json(dataset_json(reports, role_of, facts), folder / DATASET_JSON)


def _turn(report: CaseReport, kept: KeptScans, axes: str) -> None:
    assert report.turned_from is not None
    kept.turn(report.name, report.channels, report.turned_from, axes)


def label_names(reports: Sequence[CaseReport]) -> dict[str, int]:
    """Background and lesion; lesion_1, lesion_2, ... where the masks hold several values."""
    most = max((value for report in reports for value in report.labels), default=1)
    if most <= 1:
        return {"background": 0, "lesion": 1}
    return {"background": 0, **{f"lesion_{value}": value for value in range(1, most + 1)}}


def dataset_json(reports: Sequence[CaseReport], role_of: Mapping[str, str], facts: DatasetFacts) -> dict[str, Any]:
    """The content of dataset.json: what nnU-Net needs, then where the data came from."""
    content: dict[str, Any] = {
        "name": facts.name,
        "channel_names": {str(i): channel for i, channel in enumerate(reports[0].channels)},
        "labels": label_names(reports),
        "numTraining": sum(role == "train" for role in role_of.values()),
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": reader_along(facts.axes),
        "source": facts.source,
        "layout": facts.layout,
        "converted_by": f"nnunetv2-mscs {__version__}",
    }
    if facts.unlabelled:
        content["source_unlabelled"] = facts.unlabelled
    if facts.rules.spacing:
        content["spacing_given_mm"] = list(facts.rules.spacing)
    units = {report.adc_unit for report in reports} - {None}
    if units:
        content["adc_unit"] = "min-max scaled" if units == {SCALED} else "10^-6 mm2/s"
    return content


def write_cases_csv(
    path: Path,
    reports: Sequence[CaseReport],
    role_of: Mapping[str, str],
    folds: Folds,
    roots: Sequence[Path],
) -> None:
    """Write one row per case: its place in the dataset, its source, and what was found."""
    import pandas as pd  # here, as the worker processes do not need it

    fold_of = {case: i for i, fold in enumerate(folds) for case in fold["val"]}
    rows = []
    for report in reports:
        case, grid = report.case, report.grid
        assert grid is not None
        files = {f"{channel.lower()}_file": _relative(case.file_of(channel), roots) for channel in report.channels}
        rows.append(
            {
                "case": case.name,
                "split": role_of[case.name],
                "source_split": case.split,
                "patient": case.patient,
                "fold": fold_of.get(case.name, ""),
                **files,
                "mask_file": _relative(case.mask, roots) if case.mask else "",
                "size": " ".join(str(n) for n in grid.size),
                "spacing": " ".join(f"{s:.6g}" for s in grid.spacing),
                "adc_unit": report.adc_unit or "",
                "lesion_volume_ml": "" if report.volume_ml is None else f"{report.volume_ml:.4f}",
                "pieces": "" if report.pieces is None else report.pieces,
                "warnings": "; ".join(report.warnings),
            }
        )
    pd.DataFrame(rows, dtype=object).to_csv(path, index=False, lineterminator="\n")


def _relative(path: Path, roots: Sequence[Path]) -> str:
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.as_posix()


def _write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
