"""ISLES'22, SOOP and other BIDS trees become the same data set as their scans in images/ and masks/."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

CASE, SESSION = "sub-strokecase000{i}", "sub-strokecase000{i}_ses-0001"
ISLES_MASK = f"derivatives/{CASE}/ses-0001/{SESSION}_msk"
SOOP_MASK = "derivatives/lesion_masks/sub-{i}/dwi/sub-{i}_space-TRACE_desc-lesion{stage}_mask"
SOOP = {
    "dwi": "sub-{i}/dwi/sub-{i}_rec-TRACE_dwi",
    "adc": "sub-{i}/dwi/sub-{i}_rec-ADC_dwi",
    "other": "sub-{i}/anat/sub-{i}_FLAIR",
}
BIDS = {"dwi": "sub-{i}/dwi/sub-{i}_dwi", "adc": "sub-{i}/dwi/sub-{i}_adc"}
VISITS = {"dwi": "sub-{i}/ses-a/dwi/sub-{i}_ses-a_dwi", "adc": "sub-{i}/ses-a/dwi/sub-{i}_ses-a_adc"}
# where the files of a case lie, and the name of the case
TREES = {
    "ISLES'22 of the challenge": (
        {
            "dwi": f"ISLES/rawdata/{CASE}/ses-0001/{SESSION}_dwi",
            "adc": f"ISLES/rawdata/{CASE}/ses-0001/{SESSION}_adc",
            "other": f"ISLES/rawdata/{CASE}/ses-0001/{SESSION}_flair",
            "mask": f"ISLES/{ISLES_MASK}",
        },
        SESSION,
    ),
    "ISLES'22 with folders of channels": (
        {
            "dwi": f"rawdata/{CASE}/ses-0001/dwi/{SESSION}_dwi",
            "adc": f"rawdata/{CASE}/ses-0001/adc/{SESSION}_adc",
            "other": f"rawdata/{CASE}/ses-0001/flair/{SESSION}_flair",
            "mask": ISLES_MASK,
        },
        SESSION,
    ),
    "ISLES'22 on Zenodo": (
        {
            "dwi": f"ISLES-2022/{CASE}/ses-0001/dwi/{SESSION}_dwi",
            "adc": f"ISLES-2022/{CASE}/ses-0001/dwi/{SESSION}_adc",
            "other": f"ISLES-2022/{CASE}/ses-0001/anat/{SESSION}_FLAIR",
            "mask": f"ISLES-2022/{ISLES_MASK}",
        },
        SESSION,
    ),
    "ISLES'22 in one folder": (
        {what: f"{CASE}/ses-0001/{SESSION}_{word}" for what, word in (("dwi", "dwi"), ("adc", "adc"), ("mask", "msk"))},
        SESSION,
    ),
    "SOOP": (
        SOOP
        | {
            "mask": SOOP_MASK.replace("{stage}", "Acute"),
            "chronic": SOOP_MASK.replace("{stage}", "Chronic"),
            "union": SOOP_MASK.replace("{stage}", ""),
        },
        "sub-{i}",
    ),
    "SOOP with the union alone": (SOOP | {"mask": SOOP_MASK.replace("{stage}", "")}, "sub-{i}"),
    "label, dseg": (BIDS | {"mask": "derivatives/x/sub-{i}/anat/sub-{i}_label-lesion_dseg"}, "sub-{i}"),
    "label L": (BIDS | {"mask": "derivatives/x/sub-{i}/dwi/sub-{i}_label-L_dseg"}, "sub-{i}"),
    "beside a mask of tissue": (
        BIDS
        | {
            "mask": "derivatives/x/sub-{i}/anat/sub-{i}_desc-stroke_mask",
            "union": "derivatives/y/sub-{i}/anat/sub-{i}_label-GM_mask",
        },
        "sub-{i}",
    ),
    "beside source data": (
        BIDS
        | {
            "mask": "derivatives/x/sub-{i}/dwi/sub-{i}_desc-lesion_mask",
            "other": "sourcedata/sub-{i}/dwi/sub-{i}_dwi",
        },
        "sub-{i}",
    ),
    "sessions": (VISITS | {"mask": "derivatives/x/sub-{i}/ses-a/dwi/sub-{i}_ses-a_desc-lesion_mask"}, "sub-{i}_ses-a"),
}


def fill(root: Path, tools, scans, patterns, *, only=()) -> Path:
    """Write the files of scans by number; those whose names say `rec-` have four dimensions."""
    for i, phantom in scans.items():
        arrays = {
            "adc": phantom.adc,
            "dwi": phantom.dwi,
            "mask": phantom.mask,
            "other": np.pad(phantom.dwi, 2),
            "chronic": phantom.mask[::-1],
            "union": phantom.mask | phantom.mask[::-1],
        }
        for what, pattern in patterns.items():
            if only and what in only and i not in only[what]:
                continue
            array = arrays[what][..., None] if "rec-" in pattern else arrays[what]
            tools.save(array, root / f"{pattern.replace('{i}', str(i))}.nii.gz")
    return root


@pytest.fixture
def scans(tools):
    return {i: tools.make_phantom(i) for i in (1, 2, 3)}


@pytest.fixture
def plain(tmp_path, raw, mscs, tools, scans):
    """The same scans in images/ and masks/, converted: bytes of all images and labels, by their names."""

    def convert(form: str) -> dict[str, bytes]:
        patterns = {"dwi": f"images/{form}_dwi", "adc": f"images/{form}_adc", "mask": f"masks/{form}"}
        outcome = mscs("convert", fill(tmp_path / "plain", tools, scans, patterns), 900, "Plain")
        assert outcome.code == 0, outcome.err
        return written(raw / "Dataset900_Plain")

    return convert


def written(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for name in ("imagesTr", "labelsTr") for path in (dataset / name).iterdir()}


@pytest.mark.parametrize("kind", TREES)
def test_a_tree_equals_plain_folders(kind, tmp_path, raw, mscs, tools, scans, plain):
    patterns, form = TREES[kind]
    outcome = mscs("convert", fill(tmp_path / "tree", tools, scans, patterns), 1, "X")
    assert outcome.code == 0, outcome.err
    made = written(raw / "Dataset001_X")
    assert len(made) == 9
    assert made == plain(form)
    taken = re.search(r"masks taken of 3 cases: (\S+)", outcome.out)
    assert ("in one folder" in kind) == (taken is None)
    if kind == "SOOP":
        assert taken[1] == "lesion_masks/space-TRACE_desc-lesionAcute_mask.nii.gz"
        assert "passed over of 3 cases: lesion_masks/space-TRACE_desc-lesionChronic_mask.nii.gz" in outcome.out


def test_sessions_are_cases_of_one_patient(tmp_path, raw, mscs, tools, scans):
    root = tmp_path / "tree"
    for session, shift in (("a", 0), ("b", 10)):
        patterns = {what: path.replace("ses-a", f"ses-{session}") for what, path in TREES["sessions"][0].items()}
        fill(root, tools, {i: tools.make_phantom(i + shift) for i in scans}, patterns)
    assert mscs("convert", root, 1, "X").code == 0
    rows = csv.DictReader((raw / "Dataset001_X/cases.csv").open())
    assert {row["case"]: row["patient"] for row in rows} == {
        f"sub-{i}_ses-{s}": f"sub-{i}" for i in scans for s in "ab"
    }


def test_flair_is_a_channel_where_it_is_named(tmp_path, raw, mscs, tools, scans):
    source = fill(tmp_path / "tree", tools, scans, TREES["ISLES'22 on Zenodo"][0])
    named = ("--channels", "ADC", "DWI", "FLAIR")
    refused = mscs("convert", source, 1, "X", *named)
    assert (refused.code, "grid" in refused.err) == (1, True)
    outcome = mscs("convert", source, 1, "X", *named, "--resample")
    assert outcome.code == 0, outcome.err
    assert "2 = FLAIR" in outcome.out


def test_a_missing_mask_is_not_a_negative(tmp_path, raw, mscs, tools, scans):
    patterns = TREES["SOOP"][0]
    scans |= {i: tools.make_phantom(i) for i in (4, 5)}
    only = {"mask": (1, 2, 3), "chronic": (4,), "union": (1, 2, 3, 4)}
    source = fill(tmp_path / "tree", tools, scans, patterns, only=only)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    labels = {path.name for path in (raw / "Dataset001_X/labelsTr").iterdir()}
    assert labels == {f"sub-{i}.nii.gz" for i in (1, 2, 3)}
    assert "left out: 1 of 5 cases, which have no mask of acute lesions, but of others among" in outcome.out
    assert "left out: 1 of 5 cases, which have no mask of a lesion among the derivatives: sub-5" in outcome.out
    both = mscs("convert", source, 2, "Y", "--derivative", "lesionAcute", "lesionChronic")
    assert both.code == 0, both.err
    assert re.search("left out: 1 of 5 cases.* sub-5", both.out)
    assert "masks taken of 1 case: lesion_masks/space-TRACE_desc-lesionChronic_mask.nii.gz" in both.out


def test_without_any_acute_mask_chronic_ones_are_not_taken(tmp_path, raw, mscs, tools, scans):
    source = fill(tmp_path / "tree", tools, scans, SOOP | {"mask": SOOP_MASK.replace("{stage}", "Chronic")})
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "image without a mask: no mask of acute lesions, but of others" in outcome.err
    assert "--derivative" in outcome.err


AUTO, MANUAL = (f"derivatives/{name}/sub-{{i}}/dwi/sub-{{i}}_desc-lesion_mask" for name in ("auto", "manual"))
FIRST, SECOND = (SOOP_MASK.replace("{stage}", stage) for stage in ("Acute1", "Acute2"))
# the right mask of a tree and another, the words of --derivative, and what the refusal says if there is one
CHOICES = {
    "two folders": (AUTO, MANUAL, (), "2 files could be its mask: auto/.*, manual/.*--derivative NAME: auto, manual"),
    "one of two folders": (MANUAL, AUTO, ("manual",), ""),
    "folder and description": (AUTO, MANUAL, ("auto/lesion",), ""),
    "two descriptions": (FIRST, SECOND, (), "2 files could be its mask.*NAME: lesionAcute1, lesionAcute2"),
    "one of two descriptions": (SECOND, FIRST, ("lesionacute2",), ""),
    "two names alike": (AUTO, AUTO.replace("_desc", "_run-2_desc"), (), "2 files could be its mask.*Keep one of them"),
    "a name that is not there": (AUTO, MANUAL, ("hand",), "no mask of a case is called so.* auto, auto/lesion, lesion"),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_several_masks_of_a_case_are_the_users_choice(kind, tmp_path, raw, mscs, tools, scans, plain):
    mask, other, names, refused = CHOICES[kind]
    source = fill(tmp_path / "tree", tools, scans, BIDS | {"mask": mask, "union": other})
    outcome = mscs("convert", source, 1, "X", *(("--derivative", *names) if names else ()))
    if refused:
        assert outcome.code == 1
        assert re.search(refused, outcome.err), outcome.err
        assert list(raw.iterdir()) == []
    else:
        assert outcome.code == 0, outcome.err
        assert written(raw / "Dataset001_X") == plain("sub-{i}")


def test_folders_of_different_cases_are_not_mixed_unasked(tmp_path, raw, mscs, tools, scans):
    source = fill(
        tmp_path / "tree", tools, scans, BIDS | {"mask": AUTO, "union": MANUAL}, only={"mask": (1, 2), "union": (3,)}
    )
    refused = mscs("convert", source, 1, "X")
    assert refused.code == 1
    assert re.search(r"2 folders of the derivatives: auto \(2 cases\), manual \(1 cases\)", refused.err), refused.err
    assert mscs("convert", source, 1, "X", "--derivative", "manual", "auto").code == 0


@pytest.mark.parametrize("layout", ["plain folders", "case folders"])
def test_derivatives_of_what_has_none_are_refused(layout, tmp_path, raw, mscs, tools, scans, source):
    if layout == "case folders":
        names = {"dwi": "p{i}/dwi", "adc": "p{i}/adc", "mask": "p{i}/mask"}
        source = fill(tmp_path / "cases", tools, scans, names)
    outcome = mscs("convert", source, 1, "X", "--derivative", "manual")
    assert outcome.code == 1
    assert re.search("--derivative .*derivatives", outcome.err), outcome.err


def test_a_mask_without_a_session_is_of_none(tmp_path, raw, mscs, tools, scans):
    patterns = VISITS | {
        "mask": "derivatives/x/sub-{i}/sub-{i}_desc-lesion_mask",
        "union": "derivatives/y/sub-{i}/anat/sub-{i}_desc-brain_mask",
    }
    source = fill(tmp_path / "tree", tools, scans, patterns)
    fill(
        source,
        tools,
        {i: tools.make_phantom(i + 10) for i in scans},
        {k: v.replace("ses-a", "ses-b") for k, v in VISITS.items()},
    )
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert re.search("names no session may be of any of 2 cases: sub-1_ses-a, sub-1_ses-b", outcome.err), outcome.err
    assert not re.search("error .*brain_mask", outcome.err)


def test_real_scans_laid_out_as_their_trees(tmp_path, raw, mscs, real_folder):
    """Two cases of ISLES'22 and the one of SOOP in one tree equal those in images/ and masks/."""
    tree, plain = tmp_path / "tree", tmp_path / "plain"
    for name in ("isles22_0001", "isles22_0002", "soop_3"):
        number = int(name[-1])
        case, form, trace, adc, mask = (
            (
                "sub-3",
                "sub-3/dwi/sub-3_rec-{}_dwi",
                "TRACE",
                "ADC",
                SOOP_MASK.replace("{i}", "3").replace("{stage}", "Acute"),
            )
            if name == "soop_3"
            else (
                SESSION.replace("{i}", str(number)),
                f"{CASE}/ses-0001/dwi/{SESSION}_{{}}".replace("{i}", str(number)),
                "dwi",
                "adc",
                ISLES_MASK.replace("{i}", str(number)),
            )
        )
        for source, target in (
            (f"images/{name}_dwi", form.format(trace)),
            (f"images/{name}_adc", form.format(adc)),
            (f"masks/{name}", mask),
        ):
            place = tree / f"{target}.nii.gz"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(real_folder / f"{source}.nii.gz")
            beside = plain / f"{source.replace(name, case)}.nii.gz"
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.symlink_to(real_folder / f"{source}.nii.gz")
    for source, number in ((tree, 1), (plain, 2)):
        outcome = mscs("convert", source, number, "X")
        assert outcome.code == 0, outcome.err
    assert written(raw / "Dataset001_X") == written(raw / "Dataset002_X")
