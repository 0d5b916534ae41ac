"""What a prediction imports, and that all of nnU-Net and torch work after it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.models import light_imports

NOT_NEEDED = (
    *("torch._dynamo", "torch._inductor", "sympy", "triton", "torchvision"),
    *("matplotlib", "seaborn", "pandas", "sklearn", "scipy.stats", "blosc2", "pydicom", "tifffile", "h5py", "IPython"),
)
PREDICT = """
import json, sys
from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.models.predicting import _Command

write, loaded = _Command.write, []

def watched(*words):
    before = set(sys.modules)
    record = write(*words)
    loaded.extend(sorted(set(sys.modules) - before))
    return record

_Command.write = watched
code = main(sys.argv[1:])
print(json.dumps([code, [name for name in {names!r} if name in sys.modules], loaded]))
"""
AFTERWARDS = """
import torch
from nnunetv2_mscs.models.light_imports import import_for_prediction
import_for_prediction()
from nnunetv2.inference import predict_from_raw_data
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from acvl_utils.cropping_and_padding import bounding_boxes
import blosc2, nibabel, pandas, sys

assert "torch._dynamo" not in sys.modules
network = torch.nn.Linear(2, 2)
assert not isinstance(network, predict_from_raw_data.OptimizedModule)
compiled = torch.compile(network, backend="eager")
assert isinstance(compiled, predict_from_raw_data.OptimizedModule)
assert isinstance(compiled, nnUNetTrainer.OptimizedModule)
x = torch.ones(1, 2)
assert torch.equal(compiled(x), network(x))
assert callable(nnUNetTrainer.MetaLogger.log)
splits = nnUNetTrainer.generate_crossval_split([f"case_{n}" for n in range(10)])
assert len(splits) == 5
assert isinstance(blosc2.asarray(torch.ones(3).numpy()), bounding_boxes.blosc2.ndarray.NDArray)
assert nibabel.nifti1.pdcm.Dataset is not None
print("all of it works")
"""


def python(code: str, *words: object) -> str:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_prediction_imports_nothing_that_it_does_not_use_and_nothing_in_a_thread(tmp_path):
    z, y, x = np.indices((6, 64, 64))
    head = (y - 32) ** 2 + (x - 32) ** 2 < 26**2
    for number, value in enumerate((800.0, 300.0)):
        image = sitk.GetImageFromArray((head * (value + 5 * z + x)).astype(np.float32))
        image.SetSpacing((3.0, 3.0, 14.0))
        sitk.WriteImage(image, tmp_path / f"scan_{number:04d}.nii.gz")
    words = ("predict", tmp_path, "-o", tmp_path / "out", "--device", "cpu", "--engine", "torch")
    said = python(PREDICT.format(names=NOT_NEEDED), *words)
    assert json.loads(said.splitlines()[-1]) == [0, [], []]
    assert (tmp_path / "out" / "scan.nii.gz").is_file()


def test_what_was_left_out_works_afterwards():
    assert python(AFTERWARDS).splitlines()[-1] == "all of it works"


def test_a_version_that_needs_a_module_at_once_is_imported_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "needs_now.py").write_text("import colorsys\nGREY = colorsys.rgb_to_hsv(1, 1, 1)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    monkeypatch.setattr(light_imports, "IMPORTS", (({"colorsys": ()}, ("needs_now",)),))
    light_imports.import_for_prediction()
    assert sys.modules.pop("needs_now").GREY == (0.0, 0, 1)


def test_what_cannot_be_imported_at_all_is_an_error(monkeypatch):
    monkeypatch.setattr(light_imports, "IMPORTS", (({}, ("no_such_module",)),))
    with pytest.raises(ModuleNotFoundError):
        light_imports.import_for_prediction()
