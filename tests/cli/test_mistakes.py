"""Natural mistakes, and what each prints: what is wrong, and what to type instead. Nothing of it takes a second."""

import shlex
import shutil
import zipfile
from pathlib import Path

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from nnunetv2_mscs.workplace import resources
from tests.dataset_conversion.conftest import make_phantom, save_case
from tests.models.new_scans import write, write_study
from tests.sharing.tiny_models import write_model

UNSET = "(nothing is exported) "
# Command line -> exit code, and what the message must say.
MISTAKES: dict[str, tuple[int, tuple[str, ...]]] = {
    # commands and options
    "convret scans 503 X": (2, ("there is no command convret. Did you mean convert?",)),
    "train 501": (2, ("there is no command train.", "nnUNetv2_train", "mscs run")),
    "help nothing": (2, ("there is no command nothing.", "`mscs` alone lists all commands")),
    "convert": (2, ("SOURCE, DATASET_ID, NAME", "usage: mscs convert")),
    # the data set
    "convert nowhere 503 X": (1, ("SOURCE nowhere does not exist.", "Check the path")),
    "convert scans 0 X": (2, ("DATASET_ID: '0' is not a whole number from 1 to 999",)),
    "convert scans 1000 X": (2, ("DATASET_ID: '1000' is not a whole number from 1 to 999",)),
    "convert scans 501 Stroke": (1, ("Dataset501_Stroke exists.", "Choose another id", "--overwrite")),
    "convert scans 501 Other": (1, ("The id 501 is taken by", "Dataset501_Stroke", "or the name Stroke")),
    "convert scans 503 'My Stroke'": (2, ("NAME: 'My Stroke' is not made of letters, digits, _ and - alone",)),
    "convert no_masks 503 X": (1, ("but no folder of masks", "mscs predict no_masks/images -m MODEL -o OUT")),
    "convert only_masks 503 X": (1, ("but no folder of scans", "Add images/<case>_adc.nii.gz")),
    "convert lacking 503 X": (1, ("images/c_adc.nii.gz", "image without a mask", "Add masks/c", "--unlabelled")),
    "convert pictures 503 X": (1, ("no case found", "formats that are not read", ".jpg", ".nii.gz")),
    "convert empty 503 X": (1, ("SOURCE empty is empty.",)),
    "convert text.txt 503 X": (1, ("SOURCE text.txt is a file, not a folder.",)),
    "convert scans 503 X --layout flat": (2, ("--layout: invalid choice: 'flat'", "images-masks")),
    "convert scans 503 X --test-fraction 2": (2, ("--test-fraction: '2' is not between 0 and 1",)),
    f"{UNSET}convert scans 503 X": (1, ("nnUNet_raw is not set.", "export nnUNet_raw=/path/to/nnUNet_raw")),
    # a run
    "run scans 503 X --configurations 3d_fulres --device cpu": (1, ("3d_fulres", "Did you mean 3d_fullres?")),
    "run scans 503 X --folds 7": (2, ("--folds: '7' is not a whole number from 0 to 4",)),
    "run scans 503 X --gpus 0,1 --device cpu": (1, ("--gpus, but the device is cpu", "Leave one of them out")),
    "run scans 503": (1, ("NAME is not given.", "mscs run SOURCE DATASET_ID NAME")),
    "run --config nowhere.yaml": (1, ("nowhere.yaml cannot be read: No such file or directory.", "Check the path")),
    "status 777": (1, ("There is no run of data set 777", "mscs run")),
    "status --watch": (2, ("--watch and --log show one run: give its DATASET_ID",)),
    "cancel 777": (1, ("There is no run of data set 777", "mscs status")),
    f"{UNSET}status 501": (1, ("nnUNet_results are not set.", "export nnUNet_raw=", "--workspace")),
    # new scans
    "predict study -m 502 -o out": (1, ("Dataset502_Untrained holds no trained model.", "mscs run")),
    "predict study -m 777 -o out": (1, ("named Dataset777_*", "Dataset901_Tiny")),
    "predict study -m no_model.zip -o out": (1, ("The zip holds a.txt", "not a model of nnU-Net")),
    "predict study -m Tiny -o out": (1, ("Tiny is no folder. Did you mean Dataset901_Tiny?", "Name a model folder")),
    "predict study -m sinthetic -o out": (1, ("sinthetic is no folder. Did you mean synthetic?",)),
    "predict study -m text.txt -o out": (1, ("text.txt is no zip file.", "a zip of mscs export")),
    f"{UNSET}predict study -m 501 -o out": (1, ("nnUNet_results is not set", "export nnUNet_results=FOLDER")),
    "predict adc_only -m 901 -o out --device cpu": (1, ("No study can be predicted.", "p1: has no DWI file.")),
    "predict --adc study/adc.nii.gz -m 901 -o out": (1, ("The DWI is missing", "--dwi FILE")),
    "predict --image study/adc.nii.gz -m 901 -o out": (2, ("is not CHANNEL=FILE", "FLAIR=flair.nii.gz")),
    "adapt scans": (1, ("DATASET_ID is not given.", "Usage: mscs adapt SOURCE DATASET_ID NAME")),
    "adapt scans 503 X --trainer MSCSTrainer --device cpu": (1, ("does not start from the weights", "_30epochs")),
    "adapt scans 503 X -m nothing --device cpu": (1, ("nothing is no folder.", "Name a model folder")),
    "adapt scans 503 X -m 777 --device cpu": (1, ("named Dataset777_*", "Dataset901_Tiny")),
    "model-path synthetik": (1, ("No weights called synthetik", "Did you mean synthetic?")),
    "predict nowhere -m 901 -o out": (1, ("nowhere is not there. Check the path.",)),
    "predict study -m 901 -o other --device cpu": (1, ("other is not empty, and holds no predictions",)),
    "predict study -m 901 -o out --b-value 0": (2, ("--b-value: '0' is not a number from 50.1 to 10000",)),
    "predict study -m 901 -o out --threshold 2": (2, ("--threshold: '2' is not a number from 0.001 to 0.999",)),
    # results
    "evaluate scans/masks -o e": (1, ("references to", "are not known", "mscs evaluate PREDICTIONS REFERENCES -o OUT")),
    "compare scans/masks lacking/masks": (1, ("references to", "are not known", "mscs compare and mscs report: --ref")),
    "volumes scans/masks -o v.xlsx": (1, ("v.xlsx does not end in .csv.", "volumes.csv")),
    "evaluate scans/masks lacking/masks -o e": (1, ("c.nii.gz", "has no reference", "lacking/masks")),
    "evaluate scans/masks scans/masks -o other": (1, ("other is not empty.", "--overwrite")),
    "report empty -o r.html": (1, ("empty holds no masks.", ".nii.gz")),
    "report scans/masks -o report": (1, ("report does not end in .html.", "report.html")),
    "show empty": (1, ("empty holds nothing to show.", "a model folder")),
    "show 501": (1, ("501 is neither a file nor a folder.", "mscs show --in 501")),
    "show nobody --in 501": (1, ("501 has no case nobody.", "such as a, b, c")),
    # models to pass on, and the demo
    "export 777 x.zip": (1, ("named Dataset777_*", "Name one that is there")),
    "export 901 x.tar": (1, ("x.tar does not end in .zip.", "x.zip")),
    "export 901 away/x.zip": (1, ("away is not there.", "mkdir -p away")),
    "install text.txt": (1, ("text.txt is no zip file", "Get the file once more")),
    "install no_model.zip": (1, ("The zip holds a.txt", "not a model of nnU-Net")),
    "import-keras text.txt model": (1, ("text.txt is neither HDF5", "model.save_weights")),
    "phantom other --cases 2": (1, ("other is not empty.", "--overwrite")),
    "demo --out other --device cpu": (1, ("other holds something that is not a demo.", "--out")),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with right things and wrong ones; each mistake gets it as the others leave it."""
    root = tmp_path_factory.mktemp("mistakes")
    for seed, name in enumerate("abcde"):
        save_case(root / "scans", name, make_phantom(seed, radius=seed % 3 + 1))
    shutil.copytree(root / "scans/images", root / "no_masks/images")
    shutil.copytree(root / "scans/masks", root / "only_masks/masks")
    shutil.copytree(root / "scans", root / "lacking")
    (root / "lacking/masks/c.nii.gz").unlink()
    for name in ("pictures/images", "pictures/masks", "empty", "other", *VARIABLES):
        (root / name).mkdir(parents=True)
    for name in ("pictures/images/a.jpg", "pictures/masks/a.jpg", "other/thesis.txt", "text.txt"):
        (root / name).write_text("years of work")
    with zipfile.ZipFile(root / "no_model.zip", "w") as archive:
        archive.writestr("a.txt", "no model")
    write_study(root / "study")
    write(root / "adc_only/p1", {"adc": "adc.nii.gz"})
    write_model(root / "nnUNet_results", "MSCSTrainer", steps=0)
    (root / "nnUNet_results/Dataset502_Untrained").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("nnUNet_raw", str(root / "nnUNet_raw"))
        assert main(["convert", "scans", "501", "Stroke", "-np", "1"]) == 0
    return root


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_with_its_remedy(line, place, monkeypatch, capsys):
    code, words = MISTAKES[line]
    status, said = type_in(line, place, monkeypatch, capsys)
    assert (status, [word for word in words if word not in said]) == (code, []), said
    assert "unexpected" not in said
    assert "Traceback" not in said
    assert (place / "other/thesis.txt").read_text() == "years of work"


def type_in(line: str, place: Path, monkeypatch, capsys) -> tuple[int, str]:
    """The exit code of a command line in the folder `place`, and its stderr with single blanks."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(resources, "default_processes", lambda: 1)
    for name in VARIABLES:
        monkeypatch.setenv(name, str(place / name))
        if line.startswith(UNSET):
            monkeypatch.delenv(name)
    try:
        status = main(shlex.split(line.removeprefix(UNSET)))
    except SystemExit as left:
        status = left.code
    return status, " ".join(capsys.readouterr().err.split())
