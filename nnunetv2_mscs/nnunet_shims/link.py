"""Where the shims lie inside nnU-Net, and putting them there by hand when pip could not.

A regular installation lays them there itself. An editable one, of this package or of nnU-Net, puts no file into
nnU-Net's folder, and nnU-Net looks for classes on disk only.
"""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

DISTRIBUTION = "nnunetv2-mscs"
SHIM_FOLDER = "mscs"
# Folder in nnU-Net that is searched -> folder of the shim here.
PLACES = {
    "training/nnUNetTrainer": "trainer",
    "experiment_planning": "planner",
}


def nnunet_folder() -> Path:
    """Folder of the nnU-Net in use, found without importing it.

    Raises:
        MscsError: if there is none, or only remains of one.
    """
    spec = importlib.util.find_spec("nnunetv2")
    if spec is None:
        raise MscsError("nnU-Net is not installed.", "Install it: pip install nnunetv2")
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    for folder in folders:
        if all((folder / place).is_dir() for place in PLACES) and (folder / "__init__.py").is_file():
            return folder
    raise MscsError(
        f"The folder {folders[0] if folders else 'of nnunetv2'} does not hold nnU-Net, but stands in the way of one.",
        "Reinstall nnU-Net: pip install --force-reinstall --no-deps nnunetv2",
    )


def shim_source(name: str) -> Path:
    """Folder of a shim ("trainer" or "planner") in this package's source tree."""
    return Path(__file__).parent / name


def shim_targets() -> Iterator[tuple[str, Path]]:
    """For each shim its name and its folder inside the nnU-Net in use, there or not."""
    for place, name in PLACES.items():
        yield name, nnunet_folder() / place / SHIM_FOLDER


def owned_by_pip() -> set[Path]:
    """Shim folders that pip installed and will remove by itself."""
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {Path(file.locate()).resolve().parent for file in files if file.parts[0] == "nnunetv2"}


def link() -> list[Path]:
    """Place the shims in the nnU-Net in use; returns the folders written, none where pip has put them already.

    Raises:
        MscsError: if a folder of that name holds something else, or nnU-Net's folder cannot be written.
    """
    written = []
    for name, target in shim_targets():
        if target.resolve() in owned_by_pip():
            continue
        if not shim_source(name).is_dir():
            raise MscsError(
                f"This installation holds no copy of the shim {name!r} to place in {target}.",
                "Install this package from its source folder with pip install -e, then link again.",
            )
        if target.exists() and not _is_ours(name, target):
            raise MscsError(f"{target} exists and was not placed by this command.", "Move it away and try again.")
        try:
            shutil.copytree(shim_source(name), target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
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
    for name, target in shim_targets():
        if not target.exists():
            continue
        if target.resolve() in owned_by_pip():
            raise MscsError(f"{target} was installed by pip.", f"pip uninstall {DISTRIBUTION} removes it.")
        if not _is_ours(name, target):
            raise MscsError(f"{target} was not placed by this command and is left alone.")
        shutil.rmtree(target)
        removed.append(target)
    return removed


def _is_ours(name: str, target: Path) -> bool:
    """Whether the folder holds nothing but modules of the shim's names."""
    ours = {path.name for path in shim_source(name).glob("*.py")}
    theirs = {path.name for path in target.iterdir()} - {"__pycache__"}
    return theirs <= ours
