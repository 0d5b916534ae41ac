"""The methods to paste into a paper: what files record is said, what they do not record is left out."""

import dataclasses
import json
import re

import pytest

from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, summarise
from nnunetv2_mscs.reporting.report.citations import CITATIONS
from nnunetv2_mscs.reporting.report.methods import methods_of

VERSIONS = ["torch 2.9"]
PLANS = {
    "dataset_name": "Dataset501_Stroke",
    "plans_name": "MSCSPlans",
    "experiment_planner_used": "MSCSPlanner",
    "original_median_shape_after_transp": [20, 192, 168],
    "original_median_spacing_after_transp": [6.0, 1.2, 1.25],
    "configurations": {
        "3d_fullres": {
            "patch_size": [16, 160, 128],
            "spacing": [6.0, 1.2, 1.2],
            "batch_size": 2,
            "normalization_schemes": ["ADCNormalization", "DWINormalization"],
            "architecture": {"network_class_name": "a.b.MSCSNet", "arch_kwargs": {"strides": [1, 2, 2, 2]}},
        }
    },
}
DATASET = {"channel_names": {"0": "ADC", "1": "DWI"}, "labels": {"background": 0, "lesion": 1}, "numTraining": 250}
# As nnU-Net writes it: every value as text.
RECORD = {
    "network": "MSCSNet",
    "num_epochs": "1000",
    "num_iterations_per_epoch": "250",
    "initial_lr": "0.02",
    "loss": "DeepSupervisionWrapper(\n  (loss): DC_and_CE_loss(\n    (ce): RobustCrossEntropyLoss()\n  )\n)",
    "optimizer": "SGD (\nParameter Group 0\n    momentum: 0.99\n    nesterov: True\n    weight_decay: 3e-05\n)",
    "device": "cuda:0",
    "torch_version": "2.9.1",
}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "MSCSTrainer__MSCSPlans__3d_fullres"
    for fold in range(5):
        (folder / f"fold_{fold}").mkdir(parents=True)
    for name, content in (("plans.json", PLANS), ("dataset.json", DATASET), ("fold_0/debug.json", RECORD)):
        (folder / name).write_text(json.dumps(content))
    return folder


def test_every_recorded_fact_is_said(evaluation, model):
    text = " ".join(methods_of([dataclasses.replace(evaluation, predictions=str(model))], [model], VERSIONS))
    for fact in (
        "250 training cases with channels ADC and DWI, labelled lesion",
        "168 × 192 × 20 voxels of 1.25 × 1.2 × 6 mm",  # noqa: RUF001
        "The evaluation is of 14 cases.",
        "MSCS-Net [1] (4 resolutions) within nnU-Net v2 [2]",
        "The configuration was 3d_fullres, plans MSCSPlans, made by MSCSPlanner.",
        "Patches of 128 × 160 × 16 voxels were seen at 1.2 × 1.2 × 6 mm, in batches of 2.",  # noqa: RUF001
        "ADC by its unit (0 to 0.003 mm²/s) and DWI by the median of its parenchyma",
        "MSCSTrainer trained 5 folds for at most 1000 epochs of 250 iterations.",
        "The loss was the sum of soft Dice and cross-entropy, with deep supervision.",
        "SGD with Nesterov momentum (initial learning rate 0.02, momentum 0.99 and weight decay 3e-05)",
        "The device was cuda:0 with PyTorch 2.9.1.",
        "Each case was predicted by the fold that had not seen it in training.",
        "Both masks were empty in 1 case, only the reference in 1, only the prediction in 1.",
        "(200 samples, seed 0)",
        "torch 2.9",
    ):
        assert fact in text


def test_what_is_not_recorded_is_left_out(evaluation, model):
    for file in ("plans.json", "dataset.json", "fold_0/debug.json"):
        (model / file).write_text("{}")
    text = " ".join(methods_of([evaluation], [model], VERSIONS))
    assert "MSCSTrainer trained 5 folds." in text
    without = " ".join(methods_of([evaluation], [None], VERSIONS))
    assert "nnU-Net" not in without
    assert "segmented" not in without
    for invented in ("None", "unknown", "nan", "batches", "loss", "optimiser", "Intensities", "device", "not seen it"):
        assert not re.search(rf"\b{invented}\b", text + without)


def test_references_are_cited_and_numbered_in_order(evaluations, model):
    with_statistics = [
        dataclasses.replace(one, statistics=summarise(one, StatisticsSettings(samples=100))) for one in evaluations
    ]
    paragraphs = methods_of(with_statistics, [model, None], VERSIONS)
    text = " ".join(one for one in paragraphs if not one.startswith("["))
    listed = [one for one in paragraphs if one.startswith("[")]
    cited = list(
        dict.fromkeys(int(number) for group in re.findall(r"\[([\d, ]+)\]", text) for number in group.split(","))
    )
    assert cited == list(range(1, len(listed) + 1))
    assert [one.split("] ", 1)[1] for one in listed if "Wilcoxon" in one] == [CITATIONS["Wilcoxon"]]
    assert f"{evaluations[0].model}: Lesions were segmented" in text
