"""The data set, plan, network and training of a model folder of nnU-Net's, in words."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.nnunet_files.checkpoints import CHECKPOINTS, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.nnunet_files.model_folder import DEBUG_JSON, fold_folders, is_model_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.reporting.report.content import Subject

NORMALISATIONS = {
    "ZScoreNormalization": "by each image's own mean and standard deviation",
    "CTNormalization": "clipped and scaled by the data set's own intensities",
    "NoNormalization": "not at all",
    "RescaleTo01Normalization": "from each image's minimum and maximum to [0, 1]",
    "RGBTo01Normalization": "from [0, 255] to [0, 1]",
    "ADCNormalization": "by its unit (0 to 0.003 mm²/s)",
    "DWINormalization": "by the median of its parenchyma",
    "SliceMinMaxNormalization": "each slice from its minimum and maximum to [0, 1]",
}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
UNNAMED = "Data set of unknown name"
CLASS_NAME = re.compile(r"[A-Za-z_]\w*")


def model_folder_of(evaluation: Evaluation) -> Path | None:
    """The model folder whose predictions, or whose fold's, were evaluated; None if there is none any more."""
    place = Path(evaluation.predictions)
    return next((folder for folder in (place, *place.parents[:2]) if is_model_folder(folder)), None)


def subjects_of_data(evaluation: Evaluation, model: Path | None) -> list[Subject]:
    """The data set and its reference lesions."""
    subjects = []
    if model is not None:
        sentences = _data_set(
            read_json_if_there(model / DATASET_JSON), read_json_if_there(model / PLANS_JSON), _fingerprint(model)
        )
        subjects.append(Subject("Data set", tuple(sentences)))
    for label, name in evaluation.labels.items():
        title = "Reference lesions" if len(evaluation.labels) == 1 else f"Reference, {name}"
        subjects.append(Subject(title, tuple(_reference(evaluation, label))))
    return subjects


def subjects_of_model(model: Path) -> list[Subject]:
    """Plan, network and training of a model folder."""
    plans = read_json_if_there(model / PLANS_JSON)
    configuration_name = model.name.split("__")[-1] if "__" in model.name else ""
    configuration = configuration_of(plans, configuration_name)
    folds = list(fold_folders(model, numbered=True).values())
    debug = record_of_training(folds)
    subjects = []
    if configuration:
        subjects.append(Subject("Plan", tuple(_plan(plans, configuration_name, configuration, model))))
        subjects.append(Subject("Network", tuple(_network(configuration, debug, folds))))
    subjects.append(Subject("Training", tuple(_training(model, debug, folds))))
    return subjects


def record_of_training(folds: Sequence[Path]) -> Mapping[str, Any]:
    """What nnU-Net noted of the training of the first fold that has such a record; empty without one."""
    return next((found for fold in folds if (found := read_json_if_there(fold / DEBUG_JSON))), {})


def _data_set(dataset: Mapping[str, Any], plans: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> list[str]:
    name = plans.get("dataset_name") or dataset.get("name") or UNNAMED
    channels = list(dataset.get("channel_names", {}).values())
    labels = [label for label in dataset.get("labels", {}) if label != "background"]
    cases = dataset.get("numTraining")
    sentences = [
        f"{name}"
        + (f": {cases} training cases" if cases else "")
        + (f" with {_channels(channels)}" if channels else "")
        + (f", labelled {listed(labels)}." if labels else ".")
    ]
    size, spacing = plans.get("original_median_shape_after_transp"), plans.get("original_median_spacing_after_transp")
    if size and spacing:
        backward = plans.get("transpose_backward", range(len(size)))
        size, spacing = ([values[axis] for axis in backward] for values in (size, spacing))
        sentences.append(f"The median case has {times(size)} voxels of {times(spacing)} mm{_range(fingerprint)}.")
    if dataset.get("adc_unit"):
        unit = str(dataset["adc_unit"]).replace("^-6", "⁻⁶").replace("^-3", "⁻³").replace("mm2", "mm²")
        sentences.append(f"The ADC is in {unit}.")
    return sentences


def _range(fingerprint: Mapping[str, Any]) -> str:
    """The distance of the cases' slices, as a range if it differs."""
    spacings = fingerprint.get("spacings") or []
    thickness = [float(spacing[0]) for spacing in spacings]
    if not thickness:
        return ""
    if max(thickness) - min(thickness) < 0.01:
        return f", the same slice thickness in all {len(thickness)}" if len(thickness) > 1 else ""
    return f"; slices are {min(thickness):g} to {max(thickness):g} mm apart"


def _reference(evaluation: Evaluation, label: str) -> list[str]:
    results = evaluation.of_label(label)
    volumes = results["volume_reference_ml"][~results["reference_empty"]]
    pieces = int(results["lesion_count_reference"].sum())
    if volumes.empty:
        return [f"None of the {len(results)} cases holds a lesion in the reference."]
    how_many = f"{len(volumes)} of {len(results)} case{'s' * (len(results) > 1)}"
    hold = (
        f"{how_many} hold{'s' * (len(volumes) == 1)} a lesion in the reference, in {pieces} piece{'s' * (pieces > 1)}"
    )
    if len(volumes) == 1:
        return [f"{hold} of {volumes.iloc[0]:.2f} mL altogether."]
    return [
        f"{hold} altogether.",
        f"Their volumes are {volumes.min():.2f} to {volumes.max():.1f} mL, median {volumes.median():.1f} mL.",
    ]


def _plan(plans: Mapping[str, Any], name: str, configuration: Mapping[str, Any], model: Path) -> list[str]:
    planner = plans.get("experiment_planner_used", "")
    patch, spacing = configuration.get("patch_size", []), configuration.get("spacing", [])
    what = "slices" if len(patch) == 2 else "patches"
    sentences = [f"{plans.get('plans_name', 'Plans')}{f' by {planner}' if planner else ''}, configuration {name}."]
    if patch and spacing:
        sentences.append(
            f"The network sees {what} of {times(patch)} voxels at {times(spacing)} mm, "
            f"{configuration.get('batch_size', '?')} in a batch."
        )
    channels = list(read_json_if_there(model / DATASET_JSON).get("channel_names", {}).values())
    schemes = configuration.get("normalization_schemes", [])
    if schemes and len(set(schemes)) == 1:
        sentences.append(f"Images are scaled {normalisation(schemes[0])}.")
    elif len(schemes) == len(channels):
        scaled = (f"{channel} {normalisation(scheme)}" for channel, scheme in zip(channels, schemes, strict=True))
        sentences.append(f"Images are scaled: {'; '.join(scaled)}.")
    return sentences


def normalisation(scheme: str) -> str:
    return NORMALISATIONS.get(scheme, f"by {scheme}")


def _network(configuration: Mapping[str, Any], debug: Mapping[str, Any], folds: Sequence[Path]) -> list[str]:
    planned, name = network_names(configuration, debug)
    stages = len(configuration.get("architecture", {}).get("arch_kwargs", {}).get("strides", []))
    parameters = count_parameters(folds)
    sentence = name or "A network that the plans do not name"
    if parameters:
        sentence += f", {parameters / 1e6:.1f} million parameters"
    if stages:
        sentence += f", {stages} resolutions"
    instead = f"The plans name {planned}; the trainer put its own network in its place." if planned != name else ""
    return [f"{sentence}.", *([instead] if planned and instead else [])]


def network_names(configuration: Mapping[str, Any], debug: Mapping[str, Any]) -> tuple[str, str]:
    """The network that the plans name, and the one that was trained; empty where no file says it."""
    planned = str(configuration.get("architecture", {}).get("network_class_name", "")).split(".")[-1]
    trained = str(debug.get("network", ""))
    return planned, trained if CLASS_NAME.fullmatch(trained) and trained != "OptimizedModule" else planned


def _training(model: Path, debug: Mapping[str, Any], folds: Sequence[Path]) -> list[str]:
    trainer = model.name.split("__")[0] if "__" in model.name else "of unknown name"
    sentences = [f"Trainer {trainer}, {len(folds)} fold{'s' * (len(folds) != 1)}."]
    epochs, iterations = debug.get("num_epochs"), debug.get("num_iterations_per_epoch")
    if epochs and iterations:
        rate = f", learning rate {debug['initial_lr']} at the start" if debug.get("initial_lr") else ""
        optimiser = CLASS_NAME.match(str(debug.get("optimizer", "")))
        sentences.append(
            f"{epochs} epochs of {iterations} iterations at most"
            + (f" with {optimiser[0]}" if optimiser and optimiser[0] != "None" else "")
            + f"{rate}."
        )
    if debug.get("device"):
        sentences.append(
            f"Trained on {debug['device']}"
            + (f" with PyTorch {debug['torch_version']}." if debug.get("torch_version") else ".")
        )
    return sentences


def count_parameters(folds: Sequence[Path]) -> int | None:
    """The number of trained parameters in the first checkpoint of the folds that can be read; None if none can."""
    return next((count for fold in folds for file in CHECKPOINTS if (count := _parameters(fold / file))), None)


def _parameters(checkpoint: Path) -> int | None:
    """The number of trained parameters in a checkpoint; None if it cannot be read without running its code."""
    if not checkpoint.is_file():
        return None
    try:
        weights = read_checkpoint(checkpoint)["network_weights"]
    except (MscsError, KeyError):
        return None
    if not isinstance(weights, Mapping):
        return None
    # Encoder and decoder share modules, so that a tensor stands under several names.
    tensors = {
        (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape)): tensor.numel()
        for name, tensor in weights.items()
        if hasattr(tensor, "untyped_storage") and not name.endswith(BUFFERS)
    }
    return sum(tensors.values()) or None


def configuration_of(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with the values that it inherits; empty if the plans have none of this name."""
    configuration = plans.get("configurations", {}).get(name, {})
    parent = configuration.get("inherits_from", "")
    return {**(configuration_of(plans, parent) if parent and parent != name else {}), **configuration}


def _fingerprint(model: Path) -> Mapping[str, Any]:
    return read_json_if_there(model / FINGERPRINT)


def times(values: Sequence[float]) -> str:
    """Values in nnU-Net's order z, y, x as text in the order x × y × z."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{value:.4g}" for value in reversed(values))


def _channels(names: Sequence[str]) -> str:
    return f"{'channels' if len(names) > 1 else 'the channel'} {listed(names)}"


def listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
