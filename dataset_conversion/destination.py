"""The dataset's place in nnUNet_raw, and whether it is free."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, dataset_name
from nnunetv2_mscs.nnunet_files.environment import RAW, VARIABLES, folder_if_named, folder_named_by
from nnunetv2_mscs.workplace.resources import write_failure


@dataclass(frozen=True)
class Destination:
    """A dataset folder in nnU-Net's raw data.

    Args:
        raw: the folder $nnUNet_raw.
        name: such as Dataset001_Stroke.
    """

    raw: Path
    name: str

    @property
    def path(self) -> Path:
        return self.raw / self.name

    @property
    def dataset_id(self) -> int:
        return int(self.name.removeprefix("Dataset")[:3])


def raw_folder() -> Path:
    """The folder $nnUNet_raw, which need not exist yet.

    Raises:
        MscsError: it is not set or not writable.
    """
    raw = folder_named_by(RAW)
    if write_failure(raw):
        raise MscsError(f"nnUNet_raw ({raw}) is not a folder you may write to.", "Set nnUNet_raw to a folder of yours.")
    return raw


def find_destination(raw: Path, dataset_id: int, name: str, *, overwrite: bool, sources: Sequence[Path]) -> Destination:
    """The dataset's place in the folder `raw`, from which leftovers have been cleared.

    Raises:
        MscsError: the id is taken by another name, or the dataset exists and may not, or must not, be replaced.
    """
    destination = Destination(raw, dataset_name(dataset_id, name))
    refuse_namesakes(destination)
    path = destination.path
    if path.is_symlink() and not path.exists():
        raise MscsError(f"{path} is a link to a place that is not there.", "Remove the link, or choose another id.")
    if not path.exists():
        return destination
    if not overwrite:
        raise MscsError(f"{path} exists.", "Choose another id, or replace it with --overwrite.")
    check_apart(destination, sources)
    if not (path / DATASET_JSON).is_file():
        raise MscsError(
            f"{path} is not a dataset (it has no dataset.json), so that --overwrite leaves it alone.",
            "See what it holds and move it away, or choose another id.",
        )
    return destination


def check_apart(destination: Destination, paths: Iterable[Path]) -> None:
    """Raise MscsError if any of these files or folders would be deleted with the dataset to be replaced."""
    if not destination.path.exists():
        return
    doomed = destination.path.resolve()
    for path in paths:
        if path.resolve().is_relative_to(doomed):
            raise MscsError(
                f"{path} lies in {destination.path}, which --overwrite would delete.",
                "Move your scans elsewhere, or choose another id.",
            )


def refuse_namesakes(destination: Destination, roots: Sequence[Path] | None = None) -> None:
    """Raise MscsError if a dataset of another name has the id.

    Args:
        destination: the dataset's place and name.
        roots: nnU-Net's folders to look into; None for those that its variables name.
    """
    if roots is None:
        roots = [root for variable in VARIABLES if (root := folder_if_named(variable))]
    found = [path for root in roots for path in root.glob(f"Dataset{destination.dataset_id:03d}*") if path.is_dir()]
    if others := sorted(path for path in found if path.name != destination.name):
        raise MscsError(
            f"The id {destination.dataset_id} is taken by {others[0]}, and nnU-Net refuses two datasets with one id.",
            f"Choose another id, or the name {others[0].name.split('_', 1)[-1]}.",
        )
