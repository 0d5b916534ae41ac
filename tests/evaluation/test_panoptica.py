"""One-to-one matching gives panoptica's numbers, which panoptica_values.py has put down."""

import importlib.util
import json
from pathlib import Path

import pytest

from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.scans.reading import read_volume

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("panoptica_values", HERE / "panoptica_values.py")
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)
VALUES = json.loads(made.VALUES.read_text())
SPACING_MM = (5.0, 1.2, 1.2)


def check(name: str, pair) -> None:
    found = evaluate_masks(*pair, SPACING_MM)
    assert {column: found[column] for column in VALUES[name]} == pytest.approx(VALUES[name], abs=1e-6)


@pytest.mark.parametrize("seed", made.SEEDS)
def test_boxes(seed):
    check(f"boxes {seed}", made.boxes(seed))


@pytest.mark.parametrize("case", made.REAL)
def test_real_masks(case, real_folder):
    mask = read_volume(real_folder / "masks" / f"{case}.nii.gz", content="mask").array[0] > 0
    for change, pair in made.real_pairs(mask).items():
        check(f"{case} {change}", pair)


def test_the_pairs_tell_the_thresholds_and_the_rules_apart():
    values = [VALUES[f"boxes {seed}"] for seed in made.SEEDS]
    assert sum(value["rq_iou20"] > value["rq_iou25"] for value in values) > 10
    assert sum(value["lesion_count_reference"] != value["lesion_count_prediction"] for value in values) > 10
