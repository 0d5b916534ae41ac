"""What is written is what other programs read, and a full disk is not passed over."""

import subprocess
import sys

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.writing import write_volume

GRID = Grid((7, 6, 5), (1.5, 2.0, 4.0), (-10.0, 20.0, 30.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_nibabel_reads_what_was_written(tmp_path, dtype):
    array = np.random.default_rng(0).integers(0, 3, GRID.shape).astype(dtype)
    write_volume(array, GRID, tmp_path / "x.nii.gz")
    image = nibabel.load(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).transpose(2, 1, 0), array)
    assert image.get_data_dtype() == dtype
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    np.testing.assert_allclose(lps[:3, :3], GRID.matrix * GRID.spacing, atol=1e-5)
    np.testing.assert_allclose(lps[:3, 3], GRID.origin, atol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes")
def test_a_full_disk_is_an_error(tmp_path):
    """A limit on file sizes stands for the full disk: ITK itself reports neither."""
    script = f"""
import resource, signal, sys
from pathlib import Path
import numpy as np
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.writing import write_volume
array = np.random.default_rng(0).normal(size=(20, 64, 64)).astype(np.float32)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    write_volume(array, Grid((64, 64, 20), (1.0, 1.0, 5.0)), Path({str(tmp_path)!r}) / "x.nii.gz")
except MscsError as error:
    sys.exit(3 if "disk" in str(error) else 4)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 3
