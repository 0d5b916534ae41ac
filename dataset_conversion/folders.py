"""Folders of the source as the layouts see them: without the folder of new scans, if it lies among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.file_names import is_passed_over
from nnunetv2_mscs.scans.findings import Findings


@dataclass(frozen=True)
class Folder:
    """A folder of the source.

    Args:
        path: the folder.
        left_out: a folder that does not count wherever it lies.
    """

    path: Path
    left_out: Path | None = None

    @property
    def name(self) -> str:
        return self.path.name

    def entries(self) -> list[Path]:
        """What the folder holds, by name."""
        return sorted(path for path in self.path.iterdir() if not self._is_left_out(path))

    def subfolders(self) -> list["Folder"]:
        """Its folders by name, except hidden ones and __MACOSX."""
        return [Folder(path, self.left_out) for path in self.entries() if path.is_dir() and not is_passed_over(path)]

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

    def _is_left_out(self, path: Path) -> bool:
        return self.left_out is not None and path.is_dir() and path.samefile(self.left_out)
