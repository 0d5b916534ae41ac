"""The derivatives of a BIDS tree: the lesion mask of each case, one of several, and channels that lie there.

Public data sets that are laid out so:

- ISLES'22 (github.com/ezequieldlrosa/isles22, Zenodo 7960856): the scans in `rawdata/sub-strokecase0001/ses-0001/`, or
  in `sub-strokecase0001/ses-0001/dwi/` and `anat/`; the mask in
  `derivatives/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_msk.nii.gz`.
- SOOP (OpenNeuro ds004889, 1.1.2): `sub-1/dwi/sub-1_rec-TRACE_dwi.nii.gz` and `sub-1_rec-ADC_dwi.nii.gz`; masks in
  `derivatives/lesion_masks/sub-1/dwi/sub-1_space-TRACE_desc-lesionAcute_mask.nii.gz`, likewise `desc-lesionChronic`,
  and `desc-lesion` for both together. Of 1715 subjects 1451 have an acute mask, 203 a chronic one.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.case_folders import (
    DERIVED_FOLDERS,
    SESSION,
    SUBJECT,
    CaseFolder,
    has_subjects,
    raw_folder,
    scans_below,
)
from nnunetv2_mscs.dataset_conversion.file_names import stem_of
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.scans.findings import Findings, shown
from nnunetv2_mscs.scans.words import HEAD_WORDS, LESION_WORDS, channel_of_words, words_of

# A file in one of these spaces is not on the scan's grid.
OTHER_SPACES = re.compile(r"space-(?:mni|t1|fsaverage|talairach)", re.IGNORECASE)
DESCRIPTION = re.compile(r"(?:^|_)(?:desc|label)-([^_]+)", re.IGNORECASE)
# BIDS abbreviates tissues: L is a lesion, and these are not.
LESION_LABEL = re.compile(r"(?:^|_)label-L(?:_|$)")
TISSUE_LABEL = re.compile(r"(?:^|_)label-(?:BG|GM|WM|CSF|BN|CGM|SGM|SCGM|NLM|CBM|BS)(?:_|$)")
ACUTE, CHRONIC = re.compile(r"(?<!sub)acute", re.IGNORECASE), re.compile(r"chronic", re.IGNORECASE)
LESION = re.compile(LESION_WORDS.pattern, re.IGNORECASE)
DERIVATIVE = "--derivative"


@dataclass(frozen=True)
class DerivedMask:
    """A file that may be the lesion mask of a case.

    Args:
        path: the file.
        folder: in the folder of derivatives; empty if the subjects lie directly there.
        name: the file's name without subject and session, the same for all cases.
    """

    path: Path
    folder: str
    name: str

    @property
    def description(self) -> str:
        """The value of desc- or label- in the name, such as lesionAcute."""
        found = DESCRIPTION.search(self.name)
        return found[1] if found else ""

    @property
    def form(self) -> str:
        """Folder and name, the same for all cases."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """The names that `--derivative` may call it by: its folder, its description, or both."""
        both = f"{self.folder}/{self.description}" if self.folder and self.description else ""
        return tuple(filter(None, (self.folder, self.description, both)))

    @property
    def is_acute(self) -> bool:
        return not self.is_chronic and ACUTE.search(self.form) is not None

    @property
    def is_chronic(self) -> bool:
        return CHRONIC.search(self.name) is not None or (
            CHRONIC.search(self.folder) is not None and ACUTE.search(self.name) is None
        )

    @property
    def is_of_a_lesion(self) -> bool:
        return LESION.search(self.form) is not None or LESION_LABEL.search(self.name) is not None


@dataclass
class Derived:
    """What the derivatives hold for the cases.

    Args:
        masks: by the case's name; several where the choice is left to the user.
        channels: by the case's name and the channel's.
        missing: by the case's name, why it has no mask although there are files that might be it.
    """

    masks: dict[str, list[DerivedMask]] = field(default_factory=dict)
    channels: dict[str, dict[str, list[Path]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def refuse_several(self, case: CaseFolder, findings: Findings) -> None:
        """Make several masks of a case an error that lists them and the names that choose one."""
        masks = self.masks[case.name]
        if len(masks) > 1:
            forms = ", ".join(mask.form for mask in masks)
            names = _telling_names(masks)
            remedy = f"Choose with {DERIVATIVE} NAME: {', '.join(names)}." if names else "Keep one of them."
            findings.error(f"{len(masks)} files could be its mask: {forms}", remedy, case=case.name, file=case.path)


def find_derived(source: Folder, cases: Sequence[CaseFolder], chosen: Sequence[str], findings: Findings) -> Derived:
    """The lesion mask of each case among the derivatives of a BIDS tree, and channels that lie there.

    Of several masks of a case that of acute lesions is taken, if any file of its folder is called so; one of chronic
    lesions never, unless it is chosen.

    Args:
        source: the tree.
        cases: in it.
        chosen: folders or descriptions of masks in the order of preference, as `--derivative` names them.
        findings: grows by what was taken, what was passed over and why.
    """
    folder = source.subfolder(DERIVED_FOLDERS)
    derived = Derived()
    candidates: dict[str, list[DerivedMask]] = {}
    if folder is not None and (has_subjects(source) or raw_folder(source)):
        masks, channels = _files_by_case(folder, cases, findings)
        derived.channels = {
            case: {channel: _on_the_scan(paths, case, findings) for channel, paths in found.items()}
            for case, found in channels.items()
        }
        for case, paths in masks.items():
            candidates[case] = [_mask(path, folder) for path in _on_the_scan(paths, case, findings)]
    everything = [mask for found in candidates.values() for mask in found]
    if unknown := [name for name in chosen if not any(_is_called(mask, name) for mask in everything)]:
        names = sorted({name for mask in everything for name in mask.names})
        there = f"The names here: {', '.join(names)}." if names else "SOURCE has no derivatives with masks."
        findings.error(f"{DERIVATIVE} {unknown[0]}: no mask of a case is called so among the derivatives", there)
        return derived
    with_acute = {mask.folder for mask in everything if mask.is_acute}
    for case, found in candidates.items():
        taken, reason = _choose(found, chosen, with_acute)
        if taken:
            derived.masks[case] = taken
        else:
            derived.missing[case] = reason
    _refuse_several_folders(derived, chosen, findings)
    _note_choice(derived, candidates, findings)
    return derived


def _files_by_case(
    folder: Folder, cases: Sequence[CaseFolder], findings: Findings
) -> tuple[dict[str, list[Path]], dict[str, dict[str, list[Path]]]]:
    """Masks by case, and channels by case and name; other files are noted as ignored."""
    masks: dict[str, list[Path]] = defaultdict(list)
    channels: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    of_subject: dict[str, list[CaseFolder]] = defaultdict(list)
    for case in cases:
        of_subject[(case.patient or case.name).lower()].append(case)
    for path in scans_below(folder):
        subject, session = _entity(path, SUBJECT, "sub"), _entity(path, SESSION, "ses")
        fitting = [case.name for case in of_subject[subject.lower()] if _is_of(case, subject, session)]
        own, channel = _says_mask(stem_of(path)), channel_of_words(words_of(stem_of(path)))
        above = any(_says_mask(part) for part in path.relative_to(folder.path).parts[:-1])
        is_head = _is_of_the_head(path)
        if len(fitting) > 1 and (own or above) and not is_head and _mask(path, folder).is_of_a_lesion:
            text = f"a mask that names no session may be of any of {len(fitting)} cases: {shown(fitting)}"
            findings.error(text, "Name the session in it, as in sub-1_ses-2_desc-lesion_mask.", file=path)
        elif len(fitting) != 1:
            findings.note("ignored: of no case here", file=path)
        elif channel and not own:
            channels[fitting[0]][channel].append(path)
        elif not own and not above:
            findings.note("ignored: no mask by its name", file=path)
        elif is_head:
            findings.note("ignored: by its name a mask of the brain, not of the lesion", case=fitting[0], file=path)
        else:
            masks[fitting[0]].append(path)
    return masks, channels


def _says_mask(text: str) -> bool:
    return any(word.kind == "mask" for word in words_of(text)) or LESION_LABEL.search(text) is not None


def _mask(path: Path, folder: Folder) -> DerivedMask:
    above = path.relative_to(folder.path).parts[:-1]
    pipeline = above[0] if above and not SUBJECT.fullmatch(above[0]) else ""
    return DerivedMask(path, pipeline, re.sub(r"(?:sub|ses)-[^_]+_", "", path.name, flags=re.IGNORECASE))


def _choose(masks: Sequence[DerivedMask], chosen: Sequence[str], with_acute: Set[str]) -> tuple[list[DerivedMask], str]:
    """The masks of a case that may be taken, and why there are none.

    Args:
        masks: of the case.
        chosen: names in the order of preference.
        with_acute: the folders in which masks of acute lesions are called so.
    """
    found = list(masks)
    for name in chosen:
        if found := [mask for mask in masks if _is_called(mask, name)]:
            if not all(mask.folder.lower() == name.lower() for mask in found):
                return found, ""
            break
    if not found:
        return [], f"no mask called {' or '.join(chosen)}"
    found = [mask for mask in found if mask.is_of_a_lesion] or found
    staged = [mask for mask in found if (mask.is_acute if mask.folder in with_acute else not mask.is_chronic)]
    return staged, "no mask of acute lesions, but of others"


def _is_called(mask: DerivedMask, name: str) -> bool:
    return name.lower() in [one.lower() for one in mask.names]


def _telling_names(masks: Sequence[DerivedMask]) -> list[str]:
    """A name for each of the masks that no other has; empty if there is none."""
    folders, descriptions = [mask.folder for mask in masks], [mask.description for mask in masks]
    both = [mask.names[-1] if mask.names else "" for mask in masks]
    options = (folders, descriptions, both)
    return next((names for names in options if all(names) and len(set(names)) == len(masks)), [])


def _refuse_several_folders(derived: Derived, chosen: Sequence[str], findings: Findings) -> None:
    """Make it an error if masks of different cases come from different folders, unless the user named them."""
    alone = [masks[0] for masks in derived.masks.values() if len(masks) == 1]
    counts = Counter(mask.folder for mask in alone if mask.folder)
    if len(counts) > 1 and not chosen:
        listed = ", ".join(f"{name} ({count} cases)" for name, count in counts.items())
        findings.error(
            f"the masks lie in {len(counts)} folders of the derivatives: {listed}",
            f"Choose with {DERIVATIVE}: one of them, or several in the order of preference.",
        )


def _note_choice(derived: Derived, candidates: Mapping[str, Sequence[DerivedMask]], findings: Findings) -> None:
    """Note which masks were taken and which were passed over, each kind with the number of cases."""
    taken = {mask for masks in derived.masks.values() if len(masks) == 1 for mask in masks}
    several = {mask for masks in derived.masks.values() if len(masks) > 1 for mask in masks}
    for form, count in Counter(mask.form for mask in taken).items():
        findings.note(f"masks taken of {count} case{'s' * (count > 1)}: {form}")
    rest = [mask for masks in candidates.values() for mask in masks if mask not in taken | several]
    names = {mask.form: mask.description or mask.folder for mask in rest}
    for form, count in Counter(mask.form for mask in rest).items():
        remedy = f"{DERIVATIVE} {names[form]} takes them." if names[form] else ""
        findings.note(f"masks passed over of {count} case{'s' * (count > 1)}: {form}", remedy)


def _on_the_scan(paths: list[Path], case: str, findings: Findings) -> list[Path]:
    """The files that are not in the space of an atlas or of another image; all files if all of them are."""
    here = [path for path in paths if not OTHER_SPACES.search(path.name)]
    for path in paths if here else ():
        if path not in here:
            findings.note("ignored: it lies in another space than the scan", case=case, file=path)
    return here or paths


def _is_of_the_head(path: Path) -> bool:
    stem = stem_of(path)
    texts = re.split(r"[^A-Za-z0-9]+", stem.lower())
    is_head = any(map(HEAD_WORDS.fullmatch, texts)) or TISSUE_LABEL.search(stem) is not None
    return is_head and not any(map(LESION_WORDS.fullmatch, texts))


def _is_of(case: CaseFolder, subject: str, session: str) -> bool:
    if not case.patient:
        return case.name.lower() == subject.lower()
    wanted = f"{subject}_{session}" if session else ""
    return case.name.lower() == wanted.lower() or (not session and case.patient.lower() == subject.lower())


def _entity(path: Path, pattern: re.Pattern[str], key: str) -> str:
    """The subject or session that a file's name says, or else a folder above it."""
    named = re.match(rf"(?:.*_)?({key}-[^_]+)", stem_of(path), re.IGNORECASE)
    return named[1] if named else next((part for part in reversed(path.parts[:-1]) if pattern.fullmatch(part)), "")
