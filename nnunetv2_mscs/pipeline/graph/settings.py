"""What the user asks of a run: all that decides on its result, and nothing of where and how fast it is made."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnunetv2_mscs.nnunet_files.dataset import FOLDS, dataset_name


@dataclass(frozen=True)
class RunSettings:
    """What decides on a run's result; its fields are the keys of a YAML file and the options of `mscs run`.

    Args:
        source: folder of the scans, or the data set itself in nnUNet_raw, which is then taken as it is.
        dataset_id: nnU-Net's.
        name: of the data set, without its number.
        layout, spacing, channels, test_fraction, patient_pattern, unlabelled, resample, allow_large_masks, seed: see
            `mscs convert`.
        configurations: nnU-Net's, that compete.
        trainer: by its name, without a length if `epochs` gives one.
        planner: by its name; None for that of the trainer's network.
        folds: of the cross-validation.
        epochs: of every training; None for the trainer's own number.
        gpu_memory_target_gb: that patch and batch are planned for; None for the planner's own.
        compare: trainers of rivals on the same folds, each TRAINER or TRAINER:PLANNER.
    """

    source: str
    dataset_id: int
    name: str
    layout: str | None = None
    spacing: tuple[float, ...] | None = None
    channels: tuple[str, ...] = ()
    test_fraction: float | None = None
    patient_pattern: str | None = None
    unlabelled: str | None = None
    resample: bool = False
    allow_large_masks: bool = False
    seed: int = 0
    configurations: tuple[str, ...] = ("3d_fullres",)
    trainer: str = "MSCSTrainer"
    planner: str | None = None
    folds: tuple[int, ...] = FOLDS
    epochs: int | None = None
    gpu_memory_target_gb: float | None = None
    compare: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        """The data set's full name, such as Dataset001_Stroke."""
        return dataset_name(self.dataset_id, self.name)

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunSettings":
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**fields)
