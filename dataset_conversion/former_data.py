"""Data that nnU-Net still holds of a former dataset of the same name, and would mix up with the new one."""

import json
from pathlib import Path

from nnunetv2_mscs.nnunet_files.dataset import FINGERPRINT, SPLITS, Folds, accepts_folds, folder_of
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED
from nnunetv2_mscs.scans.findings import Findings


def warn_of_former_data(name: str, folds: Folds, findings: Findings) -> bool:
    """Warn of splits that stop nnU-Net's planner, and of a fingerprint of other scans.

    Args:
        name: the dataset's name.
        folds: its new splits.
        findings: takes the warnings.

    Returns:
        Whether nnU-Net must be told to make its fingerprint anew (--clean).
    """
    folder = folder_of(PREPROCESSED, name)
    splits = folder / SPLITS
    if folds and splits.is_file() and not _are_accepted(splits, folds):
        findings.warning(
            "holds other folds than this dataset's; nnU-Net's planner will stop at them",
            f"Delete it before planning: rm {splits}",
            file=splits,
        )
    fingerprint = folder / FINGERPRINT
    if fingerprint.is_file():
        findings.warning(
            "describes the former dataset of this name; nnU-Net takes it for this one's unless told otherwise",
            "Preprocess with --clean, as in the command below.",
            file=fingerprint,
        )
    return fingerprint.is_file()


def _are_accepted(path: Path, folds: Folds) -> bool:
    try:
        return accepts_folds(json.loads(path.read_text(encoding="utf-8")), folds)
    except (OSError, ValueError, KeyError, TypeError):
        return False
