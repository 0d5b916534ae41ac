"""The cases to show: of files, of a folder of scans, of a data set, an evaluation or a model."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.cases import clean_name
from nnunetv2_mscs.dataset_conversion.file_names import stem_of
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.dataset_conversion.images_masks import with_dwi
from nnunetv2_mscs.dataset_conversion.layouts import LAYOUTS
from nnunetv2_mscs.dataset_conversion.readings import Image, read_names
from nnunetv2_mscs.dataset_conversion.unlabelled import find_unlabelled
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.naming import match_names
from nnunetv2_mscs.evaluation.results import COMPARISON, CaseMetrics, is_evaluation, read_evaluation
from nnunetv2_mscs.evaluation.sources import find_images, find_masks, find_predictions, images_folder, references_of
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, IMAGES_OF, dataset_name
from nnunetv2_mscs.nnunet_files.environment import RAW, folder_if_named
from nnunetv2_mscs.nnunet_files.model_folder import is_model_folder, validated_fold
from nnunetv2_mscs.reporting.ignored import ignored_by, ignored_in
from nnunetv2_mscs.reporting.preprocessed import preprocessed_cases
from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import READ, ending_of, unread_files
from nnunetv2_mscs.scans.words import channel_of_word, is_like_dwi

NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
# The folder of the evaluation within a demo, or within mscs_run.
OF_RUN = "evaluation"
PREDICTION_MARK = "predict_from_raw_data_args.json"
WHAT_TO_SHOW = (
    "Give scans, a folder of scans, a data set of nnU-Net's (raw or preprocessed), an evaluation or a model folder."
)


@dataclass(frozen=True)
class CaseToShow:
    """One case, not read yet.

    Args:
        name: the case identifier.
        images: files by channel.
        truth: the mask file, if any.
        prediction: likewise.
        measured: its row of an evaluation's cases.csv, of one label.
        model: whose prediction it is, if known.
        ignored: the truth's value of nnU-Net's ignore label, if any.
        preprocessed: the folder, for preprocessed data; then there are no files.
    """

    name: str
    images: Mapping[str, Path] = field(default_factory=dict)
    truth: Path | None = None
    prediction: Path | None = None
    measured: CaseMetrics | None = None
    model: str = ""
    ignored: int | None = None
    preprocessed: Path | None = None


def cases_of_files(files: Sequence[Path]) -> list[CaseToShow]:
    """Scans of one case given by their files: `x_adc.nii.gz` and `x_dwi.nii.gz` are one scan."""
    for file in files:
        if not ending_of(file):
            raise MscsError(f"{file} is not a scan in a format that is read.", READ)
    stems = [stem_of(file) for file in files]
    images: dict[str, dict[str, Path]] = {}
    for file, stem, name in zip(files, stems, read_names([Image(stem) for stem in stems]).images, strict=True):
        case, channel = (name.case, name.channel) if name.channel else (stem, COMBINED)
        if channel_of_word(stem) in (ADC, DWI) or is_like_dwi(stem):
            case, channel = file.resolve().parent.name, channel_of_word(stem)
        if channel in images.setdefault(case, {}):
            raise MscsError(f"{images[case][channel]} and {file} are both the {channel} of {case}.", "Give one.")
        images[case][channel] = file
    findings = Findings()
    cases = [CaseToShow(case, with_dwi(channels, case, (), findings)) for case, channels in images.items()]
    for error in findings.errors:
        raise MscsError(f"{error.case}: {error.finding}.", "Give one of them.")
    return cases


def cases_of_folder(folder: Path) -> list[CaseToShow]:
    """All cases of a folder of any known kind.

    Raises:
        MscsError: its kind is not known, or cannot be shown without other files.
    """
    for fits, cases in KINDS:
        if fits(folder):
            return cases(folder)
    raise MscsError(f"{folder} holds nothing to show.", unread_files(folder) or WHAT_TO_SHOW)


def data_set(word: str) -> Path:
    """The folder of nnU-Net's raw data set of a number, or the folder named."""
    if not re.fullmatch(r"\d{1,3}", word) or Path(word).is_dir():
        if not Path(word).is_dir():
            raise MscsError(f"{word} is no folder.", "Give the number of a data set in nnUNet_raw, or a folder.")
        return Path(word)
    root = folder_if_named(RAW)
    found = sorted(root.glob(dataset_name(int(word), "*"))) if root else []
    if len(found) != 1:
        count = len(found) or "no"
        finding = f"{RAW} is not set" if not root else f"{root} holds {count} data sets of the number {word}"
        raise MscsError(f"{finding}.", "Give the data set's folder.")
    return found[0]


def with_masks(
    cases: Sequence[CaseToShow], place: Path, role: str, *, named: bool
) -> tuple[list[CaseToShow], list[str]]:
    """The cases with masks of a file or folder as truth or prediction.

    Args:
        cases: to show.
        place: a mask, for a single case, or a folder of masks named by case.
        role: "truth" or "prediction".
        named: the user named the cases, so each must have a mask; otherwise cases without a mask are left out.

    Returns:
        The cases, and the names of those left out.

    Raises:
        MscsError: masks are missing.
    """
    findings = Findings()
    masks = find_masks(place, findings)
    if findings.errors:
        raise MscsError(f"{findings.errors[0].file} {findings.errors[0].finding}.", findings.errors[0].remedy)
    if any(case.preprocessed for case in cases):
        raise MscsError("Masks lie on another grid than preprocessed data.", "Show them on the raw data.")
    if masks.place.is_file():
        if len(cases) != 1:
            raise MscsError(f"{place} is one mask, but there are {len(cases)} cases.", "Give a folder of masks.")
        return [_with_mask(cases[0], role, masks.place)], []
    matched = match_names(masks.files, [case.name for case in cases]).cases
    files = {matched.get(name, name): file for name, file in masks.files.items()}
    missing = [case.name for case in cases if case.name not in files]
    if missing and (named or len(missing) == len(cases)):
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise MscsError(f"{place} holds no mask of {shown}.", "Masks are named as the case: <case>.nii.gz.")
    found = [_with_mask(case, role, files[case.name]) for case in cases if case.name in files]
    return found, missing


def _with_mask(case: CaseToShow, role: str, mask: Path) -> CaseToShow:
    """The case with a new mask, and so without the metrics of the former one."""
    truth, prediction = (mask, case.prediction) if role == "truth" else (case.truth, mask)
    return CaseToShow(case.name, case.images, truth, prediction, ignored=case.ignored)


def _of_evaluation(folder: Path) -> list[CaseToShow]:
    evaluation = read_evaluation(folder)
    several, ignored = len(evaluation.labels) > 1, ignored_in(evaluation)
    return [
        CaseToShow(
            f"{row['case']}_{clean_name(row['label_name'])}" if several else row["case"],
            files.images,
            files.reference,
            files.prediction,
            row,
            evaluation.model,
            ignored,
        )
        for row in evaluation.rows()
        if (files := evaluation.files.get(row["case"]))
    ]


def _of_comparison(folder: Path) -> list[CaseToShow]:
    models = sorted(path.name for path in folder.iterdir() if is_evaluation(path))
    raise MscsError(f"{folder} compares several models.", f"Give one of its folders: {', '.join(models)}.")


def _of_model(folder: Path) -> list[CaseToShow]:
    findings = Findings()
    predictions = find_predictions(folder, findings)
    references = find_masks(references_of(predictions), findings)
    images = images_folder(references, predictions)
    channels = predictions.dataset_json.get("channel_names", {})
    ignored = ignored_by((references.place, references.place.parent, folder, folder.parent.parent))
    return [
        CaseToShow(
            case,
            find_images(images, case, channels) if images else {},
            references.files.get(case),
            prediction,
            model=f"fold {predictions.folds[case]}" if case in predictions.folds else "",
            ignored=ignored,
        )
        for case, prediction in predictions.files.items()
    ]


def _of_predictions(folder: Path) -> list[CaseToShow]:
    raise MscsError(
        f"{folder} holds predictions, and not the scans they are of.",
        "Give the scans, and the predictions with --prediction.",
    )


def _of_raw(folder: Path) -> list[CaseToShow]:
    try:
        dataset = json.loads((folder / DATASET_JSON).read_text(encoding="utf-8"))
        channels, ending = dict(dataset.get("channel_names", {})), str(dataset.get("file_ending", ".nii.gz"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MscsError(f"{folder / DATASET_JSON} cannot be read: {error}.", "Correct it.") from error
    cases, ignored = [], ignored_by([folder])
    for labels, images in IMAGES_OF.items():
        stems = [file.name.removesuffix(ending) for file in sorted((folder / images).glob(f"*{ending}"))]
        for case in dict.fromkeys(match["case"] for stem in stems if (match := NUMBERED.fullmatch(stem))):
            truth = folder / labels / f"{case}{ending}"
            found = find_images(folder / images, case, channels)
            cases.append(CaseToShow(case, found, truth if truth.is_file() else None, ignored=ignored))
    return cases


def _data_sets_in(folder: Path) -> list[Path]:
    """The raw data sets of nnUNet_raw, or of a folder that holds it."""
    root = folder / RAW if (folder / RAW).is_dir() else folder
    return sorted(file.parent for file in root.glob(f"Dataset*/{DATASET_JSON}"))


def _of_data_sets(folder: Path) -> list[CaseToShow]:
    found = _data_sets_in(folder)
    if len(found) > 1:
        raise MscsError(f"{folder} holds {len(found)} data sets.", f"Give one of them: mscs show {found[0]}")
    return cases_of_folder(found[0])


def _of_preprocessed(folder: Path) -> list[CaseToShow]:
    return [CaseToShow(case, preprocessed=folder) for case in preprocessed_cases(folder)]


def _of_layout(folder: Path) -> list[CaseToShow]:
    layout = next(layout for layout in LAYOUTS.values() if layout.recognise(Folder(folder)))
    found = layout.find_cases(Folder(folder), ()).cases
    cases = [case for case in found if not case.is_dicom]
    if found and not cases:
        raise MscsError(f"{folder} holds DICOM studies.", "Convert them with mscs convert, and show the data set.")
    return [CaseToShow(case.name, case.images, case.mask) for case in cases]


def _of_scans(folder: Path) -> list[CaseToShow]:
    """New scans without masks: files of several cases, one folder per case, or the folder of one case."""
    return [CaseToShow(case.name, case.images) for case in find_unlabelled(folder, (ADC, DWI)).cases]


KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path], list[CaseToShow]]], ...] = (
    (is_evaluation, _of_evaluation),
    (lambda folder: (folder / COMPARISON).is_file(), _of_comparison),
    (lambda folder: is_model_folder(folder) or validated_fold(folder) is not None, _of_model),
    (lambda folder: (folder / PREDICTION_MARK).is_file(), _of_predictions),
    (
        lambda folder: (folder / DATASET_JSON).is_file() and any((folder / i).is_dir() for i in IMAGES_OF.values()),
        _of_raw,
    ),
    (lambda folder: bool(preprocessed_cases(folder)), _of_preprocessed),
    (
        lambda folder: is_evaluation(folder / OF_RUN) or (folder / OF_RUN / COMPARISON).is_file(),
        lambda folder: cases_of_folder(folder / OF_RUN),
    ),
    (lambda folder: bool(_data_sets_in(folder)), _of_data_sets),
    (lambda folder: any(layout.recognise(Folder(folder)) for layout in LAYOUTS.values()), _of_layout),
    (lambda folder: bool(find_unlabelled(folder, (ADC, DWI)).cases), _of_scans),
)
