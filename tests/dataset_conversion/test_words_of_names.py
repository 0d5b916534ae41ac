"""Names that hold the channel, the mask or the case in other words or at other places, in every layout."""

import csv
import json
import re
import shutil

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.scans.words import channel_of_words, words_of


@pytest.fixture
def phantoms(tools):
    return {f"p00{i}": tools.make_phantom(i) for i in (1, 2, 3)}


def fill(folder, tools, phantoms, *patterns):
    """Write ADC, DWI and mask of each phantom to the place that a pattern gives; of further patterns other images."""
    for name, phantom in phantoms.items():
        arrays = [phantom.adc, phantom.dwi, phantom.mask, phantom.dwi[::-1], phantom.dwi[:, ::-1], phantom.dwi + 1]
        for array, pattern in zip(arrays, patterns, strict=False):
            if pattern:
                ending = "" if "." in pattern.rsplit("/", 1)[-1] else ".nii"
                place = pattern.replace("{}", name).replace("{1}", name[1:])
                tools.save(array, folder / f"{place}{ending}")
    return folder


def voxels(path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def written(folder, name, number, split="Tr") -> np.ndarray:
    return voxels(folder / f"images{split}/{name}_{number:04d}.nii.gz")


def check(folder, phantoms, form="{}", channels=("adc", "dwi")):
    """The data set holds these cases alone, with the phantoms' voxels, ADC in 10^-6 mm2/s."""
    expected = {form.replace("{}", name).replace("{1}", name[1:]): phantom for name, phantom in phantoms.items()}
    assert {path.name for path in (folder / "labelsTr").iterdir()} == {f"{name}.nii.gz" for name in expected}
    told = json.loads((folder / "dataset.json").read_text())["channel_names"]
    assert list(told.values()) == [channel.upper() for channel in channels]
    for name, phantom in expected.items():
        for number, channel in enumerate(channels):
            factor = 1e6 if channel == "adc" else 1.0
            np.testing.assert_allclose(written(folder, name, number), getattr(phantom, channel) * factor, rtol=1e-5)
        np.testing.assert_array_equal(voxels(folder / f"labelsTr/{name}.nii.gz"), phantom.mask)


# patterns of ADC, DWI, mask and of other images ({} is p001, {1} is 001), how the case is called, and what is said
NAMES = {
    "trace": (("images/{}_ADC", "images/{}_trace", "masks/{}"), "{}", "trace.nii .*taken as the DWI"),
    "tracew": (("images/{}-adc", "images/{}-TRACEW", "masks/{}"), "{}", "taken as the DWI"),
    "b-value": (("images/{}_adc", "images/{}_b1000", "masks/{}"), "{}", "taken as the DWI"),
    "b-value of four signs": (("images/{}_adc", "images/{}_b0800", "masks/{}"), "{}", "taken as the DWI"),
    "b0 beside": (("images/{}_ADC", "images/{}_b1000", "masks/{}", "images/{}_b0"), "{}", "taken as the DWI"),
    "diffusion": (("images/{}_ADC", "images/{}_diffusion", "masks/{}"), "{}", "taken as the DWI"),
    "isotropic DWI": (("images/{}_ADCmap", "images/{}_isoDWI", "masks/{}"), "{}", "read by their words"),
    "DWI and b-value": (("images/{}_adc_map", "images/{}_dwi_b1000", "masks/{}"), "{}", "read by their words"),
    "written out": (
        ("images/{}_apparent_diffusion_coefficient", "images/{} diffusion weighted image", "masks/{}"),
        "{}",
        "read by their words",
    ),
    "BIDS keys": (("images/sub-{1}_acq-ADC_dwi", "images/sub-{1}_acq-b1000_dwi", "masks/sub-{1}"), "sub-{1}", "words"),
    "BIDS keys of SOOP": (
        (
            "images/sub-{1}_rec-ADC_dwi",
            "images/sub-{1}_rec-TRACE_dwi",
            "masks/sub-{1}_space-TRACE_desc-lesion_mask",
        ),
        "sub-{1}",
        "is the ADC of sub-001",
    ),
    "channel first": (("images/ADC_{1}", "images/DWI_{1}", "masks/{1}"), "{1}", "ADC_001 is the ADC of 001"),
    "channel first, mask too": (("images/ADC_{1}", "images/trace_{1}", "masks/mask_{1}"), "{1}", "of 001"),
    "channel within": (("images/{1}_ADC_resampled", "images/{1}_DWI_resampled", "masks/{1}"), "{1}", "resampled"),
    "channel within, by visit": (("images/{}_ADC_v1", "images/{}_DWI_v1", "masks/{}_v1"), "{}_v1", "words"),
    "dcm2niix": (
        ("images/{}_ep2d_diff_ADC_7", "images/{}_ep2d_diff_TRACEW_6a", "masks/{}"),
        "{}",
        "passed over: 6a, 7",
    ),
    "dcm2niix of words unknown": (
        ("images/{}_Schlaganfall_tra_ADC_12", "images/{}_Schlaganfall_tra_TRACEW_11", "masks/{}"),
        "{}",
        "passed over: 11, 12, Schlaganfall, tra",
    ),
    "masks by the DWI of dcm2niix": (
        ("images/{}_ep2d_ADC_7", "images/{}_ep2d_DWI_6", "masks/{}_ep2d_DWI_6_lesion"),
        "{}",
        "read by",
    ),
    "infarct": (("images/{}_ADC", "images/{}_DWI", "masks/{}_infarct"), "{}", "p001_infarct is the mask of p001"),
    "stroke and gt": (("images/{}_ADC", "images/{}_DWI", "masks/{}_stroke_gt"), "{}", "is the mask of p001"),
    "ROI": (("images/{}_ADC", "images/{}_DWI", "masks/{}_ROI"), "{}", "is the mask of p001"),
    "ground truth": (("images/{}_ADC", "images/{}_DWI", "labels/{}-ground-truth"), "{}", "is the mask of p001"),
    "words in front": (("images/{}_ADC", "images/{}_DWI", "masks/lesion-{}"), "{}", "is the mask of p001"),
    "one unknown word in all": (("images/{}_ADC", "images/{}_DWI", "masks/{}_final-JB"), "{}", "passed over: JB"),
    "other folder of masks": (("images/{}_ADC", "images/{}_DWI", "ROIs/{}"), "{}", ""),
    "copies alone": (("images/{}_ADC (1)", "images/{}_DWI (1)", "masks/{} - Copy"), "{}", "read by"),
    "numbers of a series of copies": (("images/ADC ({1})", "images/DWI ({1})", "masks/mask ({1})"), None, "read by"),
    "capital letters": (("images/P{1}_ADC", "images/P{1}_DWI", "masks/{}"), "P{1}", "read by"),
    "blanks": (("images/pat {1} ADC", "images/pat {1} DWI", "masks/pat_{1}"), "pat_{1}", "read by"),
    "accents": (("images/Mül{1}_ADC", "images/Mül{1}_DWI", "masks/Mul{1}"), "Mul{1}", "read by"),
    "channel folders": (("images/ADC/{}", "images/trace b1000/{}", "masks/{}"), "{}", "taken as the DWI"),
    "channel folders and words": (("images/ADC map/{}_ADC_7", "images/DWI/{}_DWI_6", "masks/{}"), "{}", "read by"),
    "nnU-Net's own": (("imagesTr/{}_0000", "imagesTr/{}_0001", "labelsTr/{}"), "{}", "0000 and 0001 are taken as"),
    "folders: trace": (("{}/{}_ADC", "{}/{}_trace", "{}/{}_mask"), "{}", "trace.nii .*taken as the DWI"),
    "folders: b-value and stroke": (("{}/ADC", "{}/b1000", "{}/stroke", "{}/b0"), "{}", "stroke.nii .*as the mask"),
    "folders: diffusion and ROI": (("{}/{}_adc", "{}/{}_diffusion", "{}/{}_ROI"), "{}", "taken as the DWI"),
    "folders: dcm2niix": (
        ("{}/ep2d_diff_ADC_7", "{}/ep2d_diff_TRACEW_6a", "{}/infarct", "{}/ep2d_diff_b0_5"),
        "{}",
        "b0_5.nii .*ignored",
    ),
    "folders: two DWI by substring": (
        ("{}/ADC", "{}/DWI_b1000", "{}/gt", "{}/DWI_b0", "{}/eADC"),
        "{}",
        "6 files +ignored",
    ),
    "folders: BIDS names": (("{}/{}_acq-ADC_dwi", "{}/{}_acq-trace_dwi", "{}/{}_lesion"), "{}", ""),
    "folders of channels in each": (("{}/ADC/a", "{}/DWI/b", "{}/mask/c", "{}/FLAIR/d"), "{}", "d.nii .*ignored"),
    "BIDS tree": (
        (
            "sub-{}/ses-1/dwi/sub-{}_ses-1_rec-ADC_dwi",
            "sub-{}/ses-1/dwi/sub-{}_ses-1_rec-TRACE_dwi",
            "derivatives/lesion_masks/sub-{}/ses-1/dwi/sub-{}_ses-1_space-TRACE_desc-lesion_mask",
            "sub-{}/ses-1/anat/sub-{}_ses-1_FLAIR",
        ),
        "sub-{}_ses-1",
        "FLAIR.nii .*ignored",
    ),
    "BIDS tree of ISLES": (
        (
            "rawdata/sub-{}/ses-0001/sub-{}_ses-0001_adc",
            "rawdata/sub-{}/ses-0001/sub-{}_ses-0001_dwi",
            "derivatives/sub-{}/ses-0001/sub-{}_ses-0001_msk",
        ),
        "sub-{}_ses-0001",
        "",
    ),
    "BIDS tree without sessions": (
        ("sub-{}/dwi/sub-{}_adc", "sub-{}/dwi/sub-{}_trace", "derivatives/manual/sub-{}/sub-{}_label-lesion_roi"),
        "sub-{}",
        "taken as the DWI",
    ),
    "BIDS tree with derived ADC": (
        (
            "derivatives/adc/sub-{}/dwi/sub-{}_desc-ADC_dwi",
            "sub-{}/dwi/sub-{}_dwi",
            "derivatives/masks/sub-{}/dwi/sub-{}_desc-lesion_mask",
        ),
        "sub-{}",
        "taken as the ADC, from the derivatives",
    ),
    "BIDS, mask beside the scan first": (
        ("sub-{}/sub-{}_adc", "sub-{}/sub-{}_dwi", "sub-{}/sub-{}_mask", "derivatives/sub-{}_lesion_mask"),
        "sub-{}",
        "sub-p001_lesion_mask.nii +ignored: the derivatives are not needed",
    ),
    "BIDS, masks apart": (("sub-{}/sub-{}_adc", "sub-{}/sub-{}_dwi", "derivatives/sub-{}_stroke"), "sub-{}", ""),
    "glued, capitals": (("images/{}ADC", "images/{}DWI", "masks/{}"), "{}", "p001ADC is the ADC of p001"),
    "glued, small letters": (("images/{}adc", "images/{}dwi", "masks/{}"), "{}", "p001adc is the ADC of p001"),
    "glued in front": (("images/ADC{}", "images/DWI{}", "masks/{}"), "{}", "ADCp001 is the ADC of p001"),
    "glued numbers": (("images/ADC{1}", "images/TRACEW{1}", "masks/{1}"), "{1}", "taken as the DWI"),
    "glued words": (("images/scan{1}Adc", "images/scan{1}Dwi", "masks/scan{1}"), "scan{1}", "read by their words"),
    "folder a case and channel": (("images/{}_ADC/img", "images/{}_DWI/img", "masks/{}"), "{}", ""),
    "b-values of a series": (
        ("images/{}_ep2d_b0_b1000_ADC_7", "images/{}_ep2d_b0_b1000_TRACEW_6", "masks/{}"),
        "{}",
        "taken as the DWI",
    ),
    "b-values without b": (("images/{}_b50_400_800_ADC", "images/{}_b50_400_800_TRACEW", "masks/{}"), "{}", ""),
    "a word of all that is a case, too": (
        ("images/{}_tra_p002_ADC", "images/{}_tra_p002_DWI", "masks/{}"),
        "{}",
        "p001_tra_p002_ADC is the ADC of p001",
    ),
    "b-values of a series in case folders": (
        ("{}/ep2d_diff_b0_b1000_ADC", "{}/ep2d_diff_b0_b1000_TRACEW", "{}/lesion"),
        "{}",
        "taken as the DWI",
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names(kind, tmp_path, raw, mscs, tools, phantoms):
    patterns, form, said = NAMES[kind]
    source = fill(tmp_path / "source", tools, phantoms, *patterns)
    if kind == "numbers of a series of copies":
        for path in [*source.rglob("*.nii")]:
            path.rename(path.with_name(re.sub(r"\(00(\d)\)", r"(\1)", path.name)))
        phantoms, form = {name[-1]: phantom for name, phantom in phantoms.items()}, "{}"
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    channels = ("adc", "dwi", "b0") if kind == "b0 beside" else ("adc", "dwi")
    if kind == "b0 beside":
        for phantom in phantoms.values():
            phantom.b0 = phantom.dwi[::-1]
    check(raw / "Dataset001_X", phantoms, form, channels)
    assert re.search(said, outcome.out), outcome.out


@pytest.mark.parametrize(
    ("folder", "source", "form"),
    [
        ("07_trace_dropped", "src", "p{1}"),
        ("09_b1000_is_no_dwi", "src", "p{1}"),
        ("11_channel_first_names", "prefix", "{1}"),
        ("11_channel_first_names", "dcm2niix", "p{1}"),
        ("13_mask_words", "infarct", "p{1}"),
        ("13_mask_words", "mask_in_front", "p{1}"),
        ("13_mask_words", "stroke", "p{1}"),
        ("35_nnunet_raw_as_source", "src", "p{0}"),
    ],
)
def test_names_of_the_field(folder, source, form, field_folder, raw, mscs):
    outcome = mscs("convert", field_folder / folder / source, 1, "T")
    assert outcome.code == 0, outcome.err
    dataset = raw / "Dataset001_T"
    assert json.loads((dataset / "dataset.json").read_text())["channel_names"] == {"0": "ADC", "1": "DWI"}
    assert len(list((dataset / "labelsTr").iterdir())) == 3
    for number in (1, 2, 3):
        good = [voxels(field_folder / f"good/images/p{number}_{c}.nii.gz") for c in ("adc", "dwi")]
        name = form.replace("{0}", str(number)).replace("{1}", f"{number:03d}")
        for channel, expected in enumerate(good):
            np.testing.assert_allclose(written(dataset, name, channel), expected, rtol=1e-5)
        good_mask = voxels(field_folder / f"good/masks/p{number}.nii.gz")
        np.testing.assert_array_equal(voxels(dataset / f"labelsTr/{name}.nii.gz"), good_mask)


# patterns as above, and what the refusal says
REFUSED = {
    "two b-values": (
        ("images/{}_ADC", "images/{}_b1000", "masks/{}", "images/{}_b500"),
        "2 files could be its DWI: p001_b1000.nii, p001_b500.nii .*--channels",
    ),
    "trace and b-value in a folder": (
        ("{}/ADC", "{}/trace", "{}/mask", "{}/b1000"),
        "2 files could be its DWI: b1000.nii, trace.nii",
    ),
    "two maps in a folder": (
        ("{}/ADC", "{}/DWI", "{}/mask", "{}/ADC_resampled"),
        "2 files could be its ADC: ADC.nii, ADC_resampled.nii",
    ),
    "no DWI by its name": (
        ("{}/{}_ADC", "{}/{}_xyz", "{}/{}_mask"),
        "no file is its DWI by its name; the names of others say nothing: p001_xyz.nii .*--channels ADC",
    ),
    "b0 is no DWI": (("{}/ADC", "{}/DWI_b0", "{}/mask", "{}/qqq"), "no file is its DWI .*qqq.nii"),
    "no mask by its name": (("{}/ADC", "{}/DWI", "{}/xyz"), "image without a mask; is it xyz.nii.* stroke"),
    "mask of the brain alone": (("images/{}_ADC", "images/{}_DWI", "masks/{}_brain_mask"), "mask without an image"),
    "two masks": (
        ("images/{}_ADC", "images/{}_DWI", "masks/{}_infarct", "masks/{}_roi"),
        "duplicate case: p001_infarct.nii and p001_roi.nii are both its mask",
    ),
    "copies that differ": (
        ("images/{}_adc", "images/{}_dwi", "masks/{}", "images/{}_dwi (1)"),
        r"duplicate case: p001_dwi.nii and p001_dwi \(1\).nii are both its DWI",
    ),
    "two masks in a tree": (
        ("sub-{}/dwi/adc", "sub-{}/dwi/dwi", "derivatives/a/sub-{}_lesion", "derivatives/b/sub-{}_lesion"),
        "2 files could be its mask",
    ),
    "names that clean to one": (("images/患{1}_adc", "images/患{1}_dwi", "masks/患{1}"), ""),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_clear_is_refused(kind, tmp_path, raw, mscs, tools, phantoms):
    patterns, said = REFUSED[kind]
    source = fill(tmp_path / "source", tools, phantoms, *patterns)
    if kind == "names that clean to one":
        fill(source, tools, {"q001": tools.make_phantom(7)}, *(p.replace("患", "病") for p in patterns))
        said = "2 cases would share the name 001: .*病.*患|2 cases would share the name 001: .*患.*病"
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1, outcome.out
    assert re.search(said, outcome.err), outcome.err
    assert list(raw.iterdir()) == []


def test_a_copy_of_the_same_bytes_is_passed_over(tmp_path, raw, mscs, tools, phantoms):
    source = fill(tmp_path / "flat", tools, phantoms, "images/{}_adc", "images/{}_dwi", "masks/{}")
    folders = fill(tmp_path / "folders", tools, phantoms, "{}/adc", "{}/dwi", "{}/mask")
    for path in (source / "images/p001_adc.nii", source / "masks/p002.nii", folders / "p001/adc.nii"):
        shutil.copy(path, path.with_name(f"{path.stem} (1).nii"))
    for number, folder in enumerate((source, folders), 1):
        outcome = mscs("convert", folder, number, "X")
        assert outcome.code == 0, outcome.err
        check(raw / f"Dataset00{number}_X", phantoms)
        assert re.search(r"adc \(1\).nii .*ignored: a copy of .*adc.nii", outcome.out)


def test_what_is_read_strictly_keeps_its_names(tmp_path, raw, mscs, tools):
    """Words of the vocabulary in a case's name are its own, where the strict reading finds a place for every file."""
    names = ["DWI_1", "lesion_2", "brain_3", "scan (4)", "stroke_ADC_5", "t1_6", "sub-7_acq-x", "p_b1000_8"]
    cases = {name: tools.make_phantom(i) for i, name in enumerate(names)}
    outcome = mscs("convert", fill(tmp_path / "s", tools, cases, "images/{}_adc", "images/{}_dwi", "masks/{}"), 1, "X")
    assert outcome.code == 0, outcome.err
    check(raw / "Dataset001_X", {name.replace(" (4)", "_4_"): phantom for name, phantom in cases.items()})
    assert "read by their words" not in outcome.out


def test_trace_and_b_value_beside_a_dwi_stay_channels(tmp_path, raw, mscs, tools, phantoms):
    patterns = ("images/{}_adc", "images/{}_dwi", "masks/{}", "images/{}_b500")
    outcome = mscs("convert", fill(tmp_path / "s", tools, phantoms, *patterns), 1, "X")
    assert outcome.code == 0, outcome.err
    names = json.loads((raw / "Dataset001_X/dataset.json").read_text())["channel_names"]
    assert list(names.values()) == ["ADC", "DWI", "B500"]


@pytest.mark.parametrize("word", ["ADC", "eADC"])
def test_a_single_file_that_says_another_channel_is_no_dwi(word, tmp_path, raw, mscs, tools, phantoms):
    source = fill(tmp_path / "s", tools, phantoms, f"images/{word}_{{}}", None, f"masks/{word}_{{}}")
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in (raw / "Dataset001_X/labelsTr").iterdir()} == {f"{word}_{n}.nii.gz" for n in phantoms}
    names = json.loads((raw / "Dataset001_X/dataset.json").read_text())["channel_names"]
    assert names == {"0": word.upper()}


def test_a_dwi_of_another_word_is_checked_as_one(tmp_path, raw, mscs, tools):
    """Its values tell that it and the ADC are swapped, and new scans called dwi fit."""
    phantoms = {f"p{i}": tools.make_phantom(i, radius=2) for i in range(3)}
    for phantom in phantoms.values():
        phantom.adc, phantom.dwi = phantom.dwi * 4, phantom.adc * 1e6
    patterns = ("images/{}_ADC", "images/{}_b1000", "masks/{}")
    source = fill(tmp_path / "s", tools, phantoms, *patterns)
    fill(tmp_path / "new", tools, {"n1": tools.make_phantom(50)}, "{}_adc", "{}_dwi")
    outcome = mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "new")
    assert outcome.code == 0, outcome.err
    assert "look swapped" in outcome.out
    assert (raw / "Dataset001_X/imagesTs/n1_0001.nii.gz").is_file()


@pytest.mark.parametrize(
    ("told", "files", "code"),
    [
        ({"channel_names": {"0": "DWI", "1": "ADC"}}, ("{}_0001", "{}_0000"), 0),
        ({"modality": {"0": "ADC map", "1": "DWI b1000"}}, ("{}_0000", "{}_0001"), 0),
        ({"channel_names": {"0": "trace", "1": "ADC"}}, ("{}_0001", "{}_0000"), 0),
        ({"channel_names": {"0": "ADC", "1": "adc"}}, ("{}_0000", "{}_0001"), 1),
    ],
)
def test_channels_of_nnunets_dataset_json(told, files, code, tmp_path, raw, mscs, tools, phantoms):
    adc, dwi = files
    patterns = (f"imagesTr/{adc}", f"imagesTr/{dwi}", "labelsTr/{}")
    source = fill(tmp_path / "Dataset009_Y", tools, phantoms, *patterns)
    test = {"t1": tools.make_phantom(20)}
    fill(source, tools, test, f"imagesTs/{adc}", f"imagesTs/{dwi}", "labelsTs/{}")
    (source / "dataset.json").write_text(json.dumps(told))
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == code, outcome.err
    if code:
        assert "names two channels alike" in outcome.err
        return
    check(raw / "Dataset001_X", phantoms)
    np.testing.assert_allclose(written(raw / "Dataset001_X", "t1", 1, "Ts"), test["t1"].dwi, rtol=1e-5)


def test_sessions_of_a_subject_are_one_patient(tmp_path, raw, mscs, tools):
    source = tmp_path / "bids"
    for i, session in enumerate("12"):
        scans = {f"0{n}": tools.make_phantom(10 * i + n) for n in (1, 2)}
        folder = f"sub-{{}}/ses-{session}"
        patterns = (f"{folder}/dwi/x_adc", f"{folder}/dwi/x_dwi", f"derivatives/{folder}/sub-{{}}_ses-{session}_msk")
        fill(source, tools, scans, *patterns)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    rows = {row["case"]: row["patient"] for row in csv.DictReader((raw / "Dataset001_X/cases.csv").open())}
    assert rows == {f"sub-0{n}_ses-{s}": f"sub-0{n}" for n in (1, 2) for s in (1, 2)}


# files of new scans and of images of other kinds, and the case that they make, for ADC and DWI and for DWI alone
UNLABELLED = {
    "folders of channels": (("adc/{}", "dwi/{}", None, "flair/{}"), "n1"),
    "folders of other words": (("ADC map/{}", "DWI b1000/{}", None, "T1w/{}"), "n1"),
    "folders of trace": (("ADC/{}_ADC", "TRACEW/{}_TRACEW", None, "FLAIR/{}_FLAIR"), "n1"),
    "folders of challenge containers": (("adc-brain-mri/x1", "dwi-brain-mri/y2", None, "flair-brain-mri/z3"), None),
    "folders with one more word": (("stroke-ADC/{}", "stroke-DWI/{}", None, "stroke-FLAIR/{}"), "n1"),
    "folders in a folder": (("images/adc/{}", "images/dwi/{}", None, "images/flair/{}"), "n1"),
    "channel first": (("ADC_{}", "DWI_{}", None, "FLAIR_{}"), "n1"),
    "trace": (("{}_adc", "{}_trace", None, "{}_flair"), "n1"),
    "dcm2niix": (("{}_ep2d_diff_ADC_7", "{}_ep2d_diff_TRACEW_6a", None, "{}_t2_tirm_FLAIR_3"), "n1"),
    "glued": (("{}ADC", "{}DWI", None, "{}FLAIR"), "n1"),
    "b-values of a series": (("{}_b0_b1000_ADC_7", "{}_b0_b1000_TRACEW_6", None, "{}_FLAIR_3"), "n1"),
    "BIDS keys": (("sub-{}_acq-ADC_dwi", "sub-{}_acq-b1000_dwi", None, "sub-{}_FLAIR"), "sub-n1"),
    "case folder": (("{}/ADC", "{}/trace", None, "{}/FLAIR"), "n1"),
    "BIDS tree": (
        (
            "sub-{}/ses-1/dwi/sub-{}_ses-1_rec-ADC_dwi",
            "sub-{}/ses-1/dwi/sub-{}_ses-1_rec-TRACE_dwi",
            None,
            "sub-{}/ses-1/anat/sub-{}_ses-1_FLAIR",
        ),
        "sub-n1_ses-1",
    ),
}


@pytest.mark.parametrize("channels", [("ADC", "DWI"), ("DWI",)], ids=["both", "DWI"])
@pytest.mark.parametrize("kind", UNLABELLED)
def test_new_scans(kind, channels, tmp_path, raw, mscs, tools, source):
    patterns, name = UNLABELLED[kind]
    new = tools.make_phantom(50)
    folder = fill(tmp_path / "new", tools, {"n1": new}, *(pattern or None for pattern in patterns))
    outcome = mscs("convert", source, 1, "X", "--channels", *channels, "--unlabelled", folder)
    assert outcome.code == 0, outcome.err
    test = raw / "Dataset001_X/imagesTs"
    assert len(list(test.iterdir())) == len(channels), [path.name for path in test.iterdir()]
    found = {path.name[: -len("_0000.nii.gz")] for path in test.iterdir()}
    assert len(found) == 1
    assert name is None or found == {name}
    for number, channel in enumerate(channels):
        expected = new.adc * 1e6 if channel == "ADC" else new.dwi
        np.testing.assert_allclose(written(test.parent, next(iter(found)), number, "Ts"), expected, rtol=1e-5)
    assert re.search("(?i)flair|t1w", outcome.out)


@pytest.mark.parametrize(("channels", "code"), [(("ADC", "DWI"), 0), (("DWI",), 1)])
def test_new_scans_in_nnunets_folder(channels, code, tmp_path, raw, mscs, tools, source):
    folder = fill(tmp_path / "new", tools, {"n1": tools.make_phantom(50)}, "imagesTs/{}_0000", "imagesTs/{}_0001")
    outcome = mscs("convert", source, 1, "X", "--channels", *channels, "--unlabelled", folder)
    assert outcome.code == code, outcome.err
    assert (raw / "Dataset001_X/imagesTs/n1_0001.nii.gz").is_file() == (code == 0)
    assert code == 0 or "has 2 channels by number, this dataset 1: DWI" in outcome.err


def test_case_folders_named_by_a_channel_stay_cases(tmp_path, raw, mscs, tools, source):
    for i in (1, 2):
        tools.save(tools.make_phantom(50 + i).dwi, tmp_path / f"new/dwi_{i}/scan.nii")
    tools.save(tools.make_phantom(60).dwi, tmp_path / "new/p3_FLAIR/scan.nii")
    outcome = mscs("convert", source, 1, "X", "--channels", "DWI", "--unlabelled", tmp_path / "new")
    assert outcome.code == 0, outcome.err
    names = {path.name for path in (raw / "Dataset001_X/imagesTs").iterdir()}
    assert names == {"dwi_1_0000.nii.gz", "dwi_2_0000.nii.gz"}
    assert re.search("p3_FLAIR .*FLAIR is no channel of this dataset", outcome.out)


@pytest.mark.parametrize("channels", [("ADC", "DWI"), ("DWI",)], ids=["both", "DWI"])
def test_new_scans_in_folders_of_a_case_and_a_channel(channels, tmp_path, raw, mscs, tools, source):
    new = {f"n{i}": tools.make_phantom(50 + i) for i in (1, 2)}
    folder = fill(tmp_path / "new", tools, new, "{}_ADC/img", "{}_DWI/img")
    outcome = mscs("convert", source, 1, "X", "--channels", *channels, "--unlabelled", folder)
    assert outcome.code == 0, outcome.err
    for name, phantom in new.items():
        found = written(raw / "Dataset001_X", name, len(channels) - 1, "Ts")
        np.testing.assert_allclose(found, phantom.dwi, rtol=1e-5)
    assert len(list((raw / "Dataset001_X/imagesTs").iterdir())) == 2 * len(channels)


@pytest.mark.parametrize(("channels", "count"), [(("ADC", "DWI"), 2), (("DWI",), 1)])
def test_new_scans_of_the_field(channels, count, field_folder, raw, mscs):
    images = field_folder / "45_unlabelled_channel_folders/images"
    outcome = mscs("convert", field_folder / "good", 1, "T", "--channels", *channels, "--unlabelled", images)
    assert outcome.code == 0, outcome.err
    test = sorted((raw / "Dataset001_T/imagesTs").iterdir())
    assert len(test) == count
    np.testing.assert_allclose(voxels(test[-1]), voxels(field_folder / "good/images/odd_dwi.nii.gz"))
    assert re.search("flair-brain-mri .*ignored", outcome.out)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("p_ADC_b0_b1000", "ADC"),
        ("p_dwi_adc", "ADC"),
        ("p_ADC_dwi", ""),
        ("sub-1_acq-ADC_dwi", "ADC"),
        ("sub-1_space-T1w_dwi", "DWI"),
        ("p_DWI_b0", "B0"),
        ("p_dwi_b-1000", "DWI"),
        ("p b=1000", "B1000"),
        ("p_b_1000_trace", "B1000"),
        ("p_T2_FLAIR", "FLAIR"),
        ("p_t2_ADC_map", "ADC"),
        ("p_eADC", "EADC"),
        ("p_exponential_apparent_diffusion_coefficient", "EADC"),
        ("trauma_p1", ""),
        ("p1ADC", "ADC"),
        ("ADCp1", "ADC"),
        ("PatientDWI12", "DWI"),
        ("p1DWIb0", "B0"),
        ("eADC12", "EADC"),
        ("headc1", ""),
        ("MADCAP1", ""),
        ("adcp1", ""),
        ("p_DWI_b0_1000", "DWI"),
        ("p_b0_b1000", ""),
        ("p_b1000_300", "B1000"),
    ],
)
def test_the_channel_that_words_tell_together(name, channel):
    assert channel_of_words(words_of(name)) == channel
