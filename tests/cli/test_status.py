"""`mscs status` as it is typed."""

import json

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.pipeline.state import State
from tests.pipeline.test_status import FOLD_0, Begun
from tests.pipeline.training_logs import attempt


@pytest.fixture
def begun(tmp_path):
    begun = Begun(tmp_path)
    begun.up_to_training()
    begun.record(FOLD_0, State.FAILED, error="nnUNetv2_train exited with 1:\n  ...")
    begun.log(FOLD_0, attempt(0, 1, extra=["CUDA out of memory"]))
    return begun


def _status(begun, *words):
    return main(["status", *words, "--workspace", str(begun.folders.raw.parent)])


def test_a_failed_run_is_told_of_with_its_remedy(begun, capsys):
    assert _status(begun, "7") == 0

    shown = capsys.readouterr().out
    assert "Dataset007_Watched: failed" in shown
    assert "--gpu-memory-target" in shown


def test_all_runs_in_a_line_each(begun, capsys):
    assert _status(begun) == 0
    assert capsys.readouterr().out.startswith("Dataset007_Watched: failed, 6 of ")


def test_json(begun, capsys):
    assert _status(begun, "7", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "failed"


def test_the_log_by_a_part_of_its_name(begun, capsys):
    assert _status(begun, "7", "--log", "fold0") == 0
    assert "CUDA out of memory" in capsys.readouterr().out

    assert _status(begun, "7", "--log", "nothing") == 1
    assert FOLD_0 in capsys.readouterr().err


def test_watching_ends_with_a_run_that_is_not_at_work(begun, capsys):
    assert _status(begun, "7", "--watch") == 0
    assert "failed" in capsys.readouterr().out


def test_without_any_run_it_fails(tmp_path, capsys):
    assert main(["status", "--workspace", str(tmp_path)]) == 1
    assert "There is no run in" in capsys.readouterr().err
    assert main(["status", "501", "--workspace", str(tmp_path)]) == 1
    assert f"See mscs status --workspace {tmp_path} for all runs" in capsys.readouterr().err
    assert main(["cancel", "501", "--workspace", str(tmp_path / "nowhere")]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err
