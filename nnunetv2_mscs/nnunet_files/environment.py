"""nnU-Net's environment variables: where its three folders are, and how many processes it starts."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.resources import processes_here

RAW, PREPROCESSED, RESULTS = VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
QUOTES = "\"'\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
UNRESOLVED = re.compile(r"\$\w+|\$\{[^}]*\}?|\$\([^)]*\)?|`[^`]*`?|%\w+%")
# What a value begins with that was pasted with its name, or never filled in; two folders, as PATH has them.
NAMED, UNFILLED, SEVERAL = re.compile(r"(?:export\s+)?(?:nnUNet_\w+)?="), re.compile(r"<[^<>/]*>"), re.compile(r"\w:/")
UNSEEN = "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u2060\ufeff"
WINDOWS = re.compile(r"[A-Za-z]:[\\/]|.*\\")
TRAINING_WORKERS, OTHER_WORKERS = "nnUNet_n_proc_DA", "nnUNet_def_n_proc"
PLACEHOLDER = "/path/to"


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
        MscsError: a variable is not set, or what it says names no folder, see `check_folder_name`.
    """
    if workspace is not None:
        check_folder_name("--workspace", str(workspace))
        return Folders(*(Path(os.path.abspath(workspace), name) for name in VARIABLES))
    if unset := [name for name in VARIABLES if not os.environ.get(name)]:
        exports = " ".join(f"{name}={PLACEHOLDER}/{name}" for name in unset)
        raise MscsError(
            f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set.",
            f"Type: export {exports}; or give a folder for all of nnU-Net's with --workspace.",
        )
    return Folders(*(Path(os.path.abspath(folder_named_by(name))) for name in VARIABLES))


def folder_named_by(variable: str) -> Path:
    """The folder that a variable names, as it stands there; it need not exist yet.

    Raises:
        MscsError: the variable is not set, or what it says names no folder, see `check_folder_name`.
    """
    folder = folder_if_named(variable)
    if folder is None:
        raise MscsError(f"{variable} is not set.", f"Type: export {variable}={PLACEHOLDER}/{variable}")
    return folder


def folder_if_named(variable: str) -> Path | None:
    """The folder that a variable names, or None if the variable is not set.

    Raises:
        MscsError: what it says names no folder, see `check_folder_name`.
    """
    value = os.environ.get(variable)
    if not value:
        return None
    check_folder_name(variable, value)
    return Path(value)


def check_folder_name(name: str, value: str) -> None:
    """Refuse what no shell has replaced and what other systems write, which would make a folder of an odd name here.

    Args:
        name: the variable, or the option.
        value: what it says.

    Raises:
        MscsError: there are quotes around it, a ~ or $ in it, a drive or backslashes of Windows, stray blanks, signs
            that cannot be seen, the name of a variable, a place to fill in, or several folders.
    """
    meant = NAMED.sub("", _without_blanks(value)).strip().strip(QUOTES).strip()
    if not (fault := _fault(value, meant)):
        return
    last = re.split(r"[/\\]", meant.rstrip("/\\"))[-1]
    if meant.startswith("~"):
        meant = meant.replace("~", "$HOME", 1) if meant[1:2] in ("", "/") else f"{PLACEHOLDER}/{last}"
    elif "%" in meant or "://" in meant or WINDOWS.match(meant) or UNFILLED.search(meant) or not meant:
        meant = f"{PLACEHOLDER}/{last or name.lstrip('-')}"
    elif SEVERAL.search(meant):
        meant = meant.split(":/")[0]
    remedy = f'Write it as "{meant}".' if name.startswith("-") else f'Type: export {name}="{meant}"'
    raise MscsError(f"{name} is {value if value.isprintable() else ascii(value)}, {fault}.", remedy)


def _fault(value: str, meant: str) -> str:
    """What is wrong with the name of a folder, in words; "" if nothing is.

    Args:
        value: the name.
        meant: the name without quotes and blanks around it.
    """
    if meant.startswith("~"):
        return "in which the shell left ~ as it is"
    if value.strip()[:1] in tuple(QUOTES) or value.strip()[-1:] in tuple(QUOTES):
        return "with stray quotes around it (files of variables keep them)"
    if _without_blanks(value) != value or any(ord(sign) < ord(" ") for sign in value):
        return "with blanks, signs that cannot be seen, or an end of line around it"
    if NAMED.match(value):
        return "with the name of a variable in it"
    if found := UNFILLED.search(value):
        return f"in which {found[0]} stands for a name of yours"
    if found := UNRESOLVED.search(value):
        return f"in which the shell left {found[0]} as it is"
    if "://" in value:
        return "an address, not a folder"
    if os.name != "nt" and WINDOWS.match(value):
        return "a path of Windows, with a drive or backslashes"
    if value.startswith("/") and SEVERAL.search(value):
        return "several folders, not one"
    return ""


def _without_blanks(value: str) -> str:
    """The value without blanks around it, and without signs that no one sees, which pages and chats paste along."""
    while (shorter := value.strip().strip(UNSEEN)) != value:
        value = shorter
    return value


def process_variables(*, augmenting: int, others: int) -> dict[str, str]:
    """Variables for the numbers of processes: `augmenting` the data of one training, `others` for all else."""
    return {TRAINING_WORKERS: str(augmenting), OTHER_WORKERS: str(others)}


def exports_here() -> str:
    """The line of a shell that lets nnU-Net start as many processes as this machine bears."""
    counts = processes_here()
    variables = process_variables(augmenting=counts.augmenting, others=counts.others)
    return "export " + " ".join(f"{name}={value}" for name, value in variables.items())
