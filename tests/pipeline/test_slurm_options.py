"""What is asked of the cluster: times, options, and how stages become jobs."""

import shlex
from itertools import combinations
from pathlib import Path

import pytest
from submitit.slurm.slurm import _make_sbatch_string

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline import slurm
from nnunetv2_mscs.pipeline.run import Execution, Run, submit
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.slurm_groups import job_groups
from nnunetv2_mscs.pipeline.slurm_options import SlurmOptions, TimeLimit, minutes
from nnunetv2_mscs.pipeline.stage import Stage, Training, all_of


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 90),
        ("90:30", 91),
        ("12:00:00", 720),
        ("0:00:30", 1),
        ("2-00", 2880),
        ("2-12:30", 3630),
        ("1-0:0:1", 1441),
    ],
)
def test_times_are_read_as_slurm_reads_them(time, expected):
    assert minutes(time) == expected


@pytest.mark.parametrize("time", ["", "soon", "12h", "1:2:3:4", "-5", "0"])
def test_other_times_are_refused(time):
    with pytest.raises(MscsError, match="time"):
        SlurmOptions(time=time)


@pytest.mark.parametrize(
    "options",
    [
        {"time": "9"},
        {"time": "0:09:00"},
        {"extra": ("--time=5",)},
        {"time": "10", "extra": ("--signal=B:USR2@300",)},
    ],
)
def test_a_time_too_short_for_a_checkpoint_is_refused(options):
    with pytest.raises(MscsError, match=r"before a training's first checkpoint.*minutes or more"):
        SlurmOptions(**options)


def test_ten_minutes_are_enough_and_what_is_told_three_minutes_before_their_end_is_that_they_are_over():
    limit = SlurmOptions(time="10").limit
    assert limit == TimeLimit(10, 120)
    assert limit.is_up(600 - 120 - 60)
    assert not limit.is_up(200)
    assert SlurmOptions(extra=("--time=1:00:00", "--signal=B:SIGUSR2@600")).limit == TimeLimit(60, 600)


def test_a_signal_that_jobs_do_not_understand_is_refused():
    with pytest.raises(MscsError, match=r"--signal=USR1@60.*--signal=B:USR2@120"):
        SlurmOptions(extra=("--signal=USR1@60",))


def script(options: SlurmOptions, *, name: str = "job", gpus: int = 0, **others) -> dict[str, str]:
    """The options in the script that submitit writes for a job: each once."""
    text = _make_sbatch_string(command="true", folder="jobs", **options.parameters(name=name, gpus=gpus, **others))
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    parts = [line.partition("=") for line in lines]
    assert len({option for option, _, _ in parts}) == len(parts), lines
    return {option: "".join(shlex.split(value)) for option, _, value in parts}


def test_what_is_not_asked_is_left_to_the_cluster():
    asked = script(SlurmOptions(cpus=4))
    assert not {"partition", "mem", "account", "qos", "constraint", "gpus-per-node", "dependency"} & set(asked)
    assert (asked["requeue"], asked["kill-on-invalid-dep"], asked["time"]) == ("", "yes", "1440")
    assert (asked["signal"], asked["cpus-per-task"]) == ("B:USR2@120", "4")


def test_only_jobs_with_a_gpu_go_where_gpus_are():
    options = SlurmOptions(partition="gpu", cpu_partition="cpu", constraint="a100", memory_gb=1.5)
    on_gpu, on_cpu = script(options, gpus=2), script(options, after=("7", "8"))
    assert (on_gpu["partition"], on_gpu["constraint"], on_gpu["gpus-per-node"]) == ("gpu", "a100", "2")
    assert on_cpu["partition"] == "cpu"
    assert not {"constraint", "gpus-per-node"} & set(on_cpu)
    assert on_cpu["dependency"] == "afterok:7:8"
    assert on_cpu["mem"] == "1536M"
    assert script(SlurmOptions(partition="all"))["partition"] == "all"


def test_jobs_may_wait_for_the_success_of_some_and_for_the_end_of_others():
    asked = script(SlurmOptions(), after=("7_1", "8"), behind=("9",))
    assert asked["dependency"] == "afterok:7_1:8,afterany:9"


@pytest.mark.parametrize(
    ("extra", "expected", "absent"),
    [
        ("--reservation=x y", {"reservation": "x y"}, ()),
        ("--exclusive", {"exclusive": ""}, ()),
        ("--signal=B:USR2@600", {"signal": "B:USR2@600"}, ()),
        ("--time=2-00", {"time": "2880"}, ()),
        ("--partition other", {"partition": "other"}, ()),
        ("--open-mode=truncate", {"open-mode": "truncate"}, ()),
        ("--gpus-per-node=a100:1", {"gpus-per-node": "a100:1"}, ()),
        ("--gres=gpu:a100:1", {"gres": "gpu:a100:1"}, ("gpus-per-node",)),
        ("--gres=scratch:10,gpu:1", {"gres": "scratch:10,gpu:1"}, ("gpus-per-node",)),
        ("--gres=scratch:10", {"gres": "scratch:10", "gpus-per-node": "1"}, ()),
        ("--gpus=a100:1", {"gpus": "a100:1"}, ("gpus-per-node",)),
        ("--gpus-per-task=1", {"gpus-per-task": "1"}, ("gpus-per-node",)),
        ("--mem=0", {"mem": "0"}, ()),
        ("--mem-per-cpu=4G", {"mem-per-cpu": "4G"}, ("mem",)),
        ("--mem-per-gpu=40G", {"mem-per-gpu": "40G"}, ("mem",)),
        ("--cpus-per-task=16", {"cpus-per-task": "16"}, ()),
        ("--cpus-per-gpu=16", {"cpus-per-gpu": "16"}, ("cpus-per-task",)),
        ("--no-requeue", {"no-requeue": ""}, ("requeue",)),
    ],
)
def test_extra_options_win(extra, expected, absent):
    asked = script(SlurmOptions(partition="main", memory_gb=8, extra=(extra,)), gpus=1)
    assert {option: asked.get(option) for option in expected} == expected
    assert not set(absent) & set(asked)


@pytest.mark.parametrize(
    ("extra", "left"),
    [
        ("--gres=gpu:a100:1", {}),
        ("--gres=gpu:a100:1,scratch:10", {"gres": "scratch:10"}),
        ("--gpus=1", {}),
        ("--mem-per-gpu=40G", {"mem": "8192M"}),
        ("--gpus-per-node=a100:1", {}),
    ],
)
def test_extra_gpus_are_not_for_jobs_without_one(extra, left):
    plain = script(SlurmOptions(memory_gb=8))
    assert script(SlurmOptions(memory_gb=8, extra=(extra,))) == {**plain, **left}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("reservation x", "not a long option of sbatch.*two dashes"),
        ("-w node1", "two dashes"),
        ("--job-name=mine", "--job-name is for the run itself"),
        ("--dependency=singleton", "for the run itself"),
        ("--array=0-3", "for the run itself"),
    ],
)
def test_other_extra_options_are_refused_early(extra, message):
    with pytest.raises(MscsError, match=message):
        SlurmOptions(extra=(extra,))


@pytest.mark.parametrize(
    ("cpus", "gpus_per_fold", "expected"), [(8, 1, "7"), (32, 1, "12"), (16, 2, "7"), (8, 4, "1"), (1, 1, "1")]
)
def test_augmentation_gets_its_share_of_a_jobs_cores(tmp_path, monkeypatch, cpus, gpus_per_fold, expected):
    """As on one machine: nnU-Net starts so many processes for each GPU, beside a main process."""
    given = {}
    monkeypatch.setattr(slurm, "check_slurm", lambda: None)
    monkeypatch.setattr(slurm, "submit", lambda *_, environment, **others: given.update(environment) or [])
    monkeypatch.setattr(Run, "standings", lambda self: {})
    execution = Execution("slurm", "cuda", gpus_per_fold=gpus_per_fold, slurm={"cpus": cpus})
    folders = Folders(*(tmp_path / name for name in ("raw", "preprocessed", "results")))
    submit(Run(RunSettings("scans", 1, "X"), folders, execution), yes=True)
    assert (given["nnUNet_n_proc_DA"], given["nnUNet_def_n_proc"]) == (expected, str(cpus))


def test_a_file_may_name_fields_only():
    options = SlurmOptions.from_json({"partition": "gpu", "extra": ["--exclusive"], "cpus": 12})
    assert (options.partition, options.extra, options.cpus) == ("gpu", ("--exclusive",), 12)
    with pytest.raises(MscsError, match=r"no Slurm option gpu_partition.*cpu_partition"):
        SlurmOptions.from_json({"gpu_partition": "x"})


def stage(name: str, *needs: str, trains: str = "", uses_gpu: bool = False) -> Stage:
    training = Training(trains, "P", Path("final")) if trains else None
    return Stage(name, name, lambda here: [], {}, all_of(*needs), training=training, uses_gpu=uses_gpu or bool(trains))


CASCADE = {
    one.name: one
    for one in (
        stage("convert"),
        stage("preprocess", "convert"),
        stage("low0", "preprocess", trains="T"),
        stage("low1", "preprocess", trains="T"),
        stage("full0", "preprocess", "low0", "low1", trains="T"),
        stage("full1", "preprocess", "low0", "low1", trains="T"),
        stage("best", "low0", "low1", "full0", "full1"),
        stage("predict", "best", "convert", uses_gpu=True),
        stage("evaluate", "full0", "full1"),
        stage("evaluate_test", "predict"),
    )
}


def test_a_cascade_is_two_arrays_one_behind_the_other():
    groups = job_groups(CASCADE, CASCADE)
    assert [group.stages for group in groups] == [
        ("convert", "preprocess"),
        ("low0", "low1"),
        ("full0", "full1"),
        ("best", "evaluate"),
        ("predict",),
        ("evaluate_test",),
    ]
    assert [group.is_array for group in groups[:4]] == [False, True, True, False]
    assert groups[2].needs == ("preprocess", "low0", "low1")


RIVALS = {
    one.name: one
    for one in (
        stage("convert"),
        stage("plan_ours", "convert"),
        stage("plan_rival", "convert"),
        stage("preprocess_ours", "plan_ours"),
        stage("preprocess_rival", "plan_rival", "preprocess_ours"),
        stage("ours0", "preprocess_ours", trains="Ours"),
        stage("ours1", "preprocess_ours", trains="Ours"),
        stage("rival0", "preprocess_rival", trains="Rival"),
        stage("rival1", "preprocess_rival", trains="Rival"),
        stage("best", "ours0", "ours1"),
        stage("predict", "best", "convert", uses_gpu=True),
        stage("evaluate", "convert", "ours0", "ours1", "rival0", "rival1"),
        stage("report", "evaluate"),
        stage("evaluate_test", "predict"),
    )
}


def test_what_a_failed_rival_stops_has_jobs_of_its_own():
    groups = job_groups(RIVALS, RIVALS)
    assert [(group.stages, group.needs) for group in groups] == [
        (("convert", "plan_ours", "preprocess_ours"), ()),
        (("plan_rival", "preprocess_rival"), ("convert", "preprocess_ours")),
        (("ours0", "ours1"), ("preprocess_ours",)),
        (("rival0", "rival1"), ("preprocess_rival",)),
        (("best",), ("ours0", "ours1")),
        (("evaluate", "report"), ("convert", "ours0", "ours1", "rival0", "rival1")),
        (("predict",), ("best", "convert")),
        (("evaluate_test",), ("predict",)),
    ]
    assert len({group.name for group in groups}) == len(groups)


def stopped_by(failed: str, stages: dict[str, Stage]) -> set[str]:
    """Stages in jobs that come after a failed one, or are it."""
    stopped = {failed}
    for group in job_groups(stages, stages):
        if stopped & {*group.stages, *group.needs}:
            stopped.update(group.stages)
    return stopped


@pytest.mark.parametrize("failed", ["plan_rival", "preprocess_rival", "rival0", "rival1"])
def test_our_model_comes_to_its_end_without_the_rival(failed):
    ours = {"convert", "plan_ours", "preprocess_ours", "ours0", "ours1", "best", "predict", "evaluate_test"}
    assert not ours & stopped_by(failed, RIVALS)
    assert {"evaluate", "report"} <= stopped_by(failed, RIVALS)


@pytest.mark.parametrize("stages", [CASCADE, RIVALS])
def test_every_stage_left_comes_after_those_it_needs(stages):
    for done in combinations(stages, 3):
        left = [name for name in stages if name not in done]
        groups = job_groups(stages, left)
        at = {name: position for position, group in enumerate(groups) for name in group.stages}
        assert sorted(at) == sorted(left)
        for name in left:
            group = groups[at[name]]
            for need in set(stages[name].needs) & set(left):
                if at[need] == at[name]:
                    assert not group.is_array
                    assert group.stages.index(need) < group.stages.index(name)
                else:
                    assert at[need] < at[name]
                    assert need in group.needs


def test_nothing_left_is_no_job():
    assert job_groups(CASCADE, []) == []
