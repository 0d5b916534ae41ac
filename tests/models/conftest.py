"""A small model whose network sees scans along fixed axes, as those of `mscs convert` do."""

import json
import shutil
from pathlib import Path

import pytest

from tests.sharing.tiny_models import DATASET, MSCS, write_model


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """A folder of results with one model of two folds; not to be changed."""
    results = tmp_path_factory.mktemp("model")
    make_coarse(write_model(results, "MSCSTrainer", steps=0))
    return results


def make_coarse(folder: Path, *, reader: str = "MSCSReaderLAS") -> None:
    """Let a small model see scans by a reader, of fixed axes if nothing is said, and in few patches."""
    plans = json.loads((folder / "plans.json").read_text())
    plans["image_reader_writer"] = reader
    plans["original_median_spacing_after_transp"] = [14.0, 8.0, 8.0]
    plans["configurations"]["2d"] |= {"patch_size": [24, 24], "spacing": [8.0, 8.0]}
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset_fingerprint.json").write_text(json.dumps({"spacings": [[14.0, 8.0, 8.0]] * 4}))


def write_cascade(results: Path) -> tuple[Path, Path]:
    """Two stages of a cascade, each of two folds."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunetv2_mscs.training import MSCSTrainer

    coarse = write_model(results, "MSCSTrainer", steps=0)
    make_coarse(coarse)
    fine = coarse.with_name("MSCSTrainer__nnUNetPlans__fine")
    shutil.copytree(coarse, fine)
    plans = json.loads((fine / "plans.json").read_text())
    plans["configurations"]["fine"] = {"inherits_from": "2d", "previous_stage": "2d"}
    manager = PlansManager(plans)
    network = MSCSTrainer.build_network_architecture(manager, manager.get_configuration("fine"), 3, 2, False)
    for folder in (coarse, fine):
        (folder / "plans.json").write_text(json.dumps(plans))
    for fold in (0, 1):
        file = fine / f"fold_{fold}/checkpoint_final.pth"
        checkpoint = torch.load(file, weights_only=False) | {"network_weights": network.state_dict()}
        checkpoint["init_args"] |= {"plans": plans, "configuration": "fine"}
        torch.save(checkpoint, file)
    return coarse, fine


@pytest.fixture(scope="session")
def model(results) -> Path:
    return results / DATASET / MSCS


@pytest.fixture(scope="session")
def predictor(model):
    from nnunetv2_mscs import Predictor

    return Predictor(model, "cpu", precision="float32", engine="torch")


@pytest.fixture(autouse=True)
def _torch_unless_asked_for(monkeypatch):
    """OpenVINO counts as not installed, so that the other tests compare PyTorch's numbers with nnU-Net's."""
    monkeypatch.setattr("nnunetv2_mscs.models.engines.find_spec", lambda name: None)
