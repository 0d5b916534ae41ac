"""Folds and test sets: whole patients, alike in lesion volume, the same for the same seed."""

import json
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_mscs.dataset_conversion.splits import choose_test_patients, make_folds
from nnunetv2_mscs.nnunet_files.environment import exports_here
from nnunetv2_mscs.workplace.resources import processes_here


@pytest.fixture
def cohort() -> tuple[dict[str, list[str]], dict[str, float]]:
    """53 patients, every third with two scans, lesion volumes log-normal as in stroke."""
    rng = np.random.default_rng(0)
    cases_of = {f"p{i}": [f"p{i}_s{j}" for j in range(2 if i % 3 == 0 else 1)] for i in range(53)}
    return cases_of, {patient: float(rng.lognormal(1.5, 1.5)) for patient in cases_of}


@pytest.mark.parametrize("seed", range(5))
def test_folds_hold_whole_patients_and_like_volumes(cohort, seed):
    cases_of, volumes = cohort
    folds = make_folds(cases_of, volumes, seed=seed)
    everyone = {case for cases in cases_of.values() for case in cases}
    validated = [case for fold in folds for case in fold["val"]]
    assert len(folds) == 5
    assert sorted(validated) == sorted(everyone)
    for fold in folds:
        assert set(fold["train"]) == everyone - set(fold["val"])
        assert not {c.split("_")[0] for c in fold["train"]} & {c.split("_")[0] for c in fold["val"]}
    medians = [np.median([volumes[case.split("_")[0]] for case in fold["val"]]) for fold in folds]
    sums = [sum(volumes[p] for p in {case.split("_")[0] for case in fold["val"]}) for fold in folds]
    assert max(medians) < 2.0 * min(medians)
    assert max(sums) < 1.5 * np.mean(sums)
    assert folds == make_folds(dict(reversed(cases_of.items())), volumes, seed=seed)


def test_the_seed_decides_between_equals(cohort):
    cases_of, volumes = cohort
    equal = dict.fromkeys(volumes, 1.0)
    assert make_folds(cases_of, equal, seed=0) != make_folds(cases_of, equal, seed=1)


@pytest.mark.parametrize(("patients", "folds"), [(1, 0), (2, 2), (4, 4), (5, 5), (6, 5)])
def test_few_patients(patients, folds):
    cases_of = {f"p{i}": [f"p{i}"] for i in range(patients)}
    made = make_folds(cases_of, dict.fromkeys(cases_of, 1.0), seed=0)
    assert len(made) == folds
    assert all(fold["train"] and fold["val"] for fold in made)


@pytest.mark.parametrize("fraction", [0.01, 0.15, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_the_test_set_is_like_the_rest(cohort, fraction, seed):
    _, volumes = cohort
    chosen = choose_test_patients(volumes, fraction, seed=seed)
    assert len(chosen) == min(max(1, round(fraction * 53)), 52)
    assert chosen == choose_test_patients(volumes, fraction, seed=seed)
    if fraction in (0.2, 0.5):
        inside = np.median([volumes[p] for p in chosen])
        outside = np.median([volumes[p] for p in volumes if p not in chosen])
        assert 0.5 < inside / outside < 2.0


@pytest.fixture
def visits(tmp_path, tools) -> Path:
    """Six patients with two visits each."""
    for patient in range(6):
        for visit in range(2):
            phantom = tools.make_phantom(10 * patient + visit, radius=1 + patient % 3)
            tools.save_case(tmp_path / "visits", f"sub-{patient}_ses-{visit}", phantom, ".nii")
    return tmp_path / "visits"


def test_patients_stay_together_through_the_command(visits, raw, mscs):
    outcome = mscs("convert", visits, 4, "Visits", "--patient-pattern", r"^(sub-\d+)", "--test-fraction", 0.3)
    assert outcome.code == 0, outcome.err
    folder = raw / "Dataset004_Visits"
    tested = {path.name.split("_")[0] for path in (folder / "labelsTs").iterdir()}
    trained = {path.name.split("_")[0] for path in (folder / "labelsTr").iterdir()}
    assert (len(tested), len(trained), tested & trained) == (2, 4, set())
    assert len(list((folder / "imagesTs").iterdir())) == 2 * 2 * 2
    folds = json.loads((folder / "splits_final.json").read_text())
    assert [len(fold["val"]) for fold in folds] == [2] * 4
    assert "4 folds instead of 5: there are 4 training patients" in outcome.out
    again = mscs("convert", visits, 5, "Again", "--patient-pattern", r"sub-\d+", "--test-fraction", 0.3)
    assert again.code == 0
    assert json.loads((raw / "Dataset005_Again/splits_final.json").read_text()) == folds


def test_the_planner_takes_up_the_folds(source, raw, mscs, nnunet_folders):
    """nnU-Net's own function that copies the file, and its check of a file that is there already."""
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import _maybe_copy_splits_file

    assert mscs("convert", source, 1, "X").code == 0
    made = raw / "Dataset001_X/splits_final.json"
    taken = nnunet_folders / "nnUNet_preprocessed/Dataset001_X/splits_final.json"
    taken.parent.mkdir()
    _maybe_copy_splits_file(str(made), str(taken))
    assert json.loads(taken.read_text()) == json.loads(made.read_text())

    unchanged = mscs("convert", source, 1, "X", "--overwrite")
    assert "other folds" not in unchanged.out
    assert "--clean" not in unchanged.out
    taken.with_name("dataset_fingerprint.json").write_text("{}")
    for path in source.rglob("c*"):
        path.unlink()
    changed = mscs("convert", source, 1, "X", "--overwrite")
    assert changed.code == 0
    assert "other folds than this dataset's" in changed.out
    assert f"rm {taken}" in changed.out
    workers = processes_here().others
    assert changed.out.splitlines()[-2:] == [
        f"next:      {exports_here()}",
        f"           nnUNetv2_plan_and_preprocess -d 1 -pl MSCSPlanner --clean -np {workers} -npfp {workers}",
    ]
    with pytest.raises((AssertionError, IndexError)):
        _maybe_copy_splits_file(str(made), str(taken))
