"""`mscs export`: trained models as one zip file that stock nnU-Net installs, with card, metrics and checksums.

nnU-Net's own export writes one trainer's models from $nnUNet_results, with the time of day and with paths of this
machine. Here an ensemble of two trainers, a cascade or a model folder elsewhere becomes one file, whose bytes depend
on nothing but the model; it holds the same files at the same places.
"""

import json
import shlex
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.model_folder import POSTPROCESSING, ModelSet, fold_folder
from nnunetv2_mscs.sharing.allowed_files import CARD, EVALUATION, OF_DECISION, OF_FOLD, OF_MODEL
from nnunetv2_mscs.sharing.archive import write_archive
from nnunetv2_mscs.sharing.card import Words, model_card
from nnunetv2_mscs.sharing.checkpoints import Checkpoint, inspect_checkpoint, write_small
from nnunetv2_mscs.sharing.compatibility import check_model
from nnunetv2_mscs.sharing.evaluations import evaluation_of
from nnunetv2_mscs.sharing.manifest import Manifest, facts_of, versions_here
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import Selection, select
from nnunetv2_mscs.workplace.hidden_places import clear_leftovers, hidden_place
from nnunetv2_mscs.workplace.whole_files import whole_file

PREFIX = ".mscs-export-"


@dataclass(frozen=True)
class ExportRequest:
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
    """What was written: models, number of files, size and SHA-256 of the zip, and sentences for the sender."""

    models: ModelSet
    files: int
    bytes: int
    sha256: str
    notices: tuple[str, ...]


def export(out: Path, request: ExportRequest, *, overwrite: bool = False) -> Exported:
    """Write the zip file `out`, whole or not at all.

    Raises:
        MscsError: there is no such model, a fold is not trained to its end or damaged, weights and plans do not fit, or
            `out` cannot be written.
    """
    _refuse_taken(out, overwrite=overwrite)
    selection = select(request.model, request.folds)
    models = selection.models
    evaluation = evaluation_of(selection, request.evaluation)
    checkpoints = _checkpoints(selection)
    decision = selection.decisions / POSTPROCESSING
    steps = read_postprocessing(decision) if decision.is_file() else None
    foreign: set[str] = set()
    for name, folder in selection.folders.items():
        packages, _ = check_model(folder, checkpoints[name], trust=None)
        foreign |= packages
    versions = versions_here()
    card = model_card(
        selection,
        words=request.words,
        evaluation=evaluation,
        epochs={name: [one.epochs for one in found.values()] for name, found in checkpoints.items()},
        steps=steps,
        versions=versions,
        file_name=out.name,
    )
    sources: dict[str, Path | bytes] = {**_files(selection), f"{models.dataset}/{models.home}/{CARD}": card.encode()}
    if evaluation:
        sources[f"{models.dataset}/{models.home}/{EVALUATION}"] = _json(evaluation)
    if selection.best and steps is not None:
        # nnU-Net's installation needs its paths relative to the folder of results.
        sources[f"{models.dataset}/{BEST_RECORD}"] = _json(selection.best.as_json(models, models.dataset))
    clear_leftovers(out.parent, PREFIX)
    with hidden_place(out.parent, PREFIX) if request.small else nullcontext() as place:
        if place:
            sources.update(_small_checkpoints(sources, place))
        with whole_file(out) as unfinished:
            write_archive(unfinished, sources, Manifest(models, bool(steps), versions))
    with out.open("rb") as stream:
        facts = facts_of(stream)
    notices = tuple(_notices(steps, evaluation, foreign))
    return Exported(models, len(sources) + 1, facts.bytes, facts.sha256, notices)


def read_notes(file: Path) -> str:
    """Markdown for the card. Raises MscsError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise MscsError(f"{file} cannot be read: {error}.", "Name a text file in UTF-8.") from error


def _refuse_taken(out: Path, *, overwrite: bool) -> None:
    if out.is_dir():
        raise MscsError(f"{out} is a folder.", "Name a zip file to write.")
    if out.suffix.lower() != ".zip":
        raise MscsError(f"{out} does not end in .zip.", f"Name the file, such as {out.with_suffix('.zip').name}.")
    if not out.parent.is_dir():
        raise MscsError(f"{out.parent} is not there.", f"Type: mkdir -p {shlex.quote(str(out.parent))}")
    if out.exists() and not overwrite:
        raise MscsError(f"{out} is there already.", "Choose another name, or replace it with --overwrite.")
    if out.exists() and not zipfile.is_zipfile(out):
        raise MscsError(f"{out} is no zip file, so --overwrite leaves it alone.", "Choose another name.")


def _checkpoints(selection: Selection) -> dict[str, dict[str, Checkpoint]]:
    """Every checkpoint, checked, by the model's identifier and the fold, in order."""
    found: dict[str, dict[str, Checkpoint]] = {name: {} for name in selection.folders}
    wanted = [(name, fold) for name in found for fold in selection.models.folds]
    for name, fold in tqdm(wanted, desc="check", unit="fold", delay=1):
        found[name][fold] = inspect_checkpoint(fold_folder(selection.folders[name], fold) / FINAL_CHECKPOINT)
    return found


def _files(selection: Selection) -> dict[str, Path]:
    """Files to copy by their names in the zip, both as nnU-Net's own export has them."""
    models = selection.models
    wanted: list[tuple[Path, str, tuple[str, ...]]] = []
    for member in models.members:
        folder, name = selection.folders[member.identifier], member.identifier
        decision = Path(ModelSet(models.dataset, (member,), models.folds).decisions).name
        wanted += [(folder, name, OF_MODEL), (folder / decision, f"{name}/{decision}", OF_DECISION)]
        of_fold = (FINAL_CHECKPOINT, *OF_FOLD)
        wanted += [(fold_folder(folder, fold), f"{name}/fold_{fold}", of_fold) for fold in models.folds]
    if len(models.models) > 1:
        wanted.append((selection.decisions, models.decisions, OF_DECISION))
    return {
        f"{models.dataset}/{name}/{file}": folder / file
        for folder, name, files in wanted
        for file in files
        if (folder / file).is_file()
    }


def _small_checkpoints(sources: Mapping[str, Path | bytes], place: Path) -> Iterator[tuple[str, Path]]:
    checkpoints = {name: file for name, file in sources.items() if name.endswith(f"/{FINAL_CHECKPOINT}")}
    for number, (name, file) in enumerate(tqdm(checkpoints.items(), desc="make smaller", unit="fold", delay=1)):
        small = place / str(number) / FINAL_CHECKPOINT  # PyTorch writes the file's name into it
        small.parent.mkdir()
        write_small(Path(str(file)), small)
        yield name, small


def _json(content: Mapping) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _notices(steps: int | None, evaluation: Mapping, foreign: Iterable[str]) -> Iterator[str]:
    if steps is None:
        yield "no postprocessing goes with it: nnUNetv2_find_best_configuration has not looked for one for these folds."
    if not evaluation:
        yield "the card has no metrics with intervals: mscs evaluate makes them, --evaluation names them."
    if foreign:
        yield f"its network is from another package: mscs install needs --trust {' '.join(sorted(foreign))}."
    yield "it holds names of training cases and paths of this machine, as nnU-Net's own does (docs/sharing.md)."
