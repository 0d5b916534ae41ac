"""nnU-Net's readers of our data sets: one view of a scan for the network, masks on the grid as stored."""

import pickle

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from nnunetv2_mscs.nnunet_files import reader
from nnunetv2_mscs.nnunet_files.dataset import reader_along
from nnunetv2_mscs.nnunet_shims.reader import mscs_reader
from nnunetv2_mscs.scans.grid import Grid, distance_mm
from tests.stored_scans import ALL_AXES, along, moved, oblique, placed, same_place, write_nifti

AFFINE = np.diag([-3.0, -3.5, 5.0, 1.0])
AFFINE[:3, 3] = [40, -20, 10]
ADC, DWI = np.random.default_rng(0).normal(800, 90, (2, 7, 6, 5)).astype(np.float32)
MASK = (DWI > 850).astype(np.uint8)


def write_scan(folder, affine=AFFINE, *, adc_axes="LPS", dwi_axes="LPS") -> list[str]:
    files = []
    for number, (array, axes) in enumerate(((ADC, adc_axes), (DWI, dwi_axes))):
        files.append(str(write_nifti(folder / f"scan_000{number}.nii.gz", *along(array, affine, axes))))
    return files


def test_there_is_a_class_for_every_order_of_axes_and_the_shim_hands_it_out():
    assert set(reader.READERS) == {reader_along(axes) for axes in ALL_AXES}
    for name, found in reader.READERS.items():
        assert getattr(mscs_reader, name) is found
        assert pickle.loads(pickle.dumps(found)) is found
        assert name == found.__name__ == reader_along(found.axes)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (20, 0, 10), (35, -35, 30), (0, 0, 45), (45, 45, 0)], ids=str)
def test_however_a_scan_is_stored_the_network_sees_one(tmp_path, degrees):
    tilted = oblique(AFFINE, *degrees)
    io = reader.READERS["MSCSReaderLAS"]()
    files = write_scan(tmp_path, tilted)
    plain, properties = io.read_images(files)
    assert plain.dtype == np.float32
    for i, axes in enumerate(ALL_AXES):
        seen, facts = io.read_images(write_scan(tmp_path, tilted, adc_axes=ALL_AXES[-i], dwi_axes=axes))
        np.testing.assert_array_equal(seen, plain)
        np.testing.assert_allclose(facts["spacing"], properties["spacing"], rtol=1e-5)
        drawn, _ = io.read_seg(str(write_nifti(tmp_path / "mask.nii.gz", *along(MASK, tilted, axes))))
        io.write_seg(drawn[0], str(tmp_path / "out.nii.gz"), pickle.loads(pickle.dumps(facts)))
        assert same_place((MASK, tilted), placed(tmp_path / "out.nii.gz"))
        stored, written = (Grid.of(sitk.ReadImage(str(tmp_path / name))) for name in (files[1], "out.nii.gz"))
        assert distance_mm(stored, written) < 1e-4, axes


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAR"])
def test_scans_along_its_axes_are_read_as_by_nnunets_own_reader(tmp_path, axes):
    files = write_scan(tmp_path, adc_axes=axes, dwi_axes=axes)
    ours, theirs = reader.READERS[reader_along(axes)](), SimpleITKIO()
    (seen, facts), (expected, known) = ours.read_images(files), theirs.read_images(files)
    assert seen.tobytes() == expected.tobytes()
    assert facts["spacing"] == known["spacing"]
    assert facts["sitk_stuff"] == known["sitk_stuff"]
    for io, properties, name in ((ours, facts, "ours"), (theirs, known, "theirs"), (ours, known, "before")):
        io.write_seg((seen[1] > 850).astype(np.uint8), str(tmp_path / f"{name}.nii.gz"), properties)
    assert (tmp_path / "ours.nii.gz").read_bytes() == (tmp_path / "theirs.nii.gz").read_bytes()
    assert (tmp_path / "before.nii.gz").read_bytes() == (tmp_path / "theirs.nii.gz").read_bytes()


def test_a_file_of_several_volumes_among_a_scans_files_is_refused(tmp_path):
    """Its volumes would be taken for channels; nnU-Net would then say that the network has too few."""
    files = write_scan(tmp_path)
    series = sitk.JoinSeries([sitk.ReadImage(files[1])] * 3)
    sitk.WriteImage(series, files[1])
    with pytest.raises(RuntimeError, match=r"scan_0001.nii.gz: holds 3 volumes where one channel volume is expected"):
        reader.READERS["MSCSReaderLAS"]().read_images(files)


def test_channels_at_different_places_are_refused(tmp_path):
    files = write_scan(tmp_path)
    write_nifti(tmp_path / "scan_0000.nii.gz", ADC, moved(AFFINE, 3, 0, 0))
    with pytest.raises(RuntimeError, match=r"scan_0000.nii.gz: .* lie on different grids \(by up to 3 mm\)"):
        reader.READERS["MSCSReaderLPS"]().read_images(files)


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_forms_are_settled_by_the_channels(tmp_path, form):
    files = write_scan(tmp_path)
    io = reader.READERS["MSCSReaderLPS"]()
    plain, _ = io.read_images(files)
    write_nifti(tmp_path / "scan_0001.nii.gz", DWI, AFFINE, **{form: moved(AFFINE, 0, 0, 50)})
    seen, facts = io.read_images(files)
    np.testing.assert_array_equal(seen, plain)
    io.write_seg(MASK.T, str(tmp_path / "out.nii.gz"), facts)
    assert same_place((MASK, AFFINE), placed(tmp_path / "out.nii.gz"))


def test_a_scan_of_the_field_whose_adc_is_stored_from_right_to_left(field_folder):
    new, good = field_folder / "43_predict_adc_mirrored_storage/new", field_folder / "good/images"
    io = reader.READERS["MSCSReaderRAS"]()
    seen, facts = io.read_images([str(new / f"mirror_000{i}.nii.gz") for i in range(2)])
    plain, known = io.read_images([str(good / f"odd_{name}.nii.gz") for name in ("adc", "dwi")])
    np.testing.assert_array_equal(seen, plain)
    assert facts == known
