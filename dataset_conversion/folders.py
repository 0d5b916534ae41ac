"""Folders of the source as the layouts see them: without the folder of new scans, should it lie among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.file_names import is_passed_over
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import unread_files


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
        """Its folders by name, but for hidden ones and __MACOSX."""
        return [Folder(path, self.left_out) for path in self.entries() if path.is_dir() and not is_passed_over(path)]

    def subfolder(self, names: Sequence[str]) -> "Folder | None":
        """The subfolder with the first of these names that there is, whatever its case."""
        found = {folder.name.lower(): folder for folder in self.subfolders()}
        return next((found[name] for name in names if name in found), None)

    def note_others(self, used: Sequence["Folder"], findings: Findings) -> None:
        """Note what lies here beside the folders that the layout uses."""
        paths = [folder.path for folder in used]
        for path in self.entries():
            if path not in paths:
                findings.note("ignored: no part of this layout", file=path)

    def _is_left_out(self, path: Path) -> bool:
        return self.left_out is not None and path.is_dir() and path.samefile(self.left_out)


def note_without_scans(folder: Path, finding: str, findings: Findings) -> None:
    """Note that a folder is ignored; warn if it holds scans in formats that are not read."""
    if unread := unread_files(folder):
        findings.warning("ignored: its scans are in a format that is not read", unread, file=folder)
    else:
        findings.note(f"ignored: {finding}", file=folder)
