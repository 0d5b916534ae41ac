"""`python -m nnunetv2_mscs.nnunet_shims.run COMMAND ...`: a command of nnU-Net that finds our classes, linked or not.

nnU-Net looks for classes on disk, where an editable installation puts none (see `link`). In the processes of this
module they are laid into a module that nnU-Net looks through first. Its workers import this module anew, and so find
them, too.

nnUNetv2_train started so writes checkpoints in time with any trainer, nnU-Net's own included (see `training.timely`).
"""

import importlib
import importlib.metadata
import os
import sys

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_shims.link import is_placed, shim_source, shim_targets

TRAIN = "nnUNetv2_train"
# Shim -> (a module of nnU-Net's in the folder that is searched for it, the shim's module, whose HOMES are its classes).
CLASSES = {
    "planner": ("nnunetv2.experiment_planning.plan_and_preprocess_api", "planner.mscs_planner"),
    "normalization": (
        "nnunetv2.preprocessing.normalization.default_normalization_schemes",
        "normalization.mscs_normalization",
    ),
}


def make_findable() -> None:
    """Let this process and its children find every class whose shim is not on disk, or is another version's there."""
    for name, folder in shim_targets():
        if is_placed(name, folder):
            continue
        if name == "trainer":  # nnU-Net has a variable for these, and takes one folder
            os.environ["nnUNet_extTrainer"] = str(shim_source(name))  # noqa: SIM112
        elif name == "reader":
            from nnunetv2_mscs.nnunet_files.reader import READERS

            vars(importlib.import_module("nnunetv2.imageio.base_reader_writer")).update(READERS)
        elif name in CLASSES:
            searched, shim = CLASSES[name]
            homes = importlib.import_module(f"nnunetv2_mscs.nnunet_shims.{shim}").HOMES
            for class_name, home in homes.items():
                found = getattr(importlib.import_module(home), class_name)
                setattr(importlib.import_module(searched), class_name, found)


def save_timely() -> None:
    """Let nnUNetv2_train, in this process, make its trainer one with checkpoints in time, under the same name."""
    from nnunetv2.run import run_training
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from nnunetv2_mscs.training.timely import timely

    run_training.recursive_find_trainer_class_by_name = lambda name: timely(recursive_find_trainer_class_by_name(name))


def main(words: list[str]) -> None:
    """Run the console script of nnU-Net that `words` begin with, with the others as its arguments.

    Raises:
        MscsError: if the nnU-Net in use has no such command.
    """
    name, *arguments = words
    scripts = importlib.metadata.entry_points(group="console_scripts", name=name)
    script = next((script for script in scripts if script.module.startswith("nnunetv2.")), None)
    if script is None:
        raise MscsError(f"nnU-Net has no command {name}.", "Install nnunetv2 2.8 or newer in this environment.")
    sys.argv = [name, *arguments]
    if name == TRAIN:
        save_timely()
    script.load()()


make_findable()
if sys.argv[0] == TRAIN:  # a worker of a training on several GPUs, which is given the command's words
    save_timely()

if __name__ == "__main__":
    main(sys.argv[1:])
