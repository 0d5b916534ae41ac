"""`mscs install`: a shared model checked in a hidden place, then put into nnU-Net's folder of results as a whole."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.sources import DATASET_JSON, PLANS_JSON
from nnunetv2_mscs.sharing.archive import Contents, look_into, opened, unpack
from nnunetv2_mscs.sharing.card import CARD
from nnunetv2_mscs.sharing.checkpoints import Checkpoint, inspect_checkpoint
from nnunetv2_mscs.sharing.compatibility import check_model, check_plans, compare_versions
from nnunetv2_mscs.sharing.manifest import sha256_of
from nnunetv2_mscs.sharing.models import (
    CHECKPOINT,
    ENSEMBLES,
    FOLD_FOLDER,
    POSTPROCESSING,
    Model,
    ModelSet,
    fold_order,
    model_of,
    predict_commands,
)
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import BEST, RESULTS, with_previous_stage
from nnunetv2_mscs.workplace.hidden_places import NEW, clear_leftovers, hidden_place, made, replace_folder
from nnunetv2_mscs.workplace.whole_files import DISK_FULL

PREFIX = ".mscs-install-"
# Files that hold Python objects: opening one may run code, and prediction needs none but those that are checked.
PICKLES = re.compile(r".*\.(pkl|pickle|pt|joblib|dill)", re.IGNORECASE)
WEIGHTS = re.compile(r"[^/]+/[^/]+/fold_(\d+|all)/[^/]+\.pth")
SPARE_BYTES = 50_000_000


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


def install(file: Path, *, results: Path | None = None, overwrite: bool = False, trust: bool = False) -> Installed:
    """Check the zip file of a model and place it.

    Args:
        file: what `mscs export`, or nnU-Net's own export, wrote.
        results: nnU-Net's folder of results; without, that of its variable.
        overwrite: replace models of the same names, and nothing else.
        trust: accept network classes of packages that are not known.

    Raises:
        MscsError: the file is damaged, dangerous, or of no use here; then nothing is placed.
    """
    target, variable = _target(results)
    with opened(file) as archive:
        contents = look_into(archive)
        notices = _first_notices(contents)
        units = _units(contents)
        _refuse_taken(target, contents, units, overwrite=overwrite)
        _refuse_without_space(target, contents.bytes)
        try:
            with made(target):
                clear_leftovers(target, PREFIX)
                with hidden_place(target, PREFIX) as place:
                    new = place / NEW
                    unpack(archive, contents, new)
                    with _as_in_the_zip(new):
                        sets, found = _check(new / contents.dataset, contents, trust=trust)
                    notices += found
                    notices += _place(new / contents.dataset, target / contents.dataset, units, overwrite=overwrite)
        except OSError as error:
            raise MscsError(f"{target} could not be written: {error.strerror or error}.", DISK_FULL) from error
    commands = [line for models, steps in sets for line in predict_commands(models, postprocess=steps)]
    if not variable:
        commands.insert(0, f"export {RESULTS}={shlex.quote(str(target))}")
    home = contents.manifest.models.home if contents.manifest else ""
    return Installed(
        folders=tuple(target / contents.dataset / unit for unit in units),
        card=target / contents.dataset / home / CARD if home else None,
        commands=tuple(commands),
        sha256=sha256_of(file),
        notices=tuple(notices),
    )


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
        MscsError: there is no model, or files lie beside them.
    """
    units: dict[str, None] = {}
    for name in contents.entries:
        _, *parts = name.split("/")
        if parts == [BEST]:
            continue
        unit = "/".join(parts[:2]) if parts[0] == ENSEMBLES else parts[0]
        if len(parts) <= unit.count("/") + 1 or not (parts[0] == ENSEMBLES or model_of(parts[0])):
            raise MscsError(
                f"{name} in the zip belongs to no model of nnU-Net's.", "Ask the sender for a file without it."
            )
        units[unit] = None
    models = [unit for unit in units if model_of(unit)]
    if not models:
        raise MscsError("The zip holds no model of nnU-Net's.", "Ask the sender.")
    for model in models:
        names = [name.split("/", 2)[2] for name in contents.entries if name.startswith(f"{contents.dataset}/{model}/")]
        missing = [name for name in (PLANS_JSON, DATASET_JSON) if name not in names]
        if missing or not any(re.fullmatch(r"fold_(\d+|all)/[^/]+\.pth", name) for name in names):
            raise MscsError(f"{model} in the zip has no {missing[0] if missing else CHECKPOINT}.", "Ask the sender.")
    return sorted(models) + sorted(unit for unit in units if unit not in models)


def _refuse_taken(target: Path, contents: Contents, units: list[str], *, overwrite: bool) -> None:
    for unit in units:
        place = target / contents.dataset / unit
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise MscsError(f"{place} is a link or a file.", "Move it away.")
        if place.exists() and not overwrite:
            raise MscsError(
                f"{place} is there already.", "Replace it with --overwrite, or choose another folder with --results."
            )


def _refuse_without_space(target: Path, needed: int) -> None:
    there = next(path for path in (target, *target.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed + SPARE_BYTES:
        raise MscsError(
            f"The model needs {needed / 1e6:.0f} MB, and {there} has {free / 1e6:.0f} MB free.",
            "Make room, or choose another disk with --results.",
        )


def _check(folder: Path, contents: Contents, *, trust: bool) -> tuple[list[tuple[ModelSet, bool]], list[str]]:
    """Check what was unpacked; returns the sets of models that predict together, whether each has a postprocessing
    that does something, and notices."""
    names = [name.split("/", 1)[1] for name in contents.entries]
    for name in names:
        if PICKLES.fullmatch(name) and Path(name).name != POSTPROCESSING:
            raise MscsError(
                f"{name} in the zip may hold code, and prediction does not need it.", "Ask for a file without it."
            )
        if name.endswith(".pth") and not WEIGHTS.fullmatch(f"{contents.dataset}/{name}"):
            raise MscsError(f"{name} in the zip is a checkpoint at no place of one.", "Ask the sender.")
    steps = {name: read_postprocessing(folder / name) for name in names if Path(name).name == POSTPROCESSING}
    notices: list[str] = []
    found: dict[str, tuple[str, ...]] = {}
    for model in sorted({name.split("/")[0] for name in names if model_of(name.split("/")[0])}):
        check_plans(folder / model, trust=trust)
        checkpoints = dict(_checkpoints(folder / model))
        notices += check_model(folder / model, checkpoints)
        found[model] = tuple(fold for fold in checkpoints if (folder / model / f"fold_{fold}" / CHECKPOINT).is_file())
    if contents.manifest:
        models = contents.manifest.models
        missing = [one for one in models.members if set(models.folds) - set(found.get(one.identifier, ()))]
        if missing:
            raise MscsError(f"The zip lacks folds of {missing[0].identifier}.", "Ask the sender.")
        sets = [models]
    else:
        sets = [ModelSet(contents.dataset, (_model(folder / name),), folds) for name, folds in found.items()]
    return [(models, bool(steps.get(f"{models.decisions}/{POSTPROCESSING}"))) for models in sets], notices


def _checkpoints(model: Path) -> Iterator[tuple[str, Checkpoint]]:
    """Every checkpoint by its fold; the final one, where there are several."""
    folders = sorted((path for path in model.iterdir() if FOLD_FOLDER.fullmatch(path.name)), key=_fold_order)
    for folder in folders:
        files = sorted(folder.glob("*.pth"), key=lambda file: file.name == CHECKPOINT)
        for file in files:
            yield folder.name.removeprefix("fold_"), inspect_checkpoint(file)


def _fold_order(folder: Path) -> tuple[bool, int]:
    return fold_order(folder.name.removeprefix("fold_"))


def _model(folder: Path) -> Model:
    model = model_of(folder.name)
    assert model is not None
    return with_previous_stage(model, folder)


def _place(new: Path, dataset: Path, units: list[str], *, overwrite: bool) -> list[str]:
    """Rename what was checked to its place: the data set's folder if there is none yet, else each of its parts."""
    if not dataset.exists():
        new.rename(dataset)
        return []
    for unit in units:
        parent = (dataset / unit).parent
        parent.mkdir(exist_ok=True)
        with hidden_place(parent, PREFIX) as place:
            if (dataset / unit).exists() and not overwrite:  # made meanwhile
                raise MscsError(f"{dataset / unit} is there already.", "Replace it with --overwrite.")
            if (dataset / unit).exists():
                replace_folder(dataset / unit, new / unit, place)
            else:
                (new / unit).rename(dataset / unit)
    return _place_best(new / BEST, dataset / BEST)


def _place_best(new: Path, old: Path) -> list[str]:
    """The record of the best configuration, unless one of other models is there."""
    if not new.is_file():
        return []
    if old.is_file() and _selected(old) != _selected(new):
        return [f"{old} is left as it was: it names other models as the best of those trained here."]
    new.replace(old)
    return []


def _selected(file: Path) -> object:
    try:
        record: Mapping = json.loads(file.read_text(encoding="utf-8"))
        return record["best_model_or_ensemble"]["selected_model_or_models"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
