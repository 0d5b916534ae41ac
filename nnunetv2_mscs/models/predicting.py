"""`mscs predict`: all studies in their order, each with its files written whole before its record says so."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.prediction import Prediction
from nnunetv2_mscs.models.records import FAILED, FORMAT, OK, PAGE, SHEETS, SLICES, Results
from nnunetv2_mscs.models.segmentation import check_can_write, write_segmentation
from nnunetv2_mscs.models.source import ModelSource, find_model
from nnunetv2_mscs.models.studies import Study, Wanted, find_studies
from nnunetv2_mscs.nnunet_files.environment import folders_of
from nnunetv2_mscs.reporting.pictures import png
from nnunetv2_mscs.reporting.predictions import write_page
from nnunetv2_mscs.reporting.sheet import draw_sheet, draw_thumbnail
from nnunetv2_mscs.reporting.sheet_case import SEPARATOR, scan_to_show
from nnunetv2_mscs.reporting.viewer import draw_slices
from nnunetv2_mscs.scans.channels import ADC, B0, DWI
from nnunetv2_mscs.scans.dicom_study import DicomScan, read_dicom_study
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.writing import write_volume
from nnunetv2_mscs.workplace.resources import cores
from nnunetv2_mscs.workplace.whole_files import whole_file, write_whole

if TYPE_CHECKING:
    from nnunetv2_mscs.models.predictor import Predictor, ReadScan

PACKAGES = ("nnunetv2", "torch", "numpy", "SimpleITK")
THUMBNAIL_HEIGHT = 90
MOST_REASONS = 20


@dataclass(frozen=True)
class PredictRequest:
    """What to predict, with what, and where to.

    Args:
        places: files, folders and tables of studies.
        given: the files of one study by the names of their channels, in any case of letters.
        model: as of `Predictor`.
        out: the folder of the results.
        device: as of `Predictor`.
        precision: as of `Predictor`.
        engine: as of `Predictor`.
        fast: as of `Predictor`.
        threshold: as of `Predictor`.
        min_lesion_ml: as of `Predictor`.
        b_value: of all DWIs in s/mm2, where no file says it.
        spacing: voxel size x, y, z in mm of array files.
        probabilities: write the lesion probability of every voxel, too.
        overwrite: start over in a folder of predictions.
        keep_ids: write into the records of DICOM studies what finds them in a picture archive.
        workspace: the folder in which nnU-Net's three folders are, whatever its variables say.
    """

    places: tuple[Path, ...]
    model: str
    out: Path
    given: Mapping[str, Path] = field(default_factory=dict)
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    fast: bool = False
    threshold: float | None = None
    min_lesion_ml: float | None = None
    b_value: float | None = None
    spacing: tuple[float, ...] | None = None
    probabilities: bool = False
    overwrite: bool = False
    keep_ids: bool = False
    workspace: Path | None = None


@dataclass(frozen=True)
class Predicted:
    """What `predict` has done.

    Args:
        records: of the cases asked for, in their order.
        continued: cases that were done before.
    """

    records: tuple[dict[str, Any], ...]
    continued: tuple[str, ...]

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["status"] == FAILED]


def predict(request: PredictRequest) -> Predicted:
    """Predict all studies; one that fails does not stop the others.

    Raises:
        MscsError: a path is not there, no study can be predicted by its files, the model cannot be used, or the folder
            of the results holds something else.
    """
    results = Results(request.out)
    results.check()
    workspace = request.workspace
    source = find_model(request.model, results=folders_of(workspace).results if workspace else None)
    wanted = Wanted(source.channels)
    studies = find_studies(request.places, _given(request.given, wanted), b_value=request.b_value, wanted=wanted)
    _check_any(studies)
    predictor = _load(source, request)
    print(_introduction(source, predictor), flush=True)
    with results.alone():
        return _predict_all(studies, predictor, results, request)


def _predict_all(
    studies: Sequence[Study], predictor: "Predictor", results: Results, request: PredictRequest
) -> Predicted:
    """Predict the studies that are not done, with the table after each and the page at the end."""
    settings = _settings(request, predictor)
    done = _begin(results, studies, settings, overwrite=request.overwrite)
    records = results.records()
    results.write_table(records.values())
    for folder in (SHEETS, SLICES):
        (results.out / folder).mkdir(exist_ok=True)
    try:
        with tqdm(total=len(studies), initial=len(done), desc="predict", unit="case", delay=1) as bar:
            command = _Command(predictor, results, settings, request)

            def write(study: Study, predicted: "_Predicted | str") -> None:
                record = command.write(study, predicted)
                results.write_record(record)
                records[study.name] = record
                results.write_table(records.values())
                bar.update()

            _run_all([one for one in studies if one.name not in done], command, write)
    finally:
        write_page(results.out / PAGE, list(records.values()), sheets=SHEETS, slices=SLICES, model=predictor.model_name)
    names = [study.name for study in studies]
    return Predicted(tuple(records[name] for name in names), tuple(name for name in names if name in done))


def _check_any(studies: Sequence[Study]) -> None:
    """Raise MscsError if no study can be predicted, before the model is loaded, which takes seconds."""
    reasons = [f"{study.name}: {_reason(study.problem)}" for study in studies if study.problem]
    if len(reasons) == len(studies):
        rest = len(reasons) - MOST_REASONS
        shown = [*reasons[:MOST_REASONS], *([f"... and {rest} more"] if rest > 0 else [])]
        raise MscsError("\n  ".join(["No study can be predicted.", *shown]))


def _given(files: Mapping[str, Path], wanted: Wanted) -> dict[str, Path]:
    """The files of one study by channel.

    Raises:
        MscsError: a channel is unknown, or that is missing on whose grid the mask lies.
    """
    names = {name.lower(): name for name in (*wanted.channels, *(ADC, DWI, B0))}
    if unknown := [name for name in files if name.lower() not in names]:
        raise MscsError(f"The model has no channel {unknown[0]}.", f"Its channels are {', '.join(wanted.model)}.")
    found = {names[name.lower()]: file for name, file in files.items()}
    if found and wanted.reference not in found:
        option = "--dwi FILE" if wanted.reference == DWI else f"--image {wanted.reference}=FILE"
        raise MscsError(f"The {wanted.reference} is missing, on whose grid the mask lies.", f"Add {option}.")
    return found


def _introduction(source: ModelSource, predictor: "Predictor") -> str:
    """The model, the device and the engine in one line."""
    dice = source.cross_validated_dice
    quality = "" if math.isnan(dice) else f", mean Dice {dice:.2f} in cross-validation"
    engine = predictor.engine
    return f"{source.name}{quality}; on {predictor.device} in {predictor.precision} by {engine.name} ({engine.reason})"


def _load(source: ModelSource, request: PredictRequest) -> "Predictor":
    from nnunetv2_mscs.models.predictor import Predictor

    return Predictor(
        source,
        request.device,
        precision=request.precision,
        engine=request.engine,
        fast=request.fast,
        threshold=request.threshold,
        min_lesion_ml=request.min_lesion_ml,
    )


def _settings(request: PredictRequest, predictor: "Predictor") -> dict[str, Any]:
    """What decides on a result, beside the scan: another of these needs another folder."""
    return {
        "model": predictor.model_name,
        "weights": predictor.weights_digest,
        "threshold": predictor.threshold,
        "min_lesion_ml": predictor.min_lesion_ml,
        "fast": predictor.fast,
        "spacing": list(request.spacing) if request.spacing else None,
        "keep_ids": request.keep_ids,
    }


def _begin(results: Results, studies: Sequence[Study], settings: Mapping[str, Any], *, overwrite: bool) -> set[str]:
    """Make the folder ready; returns the cases that are done.

    Raises:
        MscsError: it holds predictions with other settings, or of other files under the same names.
    """
    former = results.records()
    if overwrite:
        results.remove(former)
        former = {}
    other = next((one for one in former.values() if one.get("settings") != settings), None)
    if other:
        changed = ", ".join(key for key in settings if other.get("settings", {}).get(key) != settings[key])
        raise MscsError(
            f"{results.out} holds predictions with other settings ({changed}).",
            "Choose another folder, or start over with --overwrite.",
        )
    done = set()
    for study in studies:
        record = former.get(study.name, {})
        if record.get("status") != OK:
            continue
        if record.get("files") != study.fingerprint:
            raise MscsError(
                f"{results.out} holds {study.name} of other files, or of files that have changed.",
                "Choose another folder, or start over with --overwrite.",
            )
        if results.mask(study.name).is_file():
            done.add(study.name)
    return done


@dataclass(frozen=True)
class _Read:
    """A study that is read, and what was chosen of its series if it is DICOM."""

    scan: "ReadScan"
    dicom: DicomScan | None


@dataclass(frozen=True)
class _Predicted:
    """A study that is predicted and not yet written."""

    prediction: Prediction
    dicom: DicomScan | None


@dataclass(frozen=True)
class _Command:
    """The three steps of a study. Each gives the reason, a string, if it or the one before failed."""

    predictor: "Predictor"
    results: Results
    settings: Mapping[str, Any]
    request: PredictRequest

    def read(self, study: Study) -> _Read | str:
        return _tried(lambda: self._read(study))

    def predict(self, study: Study, read: _Read | str) -> _Predicted | str:
        self.results.remove([study.name])
        if isinstance(read, str):
            return read
        return _tried(lambda: _Predicted(self.predictor.predict_read(read.scan), read.dicom))

    def write(self, study: Study, predicted: _Predicted | str) -> dict[str, Any]:
        """Write the files of a study; returns its record."""
        record = {"format": FORMAT, "case": study.name, "status": FAILED, "settings": dict(self.settings)}
        facts = predicted if isinstance(predicted, str) else _tried(lambda: self._write(study, predicted))
        return record | ({"reason": facts} if isinstance(facts, str) else facts)

    def _read(self, study: Study) -> _Read:
        if study.problem:
            raise study.problem
        if study.dicom:
            check_can_write()
            dicom = read_dicom_study(study.dicom, chosen=study.chosen, b_value=study.b_value)
            return _Read(self.predictor.read_dicom(dicom), dicom)
        assert study.files is not None
        return _Read(self.predictor.read_files(study.files, b_value=study.b_value, spacing=self.request.spacing), None)

    def _write(self, study: Study, predicted: _Predicted) -> dict[str, Any]:
        """Write all files but the record; returns what the record says of them."""
        start = perf_counter()
        prediction, dicom, predictor = predicted.prediction, predicted.dicom, self.predictor
        _write_arrays(prediction, study.name, self.results, probabilities=self.request.probabilities)
        if dicom:
            with whole_file(self.results.segmentation(study.name)) as unfinished:
                write_segmentation(prediction.mask, prediction.grid, dicom.dwi_images, unfinished)
        layout = _draw(prediction, study.name, self.results)
        found = [one.finding for one in study.findings if one.severity == "warning"]
        return {
            **({"dicom": dicom.identity} if dicom and self.request.keep_ids else {}),
            "status": OK,
            **prediction.measurements(),
            "lesion_volumes_ml": [round(volume, 6) for volume in prediction.lesion_volumes_ml],
            "threshold": predictor.threshold,
            "min_lesion_ml": predictor.min_lesion_ml,
            "adc_unit": prediction.adc_unit,
            "voxel_size_mm": [round(float(size), 6) for size in prediction.grid.spacing],
            "shape": list(prediction.grid.size),
            "warnings": [*found, *prediction.warnings],
            "picked": dicom.picked if dicom else [],
            "slices": layout,
            "notes": list(prediction.notes),
            "seconds": {**prediction.seconds, "write": round(perf_counter() - start, 3)},
            "device": predictor.device,
            "precision": predictor.precision,
            "engine": predictor.engine.name,
            "versions": versions(predictor.engine.name),
            "files": study.fingerprint,
        }


def _run_all(studies: Sequence[Study], command: _Command, write: Callable[[Study, "_Predicted | str"], None]) -> None:
    """Take all studies through the steps, in their order.

    With several studies and cores the next is read and the last one written, each in a thread of its own, while the
    network has one. Three studies at most are in memory.
    """
    if len(studies) < 2 or cores() < 2:
        for study in studies:
            write(study, command.predict(study, command.read(study)))
        return
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as writing:
        read, written = reading.submit(command.read, studies[0]), None
        for study, following in zip(studies, [*studies[1:], None], strict=True):
            found = read.result()
            if following:
                read = reading.submit(command.read, following)
            predicted = command.predict(study, found)
            if written:
                written.result()
            written = writing.submit(write, study, predicted)
        if written:
            written.result()


def _tried(step: Callable[[], Any]) -> Any:
    """What the step gives, or why it failed: one study must not stop the others, whatever a library raises on it."""
    try:
        return step()
    except MscsError as error:
        return _reason(error)
    except MemoryError:
        return "there is too little memory for this scan. Free some, or use a smaller scan."
    except Exception as error:
        *_, last = extract_tb(error.__traceback__)
        where = f"{Path(last.filename).name}, line {last.lineno}"
        return f"unexpected {type(error).__name__} ({where}): {' '.join(str(error).split())[:300]}"


def _reason(error: MscsError) -> str:
    """The finding and the remedy, with the name of the file but not of its folders."""
    file = Path(getattr(error, "file", "")).name
    named = f"{file}: {error.finding}" if file and file not in error.finding else error.finding
    return f"{named.rstrip('.')}. {error.remedy}".strip()


def _write_arrays(prediction: Prediction, case: str, results: Results, *, probabilities: bool) -> None:
    _write(prediction.mask, prediction.grid, results.mask(case))
    if probabilities:
        _write(prediction.probabilities, prediction.grid, results.probabilities(case))


def _draw(prediction: Prediction, case: str, results: Results) -> dict[str, Any]:
    """Write the picture sheet, and for the page a small picture and all slices; returns how the slices are laid out."""
    made = prediction.scan
    volume = (
        f"{prediction.lesion_volume_ml:.2f} mL in {prediction.lesion_count}" if prediction.lesion_count else "empty"
    )
    shown = scan_to_show(
        case,
        made.scan.channels,
        prediction.grid,
        prediction=prediction.mask,
        facts=f"prediction {volume}{SEPARATOR}largest probability {prediction.largest_probability:.2f}",
        notes=[_as_sentence(warning) for warning in prediction.warnings],
        oriented=made.oriented,
        measured=made.measured,
    )
    with ThreadPoolExecutor(1) as beside:  # encoding takes most of the time, and needs no lock of Python
        drawn = beside.submit(draw_slices, shown)
        write_whole(results.sheet(case), png(draw_sheet(shown).image))
        write_whole(results.thumbnail(case), png(draw_thumbnail(shown, height=THUMBNAIL_HEIGHT)))
        slices = drawn.result()
    write_whole(results.slices(case), slices.images)
    write_whole(results.contours(case), slices.contours)
    return slices.layout


def _as_sentence(warning: str) -> str:
    """With a capital letter, unless it begins with a file's name."""
    begins_with_file = "." in warning.split(maxsplit=1)[0]
    return f"{warning if begins_with_file else warning[0].upper() + warning[1:]}."


def _write(array: np.ndarray, grid: Grid, file: Path) -> None:
    with whole_file(file) as unfinished:
        write_volume(array, grid, unfinished)


def versions(engine: str) -> dict[str, str]:
    """Of this package and those that decide on numbers."""
    found = {"nnunetv2-mscs": __version__}
    for package in dict.fromkeys((*PACKAGES, engine)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
