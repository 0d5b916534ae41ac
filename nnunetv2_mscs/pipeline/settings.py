"""What the user asks of a run: all that decides on its result; and the YAML file that may hold it."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import FOLDS, dataset_name

# The fields that only `mscs convert` reads.
CONVERSION = (
    *("layout", "spacing", "channels", "test_fraction", "patient_pattern", "unlabelled", "resample"),
    *("allow_large_masks", "seed"),
)


@dataclass(frozen=True)
class RunSettings:
    """What decides on a run's result; its fields are the keys of a YAML file and the options of `mscs run`.

    Args:
        source: folder of the scans, or the data set itself in nnUNet_raw, which is then taken as it is.
        dataset_id: nnU-Net's.
        name: of the data set, without its number.
        layout, spacing, channels, test_fraction, patient_pattern, unlabelled, resample, allow_large_masks, seed: see
            `mscs convert`.
        configurations: those of nnU-Net's that compete.
        trainer: its name, without a length if `epochs` gives one.
        planner: its name; None for that of the trainer's network.
        folds: of the cross-validation.
        epochs: number for every training; None for the trainer's own.
        gpu_memory_target_gb: memory that patch and batch are planned for; None for the planner's own.
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


SLURM = "slurm"
SWITCHES = {"resample", "allow-large-masks"}
ON, OFF = {"true", "yes", "on"}, {"false", "no", "off", ""}


def read_settings_file(file: Path) -> dict[str, Any]:
    """The options in a file, their values as they are written: YAML would read 12:00:00 as 43200.

    Raises:
        MscsError: it cannot be read, is no YAML, or is not a mapping of options.
    """
    import yaml

    try:
        content = yaml.load(file.read_text(), Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise MscsError(f"{file} cannot be read: {error}.", "Check the path.") from None
    except yaml.YAMLError as error:
        raise MscsError(f"{file} is no YAML: {' '.join(str(error).split())}.", "Mend the file.") from None
    if not isinstance(content, dict):
        raise MscsError(f"{file} does not hold options.", "Write lines such as `trainer: MSCSTrainer`.")
    return content


def as_words(values: Mapping[str, Any]) -> list[str]:
    """The options as a command line has them."""
    return [word for key, value in values.items() for word in _words(key.replace("_", "-"), value)]


def _words(key: str, value: Any) -> Iterator[str]:
    if key in SWITCHES:
        if str(value).lower() not in ON | OFF:
            raise MscsError(f"{key}: {value} is neither true nor false.", "Mend the file.")
        if str(value).lower() in ON:
            yield f"--{key}"
    elif key == SLURM and isinstance(value, dict):
        yield f"--{key}"
        for name, one in value.items():
            yield from (f"{name}={item}" for item in (one if isinstance(one, list) else [one]))
    elif isinstance(value, dict):
        raise MscsError(f"{key} cannot hold options of its own.", "Mend the file.")
    elif isinstance(value, list):
        if value:
            yield from (f"--{key}", *map(str, value))
    elif value:
        yield f"--{key}={value}"
