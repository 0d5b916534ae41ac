"""Commands of ours and of nnU-Net's: the words that start them, how a person types them, and their environment."""

import shlex
import sys
from collections.abc import Sequence

from nnunetv2_mscs.nnunet_files.commands import STARTER
from nnunetv2_mscs.nnunet_files.environment import Folders, process_variables

# A model gets preprocessed data of its own: planning a rival, later or again, changes nothing that ours is trained on.
OWN_DATA = {"MSCS_OWN_DATA": "1"}


def mscs_command(name: str, *arguments: object) -> list[str]:
    """The words that run a command of ours with this Python."""
    return module_command("nnunetv2_mscs.cli.main", name, *arguments)


def module_command(module: str, *arguments: object) -> list[str]:
    """The words that run a module of ours with this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def as_typed(words: Sequence[str]) -> str:
    """A command of `mscs_command`, `module_command` or `nnunet_command` as a person types it."""
    if words[2] == "nnunetv2_mscs.cli.main":
        return shlex.join(["mscs", *words[3:]])
    if words[2] == STARTER:
        return shlex.join(words[3:])
    return shlex.join(["python", *words[1:]])


def environment(folders: Folders, *, training_workers: int, workers: int) -> dict[str, str]:
    """Variables for the commands of a run.

    Args:
        folders: nnU-Net's.
        training_workers: processes that augment the data of one training.
        workers: processes of everything else for which nnU-Net has no option.
    """
    return {**folders.environment, **OWN_DATA, **process_variables(augmenting=training_workers, others=workers)}
