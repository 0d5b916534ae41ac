"""Test cases and folds: whole patients, alike in lesion volume, the same for the same seed."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from nnunetv2_mscs.nnunet_files.dataset import FOLDS


def choose_test_patients(volumes_ml: Mapping[str, float], fraction: float, *, seed: int) -> set[str]:
    """Patients to be set aside for the test, spread evenly over the range of lesion volumes.

    If they hold all the lesions, the patient with the largest one is exchanged for another and stays for training.

    Args:
        volumes_ml: lesion volume of each patient; at least two patients.
        fraction: share of the patients, above 0 and below 1; at least one is chosen and at least one left.
        seed: another seed, another choice.
    """
    ranked = _ranked(volumes_ml, random.Random(seed))
    count = min(max(1, round(fraction * len(ranked))), len(ranked) - 1)
    offset = random.Random(seed).random()
    chosen = {ranked[int((i + offset) * len(ranked) / count)] for i in range(count)}
    left = [patient for patient in ranked if patient not in chosen]
    if ranked[0] in chosen and not any(volumes_ml[patient] > 0 for patient in left):
        chosen = chosen - {ranked[0]} | {left[0]}
    return chosen


def make_folds(
    cases_of: Mapping[str, Sequence[str]], volumes_ml: Mapping[str, float], *, seed: int
) -> list[dict[str, list[str]]]:
    """nnU-Net's splits: five folds, or as many as there are patients; none for a single patient.

    Patients are ranked by lesion volume and dealt out in rounds. In each round every fold gets one patient, and the
    fold with the least lesion volume so far gets the largest lesion.

    Args:
        cases_of: case names of each patient.
        volumes_ml: lesion volume of each patient.
        seed: decides between equals.

    Returns:
        For each fold the case names under "train" and "val".
    """
    folds = min(len(FOLDS), len(cases_of))
    if folds < 2:
        return []
    rng = random.Random(seed)
    ranked = _ranked(volumes_ml, rng)
    members: list[list[str]] = [[] for _ in range(folds)]
    load = [0.0] * folds
    for start in range(0, len(ranked), folds):
        by_load = sorted(range(folds), key=lambda fold: (load[fold], rng.random()))
        for patient, fold in zip(ranked[start : start + folds], by_load, strict=False):
            members[fold].append(patient)
            load[fold] += volumes_ml[patient]
    everyone = {case for cases in cases_of.values() for case in cases}
    splits = []
    for patients in members:
        validating = {case for patient in patients for case in cases_of[patient]}
        splits.append({"train": sorted(everyone - validating), "val": sorted(validating)})
    return splits


def by_patient(patients: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Sum of the values of each patient."""
    sums: dict[str, float] = defaultdict(float)
    for patient, value in zip(patients, values, strict=True):
        sums[patient] += value
    return dict(sums)


def _ranked(volumes_ml: Mapping[str, float], rng: random.Random) -> list[str]:
    """Patients from the largest lesion to the smallest, equals in random order."""
    shuffled = sorted(volumes_ml)
    rng.shuffle(shuffled)
    return sorted(shuffled, key=lambda patient: -volumes_ml[patient])
