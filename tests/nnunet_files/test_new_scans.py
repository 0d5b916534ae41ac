"""Scans that nnU-Net's prediction would pass over without a word are written as it takes them, or refused."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.new_scans import fitting_scans

MODEL = {"file_ending": ".nii.gz", "channel_names": {"0": "ADC", "1": "DWI"}}


def write(folder, *names):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        array = np.random.default_rng(number).integers(0, 900, (3, 5, 4)).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name))
    return folder


@pytest.mark.parametrize("given", [".nii", ".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("wanted", [".nii", ".nii.gz", ".nrrd"])
def test_scans_of_another_format(given, wanted, tmp_path):
    """Beside a case in the right format, which nnU-Net alone would predict."""
    images = write(tmp_path / "new", f"h_0000{given}", f"h_0001{given}", f"k_0000{wanted}", f"k_0001{wanted}")
    (images / "notes.txt").write_text("x")
    place = fitting_scans(images, {**MODEL, "file_ending": wanted}, tmp_path / "place")
    assert (place == images) == (given == wanted)
    if given != wanted:
        assert sorted(file.name for file in place.iterdir()) == [f"{c}_000{n}{wanted}" for c in "hk" for n in (0, 1)]
    for case, ending in (("h", given), ("k", wanted)):
        for number in (0, 1):
            stored, found = (
                sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
                for file in (images / f"{case}_000{number}{ending}", place / f"{case}_000{number}{wanted}")
            )
            np.testing.assert_array_equal(found, stored)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["h_adc.nii.gz", "h_dwi.nii.gz"], "names end in no _0000, _0001: h_adc.nii.gz, h_dwi.nii.gz.*mscs convert"),
        (["h_0000.nii.gz", "h_0001.nii.gz", "p.nii.gz"], "names end in no _0000, _0001: p.nii.gz"),
        (["h_0000.nii.gz"], "h in .* has _0000, where the model needs _0000, _0001"),
        (["h_0000.nii.gz", "h_0001.nii.gz", "h_0002.nii"], "has _0000, _0001, _0002, where the model needs"),
        (["h_0000.nii.gz", "h_0000.nii", "h_0001.nii"], "h_0000.nii and h_0000.nii.gz in .* are one scan"),
        ([], "holds no scans"),
    ],
)
def test_names_that_fit_no_model(names, said, tmp_path):
    with pytest.raises(MscsError, match=said):
        fitting_scans(write(tmp_path / "new", *names), MODEL, tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_the_field(field_folder, tmp_path):
    images = field_folder / "41_predict_nii_nothing/new"
    place = fitting_scans(images, MODEL, tmp_path / "place")
    for number, channel in enumerate(("adc", "dwi")):
        with gzip.open(place / f"h_000{number}.nii.gz") as file:
            assert file.read() == (images / f"h_000{number}.nii").read_bytes()
        good = sitk.ReadImage(str(field_folder / f"good/images/odd_{channel}.nii.gz"))
        found = sitk.ReadImage(str(place / f"h_000{number}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(good))
