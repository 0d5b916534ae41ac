"""`MSCSPlanner`: nnU-Net's experiment planner, choosing patch and batch by the memory that MSCS-Net needs."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property, partial

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import isfile, join, load_json
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.json_export import recursive_fix_for_json_export
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_mscs.nnunet_files.plans import DEFAULT_PLANS
from nnunetv2_mscs.planning.memory import GIGABYTE, TrainingMemory, training_memory
from nnunetv2_mscs.planning.normalization_choice import NNUNETS_RULES, Choice, choose_schemes
from nnunetv2_mscs.planning.topology import (
    BASE_FEATURES,
    FULL_RESOLUTION_FEATURES,
    LEAST_DECODER_FEATURES,
    MAX_FEATURES,
    mscs_architecture,
)

OWN_DATA = "MSCS_OWN_DATA"
# Share of the memory target that is planned with: the estimate is calculated, and a full GPU fails late.
USABLE_SHARE = 0.9
# Images that are read to see whether they are in the unit that their lesions promise.
LOOKED_AT = 8
# What decides, beside the transposition, how nnU-Net preprocesses a configuration.
PREPROCESSING_KEYS = (
    "preprocessor_name",
    "spacing",
    "normalization_schemes",
    "use_mask_for_norm",
    "resampling_fn_data",
    "resampling_fn_seg",
    "resampling_fn_data_kwargs",
    "resampling_fn_seg_kwargs",
)


class MSCSPlanner(ExperimentPlanner):
    """Writes `MSCSPlans`: strides, kernels, spacing and resampling by nnU-Net's rules, MSCS-Net as the network.

    Channels called ADC and DWI are normalised by what they are: `ADCNormalization` keeps the unit of the ADC,
    `DWINormalization` relates the DWI to its parenchyma. Other channels, and all of a data set whose ADC is in no unit
    of diffusivity, are normalised by nnU-Net's rules; the plan says which and why. docs/training.md compares both.

    nnU-Net's planner shrinks the patch until its estimate of the network at batch size 2 stays below a reference, both
    in feature map values of a U-Net. Here both are bytes, and the estimate is that of MSCS-Net for the same topology.
    """

    def __init__(
        self,
        dataset_name_or_id: str | int,
        gpu_memory_target_in_gb: float = 8,
        preprocessor_name: str = "DefaultPreprocessor",
        plans_name: str = "MSCSPlans",
        overwrite_target_spacing: Sequence[float] | None = None,
        suppress_transpose: bool = False,
    ):
        super().__init__(
            dataset_name_or_id,
            gpu_memory_target_in_gb,
            preprocessor_name,
            plans_name,
            overwrite_target_spacing,
            suppress_transpose,
        )
        reference_bytes = USABLE_SHARE * self.UNet_reference_val_corresp_GB * GIGABYTE
        self.UNet_reference_val_2d = self.UNet_reference_val_3d = reference_bytes
        self.UNet_reference_val_corresp_bs_2d = self.UNet_reference_val_corresp_bs_3d = self.UNet_min_batch_size

    @staticmethod
    def static_estimate_VRAM_usage(
        patch_size, input_channels, output_channels, arch_class_name, arch_kwargs, arch_kwargs_req_import
    ) -> float:
        """Bytes that MSCS-Net of this topology takes in training at batch size 2, nnU-Net's smallest."""
        architecture = {
            "network_class_name": arch_class_name,
            "arch_kwargs": arch_kwargs,
            "_kw_requires_import": arch_kwargs_req_import,
        }
        architecture = mscs_architecture(architecture, patch_size)
        return _architecture_memory(architecture, input_channels, output_channels, patch_size).at_batch_size(2)

    def get_plans_for_configuration(
        self, spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache
    ) -> dict:
        plan = super().get_plans_for_configuration(
            spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache
        )
        plan["data_identifier"] = self._data_identifier(plan)
        patch_size = plan["patch_size"]
        channels, labels = len(self._channel_names), len(self.dataset_json["labels"])
        regions = LabelManager(self.dataset_json["labels"], self.dataset_json.get("regions_class_order")).has_regions
        plan["architecture"] = mscs_architecture(plan["architecture"], patch_size, regions=regions)
        memory = _architecture_memory(plan["architecture"], channels, labels, patch_size)

        fitting = memory.largest_batch_size(USABLE_SHARE * self.UNet_vram_target_GB * GIGABYTE)
        patches_in_share = approximate_n_voxels_dataset * self.max_dataset_covered / np.prod(patch_size, dtype=float)
        plan["batch_size"] = max(min(fitting, round(patches_in_share)), self.UNet_min_batch_size)
        plan["mscs_net"] = {
            "parameters": memory.parameters,
            "estimated_memory_gb": round(memory.at_batch_size(plan["batch_size"]) / GIGABYTE, 2),
            "gpu_memory_target_gb": self.UNet_vram_target_GB,
            "reasons": self._reasons(plan, median_shape, fitting, patches_in_share),
        }
        return plan

    def _data_identifier(self, plan: dict) -> str:
        """That of nnU-Net's default plans, if there are any that preprocess alike: so the data lie on disk once.

        Not so with MSCS_OWN_DATA=1 in the environment, as in `mscs run`: there a model's data are no other's to change.
        """
        own = plan["data_identifier"]
        file = join(nnUNet_preprocessed, self.dataset_name, f"{DEFAULT_PLANS}.json")
        if not isfile(file) or os.environ.get(OWN_DATA) == "1":
            return own
        default_plans = load_json(file)
        default = default_plans["configurations"].get(own.removeprefix(f"{self.plans_identifier}_"), {})
        wanted = {key: plan[key] for key in PREPROCESSING_KEYS}
        recursive_fix_for_json_export(wanted)
        same = all(default.get(key) == value for key, value in wanted.items())
        same_axes = default_plans["transpose_forward"] == [int(axis) for axis in self.determine_transpose()[0]]
        return default["data_identifier"] if same and same_axes else own

    def plan_experiment(self) -> dict:
        former = self._stored_configurations()
        plans = super().plan_experiment()
        stored = self._stored_configurations()
        changed = [name for name in stored if name in former and _is_retrained(former[name], stored[name])]
        if changed:
            print(
                f"\nWARNING: {self.plans_identifier}.json planned other networks or input for {', '.join(changed)} "
                "before. Do not go on with their models: train anew, or plan under another name with "
                "-overwrite_plans_name."
            )
        print(f"\n{self.plans_identifier}: what MSCS-Net will train with")
        for name, configuration in plans["configurations"].items():
            if "mscs_net" in configuration:
                print("\n".join(_summary(name, configuration)))
        return plans

    def _stored_configurations(self) -> dict:
        """The configurations of the plans of this name on the disk, if there are any."""
        file = join(nnUNet_preprocessed, self.dataset_name, f"{self.plans_identifier}.json")
        return load_json(file)["configurations"] if isfile(file) else {}

    @property
    def _channel_names(self) -> dict:
        return self.dataset_json.get("channel_names") or self.dataset_json["modality"]

    def determine_normalization_scheme_and_whether_mask_is_used_for_norm(self) -> tuple[list[str], list[bool]]:
        schemes, masks = super().determine_normalization_scheme_and_whether_mask_is_used_for_norm()
        own = self._normalisation.schemes
        return (
            [own.get(key, scheme) for key, scheme in zip(self._channel_names, schemes, strict=True)],
            [key not in own and mask for key, mask in zip(self._channel_names, masks, strict=True)],
        )

    @cached_property
    def _normalisation(self) -> Choice:
        lesions = self.dataset_fingerprint["foreground_intensity_properties_per_channel"]
        return choose_schemes(self._channel_names, lesions, self._some_images)

    def _some_images(self, channel: str) -> Iterator[tuple[str, np.ndarray]]:
        """A few cases spread over the data set: the fingerprint knows lesions alone, and no image as a whole."""
        reader = self.determine_reader_writer()()
        cases = list(self.dataset.items())
        index = list(self._channel_names).index(channel)
        for position in np.unique(np.linspace(0, len(cases) - 1, LOOKED_AT).astype(int)):
            identifier, files = cases[position]
            image, _ = reader.read_images([files["images"][index]])
            yield identifier, image[0]

    def _reasons(self, plan: dict, median_shape, fitting: int, patches_in_share: float) -> list[str]:
        """One sentence each for topology, width, patch, batch and normalisation."""
        strides = plan["architecture"]["arch_kwargs"]["strides"]
        n_axes = len(plan["patch_size"])
        covers = all(p >= int(m) for p, m in zip(plan["patch_size"], median_shape, strict=False))
        target = f"{self.UNet_vram_target_GB:g} GB"
        if plan["batch_size"] == fitting:
            batch = f"batch size: {fitting} is the most that fits into {target}"
        elif round(patches_in_share) > self.UNet_min_batch_size:
            batch = f"batch size: {fitting} would fit into {target}, but one batch is to see at most "
            batch += f"{self.max_dataset_covered:.0%} of the data set's voxels"
        else:
            batch = f"batch size: nnU-Net's smallest; {fitting} would fit into {target}, but "
            batch += f"{self.max_dataset_covered:.0%} of the data set's voxels make only {patches_in_share:.1f} patches"
        return [
            f"topology: {len(strides) - 1} levels below the image, strides and kernels by nnU-Net's rules from "
            f"spacing {_joined(plan['spacing'])} mm and the patch",
            f"width: {BASE_FEATURES} at level 1 as in the paper, doubling to at most {MAX_FEATURES[n_axes]}; decoder "
            f"{FULL_RESOLUTION_FEATURES} at full resolution, where the paper's 8 often learned nothing but background, "
            f"and at least {LEAST_DECODER_FEATURES} below",
            "patch: holds the median image"
            if covers
            else f"patch: smaller than the median image ({_joined(median_shape)}), by the initial aspect ratio or "
            f"because two larger ones would not fit into {target}",
            batch,
            self._normalisation.reason,
        ]


class MSCSPlannerZScore(MSCSPlanner):
    """Writes `MSCSPlansZScore`: as MSCSPlanner, with every channel normalised by nnU-Net's rules."""

    def __init__(self, dataset_name_or_id: str | int, *, plans_name: str = "MSCSPlansZScore", **options):
        super().__init__(dataset_name_or_id, plans_name=plans_name, **options)

    @cached_property
    def _normalisation(self) -> Choice:
        return NNUNETS_RULES


def _architecture_memory(
    architecture: dict, input_channels: int, output_channels: int, patch_size: Sequence[int]
) -> TrainingMemory:
    build = partial(
        get_network_from_plans,
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        input_channels,
        output_channels,
        deep_supervision=True,
    )
    return training_memory(build, input_channels, patch_size)


def _is_retrained(former: dict, planned: dict) -> bool:
    """Whether a model of the former configuration could not go on with the planned one, its input included."""
    return any(
        former.get(key) != planned.get(key)
        for key in ("architecture", "patch_size", "spacing", "normalization_schemes")
    )


def _summary(name: str, configuration: dict) -> list[str]:
    choice = configuration["mscs_net"]
    return [
        f"  {name}: patch {_joined(configuration['patch_size'])}, batch size {configuration['batch_size']}, "
        f"{choice['parameters'] / 1e6:.1f} million parameters, about {choice['estimated_memory_gb']:.1f} GB "
        f"of GPU memory (target {choice['gpu_memory_target_gb']:g} GB)",
        *(f"    {reason}" for reason in choice["reasons"]),
    ]


def _joined(values) -> str:
    return " x ".join(f"{float(value):.3g}" if float(value) % 1 else f"{int(value)}" for value in values)
