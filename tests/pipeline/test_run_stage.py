"""One stage: when it runs, when it does not, what it removes, and what its record says."""

import dataclasses
import json
import os
import sys
import time

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.run_stage import run_stage
from nnunetv2_mscs.pipeline.stage import ADOPTED, Here
from nnunetv2_mscs.pipeline.standing import DONE, NOT_YET, REPEATS, RESUMES, standing, standings
from nnunetv2_mscs.pipeline.state import State, read_record, record_file, write_record
from nnunetv2_mscs.workplace.running import Interrupted
from tests.pipeline.small_stages import by_name, writing_stage

FAILS = "import sys; print('the reason'); sys.exit(3)"
APPENDS = "import sys; open(sys.argv[-3], 'a').write('x')"


def carry_out(run, *stages, **options):
    for stage in stages:
        run_stage(run, stage, Here(), environment={}, **options)


def test_a_stage_runs_once(run, tmp_path):
    stage = writing_stage(tmp_path, "a")
    assert standing(run, stage).what == NOT_YET
    begun = []
    for _ in range(2):
        run_stage(run, stage, Here(), environment={}, on_begin=lambda: begun.append(1))
    assert len(begun) == 1
    assert standing(run, stage).what == DONE
    record = read_record(run, "a")
    assert (record.state, record.attempts, record.pid) == (State.DONE, 1, os.getpid())
    assert "$ python" in run.log("a").read_text()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda out, source: out.unlink(), "a.txt is gone"),
        (lambda out, source: out.write_text("other"), "a.txt is changed"),
        (lambda out, source: source.write_text("other"), "source.txt changed"),
        (lambda out, source: source.unlink(), "source.txt changed"),
    ],
)
def test_what_changed_on_disk_makes_a_stage_run_again(run, tmp_path, change, reason):
    source = tmp_path / "source.txt"
    source.write_text("scan")
    stage = writing_stage(tmp_path, "a", sources=[source])
    carry_out(run, stage)
    change(tmp_path / "a.txt", source)
    now = standing(run, stage)
    assert now.what == REPEATS
    assert now.reason.endswith(reason)
    if source.exists():
        carry_out(run, stage)
        assert (tmp_path / "a.txt").read_text() == source.read_text() + "a"


def test_another_parameter_is_named_and_what_comes_after_waits_for_the_outcome(run, tmp_path):
    first = writing_stage(tmp_path, "first", text="1")
    second = writing_stage(tmp_path, "second", first)
    carry_out(run, first, second)
    changed = writing_stage(tmp_path, "first", text="2")
    stands = standings(run, by_name(changed, second))
    assert stands["first"].reason == "text 2 instead of 1"
    assert stands["first"].removes == (tmp_path / "first.txt",)
    assert stands["second"].uncertain
    carry_out(run, changed, second)
    assert (tmp_path / "second.txt").read_text() == "2second"


def test_what_comes_after_is_kept_if_the_same_is_made_again(run, tmp_path):
    first = writing_stage(tmp_path, "first")
    second = writing_stage(tmp_path, "second", first)
    carry_out(run, first, second)
    (tmp_path / "first.txt").write_text("damaged")
    ended = read_record(run, "second").ended
    carry_out(run, first, second)
    assert (tmp_path / "first.txt").read_text() == "first"
    assert read_record(run, "second").ended == ended


def test_what_another_has_made_is_named_before_it_goes(run, tmp_path):
    (tmp_path / "a.txt").write_text("somebody's")
    now = standing(run, writing_stage(tmp_path, "a"))
    assert now.what == REPEATS
    assert "was not made by this run" in now.reason
    assert now.removes == (tmp_path / "a.txt",)


def test_a_failed_stage_tells_why_and_runs_again(run, tmp_path):
    stage = writing_stage(tmp_path, "a", code=FAILS)
    with pytest.raises(MscsError, match="the reason"):
        carry_out(run, stage)
    record = read_record(run, "a")
    assert record.state == State.FAILED
    assert "exited with 3" in record.error
    carry_out(run, writing_stage(tmp_path, "a"))
    assert read_record(run, "a").attempts == 2


def test_attempts_that_were_interrupted_or_killed_count_in_the_time(run, tmp_path):
    stage = writing_stage(tmp_path, "a", code="import time; time.sleep(60)")
    with pytest.raises(Interrupted):
        run_stage(run, stage, Here(), environment={}, stopped=lambda: True)
    now = time.time()
    interrupted = dataclasses.replace(read_record(run, "a"), seconds=100.0)
    write_record(run, dataclasses.replace(interrupted, state=State.RUNNING, began=now - 500))
    os.utime(run.log("a"), (now - 450, now - 450))  # it printed for 50 s, and was killed
    with pytest.raises(Interrupted):
        run_stage(run, stage, Here(), environment={}, stopped=lambda: True)
    assert 150 <= read_record(run, "a").seconds < 200


def test_a_command_that_makes_nothing_has_failed(run, tmp_path):
    with pytest.raises(MscsError, match=r"did not make .*a\.txt"):
        carry_out(run, writing_stage(tmp_path, "a", code="pass"))
    assert read_record(run, "a").state == State.FAILED


def test_a_stage_whose_result_is_of_no_use_has_failed(run, tmp_path):
    def refuse():
        raise MscsError("There is no fold 4.", "Choose others.")

    stage = dataclasses.replace(writing_stage(tmp_path, "a"), verify=refuse)
    with pytest.raises(MscsError, match="no fold 4"):
        carry_out(run, stage)
    assert standing(run, stage).what == RESUMES  # its own unfinished work goes without a question


@pytest.mark.parametrize(("resumes", "after"), [(True, "xx"), (False, "x")])
def test_only_a_stage_that_resumes_keeps_what_it_had_begun(run, tmp_path, resumes, after):
    stage = writing_stage(tmp_path, "a", code=APPENDS, trains=resumes)
    carry_out(run, stage)
    record = read_record(run, "a")
    write_record(run, dataclasses.replace(record, state=State.RUNNING, outputs={}))  # as a kill leaves it
    carry_out(run, stage)
    assert (tmp_path / "a.txt").read_text() == after


def test_a_training_does_not_go_on_with_what_other_inputs_had_begun(run, tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("scan")
    stage = writing_stage(tmp_path, "a", code=APPENDS, trains=True, sources=[source])
    carry_out(run, stage)
    write_record(run, dataclasses.replace(read_record(run, "a"), state=State.INTERRUPTED, outputs={}))
    source.write_text("another")
    now = standing(run, stage)
    assert (now.what, now.removes) == (REPEATS, (tmp_path / "a.txt",))
    carry_out(run, stage)
    assert (tmp_path / "a.txt").read_text() == "x"


@pytest.mark.parametrize(("damaged", "what"), [("b", RESUMES), ("a", REPEATS)])
def test_a_finished_training_resumes_only_from_an_unchanged_checkpoint(run, tmp_path, damaged, what):
    out, other = tmp_path / "a.txt", tmp_path / "b.txt"
    stage = writing_stage(tmp_path, "a", trains=True)
    stage = dataclasses.replace(stage, makes=(out, other))
    other.write_text("validation")
    with pytest.raises(MscsError):
        carry_out(run, stage)
    other.write_text("validation")
    carry_out(run, stage)
    (tmp_path / f"{damaged}.txt").write_text("damaged")
    assert standing(run, stage).what == what


def test_what_is_stopped_is_interrupted_and_its_command_ended(run, tmp_path):
    stage = writing_stage(tmp_path, "a", seconds=60)
    start = time.monotonic()
    with pytest.raises(Interrupted):
        carry_out(run, stage, stopped=lambda: time.monotonic() > start + 0.3)
    assert time.monotonic() - start < 20
    assert read_record(run, "a").state == State.INTERRUPTED


def test_a_record_cut_short_counts_as_never_begun(run, tmp_path):
    stage = writing_stage(tmp_path, "a")
    carry_out(run, stage)
    file = record_file(run, "a")
    file.write_text(file.read_text()[:40])
    now = standing(run, stage)
    assert (now.what, now.removes) == (REPEATS, (tmp_path / "a.txt",))
    file.write_text(json.dumps({"state": "done"}))
    assert standing(run, stage).what == REPEATS


def test_a_large_file_is_known_by_its_content(run, tmp_path):
    """Written again as it was, it is what it was; with other content of the same size it is not."""
    stage = writing_stage(tmp_path, "a", text="x" * 100_000)
    carry_out(run, stage)
    time.sleep(0.01)
    (tmp_path / "a.txt").write_text("x" * 100_000)
    assert standing(run, stage).what == DONE
    (tmp_path / "a.txt").write_text("y" * 100_000)
    assert "is changed" in standing(run, stage).reason


@pytest.mark.parametrize("ended_by", ["a kill", "who listens"])
def test_what_had_to_go_goes_though_the_run_ended_before(run, tmp_path, ended_by):
    """Or a training would go on from the checkpoint of other plans."""
    carry_out(run, writing_stage(tmp_path, "a", code=APPENDS, trains=True))
    other = writing_stage(tmp_path, "a", code=APPENDS, text="other", trains=True)
    assert standing(run, other).removes == (tmp_path / "a.txt",)

    def hang_up():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        carry_out(run, other, on_begin=hang_up)
    if ended_by == "a kill":
        write_record(run, dataclasses.replace(read_record(run, "a"), state=State.RUNNING))
    assert (tmp_path / "a.txt").read_text() == "x"
    assert standing(run, other).what == RESUMES
    carry_out(run, other)
    assert (tmp_path / "a.txt").read_text() == "x", "from its beginning"
    assert not read_record(run, "a").to_clear


def test_a_full_disk_fails_a_stage_and_is_told(run, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nnunetv2_mscs.pipeline.run_stage.run_command", full)
    with pytest.raises(MscsError, match="No space left"):
        carry_out(run, writing_stage(tmp_path, "a"))
    assert read_record(run, "a").state == State.FAILED


def test_half_a_training_is_named_before_it_goes(run, tmp_path):
    first = writing_stage(tmp_path, "first", text="1")
    training = writing_stage(tmp_path, "training", first, trains=True)
    carry_out(run, first, training)
    write_record(run, dataclasses.replace(read_record(run, "training"), state=State.INTERRUPTED, outputs={}))
    assert standings(run, by_name(first, training))["training"].what == RESUMES
    again = standings(run, by_name(writing_stage(tmp_path, "first", text="2"), training))["training"]
    assert (again.what, again.removes, again.uncertain) == (REPEATS, (tmp_path / "training.txt",), True)


def test_a_stage_that_reads_a_part_is_done_again_for_that_part_only(run, tmp_path):
    parts = [tmp_path / "many" / name for name in ("read", "readme")]
    both = "import sys, pathlib; [pathlib.Path(p).write_text(sys.argv[-2]) for p in sys.argv[-4:-2]]"

    def many(text: str):
        stage = writing_stage(tmp_path, "many", text=text, code=both)
        words = lambda here: [[sys.executable, "-c", both, *map(str, parts), text, ""]]  # noqa: E731
        return dataclasses.replace(stage, commands=words, makes=tuple(parts))

    parts[0].parent.mkdir()
    reader = dataclasses.replace(writing_stage(tmp_path, "reader"), needs={"many": (parts[0],)})
    carry_out(run, many("1"), reader)
    record = read_record(run, "many")
    write_record(run, dataclasses.replace(record, outputs={**record.outputs, str(parts[1]): [9, "another", 0]}))
    assert standing(run, reader).what == DONE
    write_record(run, dataclasses.replace(record, outputs={**record.outputs, str(parts[0]): [9, "another", 0]}))
    assert standing(run, reader).reason == "many changed"


def test_what_the_outputs_lack_is_made_from_the_end_on(run, tmp_path):
    out = tmp_path / "a.txt"
    stage = writing_stage(tmp_path, "a", code=APPENDS, trains=True)
    carry_out(run, stage)

    def wanting_if(lacks):
        return dataclasses.replace(stage, training=dataclasses.replace(stage.training, lacks=lacks))

    wanting = wanting_if(lambda: "no second x" if out.read_text() == "x" else "")
    now = standing(run, wanting)
    assert (now.what, now.reason, now.removes) == (RESUMES, "no second x", ())
    carry_out(run, wanting)
    assert out.read_text() == "xx"
    with pytest.raises(MscsError, match="there is no third x"):
        carry_out(run, wanting_if(lambda: "no third x"))


def test_what_a_user_has_put_there_is_adopted(run, tmp_path):
    """Before the first run and after it; what the stage itself has made goes where it has to be made again."""
    out, source = tmp_path / "a.txt", tmp_path / "source.txt"
    source.write_text("cases")
    keeps = "import sys, pathlib; p = pathlib.Path(sys.argv[-3]); p.exists() or p.write_text('made')"
    stage = writing_stage(tmp_path, "a", code=keeps, former=ADOPTED, sources=[source])
    out.write_text("the user's")
    assert (standing(run, stage).what, standing(run, stage).removes) == (NOT_YET, ())
    carry_out(run, stage)
    assert out.read_text() == "the user's"
    out.write_text("the user's other")
    assert (standing(run, stage).what, standing(run, stage).removes) == (REPEATS, ())
    carry_out(run, stage)
    assert out.read_text() == "the user's other"
    source.write_text("more cases")
    assert standing(run, stage).removes == ()
    carry_out(run, stage)
    assert out.read_text() == "the user's other"
    out.unlink()
    carry_out(run, stage)
    source.write_text("other cases")
    assert standing(run, stage).removes == (out,), "which it has made itself"


def test_what_a_user_has_put_there_stays_though_it_was_refused(run, tmp_path):
    out = tmp_path / "a.txt"
    out.write_text("two folds")

    def refuse():
        raise MscsError("There is no fold 2.", "Choose --folds 0 1.")

    keeps = "import sys, pathlib; p = pathlib.Path(sys.argv[-3]); p.exists() or p.write_text('made')"
    stage = writing_stage(tmp_path, "a", code=keeps, former=ADOPTED)
    with pytest.raises(MscsError, match="no fold 2"):
        carry_out(run, dataclasses.replace(stage, verify=refuse))
    carry_out(run, stage)
    assert out.read_text() == "two folds"


def test_scans_behind_links_are_seen(run, tmp_path):
    elsewhere, source = tmp_path / "elsewhere", tmp_path / "source"
    elsewhere.mkdir()
    source.mkdir()
    (elsewhere / "scan.nii").write_text("scan")
    (source / "images").symlink_to(elsewhere)
    (source / "gone.nii").symlink_to(tmp_path / "nowhere")
    (elsewhere / "back").symlink_to(source)
    stage = dataclasses.replace(writing_stage(tmp_path, "a"), sources=(source,))
    carry_out(run, stage)
    assert standing(run, stage).what == DONE
    (elsewhere / "scan.nii").write_text("another")
    assert standing(run, stage).reason.endswith("source changed")
