"""Folders of the source as the layouts see them: without the folder of new scans, if it lies among them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.file_names import HIDDEN, is_passed_over
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import unread_files


@dataclass(frozen=True)
class Folder:
    """A folder of the source.

    Args:
        path: the folder.
        left_out: a folder that does not count wherever it lies.
        listed: what has been listed of this folder and those in it, so that each is read once: paths, and whether they
            are folders.
    """

    path: Path
    left_out: Path | None = None
    listed: dict[Path, list[tuple[Path, bool]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.path.name

    def entries(self) -> list[Path]:
        """What the folder holds, by name."""
        return [path for path, _ in self._listing()]

    def subfolders(self) -> list["Folder"]:
        """Its folders by name, except hidden ones and __MACOSX."""
        found = [path for path, is_folder in self._listing() if is_folder and not is_passed_over(path)]
        return [Folder(path, self.left_out, self.listed) for path in found]

    def files(self) -> list[Path]:
        """Its files by name."""
        return [path for path, is_folder in self._listing() if not is_folder]

    def subfolder(self, names: Sequence[str]) -> "Folder | None":
        """The subfolder with the first of these names that exists; capital letters make no difference."""
        found = {folder.name.lower(): folder for folder in self.subfolders()}
        return next((found[name] for name in names if name in found), None)

    def note_others(self, used: Sequence["Folder"], findings: Findings) -> None:
        """Note what else lies here besides the folders that the layout uses."""
        paths = [folder.path for folder in used]
        for path in self.entries():
            if path not in paths:
                findings.note("ignored: no part of this layout", file=path)

    def _listing(self) -> list[tuple[Path, bool]]:
        if self.path not in self.listed:
            with os.scandir(self.path) as entries:
                found = [(self.path / entry.name, _is_folder(entry)) for entry in entries]
            self.listed[self.path] = sorted(item for item in found if not self._is_left_out(*item))
        return self.listed[self.path]

    def _is_left_out(self, path: Path, is_folder: bool) -> bool:
        if path.name.startswith(HIDDEN):
            return True
        return self.left_out is not None and is_folder and path.samefile(self.left_out)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, and no link to one that it lies in, which would never end."""
    try:
        if not entry.is_dir():
            return False
    except OSError:  # a link to itself
        return False
    return not entry.is_symlink() or Path(entry.path).resolve() not in (Path(entry.path).parent.resolve() / "x").parents


def note_without_scans(folder: Path, finding: str, findings: Findings) -> None:
    """Note that a folder is ignored; warn if it holds scans in formats that are not read."""
    if unread := unread_files(folder):
        findings.warning("ignored: its scans are in a format that is not read", unread, file=folder)
    else:
        findings.note(f"ignored: {finding}", file=folder)
