"""Commands as they are typed, and the classes that nnU-Net's commands find when we start them."""

import os
import sys

import pytest

from nnunetv2_mscs.nnunet_files.commands import nnunet_command
from nnunetv2_mscs.pipeline.commands import as_typed, mscs_command
from nnunetv2_mscs.workplace.resources import workers_for
from tests.forked_workers import run_forked


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_commands_read_as_a_person_types_them():
    assert as_typed(mscs_command("phantom", "a folder", "--cases", 3)) == "mscs phantom 'a folder' --cases 3"
    assert as_typed(nnunet_command("nnUNetv2_train", 1, "2d", 0)) == "nnUNetv2_train 1 2d 0"


@pytest.mark.parametrize(("cores", "slots", "workers"), [(64, 1, 12), (16, 2, 7), (16, 8, 1), (2, 1, 1), (1, 4, 1)])
def test_workers_leave_a_core_for_each_training(cores, slots, workers):
    assert workers_for(cores, slots) == workers


def test_nnunets_commands_find_our_classes_without_shims(tmp_path):
    """In a process that finds no shim on disk, planner, normalization and trainer are found nevertheless."""
    code = """
from pathlib import Path
from nnunetv2_mscs.nnunet_shims import link
link.PLACES = {f"{place}/nowhere": name for place, name in link.PLACES.items()}
import nnunetv2, os
from nnunetv2_mscs.nnunet_shims import run
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
normalizations = ["ADCNormalization", "DWINormalization", "SliceMinMaxNormalization"]
places = {"experiment_planning": ["MSCSPlanner", "MSCSPlannerZScore"], "preprocessing.normalization": normalizations}
for place, name in [(place, name) for place, names in places.items() for name in names]:
    folder = os.path.join(nnunetv2.__path__[0], *place.split("."))
    print(recursive_find_python_class(folder, name, f"nnunetv2.{place}").__name__)
print(Path(os.environ["nnUNet_extTrainer"]).name)
"""
    result = run_forked(python(code), tmp_path, os.environ)
    normalizations = ["ADCNormalization", "DWINormalization", "SliceMinMaxNormalization"]
    found = ["MSCSPlanner", "MSCSPlannerZScore", *normalizations, "trainer"]
    assert result.stdout.split()[-6:] == found, result.stderr


def test_shims_of_another_version_on_disk_hide_no_class(tmp_path):
    """Where nnU-Net's folder holds shims that know fewer classes, those of this version are found nevertheless."""
    code = f"""
from pathlib import Path
from nnunetv2_mscs.nnunet_shims import link
for name in ("normalization", "planner", "trainer"):
    folder = Path({str(tmp_path)!r}, name)
    folder.mkdir()
    for file in link.shim_source(name).glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    assert link.is_placed(name, folder)
    (folder / file.name).write_text("# nnunetv2_mscs")
    assert not link.is_placed(name, folder)
link.shim_targets = lambda: [(name, Path({str(tmp_path)!r}, name)) for name in link.PLACES.values()]
from nnunetv2_mscs.nnunet_shims import run
from nnunetv2.preprocessing.normalization import default_normalization_schemes
print(default_normalization_schemes.ADCNormalization.__name__)
"""
    result = run_forked(python(code), tmp_path, os.environ)
    assert result.stdout.split()[-1:] == ["ADCNormalization"], result.stderr
