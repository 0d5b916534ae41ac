"""`python -m nnunetv2_mscs.pipeline.write_references DATASET`: the masks that validations are measured against.

When nnU-Net preprocesses, it copies only masks that are newer than its former copies, and removes none. Here the masks
are exactly those of the raw data set; nnU-Net then finds nothing to copy.
"""

import shutil
import sys
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import IMAGES_TR, LABELS_TR, REFERENCES, file_ending


def write_references(dataset: str) -> Path:
    """Copy the masks of all training cases into gt_segmentations, in the data set's folder of nnUNet_preprocessed.

    Raises:
        MscsError: the data set has no training cases.
    """
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    raw, folder = Path(nnUNet_raw) / dataset, Path(nnUNet_preprocessed) / dataset / REFERENCES
    ending = file_ending(raw)
    cases = get_filenames_of_train_images_and_targets(str(raw))
    if not cases:
        raise MscsError(f"{raw} has no training cases.", f"See {IMAGES_TR} and {LABELS_TR} there.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for case, files in cases.items():
        shutil.copyfile(files["label"], folder / f"{case}{ending}")
    return folder


if __name__ == "__main__":
    try:
        print(write_references(sys.argv[1]))
    except MscsError as error:
        sys.exit(str(error))
