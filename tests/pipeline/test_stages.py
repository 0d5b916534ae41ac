"""The graph of a run: which stages there are, what they need, and the commands that they run."""

import dataclasses
import json
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import as_typed
from nnunetv2_mscs.pipeline.models import own_models, plans_of, rival_models
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.stage import Here
from nnunetv2_mscs.pipeline.stages import build_stages


@pytest.fixture
def settings(source):
    return RunSettings(str(source), 5, "Stroke")


def typed(stages, name, here=None):
    return [as_typed(words) for words in stages[name].commands(here or Here(3, "cuda"))]


def with_options(settings, **options):
    return dataclasses.replace(settings, **options)


def test_every_stage_comes_after_those_it_needs(settings, folders):
    everything = with_options(
        settings,
        configurations=("3d_cascade_fullres", "2d", "3d_lowres"),
        compare=("nnUNetTrainer", "nnUNetTrainer:nnUNetPlannerResEncM"),
        test_fraction=0.2,
    )
    seen = set()
    for name, stage in build_stages(everything, folders).items():
        assert name == stage.name
        assert seen.issuperset(stage.needs)
        seen.add(name)
    assert len([name for name in seen if name.startswith("train_")]) == 3 * 3 * 5


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({}, {}),
        (
            {
                "layout": "images-masks",
                "spacing": (1.0, 1.5, 5.0),
                "channels": ("ADC", "T1"),
                "test_fraction": 0.25,
                "seed": 7,
            }
            | {"patient_pattern": "^x", "unlabelled": Path("new"), "resample": True, "allow_large_masks": True},
            {"--layout": ["images-masks"], "--spacing": [1.0, 1.5, 5.0], "--channels": ["ADC", "T1"], "--seed": [7]}
            | {"--test-fraction": [0.25], "--patient-pattern": ["^x"], "--unlabelled": ["new"]}
            | {"--resample": True, "--allow-large-masks": True},
        ),
    ],
)
def test_the_record_of_the_conversion_is_that_of_earlier_versions(settings, folders, options, differs, monkeypatch):
    """Otherwise every run finished before would begin anew."""
    monkeypatch.chdir(settings.source)
    Path("new").mkdir()
    none = ("--layout", "--test-fraction", "--patient-pattern", "--unlabelled", "--spacing", "--channels")
    plain = {"SOURCE": settings.source, "--seed": [0], **{key: [] for key in none}, "--resample": False}
    asked = with_options(settings, **options)
    assert json.loads(json.dumps(build_stages(asked, folders)["convert"].parameters)) == plain | differs
    assert RunSettings.from_json(json.loads(json.dumps(asked.as_json()))) == asked


def test_the_plain_run(settings, folders):
    stages = build_stages(settings, folders)
    assert [name for name in stages if not name.startswith("train_")] == [
        *("convert", "fingerprint", "splits", "references", "plan_MSCSPlans", "preprocess_MSCSPlans_3d_fullres"),
        *("best_configuration", "evaluate", "report"),
    ]
    assert typed(stages, "train_MSCSTrainer__MSCSPlans__3d_fullres_fold4") == [
        "nnUNetv2_train 5 3d_fullres 4 -tr MSCSTrainer -p MSCSPlans -device cuda --c"
    ]
    assert "-num_gpus 2" in typed(stages, "train_MSCSTrainer__MSCSPlans__3d_fullres_fold0", Here(3, "cuda", 2))[0]
    assert "--disable_ensembling" in typed(stages, "best_configuration")[0]


def test_where_and_how_fast_is_no_parameter(settings, folders):
    """Or a run could not go on with other GPUs, or more processes."""
    stages = build_stages(with_options(settings, test_fraction=0.2), folders)
    for stage in stages.values():
        parameters = json.dumps(stage.parameters)
        assert "cuda" not in parameters
        assert '"-np"' not in parameters


def test_test_cases_and_their_masks_decide_on_the_last_stages(settings, folders, tmp_path):
    last = {"predict", "evaluate_test", "report_test"}
    assert last & set(build_stages(settings, folders)) == set()
    assert last & set(build_stages(with_options(settings, unlabelled=tmp_path), folders)) == {"predict"}
    assert last & set(build_stages(with_options(settings, test_fraction=0.1), folders)) == last
    splits = tmp_path / "splits"
    for split in ("train", "test"):
        for kind in ("images", "masks"):
            (splits / split / kind).mkdir(parents=True)
            (splits / split / kind / f"sample_1_{kind[:-1]}.npy").touch()
    assert last & set(build_stages(with_options(settings, source=str(splits)), folders)) == last


def test_a_raw_data_set_is_taken_as_it_is(settings, folders):
    raw = folders.raw / settings.dataset
    (raw / "imagesTr").mkdir(parents=True)
    (raw / "dataset.json").write_text("{}")
    stages = build_stages(with_options(settings, source=str(raw)), folders)
    assert "convert" not in stages
    assert stages["fingerprint"].sources == (raw / "dataset.json", raw / "imagesTr", raw / "labelsTr")
    with pytest.raises(MscsError, match="nnU-Net's raw format, but not"):
        build_stages(with_options(settings, source=str(raw), dataset_id=6), folders)


def test_several_configurations_compete_with_their_ensembles(settings, folders):
    stages = build_stages(with_options(settings, configurations=("2d", "3d_fullres"), test_fraction=0.1), folders)
    assert "--npz" in typed(stages, "train_MSCSTrainer__MSCSPlans__2d_fold0")[0]
    best = typed(stages, "best_configuration")[0]
    assert "-c 2d 3d_fullres" in best
    assert "--disable_ensembling" not in best
    assert typed(stages, "predict")[0].startswith("mscs predict ")
    evaluate = typed(stages, "evaluate")[0]
    assert "'ensemble 2d + 3d_fullres'" in evaluate
    assert "ensemble___MSCSTrainer__MSCSPlans__2d___MSCSTrainer__MSCSPlans__3d_fullres___0_1_2_3_4" in evaluate


def test_a_rival_changes_nothing_that_ours_is_made_from(settings, folders):
    alone = build_stages(settings, folders)
    with_rival = build_stages(with_options(settings, compare=("nnUNetTrainer",)), folders)
    for name in set(alone) - {"evaluate", "report"}:
        assert with_rival[name].parameters == alone[name].parameters
        assert with_rival[name].needs == alone[name].needs
        assert with_rival[name].makes == alone[name].makes
    assert "train_nnUNetTrainer__nnUNetPlans__3d_fullres_fold0" in with_rival
    assert "--compare" in typed(with_rival, "evaluate")[0]


def test_planners_that_share_data_preprocess_them_once(settings, folders):
    rivals = ("nnUNetTrainer", "nnUNetTrainer:nnUNetPlannerResEncM")
    stages = build_stages(with_options(settings, configurations=("2d", "3d_lowres"), compare=rivals), folders)
    shared, own = (stages[f"preprocess_nnUNetResEncUNetMPlans_{one}"] for one in ("2d", "3d_lowres"))
    assert "preprocess_nnUNetPlans_2d" in shared.needs
    assert (shared.makes, typed(stages, shared.name)) == ((), [])
    assert [place.name for place in shared.outputs] == ["nnUNetPlans_2d"]
    assert [place.name for place in own.makes] == ["nnUNetResEncUNetMPlans_3d_lowres"]
    assert " -c 3d_lowres " in typed(stages, own.name)[0]


def test_the_second_stage_of_a_cascade_waits_for_all_folds_of_the_first(settings, folders):
    cascade = with_options(settings, configurations=("3d_lowres", "3d_cascade_fullres"), folds=(0, 1))
    stages = build_stages(cascade, folders)
    needs = stages["train_MSCSTrainer__MSCSPlans__3d_cascade_fullres_fold0"].needs
    assert {f"train_MSCSTrainer__MSCSPlans__3d_lowres_fold{fold}" for fold in (0, 1)} <= set(needs)
    assert {"preprocess_MSCSPlans_3d_fullres", "preprocess_MSCSPlans_3d_lowres"} <= set(stages)
    assert "preprocess_MSCSPlans_3d_fullres" in needs


@pytest.mark.parametrize(
    ("trainer", "epochs", "name"),
    [
        ("MSCSTrainer", None, "MSCSTrainer"),
        ("MSCSTrainer", 1, "MSCSTrainer_1epochs"),
        ("nnUNetTrainer", 1, "nnUNetTrainer_1epoch"),
        ("nnUNetTrainer", 50, "nnUNetTrainer_50epochs"),
    ],
)
def test_a_length_becomes_part_of_the_name(settings, trainer, epochs, name):
    assert own_models(with_options(settings, trainer=trainer, epochs=epochs))[0].trainer == name


def test_rivals_get_the_planner_of_their_network(settings):
    rivals = rival_models(with_options(settings, compare=("nnUNetTrainer", "MSCSTrainerPaper", "nnUNetTrainer:Other")))
    assert [rival.planner for rival in rivals] == ["ExperimentPlanner", "MSCSPlanner", "Other"]


def test_the_names_of_plans_are_those_of_the_planners():
    from nnunetv2_mscs.pipeline import models

    for planner, plans in dict(models.PLANS).items():
        del models.PLANS[planner]
        assert plans_of(planner) == plans
    with pytest.raises(MscsError, match="finds no planner Nobody"):
        plans_of("Nobody")


def test_configurations_that_were_not_planned_stop_the_run(settings, folders):
    stage = build_stages(with_options(settings, configurations=("3d_lowres",)), folders)["plan_MSCSPlans"]
    file = Path(stage.makes[0])
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"configurations": {"2d": {}, "3d_fullres": {}}}))
    with pytest.raises(MscsError, match=r"no configuration 3d_lowres.*Choose --configurations among 2d, 3d_fullres"):
        stage.verify()


def test_nnunets_trainers_get_their_own_planner_as_ours_too(settings):
    """Or a baseline called nnUNetTrainer would be MSCS-Net."""
    assert own_models(with_options(settings, trainer="nnUNetTrainer"))[0].planner == "ExperimentPlanner"
    assert own_models(with_options(settings, trainer="nnUNetTrainer", planner="MSCSPlanner"))[0].plans == "MSCSPlans"
    assert (
        rival_models(with_options(settings, trainer="nnUNetTrainer", compare=("MSCSTrainer",)))[0].plans == "MSCSPlans"
    )


def test_models_of_one_trainer_are_told_apart_by_their_plans(settings, folders):
    rivals = ("nnUNetTrainer", "nnUNetTrainer:nnUNetPlannerResEncM")
    names = build_stages(with_options(settings, compare=rivals), folders)["evaluate"].parameters["models"]
    assert names == ["MSCSTrainer", "nnUNetTrainer nnUNetPlans", "nnUNetTrainer nnUNetResEncUNetMPlans"]


def test_only_the_folds_that_are_asked_for_are_evaluated(settings, folders):
    assert "--folds" not in typed(build_stages(settings, folders), "evaluate")[0]
    few = build_stages(with_options(settings, folds=(0, 2)), folders)["evaluate"]
    assert " --folds 0 2 " in as_typed(few.commands(Here())[0])
    assert few.parameters["folds"] == [0, 2]


def test_another_configuration_changes_nothing_that_was_trained(settings, folders):
    alone = build_stages(settings, folders)
    two = build_stages(with_options(settings, configurations=("2d", "3d_fullres")), folders)
    for name in [name for name in alone if name.startswith(("train_", "preprocess_"))]:
        assert (two[name].parameters, two[name].needs) == (alone[name].parameters, alone[name].needs)
    final = folders.results / settings.dataset / "MSCSTrainer__MSCSPlans__3d_fullres/fold_0/checkpoint_final.pth"
    training = two["train_MSCSTrainer__MSCSPlans__3d_fullres_fold0"].training
    assert training.final_checkpoint == final
    assert training.lacks() == "no probabilities for ensembles"
    (final.parent / "validation").mkdir(parents=True)
    (final.parent / "validation" / "a.npz").touch()
    assert training.lacks() == ""


def test_rivals_keep_no_probabilities(settings, folders):
    """Their ensembles do not compete."""
    both = with_options(settings, configurations=("2d", "3d_fullres"), compare=("nnUNetTrainer",))
    stages = build_stages(both, folders)
    assert "--npz" in typed(stages, "train_MSCSTrainer__MSCSPlans__2d_fold0")[0]
    assert "--npz" not in typed(stages, "train_nnUNetTrainer__nnUNetPlans__2d_fold0")[0]


@pytest.mark.parametrize("is_raw", [False, True])
def test_what_stages_read_of_the_raw_data_set(settings, folders, is_raw):
    """A new test case trains nothing again; a mask put right does, and is evaluated against."""
    raw = folders.raw / settings.dataset
    if is_raw:
        for name in ("imagesTr", "imagesTs", "labelsTs"):
            (raw / name).mkdir(parents=True)
            (raw / name / "a.nii.gz").touch()
        (raw / "dataset.json").write_text("{}")
        settings = with_options(settings, source=str(raw))
    else:
        settings = with_options(settings, test_fraction=0.2)
    stages = build_stages(settings, folders)
    parts = {
        name: [place.name for place in (stage.sources if is_raw else stage.needs.get("convert", ()))]
        for name, stage in stages.items()
        if name != "convert"
    }
    assert {name: read for name, read in parts.items() if read} == {
        "fingerprint": ["dataset.json", "imagesTr", "labelsTr"],
        "splits": ["dataset.json", "labelsTr", "splits_final.json"],
        "references": ["dataset.json", "labelsTr"],
        "plan_MSCSPlans": ["dataset.json"],
        "preprocess_MSCSPlans_3d_fullres": ["imagesTr"],
        "predict": ["imagesTs"],
        "evaluate_test": ["labelsTs"],
        "report_test": ["imagesTs"],
    }
    assert {"references", "preprocess_MSCSPlans_3d_fullres"} <= set(
        stages["train_MSCSTrainer__MSCSPlans__3d_fullres_fold0"].needs
    )
    assert "references" in stages["preprocess_MSCSPlans_3d_fullres"].needs
