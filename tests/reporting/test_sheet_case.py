"""From files to a sheet: orientation, units, windows, masks on the scan's grid, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.evaluation.results import CaseFiles, CaseMetrics
from nnunetv2_mscs.reporting.evaluated_case import MasksChanged, read_evaluated
from nnunetv2_mscs.reporting.sheet import draw_sheet
from nnunetv2_mscs.reporting.sheet_case import metric_facts, read_sheet_case
from nnunetv2_mscs.scans.channels import COMBINED, ReadingRules
from tests.evaluation.random_evaluation import case_row

SHAPE, SPACING_MM = (8, 24, 20), (6.0, 2.0, 1.5)  # z, y, x


def head() -> np.ndarray:
    """A head of 700 in air of 0, without symmetry: nose to the front, a bright spot on the patient's left, above."""
    z, y, x = np.indices(SHAPE)
    tissue = ((y - 12) / 10) ** 2 + ((x - 10) / 8) ** 2 < 1
    return np.where(tissue, 700.0, 0.0).astype(np.float32) + 1300 * ((x == 15) & (y == 8) & (z == 6))


def lesion() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:7, 6:10, 13:16] = 1
    return mask


def write(array: np.ndarray, file: Path, *, orientation: str = "LPS", shift: float = 0.0) -> Path:
    """A volume given in LPS order, stored along other axes."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM[::-1])
    image.SetOrigin((-15.0, -20.0 + shift, 30.0))
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(file))
    return file


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "LAS", "PIR", "SRA"])
def test_any_orientation_of_the_file_gives_the_radiological_view(tmp_path, orientation):
    image = write(head(), tmp_path / "dwi.nii.gz", orientation=orientation)
    mask = write(lesion(), tmp_path / "mask.nii.gz", orientation="RPI")
    case = read_sheet_case("a", {"DWI": image}, truth=mask)
    np.testing.assert_allclose(case.channels["DWI"], head())
    assert (case.truth == (lesion() > 0)).all()
    assert case.spacing_mm == pytest.approx(SPACING_MM)
    assert case.positions_mm == pytest.approx([30 + 6 * k for k in range(8)])
    assert case.oriented
    assert case.measured


def test_the_left_of_the_patient_is_on_the_right_of_the_picture(tmp_path):
    case = read_sheet_case("a", {"DWI": write(head(), tmp_path / "d.nii.gz", orientation="RAS")})
    spot = np.argwhere(case.channels["DWI"] > 900)
    assert spot.tolist() == [[6, 8, 15]]


@pytest.mark.parametrize("factor", [1.0, 1e-3, 1e-6])
def test_adc_is_shown_in_one_window_whatever_its_unit(tmp_path, factor):
    adc = write(head() * factor, tmp_path / "adc.nii.gz")
    dwi = write(head() / 3, tmp_path / "dwi.nii.gz")
    case = read_sheet_case("a", {"ADC": adc, "DWI": dwi})
    window = case.windows["ADC"]
    assert (window.low, window.high) == (0, 2500)
    assert "mm²/s" in window.text
    np.testing.assert_allclose(case.channels["ADC"], head(), rtol=1e-5)


def test_adc_of_no_known_unit_is_shown_and_says_so(tmp_path):
    case = read_sheet_case("a", {"ADC": write(head() * 20, tmp_path / "adc.nii.gz")})
    assert "not recognised" in case.windows["ADC"].text


def test_nan_is_a_finding_or_black(tmp_path):
    image = head()
    image[2, 10, 10] = np.nan
    file = write(image, tmp_path / "dwi.nii.gz")
    with pytest.raises(MscsError, match="NaN"):
        read_sheet_case("a", {"DWI": file})
    case = read_sheet_case("a", {"DWI": file}, check=False)
    assert np.isfinite(case.channels["DWI"]).all()
    assert draw_sheet(case).image.width > 100


def test_labels_are_chosen(tmp_path):
    labels = lesion()
    labels[2, 12, 10] = 2
    mask = write(labels, tmp_path / "mask.nii.gz")
    for values, expected in (([2], labels == 2), ([1, 2], labels > 0), (None, labels > 0)):
        assert (read_sheet_case("a", {}, truth=mask, values=values).truth == expected).all()


def test_a_mask_of_another_grid_is_refused(tmp_path):
    image = write(head(), tmp_path / "dwi.nii.gz")
    moved = write(lesion(), tmp_path / "mask.nii.gz", shift=3.0)
    with pytest.raises(MscsError, match="different grids"):
        read_sheet_case("a", {"DWI": image}, truth=moved)


def test_probabilities_are_no_mask(tmp_path):
    with pytest.raises(MscsError, match="probabilities"):
        read_sheet_case("a", {}, prediction=write(head() / 4000, tmp_path / "p.nii.gz"))


def test_arrays_have_no_left_and_no_scale_until_told(tmp_path):
    np.save(tmp_path / "a.npy", head().T)
    bare = read_sheet_case("a", {COMBINED: tmp_path / "a.npy"})
    assert (bare.oriented, bare.measured, bare.positions_mm) == (False, False, None)
    rules = ReadingRules(spacing=SPACING_MM[::-1])
    told = read_sheet_case("a", {COMBINED: tmp_path / "a.npy"}, rules=rules)
    assert told.measured
    assert told.spacing_mm == SPACING_MM


def test_nifti_without_orientation_shows_no_left_and_right(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(head().T, None)
    nibabel.save(image, tmp_path / "dwi.nii.gz")
    assert not read_sheet_case("a", {"DWI": tmp_path / "dwi.nii.gz"}).oriented


def evaluated(tmp_path, images) -> tuple[CaseFiles, CaseMetrics]:
    truth, prediction = lesion() > 0, np.roll(lesion(), 1, axis=2) > 0
    files = CaseFiles(
        write(prediction.astype(np.uint8), tmp_path / "p.nii.gz"), write(lesion(), tmp_path / "t.nii.gz"), images
    )
    return files, case_row("a", evaluate_masks(truth, prediction, SPACING_MM), fold=0)


def test_an_evaluated_case_shows_its_metrics(tmp_path):
    files, result = evaluated(tmp_path, {"DWI": write(head(), tmp_path / "d.nii.gz")})
    case, finding = read_evaluated(files, result, "model")
    assert finding == ""
    assert f"Dice {result['dice']:.3f}" in case.facts
    assert "mL" in case.facts
    assert "not defined" in metric_facts({**result, "hd95_mm": float("nan")})


@pytest.mark.parametrize("images", [{}, {"DWI": Path("nowhere.nii.gz")}])
def test_without_its_scan_a_case_is_drawn_by_its_masks_and_says_so(tmp_path, images):
    files, result = evaluated(tmp_path, images)
    case, finding = read_evaluated(files, result, "model")
    assert finding
    assert case.notes == (finding,)
    assert not case.channels
    assert draw_sheet(case).panels


@pytest.mark.parametrize("images", [False, True])
def test_masks_that_are_not_those_evaluated_are_refused(tmp_path, images):
    files, result = evaluated(tmp_path, {"DWI": write(head(), tmp_path / "d.nii.gz")} if images else {})
    smaller = lesion()
    smaller[tuple(np.argwhere(smaller)[0])] = 0
    write(smaller, files.reference)
    with pytest.raises(MasksChanged, match="changed since"):
        read_evaluated(files, result, "model")


def test_the_label_is_named_where_there_are_several(tmp_path):
    files, result = evaluated(tmp_path, {})
    assert read_evaluated(files, result, "model", name_label=True)[0].name == "a, model, lesion"
    assert read_evaluated(files, result, "model")[0].name == "a, model"


def test_nothing_is_drawn_where_the_truth_is_to_be_ignored(tmp_path):
    truth = lesion()
    truth[:, :, truth.shape[2] // 2 :] = 2
    prediction = np.ones_like(truth)
    masks = {"truth": write(truth, tmp_path / "t.nii.gz"), "prediction": write(prediction, tmp_path / "p.nii.gz")}
    case = read_sheet_case("a", {}, **masks, ignored=2)
    assert (case.truth == (truth == 1)).all()
    assert (case.prediction == (truth != 2)).all()
    assert any("ignore label" in note for note in case.notes)


def test_real_scans(real_folder):
    """Three units of ADC, two kinds of grid, oblique axes, with and without skull and mask."""
    for name in ("isles22_0001", "isles22_0002", "soop_3"):
        images = {channel.upper(): real_folder / f"images/{name}_{channel}.nii.gz" for channel in ("adc", "dwi")}
        case = read_sheet_case(
            name, images, truth=real_folder / f"masks/{name}.nii.gz", prediction=real_folder / f"masks/{name}.nii.gz"
        )
        assert case.windows["ADC"].high == 2500
        assert case.facts.startswith("Dice 1.000")
        lesion_adc = np.median(case.channels["ADC"][case.truth])
        assert 200 < lesion_adc < 900
        assert draw_sheet(case).image.height > 900
