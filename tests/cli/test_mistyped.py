"""Mistyped commands, options and names are answered with the nearest right ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.checks import _find_trainer
from nnunetv2_mscs.pipeline.models import planner_class

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "usage", "answer"),
    [
        (["Status"], "usage: mscs [-h]", "Did you mean status?"),
        (["help", "reprot"], "usage: mscs [-h]", "Did you mean report?"),
        (["--versoin"], "usage: mscs [-h]", "unknown option --versoin. Did you mean --version?"),
        (["run", ".", "1", "X", "--trainr=Y"], "usage: mscs run", "unknown option --trainr. Did you mean --trainer?"),
        (["convert", "--overwrit", "--spacng"], "usage: mscs convert", "unknown option --spacng."),
        (["report", "--nothing-like-it"], "usage: mscs report", "unknown option --nothing-like-it.\n"),
        (["-v"], "usage: mscs [-h]", "unknown option -v. Did you mean --version?"),
        (["predict", "-i", "scans", "-o", "out"], "usage: mscs predict", "unknown option -i. INPUT stands without an"),
        (["predict", "scans", "-d", "501"], "usage: mscs predict", "unknown option -d. Did you mean -m?"),
        (["demo", "-o", "out"], "usage: mscs demo", "unknown option -o. Did you mean --out?"),
        (["status", "-q"], "usage: mscs status", "unknown option -q.\n"),
        (["cancel", "1", "2", "3"], "usage: mscs cancel", "too many words: 2 3"),
    ],
)
def test_the_nearest_is_named_with_the_commands_own_usage(words, usage, answer, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr().err
    assert (left.value.code, said.startswith(usage)) == (2, True)
    assert answer in said


def test_a_value_with_a_space_is_no_option(capsys):
    assert main(["report", "-x y", "-o", "report"]) == 1
    assert "report does not end in .html" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["help"], ["--help"]])
def test_mscs_alone_lists_the_commands(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0
    assert "convert" in capsys.readouterr().out


def test_help_of_a_command_is_its_help(capsys):
    shown = []
    for words in (["help", "convert"], ["convert", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert "DATASET_ID" in shown[0]


@pytest.mark.parametrize("folder", [PROJECT, PROJECT / "docs"], ids=["in a clone", "elsewhere"])
def test_python_m_is_the_command(folder):
    command = [sys.executable, "-m", "nnunetv2_mscs", "help", "convert"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert (done.returncode, done.stdout[:19]) == (0, "usage: mscs convert"), done.stderr


@pytest.mark.parametrize("name", ["MSCSNet", "Predictor", "evaluate"])
def test_what_python_users_need_stands_on_top_and_is_loaded_when_asked_for(name):
    code = (
        f"import sys, nnunetv2_mscs as m; assert not {{'torch', 'pandas'}} & set(sys.modules); print(m.{name}.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout.strip() == name, done.stderr


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MSCSTraner", "MSCSTrainer"),
        ("mscstrainer_20epochs", "MSCSTrainer_20epochs"),
        ("MSCSTrainer_5epoch", "MSCSTrainer_5epochs"),
        ("MSCSTrainerPapr_3epochs_2iteration", "MSCSTrainerPaper_3epochs_2iterations"),
        ("MSCSTrainerEarlyStoping_5patience_3epoch", "MSCSTrainerEarlyStopping_5patience_3epochs"),
        ("nnunetTrainer", "nnUNetTrainer"),
    ],
)
def test_trainers_are_known_by_the_grammar_of_their_names(name, meant):
    with pytest.raises(MscsError, match=rf"Did you mean {meant}\?"):
        _find_trainer(name)
    assert _find_trainer(meant).__name__ == meant


def test_planners_are_known_too():
    with pytest.raises(MscsError, match=r"Did you mean MSCSPlanner\?"):
        planner_class("MSCSPlaner")
    with pytest.raises(MscsError, match="Known are MSCSPlanner, "):
        planner_class("Another")


@pytest.mark.parametrize("command", ["demo", "run", "predict", "doctor"])
def test_ctrl_c_says_whether_the_same_command_goes_on(command, monkeypatch, capsys):
    words = {"demo": [], "run": ["a", "1", "X"], "predict": ["a", "-m", "1", "-o", "b"], "doctor": []}[command]

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"nnunetv2_mscs.cli.{command}.run", interrupted)
    assert main([command, *words]) == 130
    goes_on = "; the same command continues where it stopped" * (command != "doctor")
    assert capsys.readouterr().err == f"mscs {command}: interrupted{goes_on}\n"


def test_unlabelled_may_be_spelled_both_ways():
    from nnunetv2_mscs.cli.main import build_parser

    given = [
        build_parser().parse_args(["convert", "a", "1", "X", word, "new"]) for word in ("--unlabelled", "--unlabeled")
    ]
    assert given[0] == given[1]
