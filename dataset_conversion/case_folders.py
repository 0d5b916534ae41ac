"""Folders that each hold one case: its files lie in it, in a folder per channel, or in a BIDS tree (sub-*/ses-*/)."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.file_names import folder_channel, is_passed_over, stem_of
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import ending_of
from nnunetv2_mscs.scans.words import HEAD_WORDS, LESION_WORDS, WIDE_MASK_WORDS, channel_of_words, words_of

MASK = "mask"
SUBJECT = re.compile(r"sub-.+", re.IGNORECASE)
SESSION = re.compile(r"ses-.+", re.IGNORECASE)
# Where the subjects of a BIDS tree may lie below its top, and where its masks may.
RAW_FOLDERS = ("rawdata", "raw", "bids", "sourcedata")
DERIVED_FOLDERS = ("derivatives", "derivative", "derived")
# The folders of one case in a BIDS tree.
DATA_TYPES = ("anat", "dwi", "perf", "func", "fmap", "ct", "swi")
# A file in one of these spaces is not on the scan's grid.
OTHER_SPACES = re.compile(r"space-(?:mni|t1|fsaverage|talairach)", re.IGNORECASE)


@dataclass(frozen=True)
class CaseFolder:
    """The files of one case.

    Args:
        path: its folder.
        name: of the case: the folder's, with that of the session behind the subject's.
        files: the scans in it; empty if they are those that lie directly in the folder.
        patient: the subject of a session, else empty.
    """

    path: Path
    name: str
    files: tuple[Path, ...] = ()
    patient: str = ""

    @property
    def is_deep(self) -> bool:
        """Whether the files lie in folders of this folder."""
        return bool(self.files)


def case_folders(source: Folder) -> list[CaseFolder]:
    """The case folders in a folder: every folder in it, except those of a BIDS tree that hold no case."""
    subjects = _raw(source)
    if subjects is not None:
        return [case for folder in subjects.subfolders() for case in _of_folder(folder)]
    derived = source.subfolder(DERIVED_FOLDERS) if has_subjects(source) else None
    return [case for folder in source.subfolders() if folder != derived for case in _of_folder(folder)]


def used_folders(source: Folder) -> list[Folder]:
    """The folders in a folder that `case_folders` and `derived_files` look into."""
    tops = (_raw(source), source.subfolder(DERIVED_FOLDERS))
    return [folder for folder in tops if folder is not None] if _raw(source) else source.subfolders()


def is_tree(source: Folder, cases: Sequence[CaseFolder]) -> bool:
    """Whether cases lie deeper than one folder per case: in a BIDS tree, or with a folder per channel of a case."""
    return any(case.is_deep or case.patient for case in cases) or _raw(source) is not None


def has_subjects(folder: Folder) -> bool:
    return any(SUBJECT.fullmatch(one.name) for one in folder.subfolders())


def has_subject(case: CaseFolder) -> bool:
    """Whether a case folder is one of BIDS, in which the folder dwi holds all kinds of diffusion images."""
    return SUBJECT.fullmatch(case.patient or case.name) is not None


def derived_files(source: Folder, cases: Sequence[CaseFolder], findings: Findings) -> dict[str, dict[str, list[Path]]]:
    """Files among the derivatives of a BIDS tree that may be the lesion mask or a channel of a case.

    Returns:
        For each case name its files, by `MASK` or the channel's name.
    """
    folder = source.subfolder(DERIVED_FOLDERS)
    if folder is None or not (has_subjects(source) or _raw(source)):
        return {}
    derived: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in _scans_below(folder):
        subject, session = _entity(path, SUBJECT, "sub"), _entity(path, SESSION, "ses")
        fitting = [case.name for case in cases if _is_of(case, subject, session)]
        words = [word for part in (*path.relative_to(folder.path).parts[:-1], stem_of(path)) for word in words_of(part)]
        is_mask, channel = any(word.kind == "mask" for word in words), channel_of_words(words_of(stem_of(path)))
        if len(fitting) != 1:
            findings.note("ignored: of no case here", file=path)
        elif not is_mask and channel:
            derived[fitting[0]][channel].append(path)
        elif not is_mask:
            findings.note("ignored: no mask by its name", file=path)
        elif _is_of_the_head(path):
            findings.note("ignored: by its name a mask of the brain, not of the lesion", case=fitting[0], file=path)
        else:
            derived[fitting[0]][MASK].append(path)
    return {
        case: {what: _on_the_scan(paths, case, findings) for what, paths in files.items()}
        for case, files in derived.items()
    }


def _on_the_scan(paths: list[Path], case: str, findings: Findings) -> list[Path]:
    """The files that are not in the space of an atlas or of another image; all files if all of them are."""
    here = [path for path in paths if not OTHER_SPACES.search(path.name)]
    for path in paths if here else ():
        if path not in here:
            findings.note("ignored: it lies in another space than the scan", case=case, file=path)
    return here or paths


def _is_of_the_head(path: Path) -> bool:
    texts = re.split(r"[^A-Za-z0-9]+", stem_of(path).lower())
    return any(map(HEAD_WORDS.fullmatch, texts)) and not any(map(LESION_WORDS.fullmatch, texts))


def _is_of(case: CaseFolder, subject: str, session: str) -> bool:
    if not case.patient:
        return case.name.lower() == subject.lower()
    wanted = f"{subject}_{session}" if session else ""
    return case.name.lower() == wanted.lower() or (not session and case.patient.lower() == subject.lower())


def _entity(path: Path, pattern: re.Pattern[str], key: str) -> str:
    """The subject or session that a file's name says, or else a folder above it."""
    named = re.match(rf"(?:.*_)?({key}-[^_]+)", stem_of(path), re.IGNORECASE)
    return named[1] if named else next((part for part in reversed(path.parts[:-1]) if pattern.fullmatch(part)), "")


def _raw(source: Folder) -> Folder | None:
    """The folder in which the subjects of a BIDS tree lie, if that is not its top."""
    folder = source.subfolder(RAW_FOLDERS)
    return folder if folder is not None and has_subjects(folder) else None


def _of_folder(folder: Folder) -> Iterator[CaseFolder]:
    inner = [] if _holds_scans(folder) else folder.subfolders()
    sessions = [one for one in inner if SUBJECT.fullmatch(folder.name) and SESSION.fullmatch(one.name)]
    if sessions:
        for session in sessions:
            files = () if _holds_scans(session) else tuple(_scans_below(session))
            yield CaseFolder(session.path, f"{folder.name}_{session.name}", files, folder.name)
    elif inner and (SUBJECT.fullmatch(folder.name) or _are_of_channels(inner)):
        yield CaseFolder(folder.path, folder.name, tuple(_scans_below(folder)))
    else:
        yield CaseFolder(folder.path, folder.name)


def _are_of_channels(folders: Sequence[Folder]) -> bool:
    """Whether the folders are the channels of one case, with one file each."""
    told = [folder_channel(folder.name) or _mask_word(folder.name) for folder in folders if _holds_scans(folder)]
    alone = all(len([*_scans_below(folder)]) == 1 for folder in folders if _holds_scans(folder))
    return len(told) > 1 and all(told) and len(set(told)) == len(told) and alone


def _mask_word(name: str) -> str:
    return "mask" if any(WIDE_MASK_WORDS.fullmatch(word.text.lower()) for word in words_of(name)) else ""


def _holds_scans(folder: Folder) -> bool:
    return any(ending_of(path) and not is_passed_over(path) for path in folder.files())


def _scans_below(folder: Folder) -> Iterator[Path]:
    for path in folder.files():
        if ending_of(path) and not is_passed_over(path):
            yield path
    for inner in folder.subfolders():
        yield from _scans_below(inner)
