"""Which files a shared model may hold: those that nnU-Net's export and ours write, and no others."""

import re

from nnunetv2_mscs.nnunet_files.checkpoints import CHECKPOINTS
from nnunetv2_mscs.nnunet_files.model_folder import FOLD_FOLDER

# Left by file managers, and nnU-Net's instructions with paths of another machine: neither refused nor unpacked.
IGNORED = re.compile(r"__MACOSX/.*|(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini)|[^/]+/inference_\w+\.txt")

_MODEL = r"[^/]+__[^/]+__[^/]+"
_IMAGE = r"[^/]+\.(nii|nii\.gz|nrrd|mha|gipl|tif|tiff|png|bmp|json)"
_OURS = r"model_card\.md|mscs_manifest\.json|evaluation\.json"
_DECISION = rf"postprocessing\.pkl|{_IMAGE}"
_CHECKPOINT = "|".join(re.escape(name) for name in CHECKPOINTS)
_OF_FOLD = rf"{_CHECKPOINT}|debug\.json|progress\.png|network_architecture\.pdf|validation/{_IMAGE}"
# Below the folder of the data set.
ALLOWED = re.compile(
    rf"inference_information\.json"
    rf"|{_MODEL}/(plans\.json|dataset\.json|dataset_fingerprint\.json|{_OURS})"
    rf"|{_MODEL}/{FOLD_FOLDER.pattern}/({_OF_FOLD})"
    rf"|{_MODEL}/crossval_results_folds_[^/]+/({_DECISION})"
    rf"|ensembles/ensemble___[^/]+/({_DECISION}|{_OURS})"
)
