"""What several tests of a run begin with: a run's folder, six small scans, and nnU-Net's folders."""

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.nnunet_files.environment import Folders, folders_of
from nnunetv2_mscs.pipeline.state import RunFolder


@pytest.fixture
def run(tmp_path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


@pytest.fixture
def folders(tmp_path) -> Folders:
    """nnU-Net's folders in a workspace that is not there yet."""
    return folders_of(tmp_path / "workspace")


@pytest.fixture
def scans(tmp_path):
    """A folder of six cases of ADC and DWI, each one voxel wider than the one before."""
    for case in range(6):
        for name in (f"images/c{case}_adc", f"images/c{case}_dwi", f"masks/c{case}"):
            file = tmp_path / "scans" / f"{name}.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 6, 7 + case), np.float32)), str(file))
    return tmp_path / "scans"


@pytest.fixture
def source(tmp_path):
    """A folder whose names are those of a data set; what it holds is read by no test."""
    for name in ("images", "masks"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        (tmp_path / "scans" / name / "a.nii.gz").touch()
    return tmp_path / "scans"
