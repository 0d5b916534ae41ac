"""The commands that predict with a set of models."""

import pytest

from nnunetv2_mscs.nnunet_files.commands import predict_commands, prediction_steps
from nnunetv2_mscs.nnunet_files.model_folder import Model, ModelSet

FLAT = Model("MSCSTrainer", "MSCSPlans", "2d")
CASCADE = Model("MSCSTrainer", "MSCSPlans", "3d_cascade_fullres", previous_stage="3d_lowres")


def test_one_model_without_postprocessing_is_one_command():
    models = ModelSet("Dataset501_Stroke", (FLAT,), ("0", "1"), checkpoint="checkpoint_best.pth")
    assert predict_commands(models, postprocess=False) == [
        "nnUNetv2_predict -d Dataset501_Stroke -i SCANS -o MASKS -tr MSCSTrainer -p MSCSPlans -c 2d -f 0 1 "
        "-chk checkpoint_best.pth"
    ]


def test_an_ensemble_with_a_cascade_and_postprocessing(tmp_path):
    models = ModelSet("Dataset501_Stroke", (FLAT, CASCADE), ("0",))
    steps = list(
        prediction_steps(
            models,
            tmp_path,
            "OUT",
            "RESULTS",
            postprocess=True,
            between="steps/",
            device="cpu",
            workers=8,
        )
    )
    assert [title for title, _ in steps] == ["2d", "low resolution", "3d_cascade_fullres", "ensemble", "postprocess"]
    flat, low, cascade, ensemble, postprocess = (" ".join(words) for _, words in steps)
    assert f"-i {tmp_path} -o steps/MASKS_1 " in flat
    assert "-o steps/MASKS_OF_3d_lowres " in low
    assert "--save_probabilities" not in low
    for command in (flat, cascade):
        assert "--save_probabilities" in command
    assert "-prev_stage_predictions steps/MASKS_OF_3d_lowres" in cascade
    for command in (flat, low, cascade):
        assert "-device cpu -npp 3 -nps 3 -tr MSCSTrainer" in command
    assert ensemble == "nnUNetv2_ensemble -i steps/MASKS_1 steps/MASKS_2 -o steps/MASKS_RAW -np 8"
    assert f"-i steps/MASKS_RAW -o OUT -pp_pkl_file RESULTS/{models.decisions}/postprocessing.pkl" in postprocess


@pytest.mark.parametrize("models", [(FLAT,), (CASCADE,), (FLAT, CASCADE)])
def test_the_last_command_alone_writes_the_masks(models):
    commands = predict_commands(ModelSet("Dataset501_Stroke", models, ("0",)), postprocess=True)
    assert ["-o MASKS " in command for command in commands] == [False] * (len(commands) - 1) + [True]
