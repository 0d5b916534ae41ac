"""DICOM studies as cases: a folder for each, which names it; nothing of a header names anything."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.cases import Case
from nnunetv2_mscs.dataset_conversion.file_names import is_passed_over
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.channels import ADC, DWI, Channel, ReadingRules
from nnunetv2_mscs.scans.dicom_headers import dicom_files, study_of
from nnunetv2_mscs.scans.dicom_study import OPTION_OF, read_dicom_study
from nnunetv2_mscs.scans.findings import Finding, Findings, ScanError
from nnunetv2_mscs.scans.formats import ending_of, is_dicom
from nnunetv2_mscs.scans.new_scan import B0, NewChannels, with_computed_adc
from nnunetv2_mscs.scans.scan import Scan, load_scan, put_together, read_mask

TAKE_AWAY = "Move the other series out of the folder."


def holds_dicom(folder: Path) -> bool:
    """Whether DICOM files lie in a folder or below it."""
    files = (path for path in folder.rglob("*") if not path.name.startswith(".") and path.is_file())
    return any(is_dicom(path) for path in files if not ending_of(path))


def is_study(folder: Path) -> bool:
    """Whether a folder holds DICOM, and no scans of other formats."""
    return not any(ending_of(path) for path in folder.rglob("*")) and holds_dicom(folder)


def is_one_study(folder: Path) -> bool:
    """Whether the DICOM files of a folder, or of the series in its folders, are one study."""
    if not is_study(folder):
        return False
    if any(is_dicom(path) for path in folder.iterdir() if path.is_file()):
        return True
    inner = [one for one in folder.iterdir() if one.is_dir() and not is_passed_over(one)]
    one_of_each = {path.parent: path for path in dicom_files(folder)}
    try:
        return len(inner) > 1 and len({study_of(path) for path in one_of_each.values()}) == 1
    except MscsError:
        # Each folder is then read as a study, and the error is that study's own.
        return False


def load_case(case: Case, rules: ReadingRules) -> tuple[Scan | None, list[Finding]]:
    """Read and harmonise a case, from files or from a DICOM study.

    Args:
        case: where it lies.
        rules: how to read it.

    Returns:
        The scan, or None when errors leave none, and all findings.
    """
    if not case.is_dicom:
        return load_scan(case.files, rules)
    findings = Findings()
    wanted = rules.channel_names or case.channel_names or (ADC, DWI)
    try:
        new, picked = _read(case.study)
        used = _needed(new, wanted)
    except MscsError as error:
        told = any(option in error.remedy for option in OPTION_OF.values())
        findings.error(error.finding, TAKE_AWAY if told else error.remedy, file=case.study)
        return None, findings.items
    for sentence in picked:
        findings.note(sentence)
    mask = read_mask(case.mask, rules, findings)
    scan = put_together(used, rules, findings, mask=mask)
    if scan is not None and set(used) != set(wanted):
        try:
            scan = with_computed_adc(scan, used, new, findings)
        except ScanError as error:
            findings.error(error.finding, "Add the ADC map of the study.", file=case.study)
            return None, findings.items
        scan = replace(scan, channels={name: array for name, array in scan.channels.items() if name in wanted})
    return scan, findings.items


def _read(folder: Path) -> tuple[NewChannels, list[str]]:
    study = read_dicom_study(dicom_files(folder))
    return study.new, study.picked


def _needed(new: NewChannels, wanted: Sequence[str]) -> dict[str, Channel]:
    """The wanted channels of a study, with b0 and DWI instead of an ADC that has to be computed.

    Raises:
        ScanError: the study lacks one.
    """
    names = list(wanted)
    if ADC in wanted and ADC not in new.channels:
        if not {B0, DWI} <= new.channels.keys():
            raise ScanError(
                "has no ADC, and no b0 to compute it from",
                f"Export the ADC map, too, or use the {DWI} alone with --channels {DWI}.",
            )
        names = [name for name in dict.fromkeys((*wanted, B0, DWI)) if name != ADC]
    if missing := [name for name in names if name not in new.channels]:
        raise ScanError(
            f"the DICOM study gives {', '.join(new.channels)}, but no {', '.join(missing)}",
            "Name channels that it gives with --channels, or convert it to files with dcm2niix.",
        )
    return {name: new.channels[name] for name in names}
