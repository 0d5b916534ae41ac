"""`mscs volumes`: volumes and pieces of masks without references."""

import numpy as np
import pandas as pd
import pytest

from nnunetv2_mscs.evaluation.volumes import measure_volumes
from tests.evaluation.conftest import GRID, save

VOXEL_ML = float(np.prod(GRID.spacing)) / 1000


@pytest.fixture
def masks(tmp_path):
    """Two pieces of 8 and 4 voxels that share no corner, one piece of another label, and an empty mask."""
    pieces, empty = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape, np.uint8)
    pieces[1:3, 2:4, 2:4] = 1
    pieces[5, 10:12, 10:12] = 1
    other = empty.copy()
    other[1, 1, 1:4] = 2
    for name, mask in (("both", pieces), ("empty", empty), ("other", other)):
        save(mask, tmp_path / "masks" / f"{name}.nii.gz")
    return tmp_path / "masks"


def test_each_label_of_each_mask_has_a_row(masks):
    table = measure_volumes(masks)
    assert list(zip(table["case"], table["label"], strict=True)) == [
        (case, label) for case in ("both", "empty", "other") for label in (1, 2)
    ]
    both, _, empty, _, _, other = table.to_dict("records")
    assert both["lesion_volume_ml"] == pytest.approx(12 * VOXEL_ML)
    assert both["lesion_count"] == 2
    assert both["largest_lesion_ml"] == pytest.approx(8 * VOXEL_ML)
    assert [float(one) for one in both["lesion_volumes_ml"].split()] == pytest.approx([8 * VOXEL_ML, 4 * VOXEL_ML])
    assert (empty["lesion_volume_ml"], empty["lesion_count"], empty["lesion_volumes_ml"]) == (0, 0, "")
    assert other["lesion_volume_ml"] == pytest.approx(3 * VOXEL_ML)


def test_the_table_is_printed_and_written_once(masks, tmp_path, mscs):
    out = tmp_path / "volumes.csv"
    ended = mscs("volumes", masks, "-o", out)
    assert ended.code == 0, ended.err
    assert "3 masks, 2 with a lesion: 0.02 to 0.09 mL" in ended.out
    pd.testing.assert_frame_equal(
        pd.read_csv(out, keep_default_na=False, dtype={"lesion_volumes_ml": str}), measure_volumes(masks)
    )
    again = mscs("volumes", masks, "-o", out)
    assert again.code == 1
    assert "--overwrite" in again.err
    assert mscs("volumes", masks / "empty.nii.gz", "-o", out, "--overwrite").code == 0
    assert len(pd.read_csv(out)) == 1


def test_files_that_are_no_masks_are_named(masks, mscs):
    save(np.full(GRID.shape, 0.5, np.float32), masks / "probabilities.nii.gz")
    ended = mscs("volumes", masks)
    assert ended.code == 1
    assert "probabilities" in ended.err
    assert ended.out == ""
