"""`mscs export --onnx`: a model's network for other runtimes, and in a JSON beside it all that happens around it."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.predictor import DEFAULT_THRESHOLD
from nnunetv2_mscs.models.source import MIN_LESION, THRESHOLD, ModelSource, find_model
from nnunetv2_mscs.nnunet_files.checkpoints import WEIGHTS, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json, read_json_if_there
from nnunetv2_mscs.nnunet_files.model_folder import POSTPROCESSING, fold_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.sharing.compatibility import VERSIONS, build_network, find_trainer
from nnunetv2_mscs.sharing.manifest import versions_here
from nnunetv2_mscs.sharing.plans import check_plans, quiet
from nnunetv2_mscs.workplace.whole_files import whole_file, write_whole

FORMAT = "nnunetv2-mscs onnx 1"
EXTRA = 'Type: pip install "nnunetv2-mscs[onnx]"'
IMAGE, LOGITS, BATCH = "image", "logits", "batch"
# An ONNX file is a message of at most 2 GiB.
LARGEST_BYTES = 2_000_000_000
# As nnU-Net predicts.
STEP, SIGMA = 0.5, 1 / 8


@dataclass(frozen=True)
class OnnxFiles:
    """What was written: the network, its description, and the model's name."""

    network: Path
    description: Path
    model: str


def export_onnx(file: Path, model: str, *, folds: Sequence[str] = (), overwrite: bool = False) -> OnnxFiles:
    """Write the network of a model as ONNX, and FILE.json beside it.

    Several folds become one network, whose logits are the mean of theirs, as nnU-Net predicts.

    Args:
        file: to write, ending in .onnx.
        model: as of `mscs predict`.
        folds: those wanted; without, those that predict.
        overwrite: replace former files.

    Raises:
        MscsError: there is no such model, it is more than one network can do, or the files cannot be written.
    """
    description = file.with_name(f"{file.name}.json")
    _refuse(file, description, overwrite=overwrite)
    source = find_model(model)
    models = source.selection.models
    if len(models.models) > 1 or models.models[0].previous_stage:
        kind = "an ensemble" if len(models.models) > 1 else "a cascade"
        raise MscsError(f"{source.name} is {kind}, and an ONNX file holds one network.", "Name one model's folder.")
    configuration = models.models[0].configuration
    folder = source.first_folder
    unknown = [fold for fold in folds if fold not in models.folds]
    if unknown:
        raise MscsError(f"{source.name} has no fold {unknown[0]}.", f"Its folds are {', '.join(models.folds)}.")
    chosen = tuple(fold for fold in models.folds if not folds or fold in folds)
    check_plans(folder, configuration, trust=None)
    plans, dataset = read_json(folder / PLANS_JSON), read_json(folder / DATASET_JSON)
    contents = [read_checkpoint(fold_folder(folder, fold) / models.checkpoint) for fold in chosen]
    trainer = str(contents[0].get("trainer_name"))
    networks = []
    for fold, content in zip(chosen, contents, strict=True):
        network = build_network(find_trainer(trainer)[0], trainer, plans, dataset, configuration, "cpu")
        try:
            network.load_state_dict(content.get(WEIGHTS))
        except (RuntimeError, TypeError, AttributeError) as error:
            raise MscsError(f"{folder}, fold {fold}: the weights do not fit the network here.", VERSIONS) from error
        networks.append(network)
    with quiet():
        facts = _facts_of_plans(plans, dataset, configuration)
    shape = [len(source.channels), *facts["patch_size"]]
    with whole_file(file) as unfinished:
        write_network(networks, shape, unfinished)
        digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
    about = {
        "format": FORMAT,
        "model": source.name,
        "folds": list(chosen),
        "network": {
            "file": file.name,
            "sha256": digest,
            "input": {"name": IMAGE, "type": "float32", "shape": [BATCH, *shape]},
            "output": {"name": LOGITS, "type": "float32", "shape": [BATCH, facts["heads"], *facts["patch_size"]]},
            "output_is": f"the mean logits of {len(chosen)} fold(s), without softmax or sigmoid: see postprocessing",
        },
        "channels": _channels(source, facts),
        "preprocessing": _preprocessing(source, facts),
        "sliding_window": _sliding_window(contents[0].get("inference_allowed_mirroring_axes"), facts),
        "postprocessing": _postprocessing(source, dataset, facts),
        "versions": versions_here(),
    }
    write_whole(description, json.dumps(about, indent=2) + "\n")
    return OnnxFiles(file, description, source.name)


def write_network(networks: Sequence[Any], shape: Sequence[int], file: Path) -> None:
    """Write the mean of networks as ONNX, for any number of images of a shape at once.

    Args:
        networks: PyTorch modules with the same input.
        shape: (C, *space).
        file: to write.

    Raises:
        MscsError: the networks are too large for one file.
    """
    import torch
    from torch import nn

    from nnunetv2_mscs.network import MSCSNet
    from nnunetv2_mscs.network.inference import InferenceNet

    class Mean(nn.Module):
        """The mean of the outputs of networks."""

        def __init__(self) -> None:
            super().__init__()
            self.networks = nn.ModuleList(
                InferenceNet(one, shape[1:]) if isinstance(one, MSCSNet) else one.eval() for one in networks
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            total = self.networks[0](image)
            for network in self.networks[1:]:
                total = total + network(image)
            return total / len(self.networks) if len(self.networks) > 1 else total

    size = sum(tensor.numel() * tensor.element_size() for one in networks for tensor in one.state_dict().values())
    if size > LARGEST_BYTES:
        raise MscsError(
            f"The networks take {size / 1e9:.1f} GB, and an ONNX file at most {LARGEST_BYTES / 1e9:.0f} GB.",
            "Choose fewer folds with --folds.",
        )
    with quiet():
        torch.onnx.export(
            Mean().eval(),
            (torch.zeros(2, *shape),),  # a batch of one would be taken for a constant
            file,
            dynamo=True,
            input_names=[IMAGE],
            output_names=[LOGITS],
            dynamic_shapes={"image": {0: torch.export.Dim(BATCH)}},
            external_data=False,
            verbose=False,
        )


def _refuse(file: Path, description: Path, *, overwrite: bool) -> None:
    if file.suffix.lower() != ".onnx":
        raise MscsError(f"{file} does not end in .onnx.", f"Name the file, such as {file.with_suffix('.onnx').name}.")
    if not file.parent.is_dir():
        raise MscsError(f"{file.parent} is not there.", f"Type: mkdir -p {shlex.quote(str(file.parent))}")
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MscsError(f"{package} is not installed, which writes ONNX files.", EXTRA)
    taken = next((one for one in (file, description) if one.exists()), None)
    if taken and (taken.is_dir() or not overwrite):
        raise MscsError(f"{taken} is there already.", "Choose another name, or replace it with --overwrite.")


def _facts_of_plans(plans: dict[str, Any], dataset: dict[str, Any], configuration: str) -> dict[str, Any]:
    """What nnU-Net reads of plans, by what it calls it."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    chosen, labels = manager.get_configuration(configuration), manager.get_label_manager(dataset)
    return {
        "configuration": chosen.configuration,
        "patch_size": [int(size) for size in chosen.patch_size],
        "heads": labels.num_segmentation_heads,
        "has_regions": labels.has_regions,
        "regions_class_order": list(labels.regions_class_order or ()) if labels.has_regions else None,
        "transpose_forward": list(manager.transpose_forward),
        "transpose_backward": list(manager.transpose_backward),
        "intensities": plans.get("foreground_intensity_properties_per_channel") or {},
    }


def _channels(source: ModelSource, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each channel in its order, with its unit and its normalisation."""
    configuration = facts["configuration"]
    schemes, masks = configuration["normalization_schemes"], configuration["use_mask_for_norm"]
    found = []
    for number, (name, scheme, mask) in enumerate(zip(source.channels, schemes, masks, strict=True)):
        unit = source.dataset_json.get("adc_unit") if name == "ADC" else None
        normalisation = _normalisation(scheme, facts["intensities"].get(str(number), {}), mask=mask)
        found.append({"name": name, "unit": unit or "any", "normalisation": {"scheme": scheme, **normalisation}})
    return found


def _normalisation(scheme: str, intensities: Mapping[str, Any], *, mask: bool) -> dict[str, Any]:
    """A scheme of normalisation in words and numbers; of one that is neither nnU-Net's nor ours, the name is all."""
    from nnunetv2_mscs.planning.normalization import ADC_SCALE, DWI_SCALE, LARGEST_ADC, LARGEST_DWI, PARENCHYMA

    if scheme == "ADCNormalization":
        return {
            "formula": "scale * clip(adc in 10^-3 mm2/s, low, high); voxels that are not finite are 0",
            "low": 0.0,
            "high": LARGEST_ADC,
            "scale": ADC_SCALE,
        }
    if scheme == "DWINormalization":
        return {
            "formula": "scale * clip(dwi / level, low, high); voxels that are not finite are 0",
            "level": "median of the voxels between the bounds times the level itself, which starts at the fullest such "
            "window: nnunetv2_mscs.planning.normalization.parenchyma_level",
            "bounds": list(PARENCHYMA),
            "low": 0.0,
            "high": LARGEST_DWI,
            "scale": DWI_SCALE,
        }
    if scheme == "ZScoreNormalization":
        where = "voxels inside the crop's non-zero mask, the others being 0" if mask else "all voxels of the crop"
        return {"formula": "(x - mean) / max(standard deviation, 1e-8)", "mean_and_deviation_of": where}
    if scheme == "CTNormalization":
        keys = {"low": "percentile_00_5", "high": "percentile_99_5", "mean": "mean", "deviation": "std"}
        numbers = {name: intensities.get(key) for name, key in keys.items()}
        return {"formula": "(clip(x, low, high) - mean) / max(deviation, 1e-8)", **numbers}
    if scheme == "RescaleTo01Normalization":
        return {"formula": "(x - min) / max(max(x - min), 1e-8)"}
    return {"formula": "x"} if scheme == "NoNormalization" else {}


def _preprocessing(source: ModelSource, facts: Mapping[str, Any]) -> dict[str, Any]:
    configuration = facts["configuration"]
    return {
        "steps": ["turn", "transpose", "crop", "normalise each channel", "resample"],
        "turn": f"arrays are (z, y, x); x, y and z run towards {', '.join(source.axes)} of the patient",
        "transpose": facts["transpose_forward"],
        "crop": "to the box around the voxels of which any channel is not 0 (holes filled)",
        "spacing_mm": configuration["spacing"],
        "spacing_axes": "of the network's input; a 2D network takes slices of the transposed first axis as they are",
        "resampling": {
            "function": configuration["resampling_fn_data"],
            **configuration["resampling_fn_data_kwargs"],
        },
    }


def _sliding_window(mirroring: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "patch_size": facts["patch_size"],
        "padding": "with 0 on both sides, where the image is smaller than the patch",
        "step": STEP,
        "step_is": "of the patch, at most; windows are spread evenly, the last ends at the image's end",
        "gaussian": {
            "sigma": SIGMA,
            "sigma_is": "of the patch along each axis",
            "centre": "patch // 2",
            "largest": 10,
            "zeros": "become its smallest value above 0",
        },
        "sum": "logits times Gaussian, over the sum of Gaussians",
        "mirroring_axes": list(mirroring) if mirroring else [],
        "mirroring": "axes of space, for the mean logits over all their combinations; with none of them for speed",
    }


def _postprocessing(source: ModelSource, dataset: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    configuration = facts["configuration"]
    threshold = source.default(THRESHOLD, DEFAULT_THRESHOLD)
    steps = read_json_if_there(source.selection.decisions / POSTPROCESSING.replace(".pkl", ".json"))
    if facts["has_regions"]:
        decision = "regions in this order, later ones over earlier ones, where their probability exceeds the threshold"
    else:
        decision = "lesion where 1 - probability of the background reaches the threshold; the likeliest label there"
    return {
        "steps": [
            "resample",
            "activation",
            "undo crop (0 outside)",
            "undo transpose",
            "decide",
            "remove small lesions",
        ],
        "resample": {
            "what": "logits, to the shape of the crop",
            "function": configuration["resampling_fn_probabilities"],
            **configuration["resampling_fn_probabilities_kwargs"],
        },
        "activation": "sigmoid" if facts["has_regions"] else "softmax over the labels",
        "transpose": facts["transpose_backward"],
        "labels": dataset.get("labels", {}),
        "regions_class_order": facts["regions_class_order"],
        "decide": decision,
        "threshold": threshold,
        "smallest_lesion_ml": source.default(MIN_LESION, 0.0),
        "lesion": "voxels that share a face, an edge or a corner are one lesion",
        "nnunet": steps.get("postprocessing_kwargs", []) if source.postprocessing else [],
    }
