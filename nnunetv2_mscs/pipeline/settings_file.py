"""The YAML file of a run: its keys are the long options of `mscs run`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError

SLURM = "slurm"
SWITCHES = {"resample", "allow-large-masks"}
ON, OFF = {"true", "yes", "on"}, {"false", "no", "off", ""}


def read_settings_file(file: Path) -> dict[str, Any]:
    """The mapping that the file holds, all of its values as the texts that stand there: YAML takes 12:00:00 for 43200.

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
