"""Layout 3: `train|val|test/` with `images/sample_<i>_image.npy` and `masks/sample_<i>_mask.npy` in each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nnunetv2_mscs.dataset_conversion import images_masks
from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery, Split

NAME = "array-splits"
DESCRIPTION = "train/, val/, test/, each with images/ and masks/"
SPLIT_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def recognise(source: Path) -> bool:
    train = images_masks.subfolder(source, SPLIT_FOLDERS["train"])
    return train is not None and images_masks.recognise(train)


def find_cases(source: Path, channel_names: Sequence[str] = ()) -> Discovery:
    """All cases of all split folders. Where two splits use one name, every name gets its split in front."""
    discovery = Discovery()
    used: list[Path] = []
    for split, names in SPLIT_FOLDERS.items():
        folder = images_masks.subfolder(source, names)
        if folder is None:
            continue
        used.append(folder)
        found = images_masks.find_cases(folder, channel_names, split)
        discovery.cases += found.cases
        discovery.findings.items += [
            replace(item, case=f"{split}_{item.case}" if item.case else "") for item in found.findings.items
        ]
    if not any(case.split == "train" for case in discovery.cases):
        discovery.findings.error("has no training case", f"The layout {NAME} needs {DESCRIPTION}.", file=source)
    if any(case.split == "val" for case in discovery.cases):
        discovery.findings.note(
            "the val folder's cases join the training set: nnU-Net validates on its five folds "
            "(cases.csv tells which cases they are)"
        )
    images_masks.note_others(source, used, discovery.findings)
    discovery.cases = _distinct(discovery.cases)
    return discovery


def _distinct(cases: Sequence[Case]) -> list[Case]:
    counts = Counter(case.name for case in cases)
    if max(counts.values(), default=1) == 1:
        return list(cases)
    return [replace(case, name=f"{case.split}_{case.name}") for case in cases]
