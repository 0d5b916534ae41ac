"""Where the shims lie inside nnU-Net, and putting them there by hand when pip could not.

nnU-Net looks for classes on disk, in its own folder. A regular installation lays the shims there. Two do not:

- an editable one of this package puts no file anywhere;
- beside an editable nnU-Net pip makes a folder `nnunetv2` that holds the shims alone. Python then takes this folder for
  nnU-Net, and nnU-Net no longer finds classes of its own: the folder has to go, the shims belong into the real one.
"""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Iterator
from filecmp import cmp
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

DISTRIBUTION = "nnunetv2-mscs"
SHIM_FOLDER = "mscs"
MARK = "nnunetv2_mscs"
# Folder in nnU-Net that is searched -> folder of the shim here.
PLACES = {
    "training/nnUNetTrainer": "trainer",
    "experiment_planning": "planner",
    "preprocessing/normalization": "normalization",
    "imageio": "reader",
}


def nnunet_folder() -> Path:
    """Folder of the nnU-Net in use, found without importing more than its empty top.

    Raises:
        MscsError: if there is none.
    """
    try:
        spec = importlib.util.find_spec("nnunetv2.paths")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise MscsError("nnU-Net is not installed.", "Install it: pip install nnunetv2")
    return Path(spec.origin).parent


def hiding_folders() -> list[Path]:
    """Folders `nnunetv2` without nnU-Net in them that Python takes for the nnU-Net in use."""
    spec = importlib.util.find_spec("nnunetv2")
    folders = [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or []]
    return [folder for folder in folders if folder.resolve() != nnunet_folder().resolve()]


def shim_source(name: str) -> Path:
    """Folder of a shim ("trainer", "planner", "normalization" or "reader") in this package."""
    return Path(__file__).parent / name


def shim_targets() -> Iterator[tuple[str, Path]]:
    """For each shim its name and its folder inside the nnU-Net in use, there or not."""
    for place, name in PLACES.items():
        yield name, nnunet_folder() / place / SHIM_FOLDER


def is_placed(name: str, target: Path) -> bool:
    """Whether a shim's folder inside nnU-Net holds what it holds in this version."""
    files = list(shim_source(name).glob("*.py"))
    return all((target / file.name).is_file() and cmp(file, target / file.name, shallow=False) for file in files)


def owned_by_pip() -> set[Path]:
    """Shim folders that pip installed and will remove by itself."""
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {Path(file.locate()).resolve().parent for file in files if file.parts[0] == "nnunetv2"}


def link() -> list[Path]:
    """Place the shims in the nnU-Net in use, and remove folders that hide it.

    Returns:
        The folders written; none where pip has put them already.

    Raises:
        MscsError: if a folder of that name holds something else, or nnU-Net's folder cannot be written.
    """
    for folder in hiding_folders():
        _remove_hiding(folder)
    written = []
    for name, target in shim_targets():
        if target.resolve() in owned_by_pip():
            continue
        if target.exists() and not _is_ours(target):
            raise MscsError(f"{target} exists and was not placed by this command.", "Move it away and try again.")
        try:
            if target.exists():
                shutil.rmtree(target)
            shutil.copytree(shim_source(name), target, ignore=shutil.ignore_patterns("__pycache__"))
        except OSError as error:
            raise MscsError(f"Cannot write {target}: {error}.", "Use an environment of your own.") from error
        written.append(target)
    return written


def unlink() -> list[Path]:
    """Remove what `link` placed; returns the folders removed.

    Raises:
        MscsError: if a folder was installed by pip, or is not ours.
    """
    removed = []
    for _, target in shim_targets():
        if not target.exists():
            continue
        if target.resolve() in owned_by_pip():
            raise MscsError(f"{target} was installed by pip.", f"pip uninstall {DISTRIBUTION} removes it.")
        if not _is_ours(target):
            raise MscsError(f"{target} was not placed by this command and is left alone.")
        shutil.rmtree(target)
        removed.append(target)
    return removed


def _remove_hiding(folder: Path) -> None:
    """Remove the shims of a folder `nnunetv2` and what is empty without them; refuse if anything else is there."""
    for place in PLACES:
        shim = folder / place / SHIM_FOLDER
        if shim.is_dir() and _is_ours(shim):
            shutil.rmtree(shim)
    left = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    if left:
        raise MscsError(
            f"{folder} hides nnU-Net and holds files that are not ours, such as {left[0]}.", "Move it away."
        )
    shutil.rmtree(folder)


def _is_ours(target: Path) -> bool:
    """Whether all that the folder holds are shims, of this version or another: modules that name this package."""
    files = [path for path in target.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return all(path.suffix == ".py" and MARK in path.read_text(errors="replace") for path in files)
