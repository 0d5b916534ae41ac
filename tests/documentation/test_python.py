"""The examples of docs/python.md run as printed, one after the other, on tiny data; the package's import is light."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnunetv2_mscs
from tests.dataset_conversion.conftest import make_phantom, save
from tests.models.conftest import make_coarse
from tests.models.new_scans import write_study
from tests.sharing.tiny_models import write_model

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """The folders that the page names, as the working folder."""
    model = write_model(tmp_path / "results", "MSCSTrainer", steps=0)
    make_coarse(model)
    shutil.move(model, tmp_path / "MODEL_FOLDER")
    write_study(tmp_path / "scan")
    for number in range(5):
        phantom = make_phantom(number)
        save(phantom.adc, tmp_path / f"my_scans/images/p{number}_adc.nii.gz")
        save(phantom.dwi, tmp_path / f"my_scans/images/p{number}_dwi.nii.gz")
        save(phantom.mask, tmp_path / f"my_scans/masks/p{number}.nii.gz")
        save(phantom.mask, tmp_path / f"references/p{number}.nii.gz")
        save(make_phantom(number + 5).mask, tmp_path / f"predictions/p{number}.nii.gz")
        save(make_phantom(number + 9, radius=2).mask, tmp_path / f"other_predictions/p{number}.nii.gz")
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    (tmp_path / "raw").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_run(data, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert names["logits"].shape == (1, 2, 32, 32, 16)
    assert (data / "mask.nii.gz").is_file()
    assert len(names["table"]) == len(names["volumes"]) == 5
    assert "Dice: other_predictions" in capsys.readouterr().out
    assert (data / "raw/Dataset501_Stroke/dataset.json").is_file()


def test_the_page_names_all_that_the_package_offers():
    table = PAGE.split("| name | is |")[1].split("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(nnunetv2_mscs.__all__) - {"__version__"} == set(nnunetv2_mscs.HOMES)
    for name in named:
        assert getattr(nnunetv2_mscs, name).__module__ == nnunetv2_mscs.HOMES[name] or name == "MSCSNet"


def test_the_import_is_light():
    """As numbers of modules: seconds depend on the machine and on what else it does."""
    code = "import sys; before = set(sys.modules); import nnunetv2_mscs; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    heavy = {"torch", "pandas", "numpy", "nnunetv2", "scipy", "SimpleITK", "matplotlib"}
    assert not heavy & {name.split(".")[0] for name in loaded.stdout.split()}
