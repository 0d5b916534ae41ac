"""Models of other channels than ADC and DWI take their scans by number, by name and by option."""

import json

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs import Predictor
from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models import predicting
from tests.models.conftest import make_coarse
from tests.models.new_scans import AFFINE, scan, write
from tests.sharing.tiny_models import write_model
from tests.stored_scans import placed, same_place


@pytest.fixture(scope="session")
def model_of(tmp_path_factory):
    """A model folder of any two channels; the weights are the same whatever they are called."""
    made = {}

    def model_of(*channels: str):
        if channels not in made:
            folder = write_model(tmp_path_factory.mktemp("model"), "MSCSTrainer", steps=0)
            make_coarse(folder)
            description = json.loads((folder / "dataset.json").read_text())
            description["channel_names"] = {str(i): name for i, name in enumerate(channels)}
            (folder / "dataset.json").write_text(json.dumps(description))
            made[channels] = folder
        return made[channels]

    return model_of


def predict(model, out, *words) -> int:
    return main(["predict", *map(str, words), "-m", str(model), "-o", str(out), "--device", "cpu"])


@pytest.mark.parametrize("form", ["numbers", "names", "options", "table", "one file"])
def test_flair_and_dwi_in_any_form(form, model_of, tmp_path, monkeypatch):
    """The b0 stands for a FLAIR, of which nothing is known but its name."""
    model, folder, out = model_of("FLAIR", "DWI"), tmp_path / "in", tmp_path / "out"
    write(folder, {"b0": "p1_flair.nii.gz", "dwi": "p1_dwi.nii.gz"})
    files = {"dwi": folder / "p1_dwi.nii.gz", "others": {"flair": folder / "p1_flair.nii.gz"}}
    predictor = Predictor(model, "cpu")
    monkeypatch.setattr(predicting, "_load", lambda source, request: predictor)
    expected = predictor.predict(**files)
    assert expected.mask.any()
    words = [folder]
    if form == "numbers":
        words = [write(tmp_path / "numbered", {"b0": "p1_0000.nii.gz", "dwi": "p1_0001.nii.gz"})]
    elif form == "options":
        words = ["--image", f"flair={folder}/p1_flair.nii.gz", "--dwi", folder / "p1_dwi.nii.gz"]
    elif form == "table":
        (folder / "all.csv").write_text("case,flair,dwi\np1,p1_flair.nii.gz,p1_dwi.nii.gz\n")
        words = [folder / "all.csv"]
    elif form == "one file":
        both = np.stack([scan()["b0"], scan()["dwi"]], axis=-1)
        (tmp_path / "combined").mkdir()
        nibabel.save(nibabel.Nifti1Image(both, AFFINE), tmp_path / "combined/p1.nii.gz")
        words = [tmp_path / "combined"]
    assert predict(model, out, *words) == 0
    assert same_place(placed(out / "p1.nii.gz"), (np.transpose(expected.mask), AFFINE))


def test_numbers_follow_the_models_order(model_of, tmp_path):
    """DWI first: `_0000` is the DWI, as nnU-Net counts."""
    write(tmp_path / "in", {"dwi": "p1_0000.nii.gz", "adc": "p1_0001.nii.gz"})
    write(tmp_path / "named", {"dwi": "p1_dwi.nii.gz", "adc": "p1_adc.nii.gz"})
    model = model_of("DWI", "ADC")
    assert predict(model, tmp_path / "out", tmp_path / "in") == 0
    assert predict(model, tmp_path / "out_named", tmp_path / "named") == 0
    assert same_place(placed(tmp_path / "out/p1.nii.gz"), placed(tmp_path / "out_named/p1.nii.gz"))


def test_without_adc_and_dwi_the_first_channel_gives_the_grid(model_of, tmp_path, capsys):
    model = model_of("T1", "FLAIR")
    write(tmp_path / "in", {"adc": "p1_t1.nii.gz", "dwi": "p1_flair.nii.gz", "b0": "p1_dwi.nii.gz"})
    assert predict(model, tmp_path / "out", tmp_path / "in") == 0, capsys.readouterr().err
    assert (tmp_path / "out/sheets/p1.png").is_file()
    record = json.loads((tmp_path / "out/p1.json").read_text())
    assert (record["mean_adc"], record["relative_dwi"]) == (None, None)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"dwi": "p1_dwi.nii.gz", "adc": "p1_adc.nii.gz"}, "has no FLAIR file"),
        ({"b0": "p1_0000.nii.gz", "dwi": "p1_0001.nii.gz", "adc": "p1_0002.nii.gz"}, "the model takes 2: FLAIR, DWI"),
    ],
)
def test_a_missing_or_superfluous_channel_is_named(files, said, model_of, tmp_path, capsys):
    write(tmp_path / "in", files)
    assert predict(model_of("FLAIR", "DWI"), tmp_path / "out", tmp_path / "in") == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--adc", "x.nii.gz"], "DWI is missing, on whose grid the mask lies"),
        (["--image", "T2=x.nii.gz", "--dwi", "x.nii.gz"], "no channel T2. Its channels are FLAIR, DWI"),
    ],
)
def test_options_that_do_not_fit_the_model(words, said, model_of, tmp_path, capsys):
    assert predict(model_of("FLAIR", "DWI"), tmp_path / "out", *words) == 1
    assert said in capsys.readouterr().err


def test_python_refuses_an_unknown_channel(model_of):
    with pytest.raises(MscsError, match="no channel T2"):
        Predictor(model_of("FLAIR", "DWI"), "cpu").predict(dwi="x.nii.gz", others={"T2": "y.nii.gz"})
