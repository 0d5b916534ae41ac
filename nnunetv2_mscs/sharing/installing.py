"""`mscs install`: a shared model checked in a hidden place, then put into nnU-Net's folder of results as a whole."""

import errno
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.destination import Destination, refuse_namesakes
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.commands import predict_commands
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS
from nnunetv2_mscs.nnunet_files.model_folder import ENSEMBLES, model_of
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.sharing.archive import Contents, look_into, opened, unpack
from nnunetv2_mscs.sharing.card import CARD
from nnunetv2_mscs.sharing.compatibility import compare_versions
from nnunetv2_mscs.sharing.foreign_text import plain, plain_error
from nnunetv2_mscs.sharing.unpacked import check_unpacked
from nnunetv2_mscs.workplace.hidden_places import NEW, clear_leftovers, hidden_place, made, replace_together
from nnunetv2_mscs.workplace.whole_files import DISK_FULL

PREFIX = ".mscs-install-"
SPARE_BYTES = 50_000_000
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Installed:
    """What was placed.

    Args:
        folders: new or replaced.
        card: the model card, None in a zip of nnU-Net's own.
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
    target, variable = _target(results)
    try:
        with opened(file) as (archive, sha256):
            contents = look_into(archive)
            units = _units(contents)
            with _writing(target), made(target):
                dataset = target / contents.dataset
                for folder in (target, dataset):
                    clear_leftovers(folder, PREFIX)
                _refuse_taken(dataset, units, overwrite=overwrite)
                _refuse_namesakes(target, contents.dataset, variable=variable)
                _refuse_without_space(target, contents.bytes)
                notices = _first_notices(contents)
                with hidden_place(dataset if dataset.exists() else target, PREFIX) as place:
                    new = place / NEW / contents.dataset
                    unpack(archive, contents, place / NEW)
                    with _as_in_the_zip(place / NEW):
                        sets, told = check_unpacked(new, contents, dataset, trust)
                    _place(new, dataset, units, place, overwrite=overwrite)
    except MscsError as error:
        raise plain_error(error) from error
    commands = [line for models, steps in sets for line in predict_commands(models, postprocess=steps > 0)]
    if not variable:
        commands.insert(0, f"export {RESULTS}={shlex.quote(str(target))}")
    home = contents.manifest.models.home if contents.manifest else ""
    card = f"{contents.dataset}/{home}/{CARD}"
    return Installed(
        folders=tuple(dataset / unit for unit in units),
        card=target / card if card in contents.entries else None,
        commands=tuple(commands),
        sha256=sha256,
        notices=tuple(map(plain, [*notices, *told])),
    )


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn what the system refuses into the user's error."""
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        remedy = DISK_FULL if full else "May you write there? Or choose another folder with --results."
        place = error.filename or target
        raise MscsError(f"{place} could not be written: {error.strerror or error}.", remedy) from error


@contextmanager
def _as_in_the_zip(place: Path) -> Iterator[None]:
    """Name files in errors as in the zip, not in the hidden place that is gone by then."""
    try:
        yield
    except MscsError as error:
        raise MscsError(error.finding.replace(f"{place}/", ""), error.remedy) from error


def _target(results: Path | None) -> tuple[Path, bool]:
    """Where to, and whether nnU-Net's own variable says so."""
    value = os.environ.get(RESULTS)
    if results is None and not value:
        raise MscsError(f"{RESULTS} is not set.", f"export {RESULTS}=FOLDER, or name it with --results.")
    target = Path(os.path.abspath(results or str(value)))
    if target.exists() and not target.is_dir():
        raise MscsError(f"{target} is a file, not a folder.", f"Set {RESULTS} to a folder.")
    return target, bool(value) and target == Path(os.path.abspath(str(value)))


def _first_notices(contents: Contents) -> list[str]:
    if contents.manifest:
        return compare_versions(contents.manifest.versions)
    return [
        "the zip has no manifest: nnU-Net's own export wrote it. It was checked for transmission errors (CRC) and for "
        "code, but nothing tells whether it is complete, or which versions it is of."
    ]


def _units(contents: Contents) -> list[str]:
    """The folders that are placed each as a whole: of models and of ensembles.

    Raises:
        MscsError: there is no model, or one is not whole.
    """
    names = [name.split("/", 1)[1] for name in contents.entries]
    units = {"/".join(name.split("/")[: 2 if name.startswith(f"{ENSEMBLES}/") else 1]) for name in names} - {
        BEST_RECORD
    }
    models = sorted(unit for unit in units if not unit.startswith(f"{ENSEMBLES}/"))
    if not models:
        raise MscsError("The zip holds no model of nnU-Net's.", "Ask the sender.")
    for model in models:
        if model_of(model) is None:
            raise MscsError(f"{model!r} in the zip is no name of a model of nnU-Net's.", "Ask the sender.")
        missing = [name for name in (PLANS_JSON, DATASET_JSON) if f"{model}/{name}" not in names]
        if missing or not any(re.fullmatch(rf"{re.escape(model)}/fold_[^/]+/[^/]+\.pth", name) for name in names):
            raise MscsError(
                f"{model} in the zip has no {missing[0] if missing else FINAL_CHECKPOINT}.", "Ask the sender."
            )
    return models + sorted(units - set(models))


def _refuse_taken(dataset: Path, units: list[str], *, overwrite: bool) -> None:
    for unit in units:
        place = dataset / unit
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise MscsError(f"{place} is a link or a file.", "Move it away.")
        if place.exists() and not overwrite:
            raise MscsError(
                f"{place} is there already.", "Replace it with --overwrite, or choose another folder with --results."
            )


def _refuse_namesakes(target: Path, dataset: str, *, variable: bool) -> None:
    """Raise MscsError if nnU-Net would not know any more which data set an id means."""
    others = [Path(root) for name in (RAW, PREPROCESSED) if (root := os.environ.get(name))] if variable else []
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


def _place(new: Path, dataset: Path, units: list[str], place: Path, *, overwrite: bool) -> None:
    """Rename what was checked to its place: the data set's folder if there is none yet, else all of its parts."""
    if place.parent != dataset:
        new.rename(dataset)
        return
    _refuse_taken(dataset, units, overwrite=overwrite)
    replace_together(new, [*units, *([BEST_RECORD] if (new / BEST_RECORD).is_file() else [])], place)
