"""`mscs export`: trained models as one zip file that stock nnU-Net installs, with card, metrics and checksums."""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.sources import DATASET_JSON, PLANS_JSON
from nnunetv2_mscs.sharing.card import CARD, Words, model_card
from nnunetv2_mscs.sharing.checkpoints import Checkpoint, inspect_checkpoint, write_small
from nnunetv2_mscs.sharing.manifest import CHUNK_BYTES, FileFacts, Manifest, sha256_of, versions_here
from nnunetv2_mscs.sharing.metrics import evaluation_of
from nnunetv2_mscs.sharing.models import CHECKPOINT, POSTPROCESSING, ModelSet
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import BEST, Selection, read_json, select
from nnunetv2_mscs.workplace.hidden_places import clear_leftovers, hidden_place
from nnunetv2_mscs.workplace.whole_files import whole_file

PREFIX = ".mscs-export-"
EVALUATION = "evaluation.json"
# What nnU-Net's own export takes of each model, each fold and each decision, where it is there.
OF_MODEL = (PLANS_JSON, DATASET_JSON, "dataset_fingerprint.json")
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
        MscsError: there is no such model, a fold is not trained to its end or damaged, or `out` cannot be written.
    """
    _refuse_taken(out, overwrite=overwrite)
    selection = select(request.model, request.folds)
    evaluation = evaluation_of(selection, request.evaluation)
    checkpoints = _checkpoints(selection)
    steps = _steps(selection)
    files = dict(_files(selection))
    home = f"{selection.models.dataset}/{selection.models.home}"
    made = {f"{home}/{EVALUATION}": _json(evaluation)} if evaluation else {}
    if selection.best:
        made[f"{selection.models.dataset}/{BEST}"] = _best_without_places(selection)
    versions = versions_here()
    made[f"{home}/{CARD}"] = model_card(
        selection,
        words=request.words,
        evaluation=evaluation,
        epochs={name: [one.epochs for one in found] for name, found in checkpoints.items()},
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
    return Exported(selection.models, count, out.stat().st_size, sha256_of(out), tuple(_notices(steps, evaluation)))


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


def _checkpoints(selection: Selection) -> dict[str, list[Checkpoint]]:
    """Every checkpoint, checked, by the model's identifier in the folds' order."""
    members, folds = selection.models.members, selection.models.folds
    found: dict[str, list[Checkpoint]] = {member.identifier: [] for member in members}
    with tqdm(total=len(members) * len(folds), desc="check", unit="fold", delay=1) as bar:
        for member in members:
            for fold in folds:
                file = selection.folders[member.identifier] / f"fold_{fold}" / CHECKPOINT
                found[member.identifier].append(inspect_checkpoint(file))
                bar.update()
    return found


def _steps(selection: Selection) -> int | None:
    """How many steps of postprocessing go with the models; None if nnU-Net did not look for any."""
    file = _decisions(selection) / POSTPROCESSING
    return read_postprocessing(file) if file.is_file() else None


def _decisions(selection: Selection) -> Path:
    """The folder that nnU-Net keeps the decision on the models in."""
    models = selection.models
    folder = selection.folders[models.models[0].identifier]
    name = Path(models.decisions)
    return folder / name.name if len(models.models) == 1 else folder.parent / name


def _files(selection: Selection) -> Iterator[tuple[str, Path]]:
    """Names in the zip and the files that stand for them, named and chosen as by nnU-Net's own export."""
    models = selection.models
    for member in models.members:
        folder, name = selection.folders[member.identifier], f"{models.dataset}/{member.identifier}"
        yield from _there(folder, name, OF_MODEL)
        for fold in models.folds:
            yield from _there(folder / f"fold_{fold}", f"{name}/fold_{fold}", (CHECKPOINT, *OF_FOLD))
        decision = Path(ModelSet(models.dataset, (member,), models.folds).decisions).name
        yield from _there(folder / decision, f"{name}/{decision}", OF_DECISION)
    if len(models.models) > 1:
        yield from _there(_decisions(selection), f"{models.dataset}/{models.decisions}", OF_DECISION)


def _there(folder: Path, name: str, files: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for file in files:
        if (folder / file).is_file():
            yield f"{name}/{file}", folder / file


def _best_without_places(selection: Selection) -> bytes:
    """nnU-Net's record of the best configuration, its paths relative to the folder of results."""
    assert selection.best is not None
    record = read_json(selection.best)
    best, models = record["best_model_or_ensemble"], selection.models
    for key in ("postprocessing_file", "some_plans_file"):
        if key in best:
            best[key] = f"{models.dataset}/{models.decisions}/{Path(best[key]).name}"
    return _json(record)


def _with_small_checkpoints(files: Mapping[str, Path], place: Path) -> dict[str, Path]:
    small = dict(files)
    checkpoints = [name for name in files if name.endswith(f"/{CHECKPOINT}")]
    for number, name in enumerate(tqdm(checkpoints, desc="make smaller", unit="fold", delay=1)):
        small[name] = place / str(number) / CHECKPOINT  # its name becomes part of its bytes
        small[name].parent.mkdir()
        write_small(files[name], small[name])
    return small


def _write(out: Path, files: Mapping[str, Path], made: Mapping[str, bytes], manifest: Manifest) -> int:
    """Write the zip; returns how many files it holds."""
    facts: dict[str, FileFacts] = {}
    total = sum(file.stat().st_size for file in files.values())
    with (
        tqdm(total=total, desc="export", unit="B", unit_scale=True, delay=1) as bar,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in sorted({*files, *made}):
            if name in made:
                archive.writestr(_entry(name, len(made[name])), made[name])
                facts[name] = FileFacts(len(made[name]), hashlib.sha256(made[name]).hexdigest())
            else:
                facts[name] = _write_file(archive, name, files[name], bar)
        manifest = Manifest(manifest.models, manifest.postprocess, manifest.versions, facts)
        content = manifest.as_json().encode()
        archive.writestr(_entry(manifest.name, len(content)), content)
    return len(facts) + 1


def _write_file(archive: zipfile.ZipFile, name: str, file: Path, bar: tqdm) -> FileFacts:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as source, archive.open(_entry(name, file.stat().st_size), "w") as target:
        while block := source.read(CHUNK_BYTES):
            digest.update(block)
            target.write(block)
            size += len(block)
            bar.update(len(block))
    return FileFacts(size, digest.hexdigest())


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = RIGHTS
    entry.create_system = 3  # rights are Unix's, on every system
    entry.file_size = size
    return entry


def _json(content: Mapping) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _notices(steps: int | None, evaluation: Mapping) -> Iterator[str]:
    if steps is None:
        yield "no postprocessing goes with it: nnUNetv2_find_best_configuration has not looked for one for these folds."
    if not evaluation:
        yield "the card has no metrics with intervals: mscs evaluate makes them, --evaluation names them."
    yield "names of training cases and paths of this machine stand in it, as in nnU-Net's own (docs/sharing.md)."
