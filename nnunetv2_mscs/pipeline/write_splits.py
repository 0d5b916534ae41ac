"""`python -m nnunetv2_mscs.pipeline.write_splits DATASET`: the data set's folds, written before any training starts.

Those of the raw data set are taken if it has any, as `mscs convert` writes them; else nnU-Net's own are made. Trainings
that start together would each write them.
"""

import json
import sys
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.whole_files import write_whole

SPLITS = "splits_final.json"


def write_splits(dataset: str) -> Path:
    """Write splits_final.json into the data set's folder of nnUNet_preprocessed; one that is there stays.

    Raises:
        MscsError: there are too few cases to split.
    """
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
    from nnunetv2.utilities.crossval_split import generate_crossval_split
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    raw, file = Path(nnUNet_raw) / dataset, Path(nnUNet_preprocessed) / dataset / SPLITS
    if file.is_file():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    if (raw / SPLITS).is_file():
        write_whole(file, (raw / SPLITS).read_text())
        return file
    cases = sorted(get_filenames_of_train_images_and_targets(str(raw)))
    if len(cases) < 5:
        raise MscsError(
            f"{dataset} has {len(cases)} training cases; nnU-Net splits no fewer than 5.",
            f"Give more cases, or write {raw / SPLITS} yourself.",
        )
    write_whole(file, json.dumps(generate_crossval_split(cases, seed=12345, n_splits=5), indent=4) + "\n")
    return file


if __name__ == "__main__":
    try:
        print(write_splits(sys.argv[1]))
    except MscsError as error:
        sys.exit(str(error))
