import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.pipeline import checks, disk
from nnunetv2_mscs.pipeline.checks import EarlyChecksFailed, early_checks, early_findings
from nnunetv2_mscs.pipeline.run import SLURM, Execution, Run
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import measure_scans
from nnunetv2_mscs.pipeline.state import Record, RunFolder, State, write_record
from nnunetv2_mscs.workplace.devices import Gpu, Gpus

GB = 1e9


@pytest.fixture
def settings(scans):
    return RunSettings(str(scans), 1, "Stroke")


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    """A machine with room, so that only what a test changes is found."""
    monkeypatch.setattr(disk, "free_disk_bytes", lambda place: 1000 * GB)
    monkeypatch.setattr(checks, "free_memory_bytes", lambda: 100 * GB)
    monkeypatch.setattr(checks, "shared_memory_bytes", lambda: 8 * GB)


def _found(settings, folders, **execution):
    run = Run(settings, folders, Execution(**execution))
    return [(item.severity, item.finding) for item in early_findings(run)]


def test_a_sound_run_has_no_findings_and_nothing_is_made(settings, folders):
    assert _found(settings, folders, processes=2) == []
    assert not folders.raw.parent.exists()


def test_all_errors_are_told_at_once(settings, folders, capsys):
    wrong = replace(settings, folds=(0, 0, 7), epochs=5, trainer="MSCSTrainer_3epochs", planner="NoPlanner")
    with pytest.raises(EarlyChecksFailed, match="4 reasons not to begin"):
        early_checks(Run(wrong, folders, Execution()))

    table = capsys.readouterr().err
    for text in ("names 0 twice", "folds are 0 to 4", "length in its name", "no planner NoPlanner"):
        assert text in table


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"configurations": ("3d_cascade_fullres",)}, "needs the masks of 3d_lowres"),
        ({"configurations": ("2d", "2d")}, "names 2d twice"),
        ({"configurations": ("3d",)}, "--configurations 3d"),
        ({"compare": ("nnUNetTrainer", "nnUNetTrainer")}, "names nnUNetTrainer twice"),
        ({"compare": ("MSCSTrainer",)}, "is what is trained anyway"),
        ({"compare": ("NoTrainer",)}, "no trainer NoTrainer"),
        ({"epochs": 7, "compare": ("nnUNetTrainer",)}, "no trainer nnUNetTrainer_7epochs"),
        ({"source": "/nowhere"}, "SOURCE /nowhere does not exist"),
    ],
)
def test_settings_that_cannot_go_well(settings, folders, changes, text):
    found = _found(replace(settings, **changes), folders)

    assert any(severity == "error" and text in finding for severity, finding in found), found


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 7}, {"compare": ("nnUNetTrainer", "MSCSTrainer:ExperimentPlanner")}, {"trainer": "MSCSTrainerPaper"}],
)
def test_settings_that_can(settings, folders, changes):
    assert _found(replace(settings, **changes), folders) == []


def test_options_of_the_conversion_where_nothing_is_converted(settings, folders):
    raw = folders.raw / settings.dataset
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True)
    scan = sitk.GetImageFromArray(np.zeros((5, 6, 7), np.float32))
    for case in "abcdef":
        for name in (f"imagesTr/{case}_0000.nii.gz", f"imagesTr/{case}_0001.nii.gz", f"labelsTr/{case}.nii.gz"):
            sitk.WriteImage(scan, str(raw / name))
    channels = {"0": "ADC", "1": "DWI"}
    (raw / "dataset.json").write_text(json.dumps({"channel_names": channels, "file_ending": ".nii.gz"}))
    plain = replace(settings, source=str(raw))
    assert _found(plain, folders) == []
    found = _found(replace(plain, test_fraction=0.2, resample=True, seed=1), folders)
    assert [text.split(",")[0] for _, text in found] == ["--test-fraction", "--resample", "--seed"]

    (folders.preprocessed / settings.dataset).mkdir(parents=True)
    splits = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c", "b"], "val": ["a"]}]
    (folders.preprocessed / settings.dataset / "splits_final.json").write_text(json.dumps(splits))
    assert "there is no fold 2" in _found(plain, folders)[0][1]
    assert _found(replace(plain, folds=(0, 1)), folders) == []

    (raw / "labelsTr" / "c.nii.gz").unlink()
    assert "c in fold 0, a case without a mask" in _found(replace(plain, folds=(0, 1)), folders)[0][1]
    write_record(RunFolder.of(folders, settings.dataset), Record("splits", State.DONE, {}, {}))
    assert _found(replace(plain, folds=(0, 1)), folders) == [], "those of the run itself are made anew"


def test_fewer_cases_than_folds(settings, folders):
    """Told before hours of conversion and fingerprint, not after them."""
    for kind in ("images", "masks"):
        for file in (folders.raw.parent.parent / "scans" / kind).glob("c[3-5]*"):
            file.unlink()
    assert "3 cases to train on cannot be split so that there is a fold 3" in _found(settings, folders)[0][1]
    assert _found(replace(settings, folds=(0, 1, 2)), folders) == []


@pytest.mark.parametrize(("option", "kind"), [("source", str), ("unlabelled", Path)])
def test_folders_that_are_not_there(settings, folders, tmp_path, option, kind):
    away = replace(settings, test_fraction=0.2, **{option: kind(tmp_path / "away")})
    assert any("away" in text for _, text in _found(away, folders))


def test_nested_folders_and_scans_among_them(settings, folders, tmp_path):
    nested = replace(folders, results=folders.preprocessed / "results")
    assert ("error", "nnUNet_preprocessed and nnUNet_results lie in each other") in _found(settings, nested)

    among = replace(folders, results=tmp_path / "scans" / "results")
    assert ("error", "the scans and nnUNet_results lie in each other") in _found(settings, among)


@pytest.mark.parametrize("folder", ["raw", "preprocessed", "results"])
def test_an_id_that_another_data_set_has(settings, folders, folder):
    (getattr(folders, folder) / "Dataset001_Other").mkdir(parents=True)
    assert [text for _, text in _found(settings, folders)] == [
        f"The id 1 is taken by {getattr(folders, folder) / 'Dataset001_Other'}, "
        "and nnU-Net refuses two datasets with one id."
    ]
    assert _found(replace(settings, name="Other"), folders) == []


def test_folders_that_cannot_be_written_to(settings, folders, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert ("error", "nnUNet_raw is a file, not a folder") in _found(settings, replace(folders, raw=file))

    nowhere = type(file)("/proc/self/nowhere")
    assert any("nnUNet_raw cannot be written to" in text for _, text in _found(settings, replace(folders, raw=nowhere)))


@pytest.mark.parametrize(("free", "severity"), [(0.5, "error"), (1.2, "warning"), (2.0, None)])
def test_disk_against_the_estimate(settings, folders, monkeypatch, free, severity):
    needed = sum(disk.estimate(settings, measure_scans(settings, folders)).values())
    monkeypatch.setattr(disk, "free_disk_bytes", lambda place: free * needed)

    found = [one for one in _found(settings, folders) if "GB are free for about" in one[1]]
    assert [one[0] for one in found] == ([severity] if severity else [])


def test_what_a_run_has_made_already_is_not_needed_again(settings, folders, monkeypatch):
    needed = sum(disk.estimate(settings, measure_scans(settings, folders)).values())
    monkeypatch.setattr(disk, "free_disk_bytes", lambda place: 0.5 * needed)
    made = folders.results / settings.dataset / "checkpoint_final.pth"
    made.parent.mkdir(parents=True)
    with made.open("wb") as file:
        file.truncate(int(0.9 * needed))

    assert _found(settings, folders) == []


def test_a_gpu_that_is_asked_for_and_not_there(settings, folders, monkeypatch):
    monkeypatch.setattr(checks, "look_for_gpus", lambda: Gpus((), "PyTorch 2.9 sees no GPU"))
    assert any("there is no GPU: PyTorch 2.9" in text for _, text in _found(settings, folders, device="cuda"))
    assert _found(settings, folders, executor=SLURM, device="cuda") == []


def test_gpus_by_numbers_that_do_not_exist_and_memory_that_is_too_small(settings, folders, monkeypatch):
    there = [early_gpu("0", 80), early_gpu("1", 8)]
    monkeypatch.setattr(checks, "look_for_gpus", lambda: Gpus(tuple(there), "two"))

    assert _found(settings, folders, device="cuda", gpus=("0", "3")) == [("error", "there is no GPU 3")]
    assert _found(replace(settings, gpu_memory_target_gb=24), folders, device="cuda", gpus=("0",)) == []
    assert _found(replace(settings, gpu_memory_target_gb=24), folders, device="cuda", gpus=("1",)) == [
        ("warning", "GPU 1 (NVIDIA) has 8 GB, less than 24")
    ]


def early_gpu(index, memory_gb):
    return Gpu(index, "NVIDIA", int(memory_gb * GB))


def test_memory_and_shared_memory_for_the_workers(settings, folders, monkeypatch):
    monkeypatch.setattr(checks, "free_memory_bytes", lambda: 4 * GB)
    monkeypatch.setattr(checks, "shared_memory_bytes", lambda: 64e6)

    found = _found(settings, folders, processes=16)
    assert [severity for severity, _ in found] == ["warning", "warning"]
    assert "16 processes" in found[0][1]
    assert _found(settings, folders, processes=1) == []
