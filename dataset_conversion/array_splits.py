"""Layout 3: `train|val|test/` with `images/sample_<i>_image.npy` and `masks/sample_<i>_mask.npy` in each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from nnunetv2_mscs.dataset_conversion import images_masks
from nnunetv2_mscs.dataset_conversion.cases import Discovery, Split
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.scans.findings import Findings

NAME = "array-splits"
DESCRIPTION = "train/, val/, test/, each with images/ and masks/"
SPLIT_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def recognise(source: Folder) -> bool:
    train = source.subfolder(SPLIT_FOLDERS["train"])
    return train is not None and images_masks.recognise(train)


def has_test_cases(source: Folder) -> bool:
    return source.subfolder(SPLIT_FOLDERS["test"]) is not None


def find_cases(source: Folder, channel_names: Sequence[str] = ()) -> Discovery:
    """All cases of all split folders. Where two splits use one name, every name gets its split in front."""
    folders = {split: source.subfolder(names) for split, names in SPLIT_FOLDERS.items()}
    found = {
        split: images_masks.find_cases(folder, channel_names, split) for split, folder in folders.items() if folder
    }
    uses = Counter(case.name for part in found.values() for case in part.cases)
    if max(uses.values(), default=1) > 1:
        found = {split: _prefixed(part, split) for split, part in found.items()}
    discovery = Discovery()
    for part in found.values():
        discovery.cases += part.cases
        discovery.findings.items += part.findings.items
    if not any(case.split == "train" for case in discovery.cases):
        discovery.findings.error("has no training case", f"The layout {NAME} needs {DESCRIPTION}.", file=source.path)
    if any(case.split == "val" for case in discovery.cases):
        discovery.findings.note(
            "the val folder's cases join the training set: nnU-Net validates on its five folds "
            "(cases.csv says which cases they are)"
        )
    source.note_others([folder for folder in folders.values() if folder], discovery.findings)
    return discovery


def _prefixed(part: Discovery, split: Split) -> Discovery:
    """The same with the split in front of every case's name."""
    cases = [replace(case, name=f"{split}_{case.name}") for case in part.cases]
    items = [replace(item, case=f"{split}_{item.case}" if item.case else "") for item in part.findings.items]
    return Discovery(cases, Findings(items))
