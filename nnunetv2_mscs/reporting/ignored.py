"""nnU-Net's ignore label: reference voxels that count nowhere, and so are not drawn either."""

import json
from collections.abc import Iterable
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.labels import IGNORE
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON


def ignored_by(folders: Iterable[Path]) -> int | None:
    """The value of the ignore label in the first of the folders whose dataset.json names labels; None without one.

    Raises:
        MscsError: a dataset.json is damaged, so that its ignore label would be drawn as if it counted.
    """
    for folder in folders:
        file = folder / DATASET_JSON
        try:
            labels = json.loads(file.read_text(encoding="utf-8")).get("labels")
            if labels:
                ignored = labels.get(IGNORE)
                return None if ignored is None else int(ignored[0] if isinstance(ignored, list) else ignored)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise MscsError(
                f"{file} does not say which label is to be ignored ({type(error).__name__}: {error}).",
                "Correct it, or move it away.",
            ) from error
    return None


def ignored_in(evaluation: Evaluation) -> int | None:
    """The value of the ignore label that an evaluation left out; for errors see `ignored_by`."""
    references, predictions = Path(evaluation.references), Path(evaluation.predictions)
    return ignored_by((references, references.parent, predictions, predictions.parent))
