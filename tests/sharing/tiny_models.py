"""Trained models as nnU-Net leaves them, with networks so small that a test trains none."""

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

DATASET = "Dataset901_Tiny"
MSCS = "MSCSTrainer__nnUNetPlans__2d"
NNUNET = "nnUNetTrainer__nnUNetPlans__2d"
ENSEMBLE = f"ensembles/ensemble___{MSCS}___{NNUNET}___0_1"
OF_MODEL = f"{DATASET}/{MSCS}"
FOLDS = ("0", "1")
CROSS_VALIDATION = "crossval_results_folds_0_1"
RECORD = "inference_information.json"
DATASET_JSON = {
    "channel_names": {"0": "ADC", "1": "DWI"},
    "labels": {"background": 0, "lesion": 1},
    "numTraining": 4,
    "file_ending": ".nii.gz",
    "adc_unit": "10^-6 mm2/s",
}
RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}


def plans(name: str = "nnUNetPlans") -> dict:
    """Plans of one 2D configuration, with a U-Net of three levels and four features."""
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 8],
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * 3,
            "strides": [[1, 1], [2, 2], [2, 2]],
            "n_conv_per_stage": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    kinds = ("data", "seg", "probabilities")
    configuration = {
        "data_identifier": f"{name}_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 16],
        "median_image_size_in_voxels": [16.0, 16.0],
        "spacing": [2.0, 2.0],
        "normalization_schemes": ["ZScoreNormalization"] * 2,
        "use_mask_for_norm": [False] * 2,
        **{f"resampling_fn_{kind}": "resample_data_or_seg_to_shape" for kind in kinds},
        **{f"resampling_fn_{kind}_kwargs": {**RESAMPLING, "is_seg": kind == "seg"} for kind in kinds},
        "architecture": architecture,
        "batch_dice": True,
    }
    return {
        "dataset_name": DATASET,
        "plans_name": name,
        "original_median_spacing_after_transp": [6.0, 2.0, 2.0],
        "original_median_shape_after_transp": [4, 16, 16],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}, "1": {}},
    }


def write_model(results: Path, trainer: str, *, steps: int = 1) -> Path:
    """A model folder with two folds and what nnUNetv2_find_best_configuration adds to it."""
    folder = results / DATASET / f"{trainer}__nnUNetPlans__2d"
    _write_json(folder / "plans.json", plans())
    _write_json(folder / "dataset.json", DATASET_JSON)
    _write_json(folder / "dataset_fingerprint.json", {"spacings": [[6.0, 2.0, 2.0]] * 4})
    for seed, fold in enumerate(FOLDS):
        place = folder / f"fold_{fold}"
        _write_json(place / "validation" / "summary.json", _summary(0.5 + 0.1 * seed))
        _write_json(place / "debug.json", {"network": _network(trainer).__class__.__name__})
        (place / "progress.png").write_bytes(b"\x89PNG")
        torch.manual_seed(seed)
        weights = _network(trainer).state_dict()
        torch.save(_checkpoint(trainer, int(fold), weights), place / "checkpoint_final.pth")
    write_decision(folder / CROSS_VALIDATION, steps)
    return folder


def write_decision(folder: Path, steps: int) -> None:
    """Metrics and postprocessing as nnU-Net's cross-validation leaves them."""
    _write_json(folder / "summary.json", _summary(0.55))
    _write_json(folder / "plans.json", plans())
    _write_json(folder / "dataset.json", DATASET_JSON)
    # nnU-Net's labels are NumPy's numbers.
    found = [remove_all_but_largest_component_from_segmentation] * steps, [{"labels_or_regions": [np.int64(1)]}] * steps
    (folder / "postprocessing.pkl").write_bytes(pickle.dumps(found))
    _write_json(folder / "postprocessing.json", {"postprocessing_kwargs": [{"labels_or_regions": [1]}] * steps})


def write_best(results: Path, *trainers: str) -> Path:
    """nnU-Net's record of the best configuration, or of an ensemble."""
    selected = [{"configuration": "2d", "trainer": one, "plans_identifier": "nnUNetPlans"} for one in trainers]
    place = f"/home/somebody/results/{DATASET}/{trainers[0]}__nnUNetPlans__2d/{CROSS_VALIDATION}"
    best = {
        "result_on_crossval_pre_pp": 0.55,
        "result_on_crossval_post_pp": 0.56,
        "selected_model_or_models": selected,
        "postprocessing_file": f"{place}/postprocessing.pkl",
        "some_plans_file": f"{place}/plans.json",
    }
    file = results / DATASET / "inference_information.json"
    _write_json(file, {"best_model_or_ensemble": best, "folds": [0, 1], "dataset_name_or_id": DATASET})
    return file


def _network(trainer: str) -> torch.nn.Module:
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans())
    build = recursive_find_trainer_class_by_name(trainer).build_network_architecture
    return build(manager, manager.get_configuration("2d"), 2, 2, enable_deep_supervision=False)


def _checkpoint(trainer: str, fold: int, weights: dict) -> dict:
    return {
        "network_weights": weights,
        "optimizer_state": {"state": {number: one.clone() for number, one in enumerate(weights.values())}},
        "grad_scaler_state": None,
        "logging": {"ema_fg_dice": [np.float32(0.5)]},
        "_best_ema": np.float32(0.5),
        "current_epoch": 3,
        "init_args": {"plans": plans(), "configuration": "2d", "fold": fold, "dataset_json": DATASET_JSON},
        "trainer_name": trainer,
        "inference_allowed_mirroring_axes": (0, 1),
    }


def _summary(dice: float) -> dict:
    cases = [{"metrics": {"1": {"Dice": dice}}, "prediction_file": "a.nii.gz", "reference_file": "a.nii.gz"}] * 2
    return {"foreground_mean": {"Dice": dice}, "mean": {"1": {"Dice": dice}}, "metric_per_case": cases}


def _write_json(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


class Command:
    """An object whose unpickling runs a command."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def contents(file: Path) -> dict[str, bytes]:
    """All files in a zip, by name, in its order."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(source: Path, out: Path, changes: Mapping[str, bytes | None], *, manifest: bool = True) -> Path:
    """The zip anew, entries whose names end so changed, left out (None) or added, with a manifest that fits it."""
    content = contents(source)
    for ending, value in changes.items():
        name = next((name for name in content if name.endswith(ending)), ending)
        content.pop(name, None)
        if value is not None:
            content[name] = value
    own = next(name for name in content if name.endswith("mscs_manifest.json"))
    if manifest:
        text = json.loads(content[own])
        text["files"] = {
            name: {"bytes": len(one), "sha256": hashlib.sha256(one).hexdigest()}
            for name, one in content.items()
            if name != own
        }
        content[own] = json.dumps(text).encode()
    return write_zip(out, content)


def write_zip(out: Path, content: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(out, "w", method) as new:
        for name, one in content.items():
            new.writestr(name, one)
    return out


def with_json(source: Path, out: Path, ending: str, edit: Callable[[dict], object], *, manifest: bool = True) -> Path:
    """The zip anew, with one JSON file edited."""
    content = json.loads(next(one for name, one in contents(source).items() if name.endswith(ending)))
    edit(content)
    return rewrite(source, out, {ending: json.dumps(content).encode()}, manifest=manifest)


def with_plans(source: Path, out: Path, edit: Callable[[dict], object]) -> Path:
    """The zip anew, with other plans."""
    return with_json(source, out, f"{MSCS}/plans.json", edit)


def with_checkpoints(source: Path, out: Path, edit: Callable[[dict], object]) -> Path:
    """The zip anew, with the checkpoints of both folds edited."""
    changes = {}
    for fold in FOLDS:
        ending = f"fold_{fold}/checkpoint_final.pth"
        content = torch.load(BytesIO(contents(source)[f"{OF_MODEL}/{ending}"]), weights_only=False)
        edit(content)
        written = BytesIO()
        torch.save(content, written)
        changes[ending] = written.getvalue()
    return rewrite(source, out, changes)
