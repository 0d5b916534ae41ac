"""One import: read, check, and only then write."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.data_set import TrainingData, find_training_data
from nnunetv2_mscs.keras_import.keras_files import KerasFile, read_keras_file
from nnunetv2_mscs.keras_import.keras_weights import OriginalSize, original_size
from nnunetv2_mscs.keras_import.model_folder import refuse_taken_folder, write_model_folder
from nnunetv2_mscs.keras_import.plans import Preprocessing, dataset_json, keras_plans, no_data_set

DEFAULT_CHANNELS = ("ADC", "DWI")


@dataclass(frozen=True)
class ImportRequest:
    """What `mscs import-keras` is asked for.

    Args:
        weights: a file of Keras.
        model_folder: to be written.
        preprocessing: see there.
        channels: names of the network's channels, in order; empty for the data set's or the original's.
        dataset_id: of the data set that is to have plans too.
        overwrite: whether a former model folder, and former plans of the data set, may be replaced.
    """

    weights: Path
    model_folder: Path
    preprocessing: Preprocessing
    channels: Sequence[str] = ()
    dataset_id: int | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Imported:
    """What was found and written."""

    file: KerasFile
    size: OriginalSize
    channels: Sequence[str]
    plans_file: Path | None

    @property
    def parameters(self) -> int:
        """As Keras counts them, running statistics included."""
        return sum(array.size for array in self.file.arrays.values())


def import_keras(request: ImportRequest) -> Imported:
    """Write the model folder, and the plans of the data set if there is one.

    Raises:
        MscsError: if the file is not MSCS-Net's, or something does not fit; nothing is written then.
    """
    refuse_taken_folder(request.model_folder, overwrite=request.overwrite)
    file = read_keras_file(request.weights)
    try:
        size = original_size(file.arrays)
    except ValueError as error:
        raise MscsError(
            f"{request.weights} does not hold MSCS-Net: {error}", "Only the original's network can be imported."
        ) from error
    data = None if request.dataset_id is None else _training_data(request, size)
    channels = _channel_names(request.channels, size, data)
    preprocessing = request.preprocessing
    facts = no_data_set(size.input_channels, preprocessing.patch_size) if data is None else data.facts
    plans = keras_plans(size, preprocessing, facts)
    write_model_folder(
        request.model_folder,
        arrays=file.arrays,
        size=size,
        plans=plans,
        dataset_json=dataset_json(channels, size.num_classes, None if data is None else data.description),
        overwrite=request.overwrite,
        together_with=nullcontext() if data is None else data.plans_laid_down(plans),
    )
    return Imported(file, size, channels, None if data is None else data.plans_file)


def _training_data(request: ImportRequest, size: OriginalSize) -> TrainingData:
    assert request.dataset_id is not None
    data = find_training_data(request.dataset_id)
    if len(data.channel_names) != size.input_channels:
        raise MscsError(
            f"{data.facts.name} has the channels {', '.join(data.channel_names)}; the network takes "
            f"{size.input_channels}.",
            "Convert the scans again, choosing with --channels.",
        )
    if data.plans_file.exists() and not request.overwrite:
        raise MscsError(f"{data.plans_file} exists.", "Replace it with --overwrite.")
    return data


def _channel_names(asked: Sequence[str], size: OriginalSize, data: TrainingData | None) -> Sequence[str]:
    if asked and len(asked) != size.input_channels:
        raise MscsError(
            f"The network takes {size.input_channels} channels, and --channels names {len(asked)}.",
            "Name as many, in the order of the training.",
        )
    if asked or data is not None:
        return asked or data.channel_names  # type: ignore[union-attr]
    if size.input_channels == len(DEFAULT_CHANNELS):
        return DEFAULT_CHANNELS
    return [f"channel_{channel}" for channel in range(size.input_channels)]
