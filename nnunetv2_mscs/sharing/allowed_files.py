"""Which files a shared model may hold: those that nnU-Net's export and ours write, and no others."""

import re

from nnunetv2_mscs.evaluation.sources import DATASET_JSON, PLANS_JSON
from nnunetv2_mscs.sharing.models import CHECKPOINTS, FOLD_FOLDER, POSTPROCESSING

CARD, MANIFEST, EVALUATION = "model_card.md", "mscs_manifest.json", "evaluation.json"
# What an export takes of each model, each fold, and each folder with a decision on postprocessing, where it exists.
OF_MODEL = (PLANS_JSON, DATASET_JSON, "dataset_fingerprint.json")
OF_FOLD = ("debug.json", "progress.png", "network_architecture.pdf", "validation/summary.json")
OF_DECISION = ("summary.json", POSTPROCESSING, "postprocessing.json", PLANS_JSON, DATASET_JSON)

# File managers add these, and nnU-Net adds instructions with paths of another machine: skipped, not refused.
IGNORED = re.compile(r"__MACOSX/.*|(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini)|[^/]+/inference_\w+\.txt")


def _one_of(*names: str) -> str:
    return "|".join(map(re.escape, names))


_MODEL = r"(?!ensembles/)[^/]+"  # whether it is named as nnU-Net names models is asked of `model_of`
# nnU-Net's export takes masks and metrics of a cross-validation along if it is asked to.
_MASK = r"[^/]+\.(nii|nii\.gz|nrrd|mha|gipl|tif|tiff|png|bmp|json)"
_OURS = _one_of(CARD, MANIFEST, EVALUATION)
_DECISION = rf"{_one_of(*OF_DECISION)}|{_MASK}"
# Paths in the folder of the data set.
ALLOWED = re.compile(
    rf"inference_information\.json"
    rf"|{_MODEL}/({_one_of(*OF_MODEL)}|{_OURS})"
    rf"|{_MODEL}/{FOLD_FOLDER.pattern}/({_one_of(*CHECKPOINTS, *OF_FOLD)}|validation/{_MASK})"
    rf"|{_MODEL}/crossval_results_folds_[^/]+/({_DECISION})"
    rf"|ensembles/ensemble___[^/]+/({_DECISION}|{_OURS})"
)
