"""A run as commands to type: what is left and what is done, and the GPU of each fold."""

import re

from nnunetv2_mscs.nnunet_files.environment import folders_of
from nnunetv2_mscs.pipeline.dry_run import as_script
from nnunetv2_mscs.pipeline.local import slots_for
from nnunetv2_mscs.pipeline.run import Execution, Run
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.stage import Here
from nnunetv2_mscs.pipeline.standing import DONE, NOT_YET, REPEATS, Standing


def script_of(tmp_path, gpus=(), gpus_per_fold=1, what=NOT_YET, **standing):
    for name in ("images", "masks"):
        (tmp_path / "scans" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / name / "a.nii.gz").touch()
    run = Run(
        RunSettings(str(tmp_path / "scans"), 5, "Stroke", test_fraction=0.2),
        folders_of(tmp_path / "workspace"),
        Execution(device="cuda", gpus=gpus, gpus_per_fold=gpus_per_fold, processes=4),
    )
    stands = {name: Standing(stage, what, **standing) for name, stage in run.stages().items()}
    here = Here(4, "cuda", gpus_per_fold)
    variables = run.execution.environment(run.folders)
    return "\n".join(as_script(run.folder, stands, here, variables, slots_for(gpus, gpus_per_fold)))


def test_each_fold_names_its_gpus_in_turn_and_nothing_else_does(tmp_path):
    script = script_of(tmp_path, ("2", "3"))
    assert "\nexport CUDA_DEVICE_ORDER=PCI_BUS_ID\n" in script
    trained = re.findall(r"^CUDA_VISIBLE_DEVICES=(\S+) nnUNetv2_train 5 3d_fullres (\d)", script, re.MULTILINE)
    assert trained == [("2", "0"), ("3", "1"), ("2", "2"), ("3", "3"), ("2", "4")]
    assert re.search(r"^CUDA_VISIBLE_DEVICES=3 nnUNetv2_predict", script, re.MULTILINE)
    assert re.search(r"^nnUNetv2_preprocess", script, re.MULTILINE)
    pairs = script_of(tmp_path, ("0", "1", "2", "3"), 2)
    assert "CUDA_VISIBLE_DEVICES=2,3 nnUNetv2_train 5 3d_fullres 1 " in pairs
    assert "-num_gpus 2" in pairs
    assert "CUDA" not in script_of(tmp_path)


def test_numbers_of_processes_are_exported_for_what_runs_side_by_side(tmp_path):
    alone, in_pairs = script_of(tmp_path), script_of(tmp_path, ("0", "1"))
    for script, numbers in ((alone, (3, 4)), (in_pairs, (1, 2))):
        exported = re.findall(r"^export (?:nnUNet_n_proc_DA|nnUNet_def_n_proc)=(\d+)$", script, re.MULTILINE)
        assert tuple(map(int, exported)) == numbers


def test_what_is_done_is_a_comment_and_what_goes_is_removed_first(tmp_path):
    assert not re.search(r"^(nnUNetv2|mscs)", script_of(tmp_path, what=DONE), re.MULTILINE)
    place = tmp_path / "a place"
    again = script_of(tmp_path, what=REPEATS, reason="other planner", removes=(place,))
    assert f"# plan MSCSPlans: again: other planner\nrm -rf '{place}'\nnnUNetv2_plan_experiment" in again
    assert "\n# convert: again: other planner\nmscs convert" in again, "which replaces by itself"


def test_what_may_have_to_go_is_for_a_person_to_decide(tmp_path):
    place = tmp_path / "fold"
    script = script_of(tmp_path, what=REPEATS, reason="comes after splits", removes=(place,), uncertain=True)
    assert f"\n# rm -rf {place}\n# nnUNetv2_train" in script
    assert not re.search(r"^(rm|nnUNetv2|mscs)", script, re.MULTILINE)
