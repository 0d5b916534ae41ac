"""What is asked of the cluster: times, options, and how stages become jobs."""

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.executors.slurm.grouping import job_groups
from nnunetv2_mscs.pipeline.executors.slurm.options import SlurmOptions, minutes
from nnunetv2_mscs.pipeline.graph.stage import Stage, Training


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


def test_what_is_not_asked_is_left_to_the_cluster():
    asked = SlurmOptions(cpus=4).parameters(name="job", gpus=0)
    assert not {"partition", "mem", "account", "qos", "constraint", "gpus_per_node", "dependency"} & set(asked)
    assert asked["additional_parameters"]["requeue"] is True


def test_only_jobs_with_a_gpu_go_where_gpus_are():
    options = SlurmOptions(partition="gpu", cpu_partition="cpu", constraint="a100", memory_gb=1.5)
    on_gpu, on_cpu = options.parameters(name="a", gpus=2), options.parameters(name="b", gpus=0, after=("7", "8"))
    assert (on_gpu["partition"], on_gpu["constraint"], on_gpu["gpus_per_node"]) == ("gpu", "a100", 2)
    assert on_cpu["partition"] == "cpu"
    assert not {"constraint", "gpus_per_node"} & set(on_cpu)
    assert on_cpu["dependency"] == "afterok:7:8"
    assert on_cpu["mem"] == "1536M"
    assert SlurmOptions(partition="all").parameters(name="c", gpus=0)["partition"] == "all"


def test_extra_options_win():
    extra = ("--reservation=x y", "--exclusive", "--signal=B:USR2@600")
    given = SlurmOptions(extra=extra).parameters(name="job", gpus=0)["additional_parameters"]
    assert given["reservation"] == "x y"
    assert given["exclusive"] is True
    assert given["signal"] == "B:USR2@600"
    with pytest.raises(MscsError, match="no option of sbatch"):
        SlurmOptions(extra=("reservation x",))


def test_a_file_may_name_fields_only():
    options = SlurmOptions.from_json({"partition": "gpu", "extra": ["--exclusive"], "cpus": 12})
    assert (options.partition, options.extra, options.cpus) == ("gpu", ("--exclusive",), 12)
    with pytest.raises(MscsError, match=r"no Slurm option gpu_partition.*cpu_partition"):
        SlurmOptions.from_json({"gpu_partition": "x"})


def stage(name: str, *needs: str, trains: bool = False, uses_gpu: bool = False) -> Stage:
    training = Training("T", "P", "2d", 0, None, None) if trains else None  # type: ignore[arg-type]
    return Stage(name, name, lambda here: [], {}, needs, training=training, uses_gpu=uses_gpu or trains)


CASCADE = {
    one.name: one
    for one in (
        stage("convert"),
        stage("preprocess", "convert"),
        stage("low0", "preprocess", trains=True),
        stage("low1", "preprocess", trains=True),
        stage("full0", "preprocess", "low0", "low1", trains=True),
        stage("full1", "preprocess", "low0", "low1", trains=True),
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
    assert set(groups[2].needs) == {0, 1}


@pytest.mark.parametrize("done", [(), ("convert",), ("convert", "preprocess", "low0"), ("full1", "best")])
def test_every_stage_left_comes_after_those_it_needs(done):
    left = [name for name in CASCADE if name not in done]
    groups = job_groups(CASCADE, left)
    at = {name: position for position, group in enumerate(groups) for name in group.stages}
    assert sorted(at) == sorted(left)
    for name in left:
        for need in set(CASCADE[name].needs) & set(left):
            group = groups[at[name]]
            before = [*group.needs, *(() if group.is_array else (at[name],))]
            assert at[need] in before
            if at[need] == at[name]:
                assert group.stages.index(need) < group.stages.index(name)


def test_nothing_left_is_no_job():
    assert job_groups(CASCADE, []) == []
