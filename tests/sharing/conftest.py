"""Folders of results with tiny models, and a zip of one."""

import shutil
from pathlib import Path

import pytest

from tests.sharing.tiny_models import DATASET, write_model


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder of results with two models; not to be changed."""
    results = tmp_path_factory.mktemp("trained")
    for trainer in ("nnUNetTrainer", "MSCSTrainer"):
        write_model(results, trainer)
    return results


@pytest.fixture
def results(trained, tmp_path, monkeypatch) -> Path:
    """A copy to change, which nnU-Net's variable names."""
    shutil.copytree(trained, tmp_path / "results")
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def model(results) -> Path:
    """One model folder."""
    return results / DATASET / "MSCSTrainer__nnUNetPlans__2d"


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory) -> Path:
    """The zip of one model; not to be changed."""
    from nnunetv2_mscs.sharing.exporting import Request, export

    out = tmp_path_factory.mktemp("exported") / "tiny.zip"
    export(out, Request(str(trained / DATASET / "MSCSTrainer__nnUNetPlans__2d")))
    return out
