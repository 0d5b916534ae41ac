"""A trained model that takes new scans: loaded once, called often."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.light_imports import import_for_prediction
from nnunetv2_mscs.models.prediction import Prediction, mirrored_contrast
from nnunetv2_mscs.models.ranges import range_warnings
from nnunetv2_mscs.models.shipped import SHIPPED
from nnunetv2_mscs.models.source import MIN_LESION, THRESHOLD, ModelSource, find_model
from nnunetv2_mscs.scans.alignment import turn
from nnunetv2_mscs.scans.channels import ADC, B0, DWI, Channel, ReadingRules, ScanFiles
from nnunetv2_mscs.scans.dicom_study import DicomScan
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.lesions import lesions_of, without_small
from nnunetv2_mscs.scans.new_scan import NewChannels, NewScan, make_new_scan, read_new_channels
from nnunetv2_mscs.scans.plausible import LARGEST_LESION_ML
from nnunetv2_mscs.scans.reading import Volume, volume_of
from nnunetv2_mscs.scans.scan import Scan

Image = str | Path | np.ndarray | sitk.Image
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class ReadScan:
    """A scan that is read, for `Predictor.predict_read`.

    Args:
        made: the scan as harmonised.
        turned: the same along the model's axes.
        seconds: that reading took.
    """

    made: NewScan
    turned: Scan
    seconds: float


class Predictor:
    """Masks of new scans by a trained model.

    Args:
        model: a model folder, the folder of a data set's models, a data set's id or name in nnUNet_results (its best
            configuration or ensemble, with its postprocessing), or a zip of `mscs export`. What `find_model` has found
            does, too.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for a GPU of CUDA if there is one.
        precision: of a network on a CPU: "float32", "bfloat16", or "auto" for bfloat16 where the CPU has tiles for it
            (Intel's AMX), which halves the time and changes masks by few voxels.
        engine: what computes the networks: "torch", "openvino" (a CPU, and the extra of that name), or "auto" for
            OpenVINO where it is installed and the device is a CPU. In float32 the probabilities are the same within
            1e-3. OpenVINO takes a network in a form of its own, which is made once for each model and kept.
        fast: predict with the first fold of the first model alone, without mirroring.
        threshold: the lesion probability from which a voxel is lesion; None for the model's own, which is 0.5 if it
            has none.
        min_lesion_ml: smaller lesions are left out; None for the model's own, which is 0 if it has none.

    Raises:
        MscsError: there is no such model, or it is incomplete; or OpenVINO is asked for and cannot be used.

    Example:
        >>> predictor = Predictor("Dataset501_Stroke")  # doctest: +SKIP
        >>> prediction = predictor.predict(adc="adc.nii.gz", dwi="dwi.nii.gz")  # doctest: +SKIP
        >>> prediction.lesion_volume_ml  # doctest: +SKIP
        12.3
    """

    def __init__(
        self,
        model: str | Path | ModelSource = SHIPPED,
        device: str = "auto",
        *,
        precision: str = "auto",
        engine: str = "auto",
        fast: bool = False,
        threshold: float | None = None,
        min_lesion_ml: float | None = None,
    ):
        import torch

        import_for_prediction()
        from nnunetv2_mscs.models.engines import choose_engine
        from nnunetv2_mscs.models.networks import Networks
        from nnunetv2_mscs.network.precision import fastest_precision

        source = model if isinstance(model, ModelSource) else find_model(model)
        self.model_name = source.name
        self.channels = source.channels
        self.fast = fast
        self.threshold = source.default(THRESHOLD, DEFAULT_THRESHOLD) if threshold is None else threshold
        self.min_lesion_ml = source.default(MIN_LESION, 0.0) if min_lesion_ml is None else min_lesion_ml
        if not 0 < self.threshold < 1:
            raise MscsError(f"The threshold is {self.threshold:g}.", "Choose one between 0 and 1.")
        self.device = device = _usable(device)
        self._source = source
        self._axes = source.axes
        self._trained_adc_unit = source.dataset_json.get("adc_unit")
        self.weights_digest = source.weights_digest(fast=fast)
        self.precision = fastest_precision(torch.device(device)) if precision == "auto" else precision
        self.engine = choose_engine(engine, torch.device(device))
        self._networks = Networks(
            source, torch.device(device), fast=fast, precision=self.precision, engine=self.engine.name
        )

    def predict(
        self,
        *,
        adc: Image | None = None,
        dwi: Image | None = None,
        b0: Image | None = None,
        others: Mapping[str, Image] | None = None,
        b_value: float | None = None,
        spacing: Sequence[float] | None = None,
    ) -> Prediction:
        """Predict one scan.

        Args:
            adc: the ADC map, in any of the usual units; may be left out if there is a b0.
            dwi: the diffusion-weighted image; a 4D file with its .bval file beside it holds the b0, too.
            b0: the image without diffusion weighting, from which the ADC is computed.
            others: further channels of the model (`Predictor.channels`) by name, such as {"FLAIR": "flair.nii.gz"}.
            b_value: of the DWI in s/mm2, where no file records it.
            spacing: voxel size x, y, z in mm of arrays, which are (Z, Y, X).

        Returns:
            Mask, probabilities and volumes on the grid of the DWI as stored, or of the model's first channel if there
            is no DWI; warnings.

        Raises:
            MscsError: the model has no channel of a name in `others`.
            ScanError: an image cannot be read, or the scan cannot be what it is said to be.
        """
        given = {name: image for name, image in ((ADC, adc), (DWI, dwi), (B0, b0)) if image is not None}
        given |= {channel_called(name, self.channels): image for name, image in (others or {}).items()}
        rules = self._rules(None if spacing is None else tuple(map(float, spacing)))
        files = {name: Path(image) for name, image in given.items() if isinstance(image, (str, Path))}
        start = perf_counter()
        new = self._read(ScanFiles(files), rules, b_value) if files else NewChannels({}, b_value)
        for name, image in given.items():
            if not isinstance(image, (str, Path)):
                new.channels[name] = _in_memory(name, image, rules)
        return self.predict_read(self._made(new, rules, start))

    def predict_files(
        self, files: ScanFiles, *, b_value: float | None = None, spacing: tuple[float, ...] | None = None
    ) -> Prediction:
        """Predict a scan that was found in a folder; as `predict`."""
        return self.predict_read(self.read_files(files, b_value=b_value, spacing=spacing))

    def predict_dicom(self, scan: DicomScan) -> Prediction:
        """Predict a DICOM study whose series are chosen; as `predict`."""
        return self.predict_read(self.read_dicom(scan))

    def read_files(
        self, files: ScanFiles, *, b_value: float | None = None, spacing: tuple[float, ...] | None = None
    ) -> ReadScan:
        """Read a scan, in any thread, for `predict_read`."""
        rules, start = self._rules(spacing), perf_counter()
        return self._made(self._read(files, rules, b_value), rules, start)

    def read_dicom(self, scan: DicomScan) -> ReadScan:
        """Put a DICOM study together, in any thread, for `predict_read`."""
        return self._made(scan.new, ReadingRules(), perf_counter())

    def _rules(self, spacing: tuple[float, ...] | None) -> ReadingRules:
        """How scans are read; the volumes of a 4D file are this model's channels if it has others than ADC and DWI."""
        return ReadingRules(spacing=spacing, channel_names=self.channels if set(self.channels) - {ADC, DWI} else ())

    def _read(self, files: ScanFiles, rules: ReadingRules, b_value: float | None) -> NewChannels:
        return read_new_channels(files, rules, wanted=self.channels, b_value=b_value)

    def _made(self, new: NewChannels, rules: ReadingRules, start: float) -> ReadScan:
        made = make_new_scan(new, self.channels, rules)
        return ReadScan(made, made.scan.turned_to(self._axes), perf_counter() - start)

    def predict_read(self, read: ReadScan) -> Prediction:
        """Predict a scan that is read."""
        made, turned = read.made, read.turned
        array = np.stack([turned.channels[name] for name in self.channels])
        probabilities, seconds = self._networks.probabilities(array, [float(s) for s in turned.grid.spacing[::-1]])
        start = perf_counter()
        labels, lesion = self._labels(probabilities, turned.grid.voxel_volume_ml)
        stored = made.scan.grid
        labels, lesion = (np.ascontiguousarray(turn(one[None], turned.grid, stored)[0][0]) for one in (labels, lesion))
        return self._measured(
            made, labels, lesion, {"read": read.seconds, **seconds, "measure": perf_counter() - start}
        )

    def _labels(self, probabilities: np.ndarray, voxel_volume_ml: float) -> tuple[np.ndarray, np.ndarray]:
        """Labels, and the lesion probability of each voxel."""
        labels = self._networks.labels
        if labels.has_regions:
            lesion = probabilities.max(axis=0)
            found = np.zeros(lesion.shape, dtype=np.uint8)
            for head, value in zip(probabilities, labels.regions_class_order, strict=True):
                found[head > self.threshold if self.threshold == DEFAULT_THRESHOLD else head >= self.threshold] = value
        else:
            lesion = 1 - probabilities[0]
            if self.threshold == DEFAULT_THRESHOLD:
                found = np.asarray(labels.convert_probabilities_to_segmentation(probabilities)).astype(np.uint8)
            else:
                kinds = np.array(labels.foreground_labels, dtype=np.uint8)[probabilities[1:].argmax(axis=0)]
                found = np.where(lesion >= self.threshold, kinds, 0).astype(np.uint8)
        found = self._networks.postprocess(found).astype(np.uint8)
        return without_small(found, self.min_lesion_ml, voxel_volume_ml), lesion.astype(np.float32)

    def _measured(self, made: NewScan, labels: np.ndarray, lesion: np.ndarray, seconds: dict[str, float]) -> Prediction:
        scan = made.scan
        warnings = [_sentence(one.file, one.finding) for one in made.findings if one.severity == "warning"]
        warnings += range_warnings(made, self._source.first_folder, self._trained_adc_unit)
        inside = labels > 0
        volumes = lesions_of(labels, scan.grid.voxel_volume_ml)
        if made.measured and sum(volumes) > LARGEST_LESION_ML:
            warnings.append(f"the mask has {sum(volumes):.0f} mL, more than any lesion fills: the model failed here")
        adc = scan.channels.get(ADC)
        return Prediction(
            mask=labels,
            probabilities=lesion,
            grid=scan.grid,
            lesion_volumes_ml=volumes,
            largest_probability=float(lesion.max()),
            mean_adc=float(adc[inside].mean()) if adc is not None and inside.any() else None,
            relative_dwi=mirrored_contrast(scan, inside) if DWI in scan.channels else None,
            b_value=made.b_value,
            adc_unit=scan.adc_unit,
            warnings=tuple(warnings),
            notes=tuple(_sentence(one.file, one.finding) for one in made.findings if one.severity == "note"),
            seconds={step: round(value, 3) for step, value in seconds.items()},
            scan=made,
        )


def channel_called(name: str, channels: Sequence[str]) -> str:
    """The channel of a model by its name in any case; raises MscsError if it has none of that name."""
    found = next((one for one in channels if one.lower() == name.lower()), "")
    if not found:
        raise MscsError(f"The model has no channel {name}.", f"Its channels are {', '.join(channels)}.")
    return found


def _sentence(file: str, finding: str) -> str:
    """A finding with the name of its file, without the folders that it lies in."""
    name = Path(file).name
    return f"{name}: {finding}" if name else finding


def _in_memory(name: str, image: Any, rules: ReadingRules) -> Channel:
    """An image given as an array or an ITK image."""
    path = Path(name)
    if isinstance(image, sitk.Image):
        volume = volume_of(image, path)
    else:
        array = np.asarray(image)
        if array.ndim != 3:
            raise ScanError(f"the {name} has shape {array.shape}", "Give an array of (Z, Y, X).", path)
        if rules.spacing is None:
            raise ScanError(f"the {name} is an array, which knows no voxel size", "Give spacing=(x, y, z) in mm.", path)
        volume = Volume(array[None], Grid(array.shape[::-1], rules.spacing), has_geometry=False)
    if len(volume.array) != 1:
        raise ScanError(f"the {name} holds {len(volume.array)} volumes", "Give one volume.", path)
    if volume.array.dtype.kind not in "biuf":
        raise ScanError(f"the {name} holds {volume.array.dtype} values, not real numbers", "Give numbers.", path)
    return Channel(path, volume, assumed=False)


def _usable(device: str) -> str:
    """The device by a name of PyTorch's, or for "auto" the one to take; MscsError if this machine has none of it."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        named = torch.device(device)
    except RuntimeError:
        named = None
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if named is None or named.type not in there:
        raise MscsError(f"{device!r} is no device to predict on.", "Choose cpu, cuda, cuda:1, mps or auto.")
    if (named.index or 0) >= there[named.type]:
        found = f"PyTorch sees {there[named.type]} of {named.type}"
        raise MscsError(f"There is no device {device} here: {found}.", "Choose cpu, or see mscs doctor.")
    return device
