"""The role of each case: training, with its fold, or testing."""

from collections import defaultdict
from collections.abc import Sequence

from nnunetv2_mscs.dataset_conversion.checking import CaseReport
from nnunetv2_mscs.dataset_conversion.splits import by_patient, choose_test_patients, make_folds
from nnunetv2_mscs.nnunet_files.dataset import FOLDS, Folds
from nnunetv2_mscs.scans.findings import Findings


def settle_roles(reports: Sequence[CaseReport], test_fraction: float | None, seed: int) -> dict[str, str]:
    """The role of each case; cases of a validation folder join the training cases."""
    role_of: dict[str, str] = {
        report.case.name: "train" if report.case.split == "val" else report.case.split for report in reports
    }
    if test_fraction:
        chosen = choose_test_patients(_volumes(reports, role_of), test_fraction, seed=seed)
        for report in reports:
            if role_of[report.case.name] == "train" and report.case.patient in chosen:
                role_of[report.case.name] = "test"
    return role_of


def warn_of_leaks(reports: Sequence[CaseReport], role_of: dict[str, str], findings: Findings) -> None:
    """Warn of patients that the source's own folders put into both training and test."""
    roles: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        roles[report.case.patient].add(role_of[report.case.name])
    leaking = sorted(patient for patient, found in roles.items() if {"train", "test"} <= found)
    if leaking:
        findings.warning(
            f"scans of one patient lie in both the training and the test folder: {', '.join(leaking[:5])}",
            "The test result will be too good; move the scans into one folder.",
        )


def _volumes(reports: Sequence[CaseReport], role_of: dict[str, str]) -> dict[str, float]:
    """Lesion volume in mL of each patient with training cases."""
    trained = [report for report in reports if role_of[report.case.name] == "train"]
    return by_patient([report.case.patient for report in trained], [report.volume_ml or 0.0 for report in trained])


def settle_folds(reports: Sequence[CaseReport], role_of: dict[str, str], seed: int, findings: Findings) -> Folds:
    """nnU-Net's folds of the training cases; fewer than five are noted in the findings."""
    cases_of: dict[str, list[str]] = defaultdict(list)
    for report in reports:
        if role_of[report.case.name] == "train":
            cases_of[report.case.patient].append(report.case.name)
    folds = make_folds(cases_of, _volumes(reports, role_of), seed=seed)
    if not folds:
        findings.warning(
            "one training patient cannot be split into folds: no splits_final.json is written",
            "Only `nnUNetv2_train ... all` can train on it.",
        )
    elif len(folds) < len(FOLDS):
        findings.note(f"{len(folds)} folds instead of {len(FOLDS)}: there are {len(cases_of)} training patients")
    return folds
