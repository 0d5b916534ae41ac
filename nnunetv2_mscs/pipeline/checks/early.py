"""What cannot go well is told before a run begins, all of it at once."""

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import FOLDS
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline.checks.asked import check_settings
from nnunetv2_mscs.pipeline.checks.estimate import estimate
from nnunetv2_mscs.pipeline.checks.machine import (
    existing,
    free_disk_bytes,
    free_memory_bytes,
    gpus,
    shared_memory_bytes,
    write_failure,
)
from nnunetv2_mscs.pipeline.checks.scan_sizes import Scans, measure_scans
from nnunetv2_mscs.pipeline.graph.data_stages import SPLITS as SPLITS_STAGE
from nnunetv2_mscs.pipeline.graph.settings import RunSettings
from nnunetv2_mscs.pipeline.graph.source import look_at_source
from nnunetv2_mscs.pipeline.graph.stage import Here
from nnunetv2_mscs.pipeline.state.records import read_record
from nnunetv2_mscs.pipeline.state.run_folder import RunFolder
from nnunetv2_mscs.pipeline.write_splits import SPLITS, check_splits
from nnunetv2_mscs.scans.findings import Finding, Findings
from nnunetv2_mscs.scans.findings_table import findings_table

GIGABYTE = 1e9
# A disk with less than this times the estimate is told of.
COMFORTABLE = 1.5
LEAST_SHARED_MEMORY_BYTES = 1e9
# Settings that only `mscs convert` reads.
CONVERSION = (
    *("layout", "spacing", "channels", "test_fraction", "patient_pattern", "unlabelled", "resample"),
    *("allow_large_masks", "seed"),
)
# A process of nnU-Net's with torch, and as many copies of a scan in float32 as resampling takes.
PROCESS_BYTES = 0.7e9
COPIES_OF_A_SCAN = 10
BYTES_PER_VALUE = 4


Seen = TypeVar("Seen")


class EarlyChecksFailed(MscsError):
    """A run was not begun; `findings` tells why."""

    def __init__(self, findings: Sequence[Finding]):
        self.findings = list(findings)
        count = sum(finding.severity == "error" for finding in findings)
        super().__init__(
            f"{count} {'reason' if count == 1 else 'reasons'} not to begin; nothing was changed.",
            "Correct what the table names.",
        )


def early_checks(
    settings: RunSettings,
    folders: Folders,
    here: Here,
    *,
    gpus: Sequence[str] = (),
    on_this_machine: bool = True,
    at_a_time: int = 1,
) -> list[Finding]:
    """Print a table of what was found on stderr, if anything was, and refuse what cannot go well.

    Args:
        settings, folders, here: of the run.
        gpus: asked for by their numbers.
        on_this_machine: whether the stages are carried out here; on a cluster the nodes have other devices and memory.
        at_a_time: trainings that run side by side.

    Raises:
        EarlyChecksFailed: there are errors among the findings.
    """
    found = early_findings(settings, folders, here, gpus=gpus, on_this_machine=on_this_machine, at_a_time=at_a_time)
    if found:
        print(findings_table(found, [], wrap=sys.stderr.isatty()), file=sys.stderr)
    if any(finding.severity == "error" for finding in found):
        raise EarlyChecksFailed(found)
    return found


def early_findings(
    settings: RunSettings,
    folders: Folders,
    here: Here,
    *,
    gpus: Sequence[str] = (),
    on_this_machine: bool = True,
    at_a_time: int = 1,
) -> list[Finding]:
    """All that speaks against a run, errors and warnings; see `early_checks`."""
    findings = Findings()
    _check_folders(settings, folders, findings)
    _told(findings, partial(_check_name, settings, folders))
    scans = _told(findings, partial(measure_scans, settings, folders))
    if scans is not None and not findings.errors:
        converts = not look_at_source(settings, folders).is_raw
        if not converts:
            _check_nothing_to_convert(settings, findings)
        _told(findings, partial(_check_folds, settings, folders, scans))
        needed = _told(findings, partial(estimate, settings, scans, converts=converts, at_a_time=at_a_time))
        if needed is not None:
            _check_disk(settings, folders, needed, findings)
    if on_this_machine:
        _check_device(settings, here, gpus, findings)
        _check_memory(here, scans, findings)
    check_settings(settings, findings)
    return list(dict.fromkeys(findings.items))


def _check_folds(settings: RunSettings, folders: Folders, scans: Scans) -> None:
    """Raise MscsError if there are not that many: by a user's splits, or by the number of cases.

    Splits that an earlier call has written are no concern here: they are made anew if they no longer fit.
    """
    raw = folders.raw / settings.dataset
    own = folders.preprocessed / settings.dataset / SPLITS
    file = next((file for file in (own, raw / SPLITS) if file.is_file()), None)
    if look_at_source(settings, folders).is_raw and file is not None:
        if read_record(RunFolder.of(folders, settings.dataset), SPLITS_STAGE) is None:
            check_splits(file, raw, settings.folds)
    elif lacking := [fold for fold in settings.folds if scans.labelled <= fold < len(FOLDS)]:
        cases = "One case" if scans.labelled == 1 else f"{scans.labelled} cases"
        raise MscsError(
            f"{cases} to train on cannot be split so that there is a fold {lacking[0]}.",
            "Give more cases, or choose --folds.",
        )


def _check_nothing_to_convert(settings: RunSettings, findings: Findings) -> None:
    """Options of the conversion change nothing of a data set that is taken as it is."""
    plain = RunSettings(settings.source, settings.dataset_id, settings.name)
    for name in CONVERSION:
        if getattr(settings, name) != getattr(plain, name):
            option = f"--{name.replace('_', '-')}"
            findings.error(f"{option}, but SOURCE is in nnU-Net's raw format already", "Leave it out.")


def _told(findings: Findings, look: Callable[[], Seen]) -> Seen | None:
    """What was looked for, unless it ends in a finding."""
    try:
        return look()
    except MscsError as error:
        findings.error(error.finding, error.remedy)
        return None


def _check_folders(settings: RunSettings, folders: Folders, findings: Findings) -> None:
    places = {name: Path(place) for name, place in folders.environment.items()}
    for name, place in places.items():
        if not place.is_absolute():
            findings.error(f"{name} is a relative path", f"export {name}={place.absolute()}", file=place)
        elif place.exists() and not place.is_dir():
            findings.error(f"{name} is a file, not a folder", f"Set {name} to a folder.", file=place)
        elif reason := write_failure(place):
            findings.error(f"{name} cannot be written to: {reason}", "Check its owner, rights and quota.", file=place)
    for (first, place), (second, other) in combinations(places.items(), 2):
        if _is_within(place, other) or _is_within(other, place):
            findings.error(f"{first} and {second} lie in each other", "Give each a folder of its own.", file=place)
    source = Path(settings.source)
    if not _is_within(source, folders.raw):
        for name, place in places.items():
            if _is_within(place, source) or _is_within(source, place):
                findings.error(f"the scans and {name} lie in each other", "Keep the scans elsewhere.", file=place)


def _check_name(settings: RunSettings, folders: Folders) -> None:
    """Raise MscsError if the id belongs to a data set of another name, as nnU-Net goes by the id alone."""
    from nnunetv2_mscs.dataset_conversion.destination import Destination, refuse_namesakes

    refuse_namesakes(Destination(folders.raw, settings.dataset), [folders.raw, folders.preprocessed, folders.results])


def _is_within(place: Path, folder: Path) -> bool:
    return place.resolve().is_relative_to(folder.resolve())


def _check_disk(settings: RunSettings, folders: Folders, needed: Mapping[str, float], findings: Findings) -> None:
    """By file system; what the run's folders hold already is not needed again."""
    by_disk: dict[int, list[tuple[Path, float]]] = defaultdict(list)
    for variable, root in folders.environment.items():
        place = Path(root)
        left = max(needed[variable] - _bytes_in(place / settings.dataset), 0.0)
        by_disk[existing(place).stat().st_dev].append((place, left))
    for places in by_disk.values():
        free, need = free_disk_bytes(places[0][0]), sum(left for _, left in places)
        if free >= COMFORTABLE * need:
            continue
        where = " and ".join(str(place) for place, _ in places)
        text = f"{free / GIGABYTE:.3g} GB are free for about {need / GIGABYTE:.3g} GB in {where}"
        tell = findings.error if free < need else findings.warning
        tell(text, "Make room, or set nnU-Net's folders to another disk.", file=existing(places[0][0]))


def _bytes_in(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0


def _check_device(settings: RunSettings, here: Here, asked: Sequence[str], findings: Findings) -> None:
    if here.device != "cuda":
        if here.gpus > 1:
            findings.error(f"{here.gpus} GPUs for one training on {here.device}", "That takes --device cuda.")
        return
    found = {gpu.index: gpu for gpu in gpus()}
    there = f"There are {', '.join(found)}." if found else "Choose --device cpu, or see nvidia-smi and mscs doctor."
    if not found:
        findings.error("no GPU is found: nvidia-smi shows none, or CUDA_VISIBLE_DEVICES hides it", there)
        return
    findings.extend([Finding("error", f"there is no GPU {one}", there) for one in asked if one not in found])
    target = settings.gpu_memory_target_gb or 0.0
    for gpu in found.values():
        if 0 < gpu.memory_bytes < target * GIGABYTE and (not asked or gpu.index in asked):
            text = f"GPU {gpu.index} ({gpu.name}) has {gpu.memory_bytes / GIGABYTE:.0f} GB, less than {target:g}"
            findings.warning(text, "Choose a smaller --gpu-memory-target.")


def _check_memory(here: Here, scans: Scans | None, findings: Findings) -> None:
    each = PROCESS_BYTES + COPIES_OF_A_SCAN * BYTES_PER_VALUE * (scans.values_per_scan if scans else 0.0)
    free = free_memory_bytes()
    if free < here.workers * each:
        text = f"{free / GIGABYTE:.3g} GB of memory are free for {here.workers} processes of {each / GIGABYTE:.2g} GB"
        findings.warning(text, f"Choose -np {max(int(free / each), 1)}, or end other programs.")
    shared = shared_memory_bytes()
    if shared is not None and shared[0] < LEAST_SHARED_MEMORY_BYTES and here.workers > 1:
        text = f"the shared memory has {shared[0] / GIGABYTE:.2g} GB"
        findings.warning(text, "Give the container more: docker run --shm-size=8g.", file="/dev/shm")
