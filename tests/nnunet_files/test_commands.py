"""The commands that predict with a set of models."""

import pytest

from nnunetv2_mscs.nnunet_files.commands import predict_commands
from nnunetv2_mscs.nnunet_files.model_folder import Model, ModelSet

FLAT = Model("MSCSTrainer", "MSCSPlans", "2d")
CASCADE = Model("MSCSTrainer", "MSCSPlans", "3d_cascade_fullres", previous_stage="3d_lowres")


def test_one_model_without_postprocessing_is_one_command():
    models = ModelSet("Dataset501_Stroke", (FLAT,), ("0", "1"), checkpoint="checkpoint_best.pth")
    assert predict_commands(models, postprocess=False) == [
        "nnUNetv2_predict -d Dataset501_Stroke -i SCANS -o MASKS -tr MSCSTrainer -p MSCSPlans -c 2d -f 0 1 "
        "-chk checkpoint_best.pth"
    ]


def test_an_ensemble_with_a_cascade_and_postprocessing():
    models = ModelSet("Dataset501_Stroke", (FLAT, CASCADE), ("0",))
    flat, low, cascade, ensemble, postprocess = predict_commands(models, postprocess=True)
    assert "-i SCANS -o MASKS_1 " in flat
    assert "-o MASKS_OF_3d_lowres " in low
    assert "--save_probabilities" not in low
    for command in (flat, cascade):
        assert "--save_probabilities" in command
    assert "-prev_stage_predictions MASKS_OF_3d_lowres" in cascade
    assert ensemble == "nnUNetv2_ensemble -i MASKS_1 MASKS_2 -o MASKS_RAW"
    decisions = f'"$nnUNet_results"/{models.dataset}/{models.decisions}/postprocessing.pkl'
    assert f"-i MASKS_RAW -o MASKS -pp_pkl_file {decisions}" in postprocess


@pytest.mark.parametrize("models", [(FLAT,), (CASCADE,), (FLAT, CASCADE)])
def test_the_last_command_alone_writes_the_masks(models):
    commands = predict_commands(ModelSet("Dataset501_Stroke", models, ("0",)), postprocess=True)
    assert ["-o MASKS " in command for command in commands] == [False] * (len(commands) - 1) + [True]
