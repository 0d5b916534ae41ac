"""nnU-Net's environment variables: where its three folders are, and how many processes it starts."""

import os
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

RAW, PREPROCESSED, RESULTS = VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


@dataclass(frozen=True)
class Folders:
    """nnU-Net's three folders, absolute."""

    raw: Path
    preprocessed: Path
    results: Path

    @property
    def environment(self) -> dict[str, str]:
        """The folders by the names of their variables."""
        return dict(zip(VARIABLES, map(str, (self.raw, self.preprocessed, self.results)), strict=True))


def folders_of(workspace: Path | None = None) -> Folders:
    """nnU-Net's folders, absolute; they need not exist yet.

    Args:
        workspace: the folder that holds all three, under the names of their variables; None for the variables.

    Raises:
        MscsError: a variable is not set, or a name begins with a ~ that no shell has replaced.
    """
    if workspace is not None:
        _refuse_tilde("--workspace", str(workspace))
        return Folders(*(Path(os.path.abspath(workspace), name) for name in VARIABLES))
    if unset := [name for name in VARIABLES if not os.environ.get(name)]:
        raise MscsError(
            f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set.",
            f"Type: export {unset[0]}=/path/to/{unset[0]}, or give a folder for all of nnU-Net's with --workspace.",
        )
    return Folders(*(Path(os.path.abspath(folder_named_by(name))) for name in VARIABLES))


def folder_named_by(variable: str) -> Path:
    """The folder that a variable names, as it stands there; it need not exist yet.

    Raises:
        MscsError: the variable is not set, or begins with a ~ that no shell has replaced.
    """
    value = os.environ.get(variable)
    if not value:
        raise MscsError(f"{variable} is not set.", f"Type: export {variable}=/path/to/{variable}")
    _refuse_tilde(variable, value)
    return Path(value)


def _refuse_tilde(name: str, value: str) -> None:
    if value.startswith("~"):
        home = value.replace("~", "$HOME", 1) if value[1:2] in ("", "/") else f"/path/to/{value.rsplit('/', 1)[-1]}"
        remedy = f'Write it as "{home}".' if name.startswith("-") else f'Type: export {name}="{home}"'
        raise MscsError(f"{name} is {value}, in which the shell left ~ as it is.", remedy)


def process_variables(*, augmenting: int, others: int) -> dict[str, str]:
    """Variables for the numbers of processes: `augmenting` the data of one training, `others` for all else."""
    return {"nnUNet_n_proc_DA": str(augmenting), "nnUNet_def_n_proc": str(others)}
