"""What is installed, found and missing: everything that decides whether a training could start."""

import importlib.metadata
import os
import platform
import shlex
import shutil
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.environment import (
    OTHER_WORKERS,
    PREPROCESSED,
    RAW,
    RESULTS,
    TRAINING_WORKERS,
    check_folder_name,
    exports_here,
)
from nnunetv2_mscs.nnunet_shims.link import hiding_folders, nnunet_folder, shim_source
from nnunetv2_mscs.workplace.resources import (
    MOST_PROCESSES,
    MOST_TRAINING_WORKERS,
    SHARED_MEMORY,
    cores,
    lack_of_shared_memory,
    processes_here,
    shared_memory_bytes,
)

OK, NOTE, MISSING = "ok", "note", "MISSING"
SUPPORTED_NNUNET = ((2, 8), (3, 0))
# Variable -> what its folder holds, and the state if it cannot be used (a note where training does not need it).
FOLDERS = {
    RAW: ("the converted data sets, for convert and preprocessing", NOTE),
    PREPROCESSED: ("plans and preprocessed data", MISSING),
    RESULTS: ("trained models", MISSING),
}

# Classes besides the trainer that nnU-Net must find: the folder of nnU-Net's where it looks, and what happens without.
CLASSES = {
    "MSCSPlanner": ("experiment_planning", "a training with nnU-Net's own plans could start"),
    "ADCNormalization": ("preprocessing/normalization", "plans of MSCSPlanner need it"),
    "DWINormalization": ("preprocessing/normalization", "plans of MSCSPlanner need it"),
    "SliceMinMaxNormalization": ("preprocessing/normalization", "imported Keras weights need it"),
    "MSCSReaderLPS": (
        "imageio",
        "scans stored along other axes than the training data are predicted as they are stored, or not at all",
    ),
}


@dataclass(frozen=True)
class Line:
    """One line of the report; `state` is OK, NOTE or MISSING, and with MISSING no training could start."""

    state: str
    subject: str
    text: str
    remedy: str = ""


def examine() -> Iterator[Line]:
    """All findings, one by one as they are made; the look-ups import torch and nnU-Net and take some seconds."""
    yield Line(OK, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Line(OK, "nnunetv2-mscs", f"{__version__} in {Path(__file__).parent}")
    nnunet_works = True
    for finding in (_nnunet(), _device()):
        yield finding
        nnunet_works &= finding.state != MISSING
    for package in ("SimpleITK", "nibabel", "numpy", "scipy", "batchgeneratorsv2", "acvl-utils"):
        yield _version(package)
    yield _processes()
    if lack := _shared_memory():
        yield lack
    for variable in FOLDERS:
        yield _folder(variable)
    if nnunet_works:
        yield _trainer()
        for name, (place, without) in CLASSES.items():
            yield _class_of_ours(name, place, without)


def _version(package: str) -> Line:
    try:
        return Line(OK, package, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Line(MISSING, package, "not installed", f"pip install {package}")


def _nnunet() -> Line:
    found = _version("nnunetv2")
    if found.state == MISSING:
        return found
    try:
        folder, hiding = nnunet_folder(), hiding_folders()
    except MscsError as error:
        return Line(MISSING, "nnunetv2", error.finding, error.remedy)
    if hiding:
        text = f"{hiding[0]} hides the nnU-Net in {folder}: pip made it when it installed this package"
        return Line(MISSING, "nnunetv2", text, "mscs doctor --link puts this right")
    version = tuple(int(part) for part in found.text.split(".")[:2])
    lowest, above = SUPPORTED_NNUNET
    if not lowest <= version < above:
        return Line(MISSING, "nnunetv2", f"{found.text} is not supported", "pip install 'nnunetv2>=2.8,<3'")
    return Line(OK, "nnunetv2", f"{found.text} in {folder}")


def _device() -> Line:
    try:
        import torch
    except ImportError as error:
        return Line(MISSING, "torch", f"cannot be imported: {error}", "pip install torch")
    version = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        text = f"{version}, " + ", ".join(f"{gpu.name} ({gpu.total_memory / 1e9:.0f} GB)" for gpu in gpus)
        if shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc"):
            return Line(OK, "device", text)
        text += ", but no C compiler, which torch.compile needs"
        return Line(NOTE, "device", text, "install one (such as gcc), or export nnUNet_compile=f")
    if torch.backends.mps.is_available():
        return Line(NOTE, "device", f"{version}, Apple GPU", "give nnU-Net's commands -device mps")
    return Line(NOTE, "device", f"{version}, no GPU, {cores()} CPU cores", "give nnU-Net's commands -device cpu")


def _processes() -> Line:
    """Whether nnU-Net would start more processes than this machine can run well; the remedy is the line to type."""
    here, at_hand = processes_here(), f"{cores()} CPU cores"
    fitting = {TRAINING_WORKERS: here.augmenting, OTHER_WORKERS: here.others}
    defaults = {TRAINING_WORKERS: MOST_TRAINING_WORKERS, OTHER_WORKERS: MOST_PROCESSES}
    set_to = {name: os.environ.get(name) or str(defaults[name]) for name in fitting}
    shown = ", ".join(f"{name}={value}" for name, value in set_to.items())
    if all(value.isdigit() and int(value) <= fitting[name] for name, value in set_to.items()):
        return Line(OK, "processes", f"{at_hand} bear {shown}")
    return Line(NOTE, "processes", f"{at_hand} are slow with {shown}", exports_here())


def _shared_memory() -> Line | None:
    """The check that `mscs run` makes, for the workers that nnU-Net would start; MISSING if not even one can work."""
    try:
        workers = int(os.environ.get(TRAINING_WORKERS, MOST_TRAINING_WORKERS))
    except ValueError:
        text = f"{os.environ[TRAINING_WORKERS]} is not a number of processes"
        return Line(MISSING, TRAINING_WORKERS, text, f"unset {TRAINING_WORKERS}")
    shared = shared_memory_bytes()
    lack = lack_of_shared_memory(shared, workers)
    if lack is None:
        return None
    text, remedy = lack
    if lack_of_shared_memory(shared, min(workers, 1)):
        return Line(MISSING, str(SHARED_MEMORY), text, f"{remedy} Or: export {TRAINING_WORKERS}=0")
    text += f", too little for the {workers} processes that hand a training its data"
    return Line(NOTE, str(SHARED_MEMORY), text, f"{remedy} Or: export {TRAINING_WORKERS}=1")


def _folder(variable: str) -> Line:
    purpose, unusable = FOLDERS[variable]
    value = os.environ.get(variable)
    if not value:
        return Line(unusable, variable, f"not set; it names the folder of {purpose}", f"export {variable}=FOLDER")
    try:
        check_folder_name(variable, value)
    except MscsError as error:
        return Line(
            unusable,
            variable,
            error.finding.removeprefix(f"{variable} is ").rstrip("."),
            error.remedy.removeprefix("Type: "),
        )
    if not os.path.exists(value):
        return Line(unusable, variable, f"{value} does not exist", f"mkdir -p {shlex.quote(value)}")
    if not os.path.isdir(value):
        return Line(unusable, variable, f"{value} is not a folder", f"export {variable}=FOLDER")
    if not os.access(value, os.R_OK | os.W_OK | os.X_OK):
        return Line(unusable, variable, f"no right to write to {value}", "check its owner and rights")
    if not os.path.isabs(value):
        text = f"{value} is a relative path: it changes its meaning with every cd"
        return Line(NOTE, variable, text, f"export {variable}={shlex.quote(os.path.abspath(value))}")
    return Line(OK, variable, f"{value}, {shutil.disk_usage(value).free / 1e9:.0f} GB free")


def _trainer() -> Line:
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

            found = recursive_find_trainer_class_by_name("MSCSTrainer")
    except RuntimeError:
        return Line(
            MISSING,
            "MSCSTrainer",
            "nnU-Net does not find it: an editable installation puts no file into nnU-Net's folder",
            f"mscs doctor --link, or for the trainer alone: export nnUNet_extTrainer={shim_source('trainer')}",
        )
    return Line(OK, "MSCSTrainer", f"found by nnU-Net, from {found.__module__}")


def _class_of_ours(name: str, place: str, without: str) -> Line:
    """Whether nnU-Net finds a class in one of its folders, and what that means if it does not."""
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = str(nnunet_folder() / place)
    found = recursive_find_python_class(folder, name, f"nnunetv2.{place.replace('/', '.')}")
    if found is None:
        return Line(NOTE, name, f"nnU-Net does not find it; {without}", "mscs doctor --link")
    return Line(OK, name, f"found by nnU-Net, from {found.__module__}")
