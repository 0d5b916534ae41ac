"""Small data sets that nnU-Net itself has planned and preprocessed, to train on within seconds."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import (
    extract_fingerprint_dataset,
    plan_experiment_dataset,
    preprocess_dataset,
)
from nnunetv2.training.logging.nnunet_logger import MetaLogger

from nnunetv2_mscs.planning.planner import MSCSPlanner
from nnunetv2_mscs.training import MSCSTrainer
from tests.few_samples import FewSamples
from tests.forked_workers import call_in_workers, forked_pools
from tests.sharing import tiny_models

CASES = 5
LABELS = {
    601: {"labels": {"background": 0, "lesion": 1}},
    602: {
        "labels": {"background": 0, "lesion": [1, 2], "core": [2], "ignore": 3},
        "regions_class_order": [1, 2],
    },
}


def _write_raw(folder: Path, dataset: dict) -> None:
    """Random images of 8 x 36 x 36 voxels with a bright box, half of it labelled 2 where there are two labels."""
    random = np.random.default_rng(0)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in range(CASES):
        label = np.zeros((8, 36, 36), np.uint8)
        z, y, x = random.integers((1, 4, 4), (4, 20, 20))
        label[z : z + 3, y : y + 10, x : x + 10] = 1
        if "ignore" in dataset["labels"]:
            label[z : z + 3, y : y + 5, x : x + 5] = 2
            label[0] = 3
        for channel in range(2):
            image = random.normal(100, 10, label.shape) + 60 * np.isin(label, (1, 2))
            _write(image.astype(np.float32), folder / "imagesTr" / f"case_{case}_{channel:04d}.nii.gz")
        _write(label, folder / "labelsTr" / f"case_{case}.nii.gz")
    common = {"channel_names": {"0": "ADC", "1": "DWI"}, "numTraining": CASES, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(common | dataset))


def _write(array: np.ndarray, file: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 5.0))
    sitk.WriteImage(image, str(file))


def _add_cascade(plans_file: Path) -> None:
    """Configurations 3d_lowres (here the same data as 3d_fullres) and 3d_cascade_fullres, by hand as nnU-Net allows."""
    plans = json.loads(plans_file.read_text())
    configurations = plans["configurations"]
    configurations["3d_lowres"] = {"inherits_from": "3d_fullres", "next_stage": "3d_cascade_fullres"}
    configurations["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    plans_file.write_text(json.dumps(plans))


@pytest.fixture(scope="session", autouse=True)
def quick_nnunet() -> Iterator[None]:
    """Pools whose workers import nothing, and no curves, which take half a second of every epoch."""
    with forked_pools(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetaLogger, "plot_progress_png", lambda _logger, _folder: None)
        yield


@pytest.fixture(scope="session")
def preprocessed(tmp_path_factory) -> Iterator[Callable[[int], Path]]:
    """A function from the id of a data set in LABELS to its folder in nnUNet_preprocessed, made at the first call."""
    folder = tmp_path_factory.mktemp("nnunet")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            patch.setenv(name, str(folder / name))
        patch.setenv("nnUNet_n_proc_DA", "0")

        @cache
        def prepare(dataset_id: int) -> Path:
            name = f"Dataset{dataset_id}_Small"
            _write_raw(folder / "nnUNet_raw" / name, LABELS[dataset_id])
            extract_fingerprint_dataset(dataset_id, FewSamples, num_processes=1, show_progress_bar=False)
            plan_experiment_dataset(dataset_id, MSCSPlanner)
            preprocess_dataset(dataset_id, "MSCSPlans", ("2d", "3d_fullres"), (1, 1), show_progress_bar=False)
            _add_cascade(folder / "nnUNet_preprocessed" / name / "MSCSPlans.json")
            return folder / "nnUNet_preprocessed" / name

        yield prepare


@pytest.fixture
def new_trainer(preprocessed, tmp_path, monkeypatch) -> Callable[..., MSCSTrainer]:
    """A function that makes a trainer as nnUNetv2_train does, with results in a folder of the test's own.

    `architecture` replaces the plans' entry, `arch_kwargs` some of its arguments.
    """
    monkeypatch.setenv("nnUNet_results", str(tmp_path))

    def make(
        trainer_class: type[MSCSTrainer] = MSCSTrainer,
        configuration: str = "2d",
        dataset_id: int = 601,
        fold: int | str = 0,
        device: str = "cpu",
        architecture: dict | None = None,
        **arch_kwargs,
    ) -> MSCSTrainer:
        folder = preprocessed(dataset_id)
        plans = json.loads((folder / "MSCSPlans.json").read_text()) | {"continue_training": False}
        if architecture:
            plans["configurations"][configuration]["architecture"] = architecture
        if arch_kwargs:
            plans["configurations"][configuration]["architecture"]["arch_kwargs"] |= arch_kwargs
        dataset = json.loads((folder / "dataset.json").read_text())
        return trainer_class(plans, configuration, fold, dataset, torch.device(device))

    return make


@pytest.fixture
def in_two_workers(tmp_path, monkeypatch) -> Callable[..., None]:
    """A function that calls `_work` of a file in two processes, with a folder for results and what else is given."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    return lambda file, *arguments: call_in_workers(file, "_work", tmp_path, *arguments)


@pytest.fixture
def tiny_configuration() -> dict:
    """What of a 2D configuration makes a training quick: a network of three levels and four features, small batches."""
    tiny = tiny_models.plans()["configurations"]["2d"]
    return {name: tiny[name] for name in ("architecture", "patch_size", "batch_size")}
