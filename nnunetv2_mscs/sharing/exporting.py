"""`mscs export`: trained models as one zip file that stock nnU-Net installs, with card, metrics and checksums."""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from tqdm import tqdm

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT
from nnunetv2_mscs.nnunet_files.model_folder import POSTPROCESSING, ModelSet, fold_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.sharing.card import CARD, Words, model_card
from nnunetv2_mscs.sharing.checkpoints import Checkpoint, inspect_checkpoint, write_small
from nnunetv2_mscs.sharing.compatibility import check_model, trained_with
from nnunetv2_mscs.sharing.manifest import FileFacts, Manifest, facts_of, facts_of_file, versions_here
from nnunetv2_mscs.sharing.metrics import evaluation_of
from nnunetv2_mscs.sharing.plans import check_plans, foreign_packages
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import Selection, select
from nnunetv2_mscs.workplace.hidden_places import clear_leftovers, hidden_place
from nnunetv2_mscs.workplace.whole_files import whole_file

PREFIX = ".mscs-export-"
EVALUATION = "evaluation.json"
# What nnU-Net's own export takes of each model, each fold and each decision, where it is there.
OF_MODEL = (PLANS_JSON, DATASET_JSON, FINGERPRINT)
OF_FOLD = ("debug.json", "progress.png", "network_architecture.pdf", "validation/summary.json")
OF_DECISION = ("summary.json", POSTPROCESSING, "postprocessing.json", PLANS_JSON, DATASET_JSON)
# Entries of a zip file bear a time; with this one the same model makes the same bytes.
NO_TIME = (1980, 1, 1, 0, 0, 0)
RIGHTS = 0o644 << 16


@dataclass(frozen=True)
class Request:
    """What to export.

    Args:
        model: a model folder, a folder of a data set's models, or a data set's id or name.
        folds: those wanted; empty for all, or those of the best configuration.
        evaluation: a folder that `mscs evaluate` wrote.
        small: leave out the optimiser's state.
        words: the sender's, for the card.
    """

    model: str
    folds: tuple[str, ...] = ()
    evaluation: Path | None = None
    small: bool = False
    words: Words = field(default_factory=Words)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        models: in the zip.
        files: how many it holds.
        bytes: its size.
        sha256: of the zip itself, hexadecimal.
        notices: sentences for the sender.
    """

    models: ModelSet
    files: int
    bytes: int
    sha256: str
    notices: tuple[str, ...]


def export(out: Path, request: Request, *, overwrite: bool = False) -> Exported:
    """Write the zip file `out`, whole or not at all.

    Raises:
        MscsError: there is no such model, a fold is not trained to its end or damaged, weights and plans do not fit, or
            `out` cannot be written.
    """
    _refuse_taken(out, overwrite=overwrite)
    selection = select(request.model, request.folds)
    evaluation = evaluation_of(selection, request.evaluation)
    checkpoints = _checkpoints(selection)
    steps = _steps(selection)
    foreign = _check(selection, checkpoints)
    files = dict(_files(selection))
    home = f"{selection.models.dataset}/{selection.models.home}"
    made = {f"{home}/{EVALUATION}": _json(evaluation)} if evaluation else {}
    if selection.best and steps is not None:
        # Its files by their places in the zip, which is what nnU-Net's own installation needs them to be relative to.
        made[f"{selection.models.dataset}/{BEST_RECORD}"] = _json(
            selection.best.as_json(selection.models, selection.models.dataset)
        )
    versions = versions_here()
    made[f"{home}/{CARD}"] = model_card(
        selection,
        words=request.words,
        evaluation=evaluation,
        epochs={name: [one.epochs for one in found.values()] for name, found in checkpoints.items()},
        steps=steps,
        versions=versions,
        file_name=out.name,
    ).encode()
    manifest = Manifest(selection.models, bool(steps), versions)
    clear_leftovers(out.parent, PREFIX)
    with hidden_place(out.parent, PREFIX) if request.small else nullcontext() as place:
        if place:
            files = _with_small_checkpoints(files, place)
        with whole_file(out) as unfinished:
            count = _write(unfinished, files, made, manifest)
    notices = tuple(_notices(steps, evaluation, foreign))
    return Exported(selection.models, count, out.stat().st_size, facts_of_file(out).sha256, notices)


def read_notes(file: Path) -> str:
    """Markdown for the card. Raises MscsError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise MscsError(f"{file} cannot be read: {error}.", "Name a text file in UTF-8.") from error


def _refuse_taken(out: Path, *, overwrite: bool) -> None:
    if out.is_dir():
        raise MscsError(f"{out} is a folder.", "Name a zip file to write.")
    if not out.parent.is_dir():
        raise MscsError(f"{out.parent} is not there.", "Make the folder, or choose another.")
    if out.exists() and not overwrite:
        raise MscsError(f"{out} is there already.", "Choose another name, or replace it with --overwrite.")
    if out.exists() and not zipfile.is_zipfile(out):
        raise MscsError(f"{out} is no zip file, so that --overwrite leaves it alone.", "Choose another name.")


def _checkpoints(selection: Selection) -> dict[str, dict[str, Checkpoint]]:
    """Every checkpoint, checked, by the model's identifier and the fold, in order."""
    members, folds = selection.models.members, selection.models.folds
    found: dict[str, dict[str, Checkpoint]] = {member.identifier: {} for member in members}
    with tqdm(total=len(members) * len(folds), desc="check", unit="fold", delay=1) as bar:
        for member in members:
            for fold in folds:
                file = fold_folder(selection.folders[member.identifier], fold) / FINAL_CHECKPOINT
                found[member.identifier][fold] = inspect_checkpoint(file)
                bar.update()
    return found


def _check(selection: Selection, checkpoints: Mapping[str, Mapping[str, Checkpoint]]) -> list[str]:
    """Raise MscsError for a model that nobody could install; returns the packages that who installs it must trust."""
    foreign: set[str] = set()
    for name, folder in selection.folders.items():
        _, configuration = trained_with(folder, checkpoints[name])
        check_plans(folder, configuration, trust=None)
        check_model(folder, checkpoints[name])
        foreign.update(foreign_packages(folder))
    return sorted(foreign)


def _steps(selection: Selection) -> int | None:
    """How many steps of postprocessing go with the models; None if nnU-Net did not look for any."""
    file = selection.decisions / POSTPROCESSING
    return read_postprocessing(file) if file.is_file() else None


def _files(selection: Selection) -> Iterator[tuple[str, Path]]:
    """Names in the zip and the files that stand for them, named and chosen as by nnU-Net's own export."""
    models = selection.models
    for member in models.members:
        folder, name = selection.folders[member.identifier], f"{models.dataset}/{member.identifier}"
        yield from _there(folder, name, OF_MODEL)
        for fold in models.folds:
            yield from _there(fold_folder(folder, fold), f"{name}/fold_{fold}", (FINAL_CHECKPOINT, *OF_FOLD))
        decision = Path(ModelSet(models.dataset, (member,), models.folds).decisions).name
        yield from _there(folder / decision, f"{name}/{decision}", OF_DECISION)
    if len(models.models) > 1:
        yield from _there(selection.decisions, f"{models.dataset}/{models.decisions}", OF_DECISION)


def _there(folder: Path, name: str, files: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for file in files:
        if (folder / file).is_file():
            yield f"{name}/{file}", folder / file


def _with_small_checkpoints(files: Mapping[str, Path], place: Path) -> dict[str, Path]:
    small = dict(files)
    checkpoints = [name for name in files if name.endswith(f"/{FINAL_CHECKPOINT}")]
    for number, name in enumerate(tqdm(checkpoints, desc="make smaller", unit="fold", delay=1)):
        small[name] = place / str(number) / FINAL_CHECKPOINT  # its name becomes part of its bytes
        small[name].parent.mkdir()
        write_small(files[name], small[name])
    return small


def _write(out: Path, files: Mapping[str, Path], made: Mapping[str, bytes], manifest: Manifest) -> int:
    """Write the zip, the manifest first; returns how many files it holds.

    Raises:
        MscsError: a file has changed meanwhile.
    """
    facts = {name: facts_of(content) for name, content in made.items()}
    total = sum(file.stat().st_size for file in files.values())
    with tqdm(total=2 * total, desc="export", unit="B", unit_scale=True, delay=1) as bar:
        for name, file in files.items():
            facts[name] = facts_of_file(file, lambda block: bar.update(len(block)))
        manifest = replace(manifest, files=facts)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in ((manifest.name, manifest.as_json().encode()), *sorted(made.items())):
                archive.writestr(_entry(name, len(content)), content)
            for name, file in sorted(files.items()):
                with archive.open(_entry(name, facts[name].bytes), "w") as target:
                    written = _copy(file, target, bar)
                if written != facts[name]:
                    raise MscsError(f"{file} has changed meanwhile.", "Export once the training has ended.")
    return len(facts) + 1


def _copy(file: Path, target: IO[bytes], bar: tqdm) -> FileFacts:
    def write(block: bytes) -> None:
        target.write(block)
        bar.update(len(block))

    return facts_of_file(file, write)


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = RIGHTS
    entry.create_system = 3  # rights are Unix's, on every system
    entry.file_size = size
    return entry


def _json(content: Mapping) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _notices(steps: int | None, evaluation: Mapping, foreign: Iterable[str]) -> Iterator[str]:
    if steps is None:
        yield "no postprocessing goes with it: nnUNetv2_find_best_configuration has not looked for one for these folds."
    if not evaluation:
        yield "the card has no metrics with intervals: mscs evaluate makes them, --evaluation names them."
    if foreign:
        yield f"its network is of another package: to install it, mscs install needs --trust {' '.join(foreign)}."
    yield "names of training cases and paths of this machine stand in it, as in nnU-Net's own (docs/sharing.md)."
