"""The data set, plan, network and training of a model folder of nnU-Net's, in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.nnunet_files.checkpoints import CHECKPOINTS, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.nnunet_files.model_folder import DEBUG_JSON, fold_folders, is_model_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON, configuration_of
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
UNNAMED_DATA_SET = "Data set of unknown name"
CLASS_NAME = re.compile(r"[A-Za-z_]\w*")


def model_folder_of(evaluation: Evaluation) -> Path | None:
    """The model folder that the evaluated predictions lie in; None if it is not there (any more)."""
    place = Path(evaluation.predictions)
    return next((folder for folder in (place, *place.parents[:2]) if is_model_folder(folder)), None)


@dataclass(frozen=True)
class ModelRecord:
    """What the files of a model folder record; empty where a file is missing or damaged.

    `training` holds nnU-Net's notes (debug.json) of the first of the numbered folds that has them.
    """

    folder: Path
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    folds: tuple[Path, ...]
    training: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "ModelRecord":
        folds = tuple(fold_folders(folder, numbered=True).values())
        training = next((found for fold in folds if (found := read_json_if_there(fold / DEBUG_JSON))), {})
        return cls(
            folder, read_json_if_there(folder / PLANS_JSON), read_json_if_there(folder / DATASET_JSON), folds, training
        )

    @property
    def trainer(self) -> str:
        return self.folder.name.split("__")[0] if "__" in self.folder.name else ""

    @property
    def configuration_name(self) -> str:
        return self.folder.name.split("__")[-1] if "__" in self.folder.name else ""

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration with the values that it inherits; empty if the plans do not have it."""
        return configuration_of(self.plans.get("configurations", {}), self.configuration_name)

    @property
    def channels(self) -> list[str]:
        return list(self.dataset.get("channel_names", {}).values())

    @property
    def planned_network(self) -> str:
        """The network that the plans name; empty if they name none."""
        return str(self.configuration.get("architecture", {}).get("network_class_name", "")).split(".")[-1]

    @property
    def network(self) -> str:
        """The network that was trained; empty where no file says it."""
        trained = str(self.training.get("network", ""))
        return trained if CLASS_NAME.fullmatch(trained) and trained != "OptimizedModule" else self.planned_network

    @property
    def resolutions(self) -> int:
        return len(self.configuration.get("architecture", {}).get("arch_kwargs", {}).get("strides", []))

    @property
    def epochs(self) -> str:
        """Such as "1000 epochs of 250 iterations"; empty if it is not recorded."""
        epochs, iterations = (self.training.get(key) for key in ("num_epochs", "num_iterations_per_epoch"))
        return f"{epochs} epochs of {iterations} iterations" if epochs and iterations else ""

    @property
    def optimiser(self) -> str:
        """The class of the optimiser; empty if it is not recorded."""
        name = CLASS_NAME.match(str(self.training.get("optimizer", "")))
        return name[0] if name and name[0] != "None" else ""

    @property
    def torch(self) -> str:
        version = self.training.get("torch_version")
        return f" with PyTorch {version}" if version else ""

    @cached_property
    def parameters(self) -> str:
        """The size of the first checkpoint that can be read, such as "8.5 million parameters"; empty without one."""
        counts = (_count_parameters(fold / file) for fold in self.folds for file in CHECKPOINTS)
        count = next((count for count in counts if count), 0)
        return f"{count / 1e6:.1f} million parameters" if count else ""


def subjects_of_data(evaluation: Evaluation, model: Path | None) -> list[Subject]:
    """The data set and its reference lesions."""
    subjects = [Subject("Data set", tuple(_data_set(ModelRecord.read(model))))] if model is not None else []
    for label, name in evaluation.labels.items():
        title = "Reference lesions" if len(evaluation.labels) == 1 else f"Reference, {name}"
        subjects.append(Subject(title, tuple(_reference(evaluation, label))))
    return subjects


def subjects_of_model(folder: Path) -> list[Subject]:
    """Plan, network and training of a model folder."""
    model = ModelRecord.read(folder)
    planned = {"Plan": _plan(model), "Network": _network(model)} if model.configuration else {}
    return [Subject(title, tuple(said)) for title, said in {**planned, "Training": _training(model)}.items()]


def _data_set(model: ModelRecord) -> list[str]:
    dataset, plans, channels = model.dataset, model.plans, model.channels
    name = plans.get("dataset_name") or dataset.get("name") or UNNAMED_DATA_SET
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
        sentences.append(f"The median case has {times(size)} voxels of {times(spacing)} mm{_range(model.folder)}.")
    if dataset.get("adc_unit"):
        unit = str(dataset["adc_unit"]).replace("^-6", "⁻⁶").replace("^-3", "⁻³").replace("mm2", "mm²")
        sentences.append(f"The ADC is in {unit}.")
    return sentences


def _range(folder: Path) -> str:
    """The distance of the cases' slices, as a range if it differs."""
    spacings = read_json_if_there(folder / FINGERPRINT).get("spacings") or []
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


def _plan(model: ModelRecord) -> list[str]:
    plans, configuration = model.plans, model.configuration
    planner = plans.get("experiment_planner_used", "")
    patch, spacing = configuration.get("patch_size", []), configuration.get("spacing", [])
    by = f" by {planner}" if planner else ""
    sentences = [f"{plans.get('plans_name', 'Plans')}{by}, configuration {model.configuration_name}."]
    if patch and spacing:
        sentences.append(
            f"The network sees {'slices' if len(patch) == 2 else 'patches'} of {times(patch)} voxels at "
            f"{times(spacing)} mm, {configuration.get('batch_size', '?')} in a batch."
        )
    schemes = configuration.get("normalization_schemes", [])
    if schemes and len(set(schemes)) == 1:
        sentences.append(f"Images are scaled {normalisation(schemes[0])}.")
    elif len(schemes) == len(model.channels):
        scaled = (f"{channel} {normalisation(scheme)}" for channel, scheme in zip(model.channels, schemes, strict=True))
        sentences.append(f"Images are scaled: {'; '.join(scaled)}.")
    return sentences


def normalisation(scheme: str) -> str:
    return NORMALISATIONS.get(scheme, f"by {scheme}")


def _network(model: ModelRecord) -> list[str]:
    size = [model.parameters, f"{model.resolutions} resolutions" if model.resolutions else ""]
    facts = [model.network or "A network that the plans do not name", *filter(None, size)]
    sentences = [f"{', '.join(facts)}."]
    if model.planned_network not in ("", model.network):
        sentences.append(f"The plans name {model.planned_network}; the trainer put its own network in its place.")
    return sentences


def _training(model: ModelRecord) -> list[str]:
    record, folds = model.training, len(model.folds)
    sentences = [f"Trainer {model.trainer or 'of unknown name'}, {folds} fold{'s' * (folds != 1)}."]
    if model.epochs:
        optimiser = f" with {model.optimiser}" if model.optimiser else ""
        rate = f", learning rate {record['initial_lr']} at the start" if record.get("initial_lr") else ""
        sentences.append(f"{model.epochs} at most{optimiser}{rate}.")
    if record.get("device"):
        sentences.append(f"Trained on {record['device']}{model.torch}.")
    return sentences


def _count_parameters(checkpoint: Path) -> int:
    """The number of trained parameters in a checkpoint; 0 if it cannot be read without running its code."""
    try:
        weights = read_checkpoint(checkpoint)["network_weights"] if checkpoint.is_file() else {}
    except (MscsError, KeyError):
        return 0
    if not isinstance(weights, Mapping):
        return 0
    # Encoder and decoder share modules, so that a tensor stands under several names.
    tensors = {
        (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape)): tensor.numel()
        for name, tensor in weights.items()
        if hasattr(tensor, "untyped_storage") and not name.endswith(BUFFERS)
    }
    return sum(tensors.values())


def times(values: Sequence[float]) -> str:
    """Values in nnU-Net's order z, y, x as text in the order x × y × z."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{value:.4g}" for value in reversed(values))


def _channels(names: Sequence[str]) -> str:
    return f"{'channels' if len(names) > 1 else 'the channel'} {listed(names)}"


def listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
