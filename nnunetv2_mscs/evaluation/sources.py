"""Where masks lie: in a file, a folder, or the folds of a trained model, with the scans that belong to them."""

import bisect
import functools
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import (
    DATASET_JSON,
    DATASET_NAME,
    FOLDS,
    IMAGES_OF,
    LABELS_TR,
    REFERENCES,
    SPLITS,
    folder_of,
)
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW
from nnunetv2_mscs.nnunet_files.model_folder import (
    SUMMARY,
    VALIDATION,
    fold_folder,
    fold_folders,
    is_model_folder,
    validated_fold,
)
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import IMAGE_ENDINGS, ending_of, unread_files, unread_format
from nnunetv2_mscs.scans.words import SEPARATORS, channel_of_words, is_like_dwi, words_of

MOST_UNNAMED_CHANNELS = 4
# The folder of the scans beside the folder of the masks, in nnU-Net's raw data and in the images/masks layout.
IMAGES_BESIDE = {**IMAGES_OF, "masks": "images"}


@dataclass(frozen=True)
class Masks:
    """Masks that were found.

    Args:
        place: the file or folder given.
        files: by case identifier, in order of the names.
        folds: the fold that a case was validated in, where known.
        dataset_json: what nnU-Net's dataset.json beside them says, empty without.
        dataset: nnU-Net's name of the data set, empty if unknown.
        partial: they are those of some folds, so that other cases of the data set need no prediction.
        missing_folds: folds of a model folder without validation predictions.
        expected: cases that the splits file has in the validation sets of the folds that are there.
    """

    place: Path
    files: dict[str, Path]
    folds: dict[str, int] = field(default_factory=dict)
    dataset_json: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = ""
    partial: bool = False
    missing_folds: tuple[int, ...] = ()
    expected: tuple[str, ...] = ()


def case_of(file: Path) -> str:
    """The case identifier of a mask: its file name without the ending; empty if it is not an image file."""
    ending = ending_of(file, IMAGE_ENDINGS)
    return file.name[: -len(ending)] if ending and not file.name.startswith(".") else ""


def model_name(place: Path) -> str:
    """The name of a model if the user gives none: the trainer, for a folder of nnU-Net's."""
    folder = next((p for p in (place, *place.parents) if p.name.count("__") == 2), None)
    return folder.name.split("__")[0] if folder else case_of(place) or place.name or "masks"


def find_predictions(place: Path, findings: Findings, folds: Sequence[int] = ()) -> Masks:
    """Masks of a file, a folder, or all folds of a model folder; only `folds` of it if they are given.

    Raises:
        MscsError: there is nothing at this place.
    """
    place = Path(os.path.abspath(place))
    if is_model_folder(place):
        return _of_model(place, findings, folds)
    masks = find_masks(place, findings)
    fold = validated_fold(place)
    if fold is None:
        return masks
    by_case = dict.fromkeys(masks.files, fold)
    model = place.parent.parent
    return Masks(
        place,
        masks.files,
        by_case,
        _read_json(model / DATASET_JSON),
        _dataset_of(model),
        partial=True,
        expected=_expected(model, [fold], findings),
    )


def find_masks(place: Path, findings: Findings) -> Masks:
    """Masks of a file or a folder, not of folders in it.

    Raises:
        MscsError: there is nothing at this place.
    """
    place = Path(os.path.abspath(place))
    if place.is_file():
        if not case_of(place):
            kind = f" ({unread_format(place)})" if unread_format(place) else ""
            raise MscsError(f"{place} is not an image file{kind}.", f"Give one ending in {', '.join(IMAGE_ENDINGS)}.")
        return Masks(place, {case_of(place): place})
    if not place.is_dir():
        raise MscsError(f"{place} does not exist.", "Check the spelling.")
    files = _files(place, findings)
    if not files:
        endings = f"Masks end in {', '.join(IMAGE_ENDINGS)}."
        raise MscsError(f"{place} holds no masks{_instead(place)}.", unread_files(place) or endings)
    dataset_json = _read_json(place / DATASET_JSON) or _read_json(place.parent / DATASET_JSON)
    dataset = place.parent.name if DATASET_NAME.fullmatch(place.parent.name) else ""
    return Masks(place, files, dataset_json=dataset_json, dataset=dataset)


def _of_model(model: Path, findings: Findings, wanted: Sequence[int]) -> Masks:
    files: dict[str, Path] = {}
    folds: dict[str, int] = {}
    for fold in [one for one in map(int, fold_folders(model, numbered=True)) if not wanted or one in wanted]:
        folder = fold_folder(model, fold) / VALIDATION
        for case, file in _files(folder, findings).items() if folder.is_dir() else ():
            if case in files:
                findings.error(
                    f"is validated in fold {folds[case]} and in fold {fold}",
                    f"Evaluate one fold by itself: {folder}",
                    file=file,
                    case=case,
                )
            files[case], folds[case] = file, fold
    of_all = fold_folder(model, "all")
    if not files:
        if of_all.is_dir():
            raise MscsError(
                f"{model} holds validation predictions of fold_all only, which has seen every case in training.",
                "Train the folds 0 to 4, or evaluate what it predicts of other cases.",
            )
        raise MscsError(
            f"{model} holds no validation predictions.",
            "Finish the training, or type: nnUNetv2_train ... --val",
        )
    missing = tuple(fold for fold in wanted or range(len(_splits(model)) or len(FOLDS)) if fold not in folds.values())
    if wanted and missing:
        raise MscsError(f"{model} holds no validation of fold {missing[0]}.", "Finish its training, or drop it.")
    dataset_json = _read_json(model / DATASET_JSON)
    ordered = dict(sorted(files.items()))
    if of_all.is_dir():
        findings.warning("fold_all is left out", "It has seen every case in training.", file=of_all)
    expected = _expected(model, sorted(set(folds.values())), findings)
    return Masks(
        model,
        ordered,
        folds,
        dataset_json,
        _dataset_of(model),
        partial=True,
        missing_folds=missing,
        expected=expected,
    )


def _expected(model: Path, folds: Sequence[int], findings: Findings) -> tuple[str, ...]:
    """The cases that these folds validate, by nnU-Net's splits; without them, a warning for what looks unfinished."""
    splits = _splits(model)
    if splits and max(folds) < len(splits):
        return tuple(sorted({str(case) for fold in folds for case in splits[fold].get("val", ())}))
    for fold in folds:
        validation = fold_folder(model, fold) / VALIDATION
        if not (validation / SUMMARY).is_file():
            findings.warning(
                f"the validation of fold {fold} has no {SUMMARY}",
                "Is it complete? nnU-Net writes that file at its end.",
                file=validation,
            )
    return ()


def _splits(model: Path) -> list[Mapping[str, Any]]:
    """nnU-Net's splits_final.json, one row per fold; empty if it is not found."""
    return list(_content_of(folder_of(PREPROCESSED, _dataset_of(model)) / SPLITS) or [])


def _dataset_of(model: Path) -> str:
    return str(_read_json(model / PLANS_JSON).get("dataset_name", "")) or model.parent.name


def references_of(predictions: Masks) -> Path:
    """The folder with the references of a data set that nnU-Net trained on.

    Raises:
        MscsError: it is not found.
    """
    places = (
        folder_of(PREPROCESSED, predictions.dataset) / REFERENCES,
        folder_of(RAW, predictions.dataset) / LABELS_TR,
    )
    for place in places:
        if place.is_dir():
            return place
    raise MscsError(
        f"The references to {predictions.place} are not known.",
        "Name them (mscs evaluate PREDICTIONS REFERENCES -o OUT; mscs compare and mscs report: --references DIR)"
        + (f", or set {RAW} and {PREPROCESSED} to find those of {predictions.dataset}" if predictions.dataset else "")
        + ". Volumes need none: mscs volumes MASKS.",
    )


def images_folder(references: Masks, predictions: Masks) -> Path | None:
    """The scans that belong to references: beside them, or in nnU-Net's raw data; None if they are not found."""
    folder = references.place if references.place.is_dir() else references.place.parent
    beside = IMAGES_BESIDE.get(folder.name)
    dataset = folder.parent.name if folder.name == REFERENCES else predictions.dataset
    places = [folder.parent / beside] if beside else []
    places.append(folder_of(RAW, dataset) / IMAGES_OF[LABELS_TR])
    return next((place for place in places if place.is_dir()), None)


def channel_names(images: Path | None, references: Masks, predictions: Masks) -> Mapping[str, str]:
    """`channel_names` of the data set that the scans belong to; empty if no file says them."""
    beside = _read_json(images.parent / DATASET_JSON) if images is not None else {}
    for dataset_json in (beside, references.dataset_json, predictions.dataset_json):
        named = dataset_json.get("channel_names")
        if isinstance(named, dict) and named:
            return named
    return {}


def find_images(folder: Path, case: str, channels: Mapping[str, str]) -> dict[str, Path]:
    """The channels of a case, by name.

    Args:
        folder: with <case>_0000.nii.gz, ... as nnU-Net has them, or <case>_adc.nii.gz, <case>_dwi.nii.gz,
            or other words for these channels behind the case.
        case: its identifier.
        channels: `channel_names` of nnU-Net's dataset.json; without, numbered files are "channel 0" and so on.
    """
    named = {f"_{int(number):04d}": str(name) for number, name in channels.items()}
    named = named or {f"_{number:04d}": f"channel {number}" for number in range(MOST_UNNAMED_CHANNELS)}
    found = {}
    for suffix, name in {**named, "_adc": "ADC", "_dwi": "DWI", "_ADC": "ADC", "_DWI": "DWI"}.items():
        for ending in IMAGE_ENDINGS:
            file = folder / f"{case}{suffix}{ending}"
            if name not in found and file.is_file():
                found[name] = file
    for file in [] if {"ADC", "DWI"} <= found.keys() else _named_after(case, folder):
        words = words_of(file.name[len(case) : -len(ending_of(file, IMAGE_ENDINGS))])
        channel = channel_of_words(words)
        if channel and all(word.kind in ("channel", "passed over") for word in words):
            found.setdefault("DWI" if is_like_dwi(channel) else channel, file)
    return found


def _named_after(case: str, folder: Path) -> list[Path]:
    """Image files whose names begin with a case and a separator."""
    names = _image_names(folder, folder.stat().st_mtime_ns if folder.is_dir() else 0)
    begin = bisect.bisect_left(names, case)
    behind = itertools.takewhile(lambda name: name.startswith(case), names[begin:])
    return [folder / name for name in behind if re.match(rf"[{SEPARATORS}]", name[len(case) :])]


@functools.lru_cache(maxsize=4)
def _image_names(folder: Path, changed: int) -> list[str]:
    """Names of the image files of a folder that last changed at this time, in order."""
    return sorted(path.name for path in folder.iterdir() if ending_of(path, IMAGE_ENDINGS)) if changed else []


def _files(folder: Path, findings: Findings) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        case = case_of(file) if file.is_file() else ""
        if case and case in files:
            findings.error(
                f"is there twice: {files[case].name} and {file.name}", "Take one away.", file=file, case=case
            )
        elif case:
            files[case] = file
    return files


def _instead(folder: Path) -> str:
    """What a folder without masks holds, where that explains it."""
    names = [path.name for path in folder.iterdir()]
    if any(name.endswith(".npz") for name in names):
        return ", only .npz files (nnU-Net's probabilities?)"
    folders = [name for name in names if (folder / name).is_dir()]
    return f", only folders: {', '.join(sorted(folders)[:3])}" if folders else ""


def _read_json(file: Path) -> Mapping[str, Any]:
    """An object in a JSON file; empty if there is none."""
    content = _content_of(file)
    return content if isinstance(content, dict) else {}


def _content_of(file: Path) -> Any:
    """What a JSON file holds; None if it cannot be opened. Raises MscsError if it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError as error:
        raise MscsError(f"{file} is not valid JSON: {error}.", "Correct it, or move it away.") from error
