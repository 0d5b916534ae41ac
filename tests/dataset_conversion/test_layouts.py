"""Each layout, in each of its spellings, becomes the same dataset."""

import csv
import json
import re

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk


def check_dataset(folder, phantoms, *, channels=("adc", "dwi"), split="Tr", scaled=False):
    """The written voxels against the phantoms' own, read by nibabel, ADC in 10^-6 mm2/s."""
    for name, phantom in phantoms.items():
        for index, channel in enumerate(channels):
            expected = getattr(phantom, channel) * (1e6 if channel == "adc" else 1.0)
            if scaled:
                expected = phantom.scaled()[..., index]
            written = nibabel.load(folder / f"images{split}" / f"{name}_{index:04d}.nii.gz")
            np.testing.assert_allclose(np.asanyarray(written.dataobj), expected, rtol=1e-5, atol=1e-6)
        labels = nibabel.load(folder / f"labels{split}" / f"{name}.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(labels.dataobj), phantom.mask)
        np.testing.assert_allclose(labels.affine, written.affine, atol=1e-4)


@pytest.fixture
def phantoms(tools):
    return {f"image_{i}": tools.make_phantom(i) for i in (1, 2, 10)}


@pytest.mark.parametrize(
    "names",
    [
        ("images/{}_adc", "images/{}_dwi", "masks/{}"),
        ("images/{}_ADC", "images/{}_DWI2", "masks/{}_mask"),
        ("images/{}_0000", "images/{}_0001", "masks/{}"),
        ("images/{}-dwi", "images/{}-adc", "Masks/{}_seg"),
        ("Images/ADC/{}", "Images/DWI/{}", "labels/{}_lesion"),
        ("images/adc/{}_adc", "images/dwi/{}_dwi", "masks/{}_msk"),
        ("images/{}_adc", "images/{}_dwi", "masks/{}_dwi"),
        ("images/{}_adc", "images/{}_dwi", "masks/{}_dwi_lesion_mask"),
        ("images/adc/{}_adc", "images/dwi/{}_dwi", "masks/{}_adc"),
    ],
    ids=[
        "suffixes",
        "upper case",
        "nnU-Net",
        "hyphens",
        "folders",
        "folders and suffixes",
        "masks named after the DWI",
        "masks of three words",
        "folders and masks named after the ADC",
    ],
)
def test_images_and_masks_a_file_a_channel(tmp_path, raw, mscs, tools, phantoms, names):
    adc, dwi, mask = names
    if "dwi" in adc.lower():
        adc, dwi = dwi, adc
    for name, phantom in phantoms.items():
        for pattern, array in ((adc, phantom.adc), (dwi, phantom.dwi), (mask, phantom.mask)):
            tools.save(array, tmp_path / "source" / f"{pattern.format(name)}.nii.gz")
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset001_X", phantoms)
    assert "images-masks" in outcome.out


@pytest.mark.parametrize("kind", ["4D", "vector", "npy last", "npy first", "npz"])
def test_images_and_masks_one_file_for_all_channels(tmp_path, raw, mscs, tools, phantoms, kind):
    for name, phantom in phantoms.items():
        stem = tmp_path / "source/images" / name
        both = np.stack([phantom.adc, phantom.dwi], axis=-1)
        tools.save(phantom.mask, tmp_path / f"source/masks/{name}{'.npy' if 'np' in kind else '.nii'}")
        if kind == "4D":
            tools.save(both, stem.with_suffix(".nii"))
        elif kind == "vector":
            stem.parent.mkdir(exist_ok=True, parents=True)
            plain = sitk.ReadImage(str(tmp_path / f"source/masks/{name}.nii"))
            vector = sitk.GetImageFromArray(both.transpose(2, 1, 0, 3), isVector=True)
            vector.CopyInformation(plain)
            sitk.WriteImage(vector, f"{stem}.nrrd")
        elif kind == "npz":
            tools.save(both, stem.with_suffix(".npz"))
        else:
            tools.save(both if kind == "npy last" else np.moveaxis(both, -1, 0), stem.with_suffix(".npy"))
    spacing = ["--spacing", 1.2, 1.2, 5] if "np" in kind else []
    outcome = mscs("convert", tmp_path / "source", 1, "X", *spacing)
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset001_X", phantoms)
    zooms = nibabel.load(raw / "Dataset001_X/imagesTr/image_1_0000.nii.gz").header.get_zooms()
    assert zooms == pytest.approx((1.2, 1.2, 5.0))


def test_sample_folders(tmp_path, raw, mscs, tools, phantoms):
    for name, phantom in phantoms.items():
        folder = tmp_path / "AIS_DATASET" / f"sample_{name}"
        tools.save(phantom.adc, folder / "p_ADC_map.nii.gz")
        tools.save(phantom.dwi, folder / "p_DWI2_b1000.nii.gz")
        tools.save(phantom.dwi * 3, folder / "p_DWI1_b0.nii.gz")
        tools.save(phantom.mask * np.uint8(255), folder / "p_adc_mask.nii.gz")
    (tmp_path / "AIS_DATASET" / "notes.txt").write_text("x")
    outcome = mscs("convert", tmp_path / "AIS_DATASET", 2, "Samples")
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset002_Samples", {f"sample_{name}": phantom for name, phantom in phantoms.items()})
    assert "sample-folders" in outcome.out
    assert "p_DWI1_b0.nii.gz" in outcome.out
    assert "notes.txt" in outcome.out
    content = json.loads((raw / "Dataset002_Samples/dataset.json").read_text())
    assert (content["layout"], content["adc_unit"]) == ("sample-folders", "10^-6 mm2/s")


@pytest.mark.parametrize(
    "names",
    [
        ("segment_7_adc", "segment_7_dwi", "segment_7_lesion"),
        ("segment_7_adc", "segment_7_dwi", "roi_label"),
        ("labelled-adc", "labelled-dwi", "labelled-lesion"),
        ("x_dwi_adc", "x_dwi_trace", "x_dwi_mask"),
    ],
)
def test_only_what_differs_in_the_names_of_a_folder_counts(tmp_path, raw, mscs, tools, names):
    phantom = tools.make_phantom(1)
    for array, name in zip((phantom.adc, phantom.dwi, phantom.mask), names, strict=True):
        tools.save(array, tmp_path / f"source/segment_7/{name}.nii")
    outcome = mscs("convert", tmp_path / "source", 2, "Samples")
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset002_Samples", {"segment_7": phantom})


def test_a_new_scan_called_a_lesion_is_no_mask(tmp_path, raw, mscs, tools, source):
    for channel in ("adc", "dwi"):
        tools.save(getattr(tools.make_phantom(50), channel), tmp_path / f"new/lesion_007/lesion_007_{channel}.nii")
    outcome = mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "new")
    assert outcome.code == 0, outcome.err
    assert (raw / "Dataset001_X/imagesTs/lesion_007_0001.nii.gz").is_file()


def test_hidden_folders_are_noted(raw, mscs, source):
    for folder in ("images", "masks"):
        (source / folder / ".checkpoints").mkdir()
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("1 ignored (hidden): .checkpoints") == 2


def test_the_folder_above_is_found_too(tmp_path, raw, mscs, source):
    source.rename(tmp_path / "inner")
    (tmp_path / "above").mkdir()
    (tmp_path / "inner").rename(tmp_path / "above/inner")
    outcome = mscs("convert", tmp_path / "above", 1, "X")
    assert outcome.code == 0, outcome.err
    assert "inner" in outcome.out


def save_split(tools, folder, split, phantoms):
    for name, phantom in phantoms.items():
        tools.save(phantom.scaled().astype(np.float32), folder / split / f"images/{name}_image.npy")
        tools.save(phantom.one_hot(), folder / split / f"masks/{name}_mask.npy")


def test_split_folders_of_scaled_one_hot_arrays(tmp_path, raw, mscs, tools):
    splits = {
        "train": {f"sample_{i}": tools.make_phantom(i) for i in range(6)},
        "val": {f"sample_{i}": tools.make_phantom(10 + i) for i in range(6, 8)},
        "test": {f"sample_{i}": tools.make_phantom(20 + i) for i in range(8, 10)},
    }
    for split, phantoms in splits.items():
        save_split(tools, tmp_path / "source", split, phantoms)
    outcome = mscs("convert", tmp_path / "source", 3, "Arrays", "--spacing", 1.2, 1.2, 5)
    assert outcome.code == 0, outcome.err
    folder = raw / "Dataset003_Arrays"
    check_dataset(folder, {**splits["train"], **splits["val"]}, scaled=True)
    check_dataset(folder, splits["test"], split="Ts", scaled=True)
    content = json.loads((folder / "dataset.json").read_text())
    assert (content["numTraining"], content["adc_unit"]) == (8, "min-max scaled")
    folds = json.loads((folder / "splits_final.json").read_text())
    assert len(folds) == 5
    assert sorted(case for fold in folds for case in fold["val"]) == [f"sample_{i}" for i in range(8)]
    assert "val folder" in outcome.out
    assert "2 for testing" in outcome.out


def test_split_folders_that_count_from_zero_each(tmp_path, raw, mscs, tools):
    for seed, split in enumerate(("train", "val", "test")):
        save_split(
            tools, tmp_path / "source", split, {f"sample_{i}": tools.make_phantom(10 * seed + i) for i in range(2)}
        )
    outcome = mscs("convert", tmp_path / "source", 3, "Arrays", "--spacing", 1.2, 1.2, 5)
    assert outcome.code == 0, outcome.err
    names = {path.name for path in (raw / "Dataset003_Arrays/labelsTr").iterdir()}
    assert names == {f"{split}_sample_{i}.nii.gz" for split in ("train", "val") for i in range(2)}
    assert "both the training and the test" not in outcome.out
    grouped = mscs(
        "convert", tmp_path / "source", 4, "Arrays", "--spacing", 1.2, 1.2, 5, "--patient-pattern", r"sample_\d+"
    )
    assert grouped.code == 0, grouped.err
    assert "both the training and the test folder: sample_0, sample_1" in grouped.out
    own = mscs(
        "convert", tmp_path / "source", 5, "Arrays", "--spacing", 1.2, 1.2, 5, "--patient-pattern", r"^sample_(\d+)$"
    )
    assert own.code == 0, own.err
    rows = csv.DictReader((raw / "Dataset005_Arrays/cases.csv").open())
    assert {row["case"]: row["patient"] for row in rows} == {
        f"{split}_sample_{i}": str(i) for split in ("train", "val", "test") for i in range(2)
    }


@pytest.mark.parametrize(("names", "shown"), [(("a", "b"), "b"), (("a", "a"), "test_a")])
def test_findings_name_the_cases_of_split_folders(tmp_path, raw, mscs, tools, names, shown):
    for seed, (split, name) in enumerate(zip(("train", "test"), names, strict=True)):
        save_split(tools, tmp_path / "source", split, {name: tools.make_phantom(seed)})
    (tmp_path / "source/test/masks" / f"{names[1]}_mask.npy").unlink()
    outcome = mscs("convert", tmp_path / "source", 3, "Arrays", "--spacing", 1.2, 1.2, 5)
    assert outcome.code == 1
    assert re.search(rf"error +{shown} .*image without a mask", outcome.err), outcome.err


@pytest.mark.parametrize(("words", "name"), [([], "DWI"), (["--channels", "adc"], "ADC")])
def test_one_channel(tmp_path, raw, mscs, tools, phantoms, words, name):
    for case, phantom in phantoms.items():
        tools.save(phantom.adc if name == "ADC" else phantom.dwi, tmp_path / f"source/images/{case}.nii")
        tools.save(phantom.mask, tmp_path / f"source/masks/{case}.nii")
    outcome = mscs("convert", tmp_path / "source", 1, "X", *words)
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset001_X", phantoms, channels=(name.lower(),))
    assert json.loads((raw / "Dataset001_X/dataset.json").read_text())["channel_names"] == {"0": name}
    assert ("unnamed channel" in outcome.out) == (not words)


def test_more_channels_follow_by_alphabet_and_can_be_chosen(tmp_path, raw, mscs, tools, phantoms):
    for case, phantom in phantoms.items():
        tools.save_case(tmp_path / "source", case, phantom, ".nii")
        tools.save(phantom.dwi[::-1], tmp_path / f"source/images/{case}_flair.nii")
        tools.save(phantom.dwi[:, ::-1], tmp_path / f"source/images/{case}_b0.nii")
    outcome = mscs("convert", tmp_path / "source", 1, "All")
    assert outcome.code == 0, outcome.err
    names = json.loads((raw / "Dataset001_All/dataset.json").read_text())["channel_names"]
    assert list(names.values()) == ["ADC", "DWI", "B0", "FLAIR"]
    outcome = mscs("convert", tmp_path / "source", 2, "Two", "--channels", "ADC", "DWI")
    assert outcome.code == 0, outcome.err
    names = json.loads((raw / "Dataset002_Two/dataset.json").read_text())["channel_names"]
    assert list(names.values()) == ["ADC", "DWI"]
    assert "--channels does not name B0" in outcome.out


def test_combined_files_in_another_order(tmp_path, raw, mscs, tools, phantoms):
    for case, phantom in phantoms.items():
        tools.save(np.stack([phantom.dwi, phantom.adc], axis=-1), tmp_path / f"source/images/{case}.nii")
        tools.save(phantom.mask, tmp_path / f"source/masks/{case}.nii")
    refused = mscs("convert", tmp_path / "source", 1, "X")
    assert refused.code == 1
    assert "what was taken as DWI fits, so that the order may be DWI, ADC" in refused.err
    assert "--channels DWI ADC" in refused.err
    outcome = mscs("convert", tmp_path / "source", 1, "X", "--channels", "DWI", "ADC")
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset001_X", phantoms)


@pytest.fixture
def large_lesions(tools):
    """Lesions large enough to be judged, DWI in the range of an ADC map in 10^-6 mm2/s."""
    phantoms = {f"p{i}": tools.make_phantom(i, radius=2) for i in range(3)}
    for phantom in phantoms.values():
        phantom.dwi = phantom.dwi * 4
    return phantoms


@pytest.mark.parametrize("kind", ["combined", "numbered", "scaled"])
def test_an_assumed_order_is_checked_against_the_lesions(tmp_path, raw, mscs, tools, large_lesions, kind):
    """ADC in 10^-6 mm2/s and DWI lie in one range, so that only the lesions tell which is which."""
    for case, phantom in large_lesions.items():
        pair = [phantom.dwi, phantom.adc * 1e6]
        if kind == "scaled":
            pair = [phantom.scaled()[..., 1], phantom.scaled()[..., 0]]
        if kind == "numbered":
            for i in range(2):
                tools.save(pair[i], tmp_path / f"source/images/{case}_{i:04d}.nii")
        else:
            tools.save(np.stack(pair, axis=-1), tmp_path / f"source/images/{case}.nii")
        tools.save(phantom.mask, tmp_path / f"source/masks/{case}.nii")
    refused = mscs("convert", tmp_path / "source", 1, "X")
    assert refused.code == 1
    assert "ADC and DWI look swapped: in 3 of 3 cases" in refused.err
    assert "--channels DWI ADC" in refused.err
    assert "taken as ADC" in refused.err
    insisted = mscs("convert", tmp_path / "source", 1, "X", "--channels", "ADC", "DWI")
    assert insisted.code == 0, insisted.err
    assert re.search("warning.* look swapped", insisted.out)
    outcome = mscs("convert", tmp_path / "source", 2, "X", "--channels", "DWI", "ADC")
    assert outcome.code == 0, outcome.err
    assert "swapped" not in outcome.out
    check_dataset(raw / "Dataset002_X", large_lesions, scaled=kind == "scaled")


@pytest.mark.parametrize("odd", [1, 3])
def test_names_that_swap_channels_are_a_warning(odd, tmp_path, raw, mscs, tools, large_lesions):
    for number, (case, phantom) in enumerate(large_lesions.items()):
        if number < odd:
            phantom.adc, phantom.dwi = phantom.dwi, phantom.adc * 1e6
        tools.save_case(tmp_path / "source", case, phantom)
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    assert re.search(f"warning.* look swapped: in {odd} of 3 cases", outcome.out)


def test_a_right_order_that_is_assumed_is_told_all_the_same(tmp_path, raw, mscs, tools, large_lesions):
    """One odd lesion of three does not make it wrong."""
    large_lesions["p1"].adc = np.where(large_lesions["p1"].mask, 2e-3, large_lesions["p1"].adc)
    large_lesions["p1"].dwi = np.where(large_lesions["p1"].mask, 500, large_lesions["p1"].dwi)
    for case, phantom in large_lesions.items():
        tools.save(np.stack([phantom.adc, phantom.dwi], axis=-1), tmp_path / f"source/images/{case}.nii")
        tools.save(phantom.mask, tmp_path / f"source/masks/{case}.nii")
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    assert re.search("note.*unnamed channels are taken as ADC, DWI", outcome.out)
    assert "swapped" not in outcome.out


def test_files_whose_axes_differ_meet_in_space(tmp_path, raw, mscs, tools, phantoms):
    from nibabel.orientations import apply_orientation, inv_ornt_aff

    turns = {"adc": [[2, 1], [0, -1], [1, 1]], "mask": [[0, -1], [1, -1], [2, -1]]}
    for case, phantom in phantoms.items():
        tools.save(phantom.dwi, tmp_path / f"source/images/{case}_dwi.nii")
        for what, path in (("adc", f"images/{case}_adc.nii"), ("mask", f"masks/{case}.nii")):
            array, turn = getattr(phantom, what), np.array(turns[what])
            affine = tools.AFFINE @ inv_ornt_aff(turn, array.shape)
            tools.save(apply_orientation(array, turn), tmp_path / "source" / path, affine)
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset001_X", phantoms)
    written = nibabel.load(raw / "Dataset001_X/imagesTr/image_1_0000.nii.gz")
    np.testing.assert_allclose(written.affine, tools.AFFINE, atol=1e-4)


def test_names_are_made_fit_for_nnunet(tmp_path, raw, mscs, tools):
    for seed, name in enumerate(["Müller 1", "pat.2"]):
        tools.save_case(tmp_path / "source", name, tools.make_phantom(seed), ".nii")
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in (raw / "Dataset001_X/labelsTr").iterdir()} == {"Muller_1.nii.gz", "pat_2.nii.gz"}
    assert "renamed to Muller_1" in outcome.out


@pytest.mark.parametrize("kind", ["flat", "numbered", "folders"])
def test_scans_without_masks(tmp_path, raw, mscs, tools, source, kind):
    new = tools.make_phantom(50)
    paths = {
        "flat": ("new_1_adc.nii.gz", "new_1_dwi.nii.gz"),
        "numbered": ("new_1_0000.nii.gz", "new_1_0001.nii.gz"),
        "folders": ("new_1/x_ADC.nii.gz", "new_1/x_DWI2.nii.gz"),
    }[kind]
    tools.save(new.adc, tmp_path / "new" / paths[0])
    tools.save(new.dwi, tmp_path / "new" / paths[1])
    outcome = mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "new")
    assert outcome.code == 0, outcome.err
    written = nibabel.load(raw / "Dataset001_X/imagesTs/new_1_0000.nii.gz")
    np.testing.assert_allclose(np.asanyarray(written.dataobj), new.adc * 1e6, rtol=1e-5)
    assert "1 without masks" in outcome.out


@pytest.mark.parametrize("layout", ["images-masks", "sample-folders", "array-splits"])
def test_scans_without_masks_that_lie_in_the_source(tmp_path, raw, mscs, tools, phantoms, layout):
    """A flat folder of new scans looks like a case folder, but is none of the source's own."""
    folder = tmp_path / "source"
    for name, phantom in phantoms.items():
        if layout == "sample-folders":
            for channel in ("adc", "dwi", "mask"):
                tools.save(getattr(phantom, channel), folder / name / f"{channel}.nii")
        else:
            tools.save_case(folder / "train" if layout == "array-splits" else folder, name, phantom)
    tools.save(tools.make_phantom(50).adc, folder / "new/n_adc.nii")
    tools.save(tools.make_phantom(50).dwi, folder / "new/n_dwi.nii")
    outcome = mscs("convert", folder, 1, "X", "--unlabelled", folder / "new")
    assert outcome.code == 0, outcome.err
    check_dataset(raw / "Dataset001_X", phantoms)
    assert (raw / "Dataset001_X/imagesTs/n_0001.nii.gz").is_file()
    assert f"layout     {layout}" in outcome.out
    assert "ignored" not in outcome.out


def test_findings_among_scans_without_masks_are_shown(tmp_path, mscs, tools, source, raw):
    tools.save(tools.make_phantom(50).adc, tmp_path / "new/n_flair.nii")
    (tmp_path / "new/notes.txt").write_text("x")
    outcome = mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "new")
    assert outcome.code == 1
    assert "FLAIR is no channel of this dataset" in outcome.err
    assert "notes.txt" in outcome.err
    assert "--unlabelled holds no scan with the channels ADC, DWI" in outcome.err
    assert list(raw.iterdir()) == []


def test_spacing_is_for_new_arrays_too(tmp_path, mscs, tools, source, raw):
    new = tools.make_phantom(50)
    for channel in ("adc", "dwi"):
        tools.save(getattr(new, channel), tmp_path / f"new/n_{channel}.npy")
    refused = mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "new")
    assert refused.code == 1
    assert "1 case(s) are arrays (.npy, .npz), which carry no voxel size: n" in refused.err
    outcome = mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "new", "--spacing", 1.2, 1.2, 5)
    assert outcome.code == 0, outcome.err
    zooms = nibabel.load(raw / "Dataset001_X/imagesTs/n_0000.nii.gz").header.get_zooms()
    assert zooms == pytest.approx((1.2, 1.2, 5.0))


@pytest.mark.parametrize("place", ["sub-{}/dwi/sub-{}_{what}.nii", "p{}/{what}/image.nii"], ids=["BIDS", "channels"])
def test_links_that_lead_back_end(place, tmp_path, raw, mscs, tools):
    for i in (1, 2, 3):
        phantom = tools.make_phantom(i)
        for what in ("adc", "dwi", "mask"):
            path = tmp_path / "source" / place.replace("{}", str(i)).format(what=what)
            tools.save(getattr(phantom, what), path)
        (path.parent / "back").symlink_to("../..")
        (path.parent / "itself").symlink_to("itself")
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    assert len(list((raw / "Dataset001_X/labelsTr").iterdir())) == 3
