"""nnU-Net's plans and dataset.json for the original network: its patch, its scaling, its grid of voxels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.preprocessing.normalization.default_normalization_schemes import NoNormalization
from nnunetv2.preprocessing.resampling.no_resampling import no_resampling_hack

from nnunetv2_mscs.keras_import.keras_weights import OriginalSize
from nnunetv2_mscs.keras_import.scaling import SliceMinMaxNormalization
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.planning.topology import MSCS_NET

PLANS_NAME = "KerasPlans"
CONFIGURATION = "3d_fullres"
PLANNER = "import-keras"
SCALINGS = {"slice-minmax": SliceMinMaxNormalization.__name__, "none": NoNormalization.__name__}
# The spacing of the scans that the network was made for; it has no effect where voxels are taken as they are.
USUAL_SPACING = (5.0, 1.2, 1.2)


@dataclass(frozen=True)
class Preprocessing:
    """How images reach the network, and in which patches; axes are z, y, x.

    Args:
        scaling: a key of SCALINGS.
        patch_size: in voxels, each divisible by 16.
        spacing: in mm, to which nnU-Net resamples; None takes voxels as they are, as the original does.
        batch_size: in training.
    """

    scaling: str
    patch_size: Sequence[int]
    spacing: Sequence[float] | None
    batch_size: int


@dataclass(frozen=True)
class DataSet:
    """What plans say about the images that they are for; axes are z, y, x.

    Args:
        name: such as Dataset501_Stroke.
        spacing: the median, in mm.
        shape: the median, in voxels.
        reader: name of nnU-Net's reader and writer of images.
        intensities: nnU-Net's foreground_intensity_properties_per_channel.
    """

    name: str
    spacing: Sequence[float]
    shape: Sequence[float]
    reader: str
    intensities: dict[str, dict]


def no_data_set(channels: int, patch_size: Sequence[int]) -> DataSet:
    """Stands for the authors' own data, which the weights do not describe."""
    return DataSet("Keras", USUAL_SPACING, patch_size, "SimpleITKIO", {str(c): {} for c in range(channels)})


def keras_plans(size: OriginalSize, preprocessing: Preprocessing, data: DataSet) -> dict[str, Any]:
    """Plans with one configuration, `3d_fullres`, that holds the original network."""
    configuration = {
        "data_identifier": f"{PLANS_NAME}_{CONFIGURATION}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": preprocessing.batch_size,
        "patch_size": list(preprocessing.patch_size),
        "median_image_size_in_voxels": list(data.shape),
        "spacing": list(preprocessing.spacing or data.spacing),
        "normalization_schemes": [SCALINGS[preprocessing.scaling]] * size.input_channels,
        "use_mask_for_norm": [False] * size.input_channels,
        **_resampling(resample=preprocessing.spacing is not None),
        "architecture": original_architecture(size.base_features),
        "batch_dice": False,
    }
    return {
        "dataset_name": data.name,
        "plans_name": PLANS_NAME,
        "original_median_spacing_after_transp": list(data.spacing),
        "original_median_shape_after_transp": list(data.shape),
        "image_reader_writer": data.reader,
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": PLANNER,
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": data.intensities,
    }


def original_architecture(base_features: int) -> dict[str, Any]:
    """The plan entry `architecture` from which nnU-Net builds the original network of a width."""
    arguments = MSCSNet.original_arguments(base_features)
    classes = {key: value for key, value in arguments.items() if isinstance(value, type)}
    dotted = {key: f"{value.__module__}.{value.__qualname__}" for key, value in classes.items()}
    return {"network_class_name": MSCS_NET, "arch_kwargs": arguments | dotted, "_kw_requires_import": list(classes)}


def dataset_json(
    channel_names: Sequence[str], num_classes: int, data_set: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """nnU-Net's description of the images that the model takes and the labels that it gives.

    Args:
        channel_names: in order.
        num_classes: of the network, background included.
        data_set: dataset.json of the data set that the model is for; its files' ending is taken, and its labels where
            they are as many as the network's classes.
    """
    lesions = ["lesion"] if num_classes == 2 else [f"class_{label}" for label in range(1, num_classes)]
    labels = {"background": 0} | {name: label for label, name in enumerate(lesions, start=1)}
    data_set = data_set or {}
    own = {name: label for name, label in data_set.get("labels", {}).items() if name != "ignore"}
    fitting = len(own) == num_classes and all(label in own.values() for label in range(num_classes))
    return {
        "channel_names": {str(channel): name for channel, name in enumerate(channel_names)},
        "labels": own if fitting else labels,
        "numTraining": 0,
        "file_ending": data_set.get("file_ending", ".nii.gz"),
    }


def _resampling(*, resample: bool) -> dict[str, Any]:
    if resample:
        planner = ExperimentPlanner.__new__(ExperimentPlanner)  # needs no data set to say how it resamples
        data, data_kwargs, seg, seg_kwargs = planner.determine_resampling()
        probabilities, probabilities_kwargs = planner.determine_segmentation_softmax_export_fn()
    else:
        data = seg = probabilities = no_resampling_hack
        data_kwargs, seg_kwargs, probabilities_kwargs = {}, {}, {}
    return {
        "resampling_fn_data": data.__name__,
        "resampling_fn_data_kwargs": data_kwargs,
        "resampling_fn_seg": seg.__name__,
        "resampling_fn_seg_kwargs": seg_kwargs,
        "resampling_fn_probabilities": probabilities.__name__,
        "resampling_fn_probabilities_kwargs": probabilities_kwargs,
    }
