"""What names of files and folders lead to: masks of the brain, channel folders, two spellings, letters of no code."""

import os
import re
import unicodedata

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.dataset_conversion.file_names import folder_channel


def labels_of(raw, case: str) -> np.ndarray:
    return np.asanyarray(nibabel.load(raw / f"Dataset001_X/labelsTr/{case}.nii.gz").dataobj)


@pytest.fixture
def phantoms(tools):
    return {f"p{i}": tools.make_phantom(i) for i in range(2)}


@pytest.mark.parametrize("head", ["brain_mask", "mask_bet", "head_seg", "DWI_brain_mask"])
def test_a_mask_of_the_brain_is_not_the_lesion(tmp_path, raw, mscs, tools, phantoms, head):
    for name, phantom in phantoms.items():
        folder = tmp_path / "source" / name
        for channel in ("adc", "dwi"):
            tools.save(getattr(phantom, channel), folder / f"{channel}.nii")
        tools.save((phantom.adc > 0).astype(np.uint8), folder / f"{head}.nii")
        tools.save(phantom.mask, folder / "lesion.nii")
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    for name, phantom in phantoms.items():
        np.testing.assert_array_equal(labels_of(raw, name), phantom.mask)
    assert re.search(f"note .*{head}.nii .*a mask of the brain", outcome.out)


def test_two_masks_are_an_error_and_a_brain_mask_alone_is_none(tmp_path, raw, mscs, tools, phantoms):
    for name, phantom in phantoms.items():
        for channel in ("adc", "dwi"):
            tools.save(getattr(phantom, channel), tmp_path / f"source/{name}/{channel}.nii")
    for word in ("mask", "lesion"):
        tools.save(phantoms["p0"].mask, tmp_path / f"source/p0/{word}.nii")
    tools.save(phantoms["p1"].mask, tmp_path / "source/p1/brain_mask.nii")
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 1
    assert "2 files could be its mask: lesion.nii, mask.nii" in outcome.err
    assert re.search("error +p1 .*image without a mask .*--unlabelled", outcome.err)
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("ADC", "ADC"),
        ("ADC map", "ADC"),
        ("adc_maps", "ADC"),
        ("DWI_b1000", "DWI"),
        ("DWI2", "DWI"),
        ("flair", "FLAIR"),
        ("0001", "DWI"),
        ("DWI_b0", "B0"),
        ("b1000", "B1000"),
        ("ADC_DWI", ""),
        ("derived", ""),
        ("p3", ""),
    ],
)
def test_what_a_folder_among_the_images_tells(name, channel):
    assert folder_channel(name) == channel
    assert folder_channel("Derived Map", ["derived map"]) == "derived map"


def save_channel_folders(tools, folder, phantoms, adc="ADC map", dwi="DWI_b1000"):
    for name, phantom in phantoms.items():
        tools.save(phantom.adc, folder / f"images/{adc}/{name}.nii")
        tools.save(phantom.dwi, folder / f"images/{dwi}/{name}.nii")
        tools.save(phantom.mask, folder / f"masks/{name}.nii")


def test_channel_folders_by_a_word_of_their_names(tmp_path, raw, mscs, tools, phantoms):
    save_channel_folders(tools, tmp_path / "source", phantoms)
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    written = nibabel.load(raw / "Dataset001_X/imagesTr/p0_0000.nii.gz")
    np.testing.assert_allclose(np.asanyarray(written.dataobj), phantoms["p0"].adc * 1e6, rtol=1e-5)


def test_a_folder_that_tells_no_channel_is_an_error_unless_channels_are_named(tmp_path, raw, mscs, tools, phantoms):
    save_channel_folders(tools, tmp_path / "source", phantoms)
    tools.save(phantoms["p0"].dwi, tmp_path / "source/images/derived/p0.nii")
    refused = mscs("convert", tmp_path / "source", 1, "X")
    assert refused.code == 1
    assert re.search("error .*images/derived .*says no channel .*--channels", refused.err)
    outcome = mscs("convert", tmp_path / "source", 1, "X", "--channels", "ADC", "DWI")
    assert outcome.code == 0, outcome.err
    assert re.search("note .*images/derived .*--channels does not name it", outcome.out)


def test_folders_of_no_one_are_noted_and_do_no_harm(raw, mscs, source):
    (source / "images/p3_adc.nii").mkdir()
    (source / "__MACOSX").mkdir()
    (source / "images/__MACOSX").mkdir()
    (source / "images/__MACOSX/._a_adc.nii").write_text("x")
    above = source.parent / "above"
    above.mkdir()
    source.rename(above / "source")
    (above / "__MACOSX").mkdir()
    outcome = mscs("convert", above, 1, "X")
    assert outcome.code == 0, outcome.err
    assert "p3_adc.nii" in outcome.out
    assert outcome.out.count("__MACOSX") == 3


@pytest.mark.parametrize("same", [True, False])
def test_a_mask_saved_for_each_channel(tmp_path, raw, mscs, tools, phantoms, same):
    for name, phantom in phantoms.items():
        tools.save_case(tmp_path / "source", name, phantom)
        (tmp_path / f"source/masks/{name}.nii.gz").unlink()
        for channel in ("adc", "dwi"):
            other = not same and name == "p1" and channel == "dwi"
            tools.save(
                phantom.mask[::-1] if other else phantom.mask, tmp_path / f"source/masks/{name}_{channel}.nii.gz"
            )
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == (0 if same else 1)
    if same:
        assert {path.name for path in (raw / "Dataset001_X/labelsTr").iterdir()} == {"p0.nii.gz", "p1.nii.gz"}
        assert re.search("note .*p1_dwi.nii.gz .*the same mask as p1_adc.nii.gz", outcome.out)
    else:
        assert "duplicate case: p1_adc.nii.gz and p1_dwi.nii.gz are both its mask" in outcome.err
        assert "p0_adc.nii.gz and p0_dwi.nii.gz are both" not in outcome.err


def test_two_spellings_of_an_accent_are_one_name(tmp_path, raw, mscs, tools, phantoms):
    for name, phantom in phantoms.items():
        for file, form in (
            ("images/M\u00fcller_{}_adc", "NFD"),
            ("images/M\u00fcller_{}_dwi", "NFC"),
            ("masks/M\u00fcller_{}", "NFC"),
        ):
            array = {"adc": phantom.adc, "dwi": phantom.dwi}.get(file[-3:], phantom.mask)
            tools.save(array, tmp_path / "source" / unicodedata.normalize(form, f"{file.format(name)}.nii"))
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    assert (raw / "Dataset001_X/labelsTr/Muller_p1.nii.gz").is_file()


def test_a_name_that_is_not_utf8_is_an_error_of_its_file(raw, mscs, source):
    for path in [*source.rglob("b*")]:
        try:
            os.rename(path, os.fsencode(path).replace(b"b", b"M\xfcller"))
        except OSError:
            pytest.skip("the file system takes no such name")
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert re.search(r"error .*ller_adc.nii +its path is not written in UTF-8 +Rename it", outcome.err)
    assert "2 errors in 1 case" in outcome.err


@pytest.mark.parametrize("ending", [".Nii", ".nII"])
def test_an_ending_of_small_and_capital_letters(raw, mscs, source, ending):
    (source / "images/b_adc.nii").rename(source / f"images/b_adc{ending}")
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert re.search("error +b .*mixes small and capital letters +Rename it to end in .nii", outcome.err)
