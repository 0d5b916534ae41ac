"""A run before it begins: what is there is looked at, and what works on the same data is not disturbed."""

import dataclasses
import json

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.local import Follower, Slot, run_local
from nnunetv2_mscs.pipeline.run import Execution, Run, agree, carry_out
from nnunetv2_mscs.pipeline.run_stage import run_stage
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.signatures import content_signatures
from nnunetv2_mscs.pipeline.stage import Here
from nnunetv2_mscs.pipeline.standing import inputs_of, standings
from nnunetv2_mscs.pipeline.state import Record, State, read_record, write_record
from tests.pipeline.small_stages import by_name, writing_stage


@pytest.fixture
def run(source, folders):
    return Run(RunSettings(str(source), 5, "Stroke", folds=(0, 1, 2)), folders, Execution())


def finish(run: Run, name: str) -> None:
    """As if a stage had been carried out with what lies there."""
    stage = run.stages()[name]
    record = Record(
        name, State.DONE, dict(stage.parameters), inputs_of(run.folder, stage), content_signatures(stage.outputs)
    )
    write_record(run.folder, record)


def test_folds_asked_for_later_are_looked_for_in_the_splits_there_are(run):
    """nnU-Net would make up a random one."""
    raw = run.folders.raw / run.settings.dataset
    (raw / "labelsTr").mkdir(parents=True)
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))
    splits = run.folders.preprocessed / run.settings.dataset / "splits_final.json"
    splits.parent.mkdir(parents=True)
    splits.write_text(json.dumps([{"train": [], "val": []}] * 3))
    finish(run, "splits")
    assert run.standings()["splits"].what == "again", "its needs are not met"
    for name in ("convert", "fingerprint"):
        for place in run.stages()[name].outputs:
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.write_text("{}")
        finish(run, name)
    finish(run, "splits")
    assert run.standings()["splits"].what == "done"
    more = dataclasses.replace(run, settings=dataclasses.replace(run.settings, folds=(0, 1, 2, 3)))
    with pytest.raises(MscsError, match="there is no fold 3"):
        more.standings()


def test_no_run_beside_jobs_that_may_be_at_work(run, monkeypatch):
    """Not in their folder, nor with other results of the same preprocessed data."""
    run.folder.path.mkdir(parents=True)
    jobs = {"submitted": 0, "jobs": [{"job": "12", "stages": ["train_MSCSTrainer__MSCSPlans__3d_fullres_fold0"]}]}
    (run.folder.path / "jobs.json").write_text(json.dumps(jobs))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MscsError, match="cluster that is out of reach"):
        carry_out(run, yes=False, follower=Follower())
    elsewhere = dataclasses.replace(
        run, folders=dataclasses.replace(run.folders, results=run.folders.results.with_name("other_results"))
    )
    with pytest.raises(MscsError, match="cluster that is out of reach"):
        carry_out(elsewhere, yes=False, follower=Follower())


def test_what_may_have_to_go_stays_until_there_is_agreement(run, tmp_path):
    """A stage is made again with another outcome: what was made from the former one is neither used nor removed."""
    folder = run.folder
    folder.path.mkdir(parents=True)
    first, second = writing_stage(tmp_path, "first"), writing_stage(tmp_path, "second")
    second = dataclasses.replace(second, needs={"first": ()})
    for stage in (first, second):
        run_stage(folder, stage, Here(), environment={})
    (tmp_path / "first.txt").unlink()
    same = standings(folder, by_name(first, second))
    assert agree(same, yes=False) is False
    outcome = run_local(
        folder, by_name(first, second), [Slot()], Here(), environment={}, follower=Follower(), may_replace=False
    )
    assert not outcome.failed, "the same was made again"

    (tmp_path / "first.txt").unlink()
    other = dataclasses.replace(writing_stage(tmp_path, "first", text="other"), parameters=first.parameters)
    stages = by_name(other, second)
    assert agree(standings(folder, stages), yes=False) is False
    outcome = run_local(folder, stages, [Slot()], Here(), environment={}, follower=Follower(), may_replace=False)
    assert list(outcome.failed) == ["second"]
    assert "Agree: --yes" in outcome.failed["second"]
    assert (tmp_path / "second.txt").read_text() == "second"
    assert read_record(folder, "second").state == State.DONE
    assert agree(standings(folder, stages), yes=True) is True
    with pytest.raises(MscsError, match="Agree with --yes"):
        agree(standings(folder, stages), yes=False)
