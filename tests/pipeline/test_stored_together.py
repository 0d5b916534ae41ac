"""Channels stored along different axes are brought together for models whose reader takes them by index."""

import json

import numpy as np
import pytest
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.stored_together import stored_together
from tests.stored_scans import along, moved, oblique, write_nifti

AFFINE = oblique(np.diag([-3.0, -3.5, 5.0, 1.0]), 8, 0, 5)
ADC, DWI = np.random.default_rng(0).normal(800, 90, (2, 7, 6, 5)).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "dataset.json").write_text('{"file_ending": ".nii.gz"}')
    (folder / "plans.json").write_text('{"image_reader_writer": "SimpleITKIO"}')
    return folder


def write_scan(folder, name="scan", adc_axes="LPS", adc_affine=AFFINE) -> list[str]:
    files = (folder / f"{name}_0000.nii.gz", folder / f"{name}_0001.nii.gz")
    write_nifti(files[0], *along(ADC, adc_affine, adc_axes))
    write_nifti(files[1], *along(DWI, AFFINE, "LPS"))
    return [file.name for file in files]


@pytest.mark.parametrize("axes", ["RPS", "SAR", "IPL"])
def test_an_adc_along_other_axes_meets_its_dwi(tmp_path, model, axes):
    write_scan(tmp_path / "new", "plain")
    plain = SimpleITKIO().read_images([str(tmp_path / f"new/plain_000{i}.nii.gz") for i in range(2)])
    (tmp_path / "place").mkdir()
    assert stored_together(tmp_path / "new", model, tmp_path / "place") == tmp_path / "new"
    names = write_scan(tmp_path / "new", "odd", axes)
    folder = stored_together(tmp_path / "new", model, tmp_path / "place")
    assert folder == tmp_path / "place"
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "new").iterdir()}
    seen, facts = SimpleITKIO().read_images([str(folder / name) for name in names])
    np.testing.assert_array_equal(seen, plain[0])
    np.testing.assert_allclose(facts["sitk_stuff"]["direction"], plain[1]["sitk_stuff"]["direction"], atol=1e-5)


def test_channels_at_different_places_are_refused_by_name(tmp_path, model):
    write_scan(tmp_path / "new", adc_affine=moved(AFFINE, 9, 0, 0))
    (tmp_path / "place").mkdir()
    with pytest.raises(MscsError, match=r"scan_0000.nii.gz: .* lie on different grids"):
        stored_together(tmp_path / "new", model, tmp_path / "place")


def test_models_of_our_reader_need_nothing(tmp_path, model):
    (model / "plans.json").write_text(json.dumps({"image_reader_writer": "MSCSReaderLPS"}))
    write_scan(tmp_path / "new", adc_axes="SAR")
    assert stored_together(tmp_path / "new", model, tmp_path / "place") == tmp_path / "new"
