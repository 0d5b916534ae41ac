"""The studies among what a user names: files, folders of studies, a BIDS tree, or a table of paths."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery, clean_name, natural_key
from nnunetv2_mscs.dataset_conversion.file_names import stem_of
from nnunetv2_mscs.dataset_conversion.readings import Image, read_names
from nnunetv2_mscs.dataset_conversion.unlabelled import find_unlabelled
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.study_tree import StudyTree
from nnunetv2_mscs.scans.b_values import B_VALUE_ENDINGS
from nnunetv2_mscs.scans.channels import ADC, B0, COMBINED, DWI, ScanFiles
from nnunetv2_mscs.scans.contents import check_content
from nnunetv2_mscs.scans.dicom_headers import dicom_files
from nnunetv2_mscs.scans.findings import Finding, ScanError
from nnunetv2_mscs.scans.formats import READ, ending_of, is_dicom, unread_files, without_ending
from nnunetv2_mscs.scans.new_scan import NO_ADC

# Columns of a table of paths.
CASE, B_VALUE = "case", "b_value"
TABLE_ENDINGS = (".csv", ".tsv")
DEEPEST = 6
NO_SCAN = "Name the files so that they say what they are, such as <case>_adc.nii.gz and <case>_dwi.nii.gz."


@dataclass(frozen=True)
class Wanted:
    """What is looked for in studies.

    Args:
        model: the channels of the model, in the order of nnU-Net's numbers.
    """

    model: tuple[str, ...] = (ADC, DWI)

    @property
    def channels(self) -> tuple[str, ...]:
        """Those of the model, and beside ADC or DWI what gives the grid and the ADC."""
        is_diffusion = bool({ADC, DWI} & set(self.model))
        return *self.model, *(name for name in (ADC, DWI, B0) if is_diffusion and name not in self.model)

    @property
    def optional(self) -> tuple[str, ...]:
        """Channels that a study may lack; an ADC can be computed."""
        return tuple(name for name in self.channels if name == ADC or name not in self.model)

    @property
    def reference(self) -> str:
        """The channel on whose grid masks lie."""
        return DWI if DWI in self.model else self.model[0]

    def cases_in(self, folder: Path) -> Discovery:
        return find_unlabelled(folder, self.channels, optional=self.optional)


ADC_AND_DWI = Wanted()


@dataclass(frozen=True)
class Study:
    """A scan to predict, or a place where one was expected.

    Args:
        name: the case identifier, which names the outputs.
        files: None if nothing can be predicted.
        dicom: the DICOM files of the study, instead of `files`.
        chosen: for a channel one DICOM file of the series that it is to be taken from.
        b_value: of its DWI in s/mm2, if the user says it.
        findings: on its files; errors forbid the prediction.
    """

    name: str
    files: ScanFiles | None = None
    dicom: tuple[Path, ...] = ()
    chosen: Mapping[str, Path] = field(default_factory=dict)
    b_value: float | None = None
    findings: tuple[Finding, ...] = field(default=())

    @property
    def problem(self) -> ScanError | None:
        """Why it cannot be predicted; None if it may."""
        error = next((one for one in self.findings if one.severity == "error"), None)
        return ScanError(error.finding, error.remedy, Path(error.file).name) if error else None

    @property
    def fingerprint(self) -> str:
        """A digest of sizes and dates of its files: another if any of them changes."""
        images = self.files.images if self.files else {}
        named = [(channel, one) for channel, path in sorted(images.items()) for one in (path, *_side_files(path))]
        named += [("", path) for path in self.dicom] + sorted(self.chosen.items())
        facts = [(channel, path.name, *_size_and_date(path)) for channel, path in named]
        return hashlib.sha256(repr((facts, self.b_value)).encode()).hexdigest()[:16]


def find_studies(
    places: Sequence[Path],
    given: Mapping[str, Path] | None = None,
    *,
    b_value: float | None = None,
    wanted: Wanted = ADC_AND_DWI,
) -> list[Study]:
    """All studies, each with a name of its own.

    Args:
        places: files, folders and tables, as the user names them.
        given: the files of one study by channel, of `--adc`, `--dwi`, `--b0` and `--image`.
        b_value: of all DWIs in s/mm2, where no file says it.
        wanted: the channels that are looked for.

    Raises:
        MscsError: a place does not exist, or there is nothing to predict in any.
    """
    if missing := [place for place in (*places, *(given or {}).values()) if not place.exists()]:
        raise MscsError(f"{missing[0]} is not there.", "Check the path.")
    studies = [_of_files(given, wanted)] if given else []
    files = [place for place in places if place.is_file() and place.suffix.lower() not in TABLE_ENDINGS]
    if files:
        studies += _of_loose_files(files, wanted)
    for place in places:
        if place.is_dir():
            studies += _of_folder(StudyTree(place), wanted)
        elif place not in files:
            studies += _of_table(place, wanted)
    if not studies:
        raise MscsError("There is nothing to predict.", "Name a study's folder, or its files with --adc and --dwi.")
    studies = [replace(one, b_value=b_value) if one.b_value is None else one for one in studies]
    return _with_own_names([_with_what_is_missing(one, wanted) for one in studies])


def _with_what_is_missing(study: Study, wanted: Wanted) -> Study:
    """The study, with an error if the names and headers of its files already say that a channel is missing."""
    images = study.files.images if study.files else {}
    is_series = any(file.is_file() for path in images.values() for file in _side_files(path))
    if study.problem or is_series or len(wanted.model) < 2:
        return study
    finding = None
    if set(images) == {COMBINED} and _is_one_volume(images[COMBINED]):
        finding = Finding("error", "does not say by its name what it is", NO_SCAN, images[COMBINED].name)
    elif ADC in wanted.model and DWI in images and not {ADC, B0, COMBINED} & set(images):
        finding = Finding("error", *NO_ADC)
    return replace(study, findings=(*study.findings, finding)) if finding else study


def _is_one_volume(path: Path) -> bool:
    """Whether the header of a file says that it holds one volume; False if it cannot be read so."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return False
    return reader.GetNumberOfComponents() == 1 and all(size == 1 for size in reader.GetSize()[3:])


def _of_files(files: Mapping[str, Path], wanted: Wanted) -> Study:
    """The study of files whose channels the user says."""
    if folder := next((path for path in files.values() if path.is_dir()), None):
        raise MscsError(f"{folder} is a folder.", "Name a file, or give the folder without --adc, --dwi and --b0.")
    path = files.get(wanted.reference) or next(iter(files.values()))
    if any(map(is_dicom, files.values())):
        return _of_chosen_series(files)
    return Study(_name_of(path, wanted), ScanFiles(dict(files)))


def _of_chosen_series(files: Mapping[str, Path]) -> Study:
    """A DICOM study of which the user names one file of each series; the others lie in the same folders."""
    if other := next((path for path in files.values() if not is_dicom(path)), None):
        raise MscsError(f"{other} is no DICOM, and others are.", "Name DICOM files, or files of other formats.")
    folders = dict.fromkeys(path.absolute().parent for path in files.values())
    found = [path for folder in folders for path in dicom_files(folder)]
    return Study(Path(os.path.commonpath(folders)).name, dicom=tuple(found), chosen=dict(files))


def _name_of(path: Path, wanted: Wanted) -> str:
    """The case's name in a file's name: without the word for its channel; the folder's where nothing is left."""
    name = read_names([Image(stem_of(path))], None, wanted.channels).images[0].case
    if name.lower() in {channel.lower() for channel in wanted.channels} or not re.search("[A-Za-z0-9]", name):
        return path.absolute().parent.name
    return name


def _of_loose_files(files: Sequence[Path], wanted: Wanted) -> list[Study]:
    """Files that are named one by one: those of one case belong together."""
    studies: dict[str, dict[str, Path]] = {}
    broken: list[Study] = []
    names = read_names([Image(stem_of(path)) for path in files], None, wanted.channels).images
    by_name = {channel.lower(): channel for channel in wanted.channels}
    for path, name in zip(files, names, strict=True):
        if not ending_of(path):
            broken.append(Study(stem_of(path), findings=(_refused(path),)))
            continue
        is_bare = name.case.lower() in by_name
        channel = name.channel or by_name.get(name.case.lower(), COMBINED)
        case = path.absolute().parent.name if is_bare else name.case
        if channel in studies.setdefault(case, {}):
            first = studies[case][channel]
            raise MscsError(f"{first} and {path} are both the {channel} of {case}.", "Leave one of them out.")
        studies[case][channel] = path
    return [Study(case, ScanFiles(images)) for case, images in studies.items()] + broken


def _of_folder(tree: StudyTree, wanted: Wanted, prefix: str = "", depth: int = 0) -> list[Study]:
    """The studies in a folder: itself, its files, its folders, and theirs."""
    if dicom := _dicom_studies(tree, wanted, prefix, depth):
        return dicom
    found = wanted.cases_in(tree.path)
    studies: list[Study] = []
    for case in found.cases:
        if dicom := _dicom_beside(case, tree, wanted, prefix, depth):
            studies += dicom
            continue
        study, inside = _of_case(case, found.findings.items, wanted, prefix), tree.path / case.name
        numbered = _numbered_in(inside, wanted, f"{study.name}_") if study.problem and inside.is_dir() else []
        studies += numbered or [study]
    for inner in found.empty:
        studies += _of_empty(tree.at(inner), wanted, prefix, depth)
    if studies:
        return studies
    name = prefix.rstrip("_") or tree.path.absolute().name
    # Files whose names say nothing, such as pictures made of the DICOM files beside them, do not hide these.
    return _dicom_studies(tree, wanted, prefix, depth, beside_scans=True) or [
        Study(name, findings=(_nothing_in(tree, wanted),))
    ]


def _dicom_studies(
    tree: StudyTree, wanted: Wanted, prefix: str, depth: int, *, beside_scans: bool = False
) -> list[Study]:
    """The DICOM studies of a folder; empty if it holds no DICOM, or scans of other formats that count first."""
    if (tree.has_scans and not beside_scans) or not tree.dicom:
        return []
    name = prefix.rstrip("_") or tree.path.absolute().name
    try:
        count = len(tree.studies)
    except MscsError as error:
        finding = Finding("error", f"holds DICOM; {error.finding}", error.remedy, tree.path.name)
        return [Study(name, findings=(finding,))]
    if count <= 1 or not tree.folders or depth >= DEEPEST:
        return [Study(name, dicom=tuple(tree.dicom))]
    return [study for one in tree.folders for study in _of_folder(one, wanted, f"{prefix}{one.path.name}_", depth + 1)]


def _dicom_beside(case: Case, tree: StudyTree, wanted: Wanted, prefix: str, depth: int) -> list[Study]:
    """The DICOM studies in a case's folder whose only other file does not say what it is, such as t1.nii.gz."""
    path = case.images.get(COMBINED)
    if path is None or any(file.is_file() for file in _side_files(path)):
        return []
    folder = tree.at(path.parent)
    if folder is not tree:
        prefix, depth = f"{prefix}{case.name}_", depth + 1
    elif sum(map(bool, map(ending_of, tree.files))) > 1:
        return []
    return _dicom_studies(folder, wanted, prefix, depth, beside_scans=True)


def _of_empty(tree: StudyTree, wanted: Wanted, prefix: str, depth: int) -> list[Study]:
    """A folder in which no scan was found as of one study: its files may be numbered, the folders in it be studies."""
    prefix = f"{prefix}{tree.path.name}_"
    if dicom := _dicom_studies(tree, wanted, prefix, depth + 1):
        return dicom
    if numbered := _numbered_in(tree.path, wanted, prefix) if tree.has_scans else []:
        return numbered
    if any(folder.has_scans for folder in tree.folders) and depth < DEEPEST:
        return _of_folder(tree, wanted, prefix, depth + 1)
    beside = _dicom_studies(tree, wanted, prefix, depth + 1, beside_scans=True)
    return beside or [Study(prefix.rstrip("_"), findings=(_nothing_in(tree, wanted),))]


def _numbered_in(folder: Path, wanted: Wanted, prefix: str) -> list[Study]:
    """The cases of files in nnU-Net's format, `<case>_0000`, `<case>_0001`; empty if the folder holds anything else."""
    found = wanted.cases_in(folder)
    if not found.cases or not all(case.numbered for case in found.cases):
        return []
    return [_of_case(case, found.findings.items, wanted, prefix) for case in found.cases]


def _of_case(case: Case, findings: Sequence[Finding], wanted: Wanted, prefix: str) -> Study:
    own = [one for one in findings if one.case == case.name]
    if case.numbered and set(case.images) - set(wanted.model):
        names = ", ".join(wanted.model)
        found = f"has {len(case.images)} files by number, where the model takes {len(wanted.model)}: {names}"
        own.append(Finding("error", found, "Take the others away, or name the files <case>_<channel>."))
    return Study(f"{prefix}{case.name}", case.files, findings=tuple(own))


def _nothing_in(tree: StudyTree, wanted: Wanted) -> Finding:
    """Why a folder is no study."""
    folder, files = tree.path, list(tree.files)
    scans = [path.name for path in files if ending_of(path)]
    if scans:
        shown = ", ".join(scans[:4]) + (f" and {len(scans) - 4} more" if len(scans) > 4 else "")
        return Finding("error", f"no file is {' or '.join(wanted.model)} by its name: {shown}", NO_SCAN, folder.name)
    what = "is empty" if not files else "holds no scan"
    return Finding("error", what, unread_files(folder) or READ, folder.name)


def _refused(path: Path) -> Finding:
    """Why a file is no scan."""
    if is_dicom(path):
        return Finding("error", "is one DICOM file", "Name the folder of its study, or give it as --dwi.", path.name)
    try:
        check_content(path)
    except ScanError as error:
        return error.as_finding()
    return Finding("error", "is no scan", READ, path.name)


def _of_table(table: Path, wanted: Wanted) -> list[Study]:
    """The studies of a table with a column for each channel, and paths relative to the table's folder."""
    import pandas as pd  # here, as few predictions are of tables

    try:
        rows = pd.read_csv(table, sep=None, engine="python", dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise MscsError(
            f"{table} cannot be read as a table: {error}.", "Save it as CSV with a line of titles."
        ) from error
    rows.columns = [str(column).strip().lower() for column in rows.columns]
    used = [name for name in wanted.channels if name.lower() in rows.columns]
    if wanted.reference not in used:
        columns, usual = ", ".join(rows.columns), ", ".join(name.lower() for name in wanted.channels)
        finding = f"{table} has the columns {columns}, but no {wanted.reference.lower()}."
        raise MscsError(finding, f"Use {CASE}, {usual} and {B_VALUE}.")
    return [_of_row(dict(row), used, table, wanted) for row in rows.to_dict("records")]


def _of_row(row: Mapping[str, str], used: Sequence[str], table: Path, wanted: Wanted) -> Study:
    reference = wanted.reference
    texts = {name: row[name.lower()].strip() for name in used}
    files = {name: table.parent / text for name, text in texts.items() if text}
    name = str(row.get(CASE, "")).strip() or (
        _name_of(files[reference], wanted) if reference in files else f"row_without_{reference.lower()}"
    )
    b_value = str(row.get(B_VALUE, "")).strip()
    problems = [
        Finding("error", "is not there", f"Check the path in {table.name}.", path.name)
        for path in files.values()
        if not path.is_file()
    ]
    if reference not in files:
        problems.append(Finding("error", f"has no {reference.lower()}", f"Fill in the column of {table.name}."))
    if b_value and not re.fullmatch(r"\d+(\.\d*)?", b_value):
        problems.append(Finding("error", f"b_value is {b_value!r}", "Write it in s/mm2, such as 1000."))
        b_value = ""
    return Study(name, ScanFiles(files), b_value=float(b_value) if b_value else None, findings=tuple(problems))


def _with_own_names(studies: Sequence[Study]) -> list[Study]:
    """Studies whose names every file system takes; those that would share one cannot be predicted."""
    seen: dict[str, int] = {}
    named: list[Study] = []
    for study in sorted(studies, key=lambda one: natural_key(one.name)):
        name = clean_name(study.name).strip("_") or "case"
        count = seen[name.lower()] = seen.get(name.lower(), 0) + 1
        if count > 1:
            shared = Finding("error", f"another study is called {name}, too", "Rename one, or predict them apart.")
            study, name = replace(study, findings=(shared, *study.findings)), f"{name}_{count}"
            seen.setdefault(name.lower(), 1)
        named.append(replace(study, name=name))
    return named


def _size_and_date(path: Path) -> tuple[int, int]:
    status = path.stat() if path.exists() else None
    return (status.st_size, status.st_mtime_ns) if status else (0, 0)


def _side_files(path: Path) -> Iterator[Path]:
    return (path.with_name(without_ending(path) + ending) for ending in (*B_VALUE_ENDINGS, ".bvec", ".bvecs", ".img"))
