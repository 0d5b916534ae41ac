"""mscs adapt: plans and weights of a model, taken to other scans, trained on, and compared with the model as it was."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.take_plans import model_to_adapt
from tests.forked_workers import forked_stages
from tests.models.conftest import make_coarse
from tests.models.new_scans import AFFINE, scan, write
from tests.pipeline.whole_runs import mscs
from tests.sharing.tiny_models import DATASET, write_best, write_model
from tests.stored_scans import write_nifti

TRAINER = "MSCSTrainerAdapt_1epochs_1iterations"
ADAPTED = f"{TRAINER}__MSCSPlansAdapted__2d"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("model"), "MSCSTrainer", steps=0)
    make_coarse(folder)
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Five labelled cases."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(5):
        write(folder / "images", {"adc": f"p{seed}_adc.nii.gz", "dwi": f"p{seed}_dwi.nii.gz"}, seed=seed)
        (folder / "masks").mkdir(exist_ok=True)
        lesion = (scan(seed)["adc"] < 600) & (scan(seed)["adc"] > 0)
        write_nifti(folder / f"masks/p{seed}.nii.gz", lesion.astype(np.uint8), AFFINE)
    return folder


def words(scans, model, workspace, *more) -> list[str]:
    return mscs("adapt", scans, 61, "Own", "-m", model, "--workspace", workspace, "--device", "cpu", *more)


@pytest.mark.slow
def test_an_adapted_model_is_compared_with_what_it_was(model, scans, tmp_path, capsys):
    asked = words(scans, model, tmp_path, "--trainer", TRAINER, "--folds", 0, 1, "-np", 1)[3:]
    with forked_stages():
        assert main(asked) == 0
    preprocessed, results = (tmp_path / f"nnUNet_{kind}/Dataset061_Own" for kind in ("preprocessed", "results"))
    plans, base = (
        json.loads(file.read_text()) for file in (preprocessed / "MSCSPlansAdapted.json", model / "plans.json")
    )
    ours, theirs = (one["configurations"]["2d"] for one in (plans, base))
    for key in ("patch_size", "spacing", "normalization_schemes"):
        assert ours[key] == theirs[key]
    assert plans["image_reader_writer"].startswith("MSCSReader")
    taken = torch.load(preprocessed / "MSCSPlansAdapted_weights.pth", weights_only=True)["network_weights"]
    before = torch.load(model / "fold_0/checkpoint_final.pth", weights_only=False)["network_weights"]
    assert all(torch.equal(taken[name], tensor) for name, tensor in before.items())
    for fold in (0, 1):
        after = torch.load(results / ADAPTED / f"fold_{fold}/checkpoint_final.pth", weights_only=False)[
            "network_weights"
        ]
        distance = max(float((after[name] - tensor).abs().max()) for name, tensor in before.items())
        assert 0 < distance < 0.05, "one gentle step from the model's weights"
    table = pd.read_csv(results / "mscs_run/evaluation/comparison.csv")
    assert "before" in " ".join(map(str, table.to_numpy().ravel()))
    assert (results / "mscs_run/report.html").is_file()
    assert "done in" in capsys.readouterr().out
    assert main(asked) == 0
    assert "done in" not in capsys.readouterr().out, "nothing is done twice"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--planner", "MSCSPlanner"], "the plans are the model's"),
        (["--trainer", "MSCSTrainer"], "does not start from the weights"),
        (["--configurations", "3d_fullres"], "the model has 2d"),
    ],
)
def test_options_that_contradict_the_model(more, said, model, scans, tmp_path, capsys):
    assert main(words(scans, model, tmp_path / "w", *more)[3:]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_ensembles_and_other_networks_are_refused(tmp_path):
    for trainer in ("MSCSTrainer", "nnUNetTrainer"):
        write_model(tmp_path, trainer)
    write_best(tmp_path, "MSCSTrainer", "nnUNetTrainer")
    with pytest.raises(MscsError, match="is an ensemble"):
        model_to_adapt(str(tmp_path / DATASET))
    with pytest.raises(MscsError, match="is no MSCS-Net"):
        model_to_adapt(str(tmp_path / DATASET / "nnUNetTrainer__nnUNetPlans__2d"))


def test_a_dry_run_types_what_would_be_done(model, scans, tmp_path, capsys):
    assert main(words(scans, model, tmp_path / "w", "--dry-run")[3:]) == 0
    script = capsys.readouterr().out
    assert "take_plans Dataset061_Own" in script
    assert "-tr MSCSTrainerAdapt -p MSCSPlansAdapted" in script
    assert re.search(rf"mscs predict \S+/imagesTr -m {model} -o \S+/before", script)


def test_the_model_is_kept_by_its_place_and_a_file_may_name_it(model, scans, tmp_path, monkeypatch, capsys):
    """A data set's id is looked up in the run's own workspace; the YAML file's model goes before the shipped one."""
    results = tmp_path / "w/nnUNet_results"
    shutil.copytree(model.parent, results / DATASET)
    own = results / DATASET / model.name
    assert main(words(scans, "901", tmp_path / "w", "--dry-run")[3:]) == 0
    assert f"mscs predict $nnUNet_raw/Dataset061_Own/imagesTr -m {own}" in in_variables(capsys.readouterr().out, own)
    file = tmp_path / "adapt.yaml"
    lines = {"source": scans, "dataset_id": 62, "name": "File", "adapt": model, "workspace": tmp_path / "v"}
    file.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    assert main(["adapt", "--config", str(file), "--device", "cpu", "--dry-run"]) == 0
    assert f"take_plans Dataset062_File {model} MSCSPlansAdapted" in capsys.readouterr().out


def in_variables(script: str, own: Path) -> str:
    return script.replace(f"$nnUNet_results/{own.parent.name}/{own.name}", str(own))
