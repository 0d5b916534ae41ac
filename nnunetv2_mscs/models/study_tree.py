"""What lies in a folder and below it, looked at once: names, which files are DICOM, and of which study."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.file_names import is_passed_over
from nnunetv2_mscs.scans.dicom_headers import is_dicom_file, study_of
from nnunetv2_mscs.scans.formats import ending_of


class StudyTree:
    """A folder as it was when it was first looked at. Hidden files and folders are left out."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _entries(self) -> tuple[list[Path], list["StudyTree"]]:
        """The files and the folders in it, by name; a link that leads back up is left out."""
        files, folders = [], []
        with os.scandir(self.path) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                path = self.path / entry.name
                if is_passed_over(path):
                    continue
                if not entry.is_dir():
                    files.append(path)
                elif not (entry.is_symlink() and path.resolve() in (self.path.resolve(), *self.path.resolve().parents)):
                    folders.append(StudyTree(path))
        return files, folders

    @property
    def folders(self) -> list["StudyTree"]:
        return self._entries[1]

    @property
    def files(self) -> Iterator[Path]:
        """Those in it and below it."""
        yield from self._entries[0]
        for folder in self.folders:
            yield from folder.files

    @cached_property
    def has_scans(self) -> bool:
        """Whether a file in it or below it has the ending of a format of scans."""
        return any(map(ending_of, self._entries[0])) or any(folder.has_scans for folder in self.folders)

    @cached_property
    def dicom(self) -> list[Path]:
        """The DICOM files in it and below it."""
        return [path for path in self._entries[0] if is_dicom_file(path)] + [
            path for folder in self.folders for path in folder.dicom
        ]

    @cached_property
    def studies(self) -> set[str]:
        """The unique identifiers of the DICOM studies, by one file of each folder.

        Raises:
            MscsError: pydicom is missing, or a file is damaged.
        """
        below = {study for folder in self.folders for study in folder.studies}
        own = next((path for path in self.dicom if path.parent == self.path), None)
        return below if own is None else below | {study_of(own)}

    def at(self, path: Path) -> "StudyTree":
        """The folder of a path below this one."""
        tree = self
        for name in path.relative_to(self.path).parts:
            tree = next((one for one in tree.folders if one.path.name == name), None) or StudyTree(tree.path / name)
        return tree
