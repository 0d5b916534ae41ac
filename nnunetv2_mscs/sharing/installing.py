"""`mscs install`: a shared model checked in a hidden place, then put into nnU-Net's folder of results as a whole.

nnU-Net's own installation is one `extractall` into the folder of results. This one adds the checks before it.
"""

import errno
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.destination import Destination, refuse_namesakes
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD
from nnunetv2_mscs.nnunet_files.commands import predict_commands
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS, check_folder_name, folder_if_named
from nnunetv2_mscs.sharing.allowed_files import CARD
from nnunetv2_mscs.sharing.archive import look_into, opened, unpack
from nnunetv2_mscs.sharing.foreign_text import plain
from nnunetv2_mscs.sharing.manifest import compare_versions
from nnunetv2_mscs.sharing.unpacked import check_unpacked
from nnunetv2_mscs.workplace.hidden_places import NEW, clear_leftovers, hidden_place, made, replace_together
from nnunetv2_mscs.workplace.whole_files import DISK_FULL

PREFIX = ".mscs-install-"
SPARE_BYTES = 50_000_000
ERRORS_OF_A_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
NO_MANIFEST = (
    "the zip has no manifest: nnU-Net's own export wrote it. It was checked for transmission errors (CRC) and for "
    "code, but whether it is complete, and which versions it is for, is unknown."
)


@dataclass(frozen=True)
class Installed:
    """What was placed.

    Args:
        folders: new or replaced.
        card: the model card; None if the zip has none.
        commands: that predict.
        sha256: of the zip, hexadecimal.
        notices: sentences for the user.
    """

    folders: tuple[Path, ...]
    card: Path | None
    commands: tuple[str, ...]
    sha256: str
    notices: tuple[str, ...]


def install(
    file: Path, *, results: Path | None = None, overwrite: bool = False, trust: Sequence[str] = ()
) -> Installed:
    """Check the zip file of a model and place it.

    Args:
        file: what `mscs export`, or nnU-Net's own export, wrote.
        results: nnU-Net's folder of results; without, that of its variable.
        overwrite: replace models of the same names, and nothing else.
        trust: packages whose network classes are accepted beside those that are known.

    Raises:
        MscsError: the file is damaged, dangerous, or of no use here; then nothing is placed.
    """
    target, is_nnunets = _target(results)
    hidden = ""
    try:
        with opened(file) as (archive, sha256):
            contents = look_into(archive)
            dataset = target / contents.dataset
            with _writing(target), made(target):
                for folder in (target, dataset):
                    clear_leftovers(folder, PREFIX)
                _refuse_taken(dataset, contents.folders, overwrite=overwrite)
                _refuse_namesakes(target, contents.dataset, is_nnunets=is_nnunets)
                _refuse_without_space(target, contents.bytes)
                notices = compare_versions(contents.manifest.versions) if contents.manifest else [NO_MANIFEST]
                with hidden_place(dataset if dataset.exists() else target, PREFIX) as place:
                    hidden = f"{place / NEW}/"
                    new = place / NEW / contents.dataset
                    unpack(archive, contents, place / NEW)
                    sets, more = check_unpacked(new, contents, dataset, trust)
                    if place.parent != dataset:
                        new.rename(dataset)
                    else:
                        _refuse_taken(dataset, contents.folders, overwrite=overwrite)
                        record = [BEST_RECORD] if (new / BEST_RECORD).is_file() else []
                        replace_together(new, [*contents.folders, *record], place)
    except MscsError as error:
        # Files are named as in the zip, not in the hidden place, which is gone by then.
        raise MscsError(plain(error.finding.replace(hidden, "")), plain(error.remedy)) from error
    commands = [line for models, steps in sets for line in predict_commands(models, postprocess=steps > 0)]
    if not is_nnunets:
        commands.insert(0, f"export {RESULTS}={shlex.quote(str(target))}")
    card = str(Path(contents.manifest.name).with_name(CARD)) if contents.manifest else ""
    return Installed(
        folders=tuple(dataset / folder for folder in contents.folders),
        card=target / card if card in contents.entries else None,
        commands=tuple(commands),
        sha256=sha256,
        notices=tuple(map(plain, [*notices, *more])),
    )


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn what the system refuses into the user's error."""
    try:
        yield
    except OSError as error:
        remedy = "Do you have write permission? Or choose another folder with --results."
        raise MscsError(
            f"{error.filename or target} could not be written: {error.strerror or error}.",
            DISK_FULL if error.errno in ERRORS_OF_A_FULL_DISK else remedy,
        ) from error


def _target(results: Path | None) -> tuple[Path, bool]:
    """The folder of results, and whether it is the one of nnU-Net's variable."""
    if results is not None:
        check_folder_name("--results", str(results))
    named = results or folder_if_named(RESULTS)
    if named is None:
        raise MscsError(f"{RESULTS} is not set.", f"export {RESULTS}=FOLDER, or name it with --results.")
    target = Path(os.path.abspath(named))
    if target.exists() and not target.is_dir():
        raise MscsError(f"{target} is a file, not a folder.", f"Set {RESULTS} to a folder.")
    value = os.environ.get(RESULTS)
    return target, bool(value) and target == Path(os.path.abspath(str(value)))


def _refuse_taken(dataset: Path, folders: Sequence[str], *, overwrite: bool) -> None:
    for place in (dataset / folder for folder in folders):
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise MscsError(f"{place} is a link or a file.", "Move it away.")
        if place.exists() and not overwrite:
            raise MscsError(
                f"{place} is there already.", "Replace it with --overwrite, or choose another folder with --results."
            )


def _refuse_namesakes(target: Path, dataset: str, *, is_nnunets: bool) -> None:
    """Raise MscsError if nnU-Net would no longer know which data set an id means."""
    others = [root for name in (RAW, PREPROCESSED) if (root := folder_if_named(name))] if is_nnunets else []
    try:
        refuse_namesakes(Destination(target, dataset), [target, *others])
    except MscsError as error:
        raise MscsError(error.finding, "Install it into another folder, with --results.") from error


def _refuse_without_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target).free
    if free < needed + SPARE_BYTES:
        raise MscsError(
            f"The model needs {needed / 1e6:.0f} MB, and {target} has {free / 1e6:.0f} MB free.",
            "Make room, or choose another disk with --results.",
        )
