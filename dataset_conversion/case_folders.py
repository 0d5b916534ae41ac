"""Folders that each hold one case: its files lie in it, in a folder per channel, or in a BIDS tree (sub-*/ses-*/)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.file_names import folder_channel, is_passed_over
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.scans.formats import ending_of
from nnunetv2_mscs.scans.words import WIDE_MASK_WORDS, words_of

SUBJECT = re.compile(r"sub-.+", re.IGNORECASE)
SESSION = re.compile(r"ses-.+", re.IGNORECASE)
# Where the subjects of a BIDS tree may lie below its top, and where its masks may.
SOURCE_DATA = "sourcedata"
RAW_FOLDERS = ("rawdata", "raw", "bids", SOURCE_DATA)
DERIVED_FOLDERS = ("derivatives", "derivative", "derived")
# The folders of one case in a BIDS tree.
DATA_TYPES = ("anat", "dwi", "perf", "func", "fmap", "ct", "swi")


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
    subjects = raw_folder(source)
    if subjects is not None:
        return [case for folder in subjects.subfolders() for case in _of_folder(folder)]
    beside = (*DERIVED_FOLDERS, SOURCE_DATA) if has_subjects(source) else ()
    return [case for folder in source.subfolders() if folder.name.lower() not in beside for case in _of_folder(folder)]


def used_folders(source: Folder) -> list[Folder]:
    """The folders in a folder that `case_folders` and `derivatives.find_derived` look into."""
    tops = (raw_folder(source), source.subfolder(DERIVED_FOLDERS))
    if raw_folder(source):
        return [folder for folder in tops if folder is not None]
    beside = (SOURCE_DATA,) if has_subjects(source) else ()
    return [folder for folder in source.subfolders() if folder.name.lower() not in beside]


def is_tree(source: Folder, cases: Sequence[CaseFolder]) -> bool:
    """Whether cases lie deeper than one folder per case: in a BIDS tree, or with a folder per channel of a case."""
    return any(case.is_deep or case.patient for case in cases) or raw_folder(source) is not None


def has_subjects(folder: Folder) -> bool:
    return any(SUBJECT.fullmatch(one.name) for one in folder.subfolders())


def has_subject(case: CaseFolder) -> bool:
    """Whether a case folder is one of BIDS, in which the folder dwi holds all kinds of diffusion images."""
    return SUBJECT.fullmatch(case.patient or case.name) is not None


def raw_folder(source: Folder) -> Folder | None:
    """The folder in which the subjects of a BIDS tree lie, if that is not its top."""
    folder = source.subfolder(RAW_FOLDERS)
    if folder is None or not has_subjects(folder) or (folder.name.lower() == SOURCE_DATA and has_subjects(source)):
        return None
    return folder


def _of_folder(folder: Folder) -> Iterator[CaseFolder]:
    inner = [] if _holds_scans(folder) else folder.subfolders()
    sessions = [one for one in inner if SUBJECT.fullmatch(folder.name) and SESSION.fullmatch(one.name)]
    if sessions:
        for session in sessions:
            files = () if _holds_scans(session) else tuple(scans_below(session))
            yield CaseFolder(session.path, f"{folder.name}_{session.name}", files, folder.name)
    elif inner and (SUBJECT.fullmatch(folder.name) or _are_of_channels(inner)):
        yield CaseFolder(folder.path, folder.name, tuple(scans_below(folder)))
    else:
        yield CaseFolder(folder.path, folder.name)


def _are_of_channels(folders: Sequence[Folder]) -> bool:
    """Whether the folders are the channels of one case, with one file each."""
    told = [folder_channel(folder.name) or _mask_word(folder.name) for folder in folders if _holds_scans(folder)]
    alone = all(len([*scans_below(folder)]) == 1 for folder in folders if _holds_scans(folder))
    return len(told) > 1 and all(told) and len(set(told)) == len(told) and alone


def _mask_word(name: str) -> str:
    return "mask" if any(WIDE_MASK_WORDS.fullmatch(word.text.lower()) for word in words_of(name)) else ""


def _holds_scans(folder: Folder) -> bool:
    return any(ending_of(path) and not is_passed_over(path) for path in folder.files())


def scans_below(folder: Folder) -> Iterator[Path]:
    """The scans in a folder and the folders in it."""
    for path in folder.files():
        if ending_of(path) and not is_passed_over(path):
            yield path
    for inner in folder.subfolders():
        yield from scans_below(inner)
