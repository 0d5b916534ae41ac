"""nnU-Net's ignore label: reference voxels that count nowhere, and so are not drawn either."""

import json
from collections.abc import Iterable
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.labels import labels_of_dataset
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON


def ignored_by(folders: Iterable[Path]) -> int | None:
    """The value of the ignore label in the first of the folders whose dataset.json names labels; None without one."""
    for folder in folders:
        try:
            return labels_of_dataset(json.loads((folder / DATASET_JSON).read_text(encoding="utf-8"))).ignored
        except (OSError, ValueError, TypeError, MscsError):
            continue
    return None


def ignored_in(evaluation: Evaluation) -> int | None:
    """The value of the ignore label that an evaluation left out."""
    references, predictions = Path(evaluation.references), Path(evaluation.predictions)
    return ignored_by((references, references.parent, predictions, predictions.parent))
