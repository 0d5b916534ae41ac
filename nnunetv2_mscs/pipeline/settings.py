"""What the user asks of a run: all that decides on its result; and the YAML file that may hold it."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.dataset_conversion.options import ConversionOptions
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import FOLDS, dataset_name
from nnunetv2_mscs.workplace.arguments import count, number_from, whole
from nnunetv2_mscs.workplace.options import from_values, option, switches

MOST_MEMORY_GB = 1024


@dataclass(frozen=True)
class RunSettings(ConversionOptions):
    """What decides on a run's result; its fields are the keys of a YAML file and the options of `mscs run`.

    Args:
        source: folder of the scans, or the data set itself in nnUNet_raw, which is then taken as it is.
        dataset_id: nnU-Net's.
        name: of the data set, without its number.
    """

    source: str
    dataset_id: int
    name: str
    configurations: tuple[str, ...] = option(
        ("3d_fullres",),
        "nnU-Net's: 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres; several compete, and so do their ensembles "
        "(default 3d_fullres)",
        nargs="+",
        metavar="C",
    )
    trainer: str = option("MSCSTrainer", "default MSCSTrainer", metavar="T")
    planner: str | None = option(
        None, "default MSCSPlanner, or ExperimentPlanner for trainers of nnU-Net's own", metavar="P"
    )
    folds: tuple[int, ...] = option(
        FOLDS, "of the cross-validation (default 0 1 2 3 4)", nargs="+", type=whole(0, 4), metavar="F"
    )
    epochs: int | None = option(
        None, "of every training (default: the trainer's own number, 1000)", type=count, metavar="N"
    )
    gpu_memory_target_gb: float | None = option(
        None,
        "memory that patch and batch are planned for (default: the planner's, 8)",
        flag="--gpu-memory-target",
        type=number_from(0.01, MOST_MEMORY_GB),
        metavar="GB",
    )
    adapt: str | None = option(
        None,
        "start from the weights and the plans of this model, see mscs adapt",
        metavar="MODEL",
    )
    compare: tuple[str, ...] = option(
        (),
        "train rivals on the same folds, such as nnUNetTrainer, and say which is better",
        nargs="+",
        metavar="TRAINER[:PLANNER]",
    )

    @property
    def dataset(self) -> str:
        """The data set's full name, such as Dataset001_Stroke."""
        return dataset_name(self.dataset_id, self.name)

    def as_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return {**values, "unlabelled": None if self.unlabelled is None else str(self.unlabelled)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunSettings":
        return from_values(cls, values)


SWITCHES = switches(RunSettings)
ON, OFF = {"true", "yes", "on"}, {"false", "no", "off", ""}


def read_settings_file(file: Path) -> dict[str, Any]:
    """The options in a file, their values as they are written: YAML would read 12:00:00 as 43200.

    Raises:
        MscsError: it cannot be read, is no YAML, or is not a mapping of options.
    """
    import yaml

    try:
        content = yaml.load(file.read_text(), Loader=yaml.BaseLoader)
    except OSError as error:
        raise MscsError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from None
    except UnicodeDecodeError as error:
        raise MscsError(f"{file} cannot be read: {error}.", "Write it as text in UTF-8.") from None
    except yaml.YAMLError as error:
        raise MscsError(f"{file} is no YAML: {' '.join(str(error).split())}.", "Mend the file.") from None
    if not isinstance(content, dict):
        raise MscsError(f"{file} does not hold options.", "Write lines such as `trainer: MSCSTrainer`.")
    return content


def lines_of_keys(file: Path) -> dict[str, int]:
    """The line, counted from 1, of each key of a file that `read_settings_file` has read."""
    import yaml

    mapping = yaml.compose(file.read_text(), Loader=yaml.BaseLoader)
    return {key.value: key.start_mark.line + 1 for key, _ in mapping.value}


def as_words(values: Mapping[str, Any]) -> list[str]:
    """The options as a command line has them."""
    return [word for key, value in values.items() for word in _words(key.replace("_", "-"), value)]


def _words(key: str, value: Any) -> Iterator[str]:
    if f"--{key}" in SWITCHES:
        if str(value).lower() not in ON | OFF:
            raise MscsError(f"{key}: {value} is neither true nor false.", "Mend the file.")
        if str(value).lower() in ON:
            yield f"--{key}"
    elif key == "slurm" and isinstance(value, dict):
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
