"""Where nnU-Net's three folders are: as its variables name them, or together in one workspace."""

import os
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.graph.settings import Folders

VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def folders_of(workspace: Path | None = None) -> Folders:
    """nnU-Net's folders, absolute; they need not exist yet.

    Args:
        workspace: the folder that holds all three, under the names of their variables; None for the variables.

    Raises:
        MscsError: a variable is not set, or a name begins with a ~ that no shell has replaced.
    """
    if workspace is not None:
        return Folders(*(_absolute("--workspace", str(workspace)) / name for name in VARIABLES))
    if unset := [name for name in VARIABLES if not os.environ.get(name)]:
        raise MscsError(
            f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set.",
            f"Type: export {unset[0]}=/path/to/{unset[0]}, or give a folder for all of nnU-Net's with --workspace.",
        )
    return Folders(*(_absolute(name, os.environ[name]) for name in VARIABLES))


def _absolute(name: str, value: str) -> Path:
    if value.startswith("~"):
        home = value.replace("~", "$HOME", 1) if value[1:2] in ("", "/") else f"/path/to/{value.rsplit('/', 1)[-1]}"
        raise MscsError(f"{name} is {value}, in which the shell left ~ as it is.", f'Write it as "{home}".')
    return Path(os.path.abspath(value))
