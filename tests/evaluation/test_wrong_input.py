"""What cannot be evaluated is told in one table, ends with 1 (2 for wrong use), and leaves nothing behind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.evaluation.conftest import GRID, blob, save

Spoil = Callable[[Path, Path], object]


def reading(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def flip(predictions: Path, _: Path) -> None:
    path = predictions / "case_1.nii.gz"
    axes = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    save(reading(path), path, replace(GRID, direction=axes))


def vector(predictions: Path, _: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((*GRID.shape, 2), np.float32), isVector=True)
    sitk.WriteImage(GRID.place(image), str(predictions / "case_1.nii.gz"))


def only_probabilities(predictions: Path, _: Path) -> None:
    for file in predictions.iterdir():
        file.rename(file.with_name(file.name.replace(".nii.gz", ".npz")))


SPOILT: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "no prediction": (lambda p, r: (p / "case_1.nii.gz").unlink(), ("case_1", "has no prediction", "--partial")),
    "no reference": (lambda p, r: (r / "case_1.nii.gz").unlink(), ("case_1", "has no reference")),
    "other names": (
        lambda p, r: [f.rename(p / f"other_{f.name}") for f in list(p.iterdir())],
        ("other_case_0", "has no reference", "has no prediction"),
    ),
    "other size": (
        lambda p, r: save(blob(1)[:, :, 1:], p / "case_1.nii.gz", replace(GRID, size=(23, 20, 8))),
        ("23x20x8 voxels, reference 24x20x8",),
    ),
    "other spacing": (
        lambda p, r: save(blob(1), p / "case_1.nii.gz", replace(GRID, spacing=(1.2, 1.2, 6.0))),
        ("voxels of 1.2x1.2x6 mm, reference 1.2x1.2x5 mm",),
    ),
    "other origin": (
        lambda p, r: save(blob(1), p / "case_1.nii.gz", replace(GRID, origin=(-10.0, 4.0, 31.0))),
        ("other origin (voxels up to 1 mm apart)",),
    ),
    "flipped": (flip, ("other axes",)),
    "unknown label": (
        lambda p, r: save(blob(1) * 2, p / "case_1.nii.gz"),
        ("holds label 2", "--labels", "the references have 0, 1"),
    ),
    "probabilities": (
        lambda p, r: save(blob(1) * np.float32(0.7), p / "case_1.nii.gz"),
        ("holds fractions", "probabilities, not labels"),
    ),
    "two channels": (vector, ("has 2 channels",)),
    "NaN": (lambda p, r: save(blob(1) * np.float32("nan"), p / "case_1.nii.gz"), ("NaN",)),
    "negative": (lambda p, r: save(blob(1).astype(np.int16) * -1, p / "case_1.nii.gz"), ("unknown label values: -1",)),
    "half a file": (
        lambda p, r: (p / "case_1.nii.gz").write_bytes((p / "case_1.nii.gz").read_bytes()[:-20]),
        ("case_1.nii.gz",),
    ),
    "twice": (lambda p, r: save(blob(1), p / "case_1.nii"), ("is there twice: case_1.nii and case_1.nii.gz",)),
    "only npz": (only_probabilities, ("holds no masks, only .npz files",)),
    "nothing": (lambda p, r: [f.unlink() for f in list(p.iterdir())], ("holds no masks",)),
    "spoilt dataset.json": (lambda p, r: (r / "dataset.json").write_text("{"), ("dataset.json is not valid JSON",)),
    "no labels": (lambda p, r: (r / "dataset.json").write_text('{"labels": {"background": 0}}'), ("--labels",)),
}


@pytest.mark.parametrize("name", SPOILT)
def test_wrong_input_is_told_and_nothing_is_written(name, folders, tmp_path, mscs):
    spoil, words = SPOILT[name]
    predictions, references = folders
    spoil(predictions, references)
    ended = mscs("evaluate", predictions, references, "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 1, ended.err
    assert ended.out == ""
    for word in words:
        assert word in ended.err
    assert {path.name for path in tmp_path.iterdir()} == {"predictions", "references"}


def test_a_label_that_no_reference_holds_is_no_perfect_score(folders, tmp_path, mscs):
    ended = mscs("evaluate", *folders, "--labels", 3, "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 1
    assert "no reference holds label 3 (label_3); they hold 0, 1" in ended.err
    (folders[1] / "dataset.json").write_text('{"labels": {"background": 0, "lesion": 1, "bleeding": 2}}')
    ended = mscs("evaluate", *folders, "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 0
    assert "no reference holds label 2 (bleeding)" in ended.err


def test_all_that_is_wrong_stands_in_one_table(folders, tmp_path, mscs):
    predictions, references = folders
    (predictions / "case_0.nii.gz").unlink()
    save(blob(1) * 3, predictions / "case_1.nii.gz")
    save(blob(2) * np.float32(0.5), predictions / "case_2.nii.gz")
    ended = mscs("evaluate", predictions, references, "-o", tmp_path / "out", "-np", 2)
    assert ended.code == 1
    rows = ended.err.splitlines()
    for case, word in (("case_0", "has no prediction"), ("case_1", "holds label 3"), ("case_2", "fractions")):
        assert any(case in row and word in row for row in rows)
    assert "3 errors in 3 cases; nothing was written" in rows[-1]


def test_a_file_and_a_folder_are_no_pair(folders, tmp_path, mscs):
    predictions, references = folders
    ended = mscs("evaluate", predictions / "case_0.nii.gz", references, "-o", tmp_path / "out")
    assert (ended.code, "are a file and a folder" in ended.err) == (1, True)


def test_a_place_that_is_not_there(folders, tmp_path, mscs):
    predictions, references = folders
    for pair in ((predictions / "x", references), (predictions, references / "x"), (predictions, predictions.parent)):
        ended = mscs("evaluate", *pair, "-o", tmp_path / "out")
        assert ended.code == 1
        assert "Traceback" not in ended.err
    assert "holds no masks, only folders: predictions, references" in ended.err


def test_what_is_in_the_way_stays(folders, tmp_path, mscs):
    predictions, references = folders
    out = tmp_path / "out"
    (out / "mine").mkdir(parents=True)
    for words in ((), ("--overwrite",)):
        ended = mscs("evaluate", predictions, references, "-o", out, *words)
        assert ended.code == 1
        assert [path.name for path in out.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "{out}"),
        ("{predictions}", "{references}"),
        ("{predictions}", "{references}", "-o", "{out}", "--labels", "0"),
        ("{predictions}", "{references}", "-o", "{out}", "--labels", "255"),
        ("{predictions}", "{references}", "-o", "{out}", "--samples", "3"),
        ("{predictions}", "{references}", "-o", "{out}", "--names", "a", "b"),
        ("{predictions}", "{references}", "-o", "{out}", "--compare", "{predictions}", "--names", "a", "a"),
        ("--compare", "{predictions}", "-o", "{out}"),
    ],
)
def test_wrong_use_is_2(words, folders, tmp_path, mscs):
    places = {"predictions": folders[0], "references": folders[1], "out": tmp_path / "out"}
    ended = mscs("evaluate", *(word.format(**places) for word in words))
    assert ended.code == 2
    assert "error:" in ended.err
    assert not (tmp_path / "out").exists()


def test_models_of_other_cases_are_not_compared(folders, tmp_path, mscs):
    predictions, references = folders
    fewer = tmp_path / "fewer"
    save(blob(0), fewer / "case_0.nii.gz")
    ended = mscs("evaluate", fewer, references, "--partial", "-o", tmp_path / "one", "-np", 1)
    assert ended.code == 0, ended.err
    ended = mscs("evaluate", predictions, references, "--compare", tmp_path / "one", "-o", tmp_path / "both", "-np", 1)
    assert ended.code == 1
    assert "case_1" in ended.err
    assert not (tmp_path / "both").exists()


def test_an_unknown_table_names_those_there_are(folders, tmp_path, mscs):
    ended = mscs("evaluate", *folders, "-o", tmp_path / "out", "--table", "nonsense")
    assert ended.code == 1
    assert "original" in ended.err
    assert not (tmp_path / "out").exists()
