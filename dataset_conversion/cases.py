"""The plain facts about one case that a layout finds, and the names that cases get."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from nnunetv2_mscs.scans.channels import COMBINED, ScanFiles
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import is_array_file

Split = Literal["train", "val", "test", "unlabelled"]


@dataclass(frozen=True)
class Case:
    """One scan in its source folder.

    Args:
        name: nnU-Net's case identifier.
        images: file of each channel by channel name, or under `COMBINED` one file of all channels, or the folder of a
            DICOM study.
        mask: the lesion mask, if there is one.
        split: the folder it came from; "train" where the layout knows none.
        patient: whose scan it is; scans of one patient stay together in every split.
        source_name: what the source calls it; its name, unless given.
        numbered: its files name channels by numbers, as nnU-Net's do.
        channel_names: of its one file with all channels, as far as its name or the source says.
    """

    name: str
    images: dict[str, Path]
    mask: Path | None = None
    split: Split = "train"
    patient: str = ""
    source_name: str = ""
    numbered: bool = False
    channel_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "source_name", self.source_name or self.name)

    @property
    def files(self) -> ScanFiles:
        return ScanFiles(self.images, self.mask, self.numbered, self.channel_names)

    @property
    def is_dicom(self) -> bool:
        """Whether it is a DICOM study."""
        return COMBINED in self.images and self.images[COMBINED].is_dir()

    @property
    def study(self) -> Path:
        """The folder of its DICOM study."""
        return self.images[COMBINED]

    @property
    def has_geometry(self) -> bool:
        """Whether any image file carries a voxel size of its own."""
        return self.is_dicom or not all(is_array_file(path) for path in self.images.values())

    def file_of(self, channel: str) -> Path:
        return self.images.get(channel) or self.images[COMBINED]


@dataclass
class Discovery:
    """What a layout finds in a folder: cases, and findings about files that make none.

    Args:
        cases: found.
        findings: about files and cases.
        empty: folders of new scans in which no scan of the wanted channels was found.
    """

    cases: list[Case] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    empty: list[Path] = field(default_factory=list)


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts image_2 before image_10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name.lower()) if part]


def clean_name(name: str) -> str:
    """A case identifier that every file system and nnU-Net take: ASCII letters, digits, `-` and `_`."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_name)


def with_clean_names(discovery: Discovery) -> Discovery:
    """Clean all case names; two cases that would share a name become an error."""
    cases: list[Case] = []
    for case in discovery.cases:
        name = clean_name(case.name)
        if not re.search("[A-Za-z0-9]", name):
            discovery.findings.error("the name has no letter or digit", "Rename the files.", case=case.name)
            continue
        if name != case.name:
            discovery.findings.note(f"renamed to {name}", case=case.name)
        cases.append(replace(case, name=name))
    owners: dict[str, list[int]] = defaultdict(list)
    for i, case in enumerate(cases):
        owners[case.name.lower()].append(i)
    for indices in owners.values():
        if len(indices) > 1:
            folders = ", ".join(str(next(iter(cases[i].images.values()))) for i in indices)
            discovery.findings.error(
                f"{len(indices)} cases would share the name {cases[indices[0]].name}: {folders}",
                "Rename the files, so that names differ in letters and digits, not only in case or signs.",
                case=cases[indices[0]].name,
            )
    cases.sort(key=lambda case: natural_key(case.name))
    return Discovery(cases, discovery.findings)


def with_patients(cases: Iterable[Case], pattern: re.Pattern[str] | None, findings: Findings) -> list[Case]:
    """Name every case's patient: by the pattern's first group in the case's original name; else by subject or case."""
    result: list[Case] = []
    for case in cases:
        match = pattern.search(case.source_name) if pattern else None
        patient = (match.group(1) if match.re.groups else match.group(0)) if match else None
        if pattern and not patient:
            findings.error(
                f"--patient-pattern {pattern.pattern} finds no patient in this name",
                "Mend the pattern.",
                case=case.name,
            )
        result.append(replace(case, patient=patient or case.patient or case.name))
    return result
