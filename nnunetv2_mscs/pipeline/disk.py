"""What a run will need on disk."""

import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, IMAGES_TR, IMAGES_TS, LABELS_TR
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS, Folders
from nnunetv2_mscs.nnunet_files.plans import CASCADE
from nnunetv2_mscs.pipeline.models import PlannedModel, own_models, rival_models
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import look_at_source
from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI
from nnunetv2_mscs.scans.reading import is_array_file

# Bytes. Measured on heads in air, 192 x 192 x 20 voxels (phantoms): 0.89, 1.45, 0.0022; brains without a skull take
# half of it, scans with noise in the air more than twice.
RAW_PER_VALUE = 1.0
PREPROCESSED_PER_VALUE = 1.6
MASK_PER_VOXEL = 0.003
PROBABILITY_PER_VALUE = 1.6  # 1.53 after five epochs, 3.1 of a network that has learned nothing
# Weights in float32 and what the optimiser keeps beside each: SGD its momentum, Adam two moments.
SGD_PER_PARAMETER = 8
ADAM_PER_PARAMETER = 12
# nnU-Net keeps checkpoint_best and checkpoint_final, and checkpoint_latest as long as the training runs.
CHECKPOINTS_KEPT = 2
PARAMETERS_MSCS_NET = 37_000_000
PARAMETERS_U_NET = 31_000_000
PARAMETERS_RESIDUAL = 102_000_000
LOGS_PER_TRAINING = 3_000_000
REPORTS = 50_000_000


@dataclass(frozen=True)
class Scans:
    """A data set's size.

    Args:
        labelled: cases to train on.
        test: cases to predict.
        values_per_scan: voxels of all channels of a case together, on average.
        voxels_per_scan: of one channel.
        labels: background included.
    """

    labelled: int
    test: int
    values_per_scan: float
    voxels_per_scan: float
    labels: int = 2

    @property
    def count(self) -> int:
        return self.labelled + self.test


def estimate(settings: RunSettings, scans: Scans, *, converts: bool = True, at_a_time: int = 1) -> dict[str, float]:
    """What a run will need on disk: bytes in each of nnU-Net's folders, by its variable.

    - Converted: channels are float32 or integers in compressed NIfTI, RAW_PER_VALUE bytes a value; masks
      MASK_PER_VOXEL bytes a voxel.
    - Preprocessed, for each set of plans and configuration: PREPROCESSED_PER_VALUE bytes a value of the labelled scans,
      blosc2 over float32, the mask among it. Spacings are resampled to their median: as many voxels as before.
    - Checkpoints: CHECKPOINTS_KEPT a fold, and one more for each training at a time, of SGD_PER_PARAMETER bytes a
      parameter (ADAM_PER_PARAMETER of MSCSTrainerPaper's).
    - Predicted masks: of every labelled scan for each model, and once more where nnU-Net gathers the folds and
      postprocesses them; of every test scan twice.
    - Probabilities, if several configurations compete: a value a voxel and label, PROBABILITY_PER_VALUE bytes each.

    Args:
        settings: of the run.
        scans: its data set.
        converts: whether the data set is made by the run, or is there already.
        at_a_time: trainings that run side by side.
    """
    ours = own_models(settings)
    models = list(dict.fromkeys([*ours, *rival_models(settings)]))
    raw = scans.values_per_scan * RAW_PER_VALUE + scans.voxels_per_scan * MASK_PER_VOXEL
    results = _checkpoints(models, len(settings.folds), at_a_time) + _predictions(scans, models, len(ours)) + REPORTS
    return {RAW: scans.count * raw if converts else 0, PREPROCESSED: _preprocessed(scans, models), RESULTS: results}


def _preprocessed(scans: Scans, models: Sequence[PlannedModel]) -> float:
    """The cascade's second stage has no data of its own."""
    places = {(model.plans, model.configuration) for model in models if model.configuration != CASCADE}
    each = scans.values_per_scan * PREPROCESSED_PER_VALUE
    return scans.labelled * (len(places) * each + scans.voxels_per_scan * MASK_PER_VOXEL)


def _checkpoints(models: Sequence[PlannedModel], folds: int, at_a_time: int) -> float:
    sizes = [parameters_of(model) * bytes_per_parameter(model) for model in models]
    finished = sum(CHECKPOINTS_KEPT * size + LOGS_PER_TRAINING for size in sizes)
    return folds * finished + at_a_time * max(sizes)


def parameters_of(model: PlannedModel) -> int:
    """Weights of a model's network in 3D, the largest of its configurations, as its planner plans it for stroke MRI."""
    if model.trainer.startswith("MSCS"):
        return PARAMETERS_MSCS_NET
    return PARAMETERS_RESIDUAL if "ResEnc" in model.planner else PARAMETERS_U_NET


def bytes_per_parameter(model: PlannedModel) -> int:
    """Of a checkpoint."""
    return ADAM_PER_PARAMETER if model.trainer.startswith("MSCSTrainerPaper") else SGD_PER_PARAMETER


def _predictions(scans: Scans, models: Sequence[PlannedModel], competing: int) -> float:
    pairs = len(list(combinations(range(competing), 2)))
    masks = scans.labelled * 3 * (len(models) + pairs) + scans.test * 2
    probabilities = len(models) * scans.labelled * scans.labels if competing > 1 else 0
    return scans.voxels_per_scan * (masks * MASK_PER_VOXEL + probabilities * PROBABILITY_PER_VALUE)


# Cases whose headers are read, evenly spread over all.
SAMPLE = 20


@dataclass(frozen=True)
class _Files:
    """One case's."""

    images: tuple[Path, ...]
    mask: Path | None


def measure_scans(settings: RunSettings, folders: Folders) -> Scans:
    """The size of a run's data set, as its source has it.

    Raises:
        MscsError: the source has no known layout or no cases, or no header can be read.
    """
    source = look_at_source(settings, folders)
    labelled, test = _raw_cases(source.raw) if source.is_raw else _source_cases(settings)
    if not labelled:
        raise MscsError(f"{settings.source} holds no labelled case.", "Give the folder that holds scans and masks.")
    sizes = [_sizes(case) for case in _spread(labelled)]
    held_out = round(len(labelled) * settings.test_fraction) if settings.test_fraction else 0
    return Scans(
        labelled=len(labelled) - held_out,
        test=test + held_out,
        values_per_scan=fmean(values for values, _ in sizes),
        voxels_per_scan=fmean(voxels for _, voxels in sizes),
    )


def _spread(cases: Sequence[_Files]) -> list[_Files]:
    step = max(len(cases) // SAMPLE, 1)
    return list(cases[::step][:SAMPLE])


def _raw_cases(raw: Path) -> tuple[list[_Files], int]:
    """Cases of a data set in nnU-Net's raw format, and the number of test cases."""
    content = json.loads((raw / DATASET_JSON).read_text())
    channels, ending = len(content["channel_names"]), content["file_ending"]
    masks = sorted((raw / LABELS_TR).glob(f"*{ending}"))
    names = [mask.name.removesuffix(ending) for mask in masks]
    test = len({file.name.rsplit("_", 1)[0] for file in (raw / IMAGES_TS).glob(f"*{ending}")})
    images = raw / IMAGES_TR
    return [
        _Files(tuple(images / f"{name}_{channel:04d}{ending}" for channel in range(channels)), mask)
        for name, mask in zip(names, masks, strict=True)
    ], test


def _source_cases(settings: RunSettings) -> tuple[list[_Files], int]:
    """Labelled cases of a folder of scans that are no test cases, and the number of the others."""
    from nnunetv2_mscs.dataset_conversion.checking import settle_channels
    from nnunetv2_mscs.dataset_conversion.folders import Folder
    from nnunetv2_mscs.dataset_conversion.layouts import LAYOUTS, detect
    from nnunetv2_mscs.dataset_conversion.unlabelled import find_unlabelled
    from nnunetv2_mscs.scans.findings import Findings

    new = Path(settings.unlabelled) if settings.unlabelled else None
    given = Folder(Path(settings.source), left_out=new)
    layout, folder = (LAYOUTS[settings.layout], given) if settings.layout else detect(given)
    found = settle_channels(layout.find_cases(folder, settings.channels).cases, settings.channels, Findings())
    labelled = [_Files(tuple(case.images.values()), case.mask) for case in found if case.split != "test"]
    test = len(found) - len(labelled)
    if new is not None:
        channels = settings.channels or tuple(name for case in found[:1] for name in case.images if name != COMBINED)
        test += len(find_unlabelled(new, channels or (ADC, DWI)).cases)
    return labelled, test


def _sizes(case: _Files) -> tuple[float, float]:
    """Values of all channels of a case, and voxels of one."""
    try:
        values = [count_values(file) for file in case.images]
        return sum(values), count_values(case.mask) if case.mask else values[0]
    except (OSError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise MscsError(f"A header of {case.images[0].parent} cannot be read: {error}.", "See mscs convert.") from None


def count_values(file: Path) -> int:
    """Numbers that a scan holds, by its header."""
    if is_array_file(file):
        return _count_in_array(file)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    return math.prod(reader.GetSize()) * reader.GetNumberOfComponents()


def _count_in_array(file: Path) -> int:
    if file.suffix.lower() == ".npy":
        return int(np.load(file, mmap_mode="r").size)
    with zipfile.ZipFile(file) as archive:
        return max(_count_in_member(archive, name) for name in archive.namelist())


def _count_in_member(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return math.prod(read(member)[0])
