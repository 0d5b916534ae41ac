"""Two models' evaluations of the same small scans, with files to draw, and the page made of them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.evaluation.comparison import compare
from nnunetv2_mscs.evaluation.results import CaseFiles, Evaluation, case_table
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, with_statistics

SETTINGS = StatisticsSettings(samples=200)
SHAPE, SPACING_MM = (8, 32, 32), (6.0, 4.0, 4.0)
HOSTILE = """a"b'c <script>window.hurt=1</script></script> & é {{ 7 * 7 }}"""
CASES = [HOSTILE, *(f"case_{number}" for number in range(1, 14))]
MISSED, FALSE_ALARM, NEITHER = CASES[2], CASES[3], CASES[4]


def ball(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    grid = np.indices(SHAPE).T * SPACING_MM - np.array(centre) * SPACING_MM
    return (np.linalg.norm(grid, axis=-1) <= radius_mm).T


def masks(number: int, name: str, model_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference and prediction; the models differ by how far the prediction is off."""
    rng = np.random.default_rng(number)
    centre = rng.uniform((2, 10, 10), (6, 22, 22))
    reference = ball(tuple(centre), rng.uniform(8, 30)) | ball(tuple(rng.uniform((1, 6, 6), (7, 26, 26))), 7)
    shift = np.random.default_rng([number, model_seed]).normal(0, 0.6 + 2 * model_seed, 3)
    prediction = ball(tuple(centre + shift), rng.uniform(8, 30))
    if name in (FALSE_ALARM, NEITHER):
        reference[:] = False
    if name in (MISSED, NEITHER):
        prediction[:] = False
    return reference, prediction


def write(array: np.ndarray, file: Path) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM[::-1])
    sitk.WriteImage(image, str(file))
    return file


def evaluation_of(model: str, folder: Path, model_seed: int) -> Evaluation:
    rows, files = [], {}
    for number, name in enumerate(CASES):
        reference, prediction = masks(number, name, model_seed)
        names = {"case": name, "label": "1", "label_name": "lesion", "fold": number % 5}
        empty = {"reference_empty": not reference.any(), "prediction_empty": not prediction.any()}
        rows.append(names | empty | evaluate_masks(reference, prediction, SPACING_MM))
        head = ball((4, 16, 16), 55)
        dwi = head * (np.random.default_rng(number).uniform(150, 200, SHAPE) + 200 * reference)
        files[name] = CaseFiles(
            prediction=write(prediction.astype(np.uint8), folder / f"{number}_{model}.nii.gz"),
            reference=write(reference.astype(np.uint8), folder / f"{number}.nii.gz"),
            images={"DWI": write(dwi.astype(np.float32), folder / f"{number}_0001.nii.gz")},
        )
    evaluation = Evaluation(model, str(folder / model), str(folder), {"1": "lesion"}, case_table(rows), files)
    return with_statistics(evaluation, SETTINGS)


@pytest.fixture(scope="session")
def scan_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("scans")


@pytest.fixture(scope="session")
def evaluations(scan_folder) -> list[Evaluation]:
    """Of a good model and a worse one."""
    return [evaluation_of(model, scan_folder, seed) for seed, model in enumerate(("MSCSTrainer", "nnUNetTrainer"))]


@pytest.fixture(scope="session")
def evaluation(evaluations) -> Evaluation:
    return evaluations[0]


@pytest.fixture(scope="session")
def report(evaluation, tmp_path_factory) -> Path:
    """The page of one model."""
    from nnunetv2_mscs.reporting.report.making import ReportRequest, write_report

    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report([evaluation], None, file, ReportRequest())
    return file


@pytest.fixture(scope="session")
def report_of_two(evaluations, tmp_path_factory) -> Path:
    """The page of two models that are compared, with pictures of the three worst cases."""
    from nnunetv2_mscs.reporting.report.making import ReportRequest, write_report

    file = tmp_path_factory.mktemp("report") / "comparison.html"
    write_report(evaluations, compare(evaluations, samples=200), file, ReportRequest(cases=3))
    return file


@pytest.fixture
def emptied(evaluation) -> Evaluation:
    """The first evaluation without its files."""
    return dataclasses.replace(evaluation, files={})
