"""Every command line of the README and of docs/ is one that its program accepts.

Each block of ```bash is read by bash itself, in which no program can be found: what would be called is noted, with
loops, variables and quotes resolved. Programs of nnU-Net, `mscs` and the benchmarks parse these words with their own
parsers, and do nothing. Commands within a sentence are checked for the names of the command and of its options.

RUN names the test that carries a program out for real, with smaller data and fewer epochs than a reader has. NOT_RUN
says why no test does.
"""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md")))

RUN = {
    "make test": ".ci/run",
    "mscs adapt": "tests/pipeline/test_adapt.py",
    "mscs cancel": "tests/pipeline/test_cancel.py",
    "mscs compare": "tests/evaluation/test_evaluation_folder.py",
    "mscs convert": "tests/end_to_end/test_real_scans.py",
    "mscs demo": "tests/demo/test_demo.py",
    "mscs doctor": "tests/installation/test_installation.py",
    "mscs evaluate": "tests/evaluation/test_evaluation_folder.py",
    "mscs export": "tests/sharing/test_exporting.py",
    "mscs import-keras": "tests/keras_import/test_commands.py",
    "mscs install": "tests/sharing/test_installing.py",
    "mscs model-path": "tests/models/test_shipped.py",
    "mscs phantom": "tests/phantom/test_writing.py",
    "mscs predict-best": "tests/sharing/test_predictions.py",
    "mscs predict": "tests/models/test_predict.py",
    "mscs report": "tests/reporting/test_report.py",
    "mscs run": "tests/pipeline/test_whole_run.py",
    "mscs show": "tests/reporting/test_show.py",
    "mscs status": "tests/slurm/test_whole_run.py",
    "mscs volumes": "tests/evaluation/test_volumes.py",
    # a dry run's commands, pasted into a shell
    "nnUNetv2_apply_postprocessing": "tests/pipeline/test_whole_run.py",
    "nnUNetv2_find_best_configuration": "tests/pipeline/test_whole_run.py",
    "nnUNetv2_export_model_to_zip": "tests/sharing/test_exporting.py",
    "nnUNetv2_extract_fingerprint": "tests/end_to_end/test_real_scans.py",
    "nnUNetv2_install_pretrained_model_from_zip": "tests/sharing/test_exporting.py",
    "nnUNetv2_plan_and_preprocess": "tests/end_to_end/test_real_scans.py",
    "nnUNetv2_plan_experiment": "tests/end_to_end/test_real_scans.py",
    "nnUNetv2_predict": "tests/end_to_end/test_real_scans.py",
    "nnUNetv2_predict_from_modelfolder": "tests/keras_import/test_commands.py",
    "nnUNetv2_preprocess": "tests/end_to_end/test_real_scans.py",
    "nnUNetv2_train": "tests/end_to_end/test_real_scans.py",
    "benchmarks/choose_threshold.py": "tests/benchmarks/test_synthetic_training.py",
    "benchmarks/convert.py": "tests/benchmarks/test_convert.py",
    "benchmarks/evaluation.py": "tests/benchmarks/test_evaluation.py",
    "benchmarks/gpu.py": "tests/benchmarks/test_gpu.py",
    "benchmarks/lesion_rules.py": "tests/benchmarks/test_evaluation.py",
    "benchmarks/memory.py": "tests/benchmarks/test_memory.py",
    "benchmarks/network.py": "tests/benchmarks/test_network.py",
    "benchmarks/predict.py": "tests/benchmarks/test_predict.py",
    "benchmarks/report.py": "tests/benchmarks/test_report.py",
    "benchmarks/score_real.py": "tests/benchmarks/test_synthetic_training.py",
    "benchmarks/ship_weights.py": "tests/benchmarks/test_synthetic_training.py",
    "benchmarks/synthetic_data.py": "tests/benchmarks/test_synthetic_training.py",
    "benchmarks/synthetic_training.py": "tests/benchmarks/test_synthetic_training.py",
    "benchmarks/training.py": "tests/benchmarks/test_training.py",
}
NOT_RUN = {
    "apptainer": "needs Apptainer; tests/installation/test_container.py parses what it passes on",
    "docker": "needs a Docker that runs; tests/installation/test_container.py builds the image where there is one",
    "make check": "would change the files that are being tested; `make test` runs the same tools",
    "make demo": "takes minutes; tests/demo runs `mscs demo` with a smaller demo",
    "make setup": "the first part of `make test`",
    "benchmarks/scaling.py": "takes minutes; its stages are those of `mscs run`",
    "pip install": "needs a network; tests/installation installs without one",
    "pip uninstall": "would remove what is being tested; tests/installation does it elsewhere",
}
SHELL = {"cd", "mkdir", "source"}

NOTE_CALLS = """set -eu
command_not_found_handle() { printf '%s\\0' "$#" "$@"; }
cd() { command_not_found_handle cd "$@"; }
source() { command_not_found_handle source "$@"; }
"""
VARIABLES = {
    name: f"/{name}" for name in ("HOME", "PATH", "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
}  # no program lies in /PATH


@dataclass(frozen=True)
class Command:
    """A command of a page; `whole` unless it stands within a sentence, where parts may be left out."""

    place: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.place} {shlex.join(self.words)}"

    @property
    def program(self) -> str:
        """The name in RUN and NOT_RUN."""
        first, *others = self.words
        if first in ("make", "mscs", "pip"):
            return f"{first} {next(iter(others), '')}".strip()
        return others[0] if first == "python" else first

    @property
    def arguments(self) -> list[str]:
        return list(self.words[1 if self.words[0].startswith(("nnUNetv2_", "mscs")) else 2 :])


def commands(page: Path) -> list[Command]:
    text, name = page.read_text(encoding="utf-8"), page.relative_to(PROJECT)
    found = [
        Command(f"{name}:{text[: block.start()].count(chr(10)) + 2}", words, whole=True)
        for block in re.finditer(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for words in calls(block[1])
    ]
    prose = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    for span in re.finditer(r"`([^`]+)`", prose):
        if re.match(r"(mscs|make|nnUNetv2_\w+|pip|python benchmarks/\S+)( |$)", span[1]):
            line = prose[: span.start()].count("\n") + 1
            words = tuple(word for word in shlex.split(span[1]) if word != "...")
            found.append(Command(f"{name}:{line}", words, whole=False))
    return found


def calls(block: str) -> list[tuple[str, ...]]:
    """The words of every command that bash would call for this block."""
    done = subprocess.run(
        [str(shutil.which("bash")), "--norc", "-c", NOTE_CALLS + block], env=VARIABLES, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stderr}\nin\n{block}"
    notes, found = iter(done.stdout.split("\0")[:-1]), []
    for count in notes:
        found.append(tuple(next(notes) for _ in range(int(count))))
    return found


COMMANDS = [command for page in PAGES if page.exists() for command in commands(page)]


class Reached(Exception):
    """Carries a program's parser out of the program."""


def parser_within(call: Callable[[], object], monkeypatch) -> ArgumentParser:
    """The parser that a program makes, taken at the moment when it would parse."""

    def reached(self, *_, **__):
        raise Reached(self)

    with monkeypatch.context() as patch:
        patch.setattr(ArgumentParser, "parse_known_args", reached)
        patch.setattr(sys, "path", [str(PROJECT / "benchmarks"), *sys.path])
        with pytest.raises(Reached) as caught:
            call()
    return caught.value.args[0]


def parser_of(command: Command, monkeypatch) -> ArgumentParser | None:
    """The parser for the arguments of a command; None if it is one of the programs of `NOT_RUN`, `SHELL` and make."""
    program = command.program
    if program.startswith("mscs"):
        from nnunetv2_mscs.cli.main import build_parser

        return build_parser()
    if program.startswith("nnUNetv2_"):
        scripts = entry_points(group="console_scripts", name=program)
        assert scripts, f"nnU-Net has no command {program}"
        return parser_within(next(iter(scripts)).load(), monkeypatch)
    if program.startswith("benchmarks/"):
        return parser_within(lambda: runpy.run_path(str(PROJECT / program), run_name="__main__"), monkeypatch)
    return None


def options_of(parser: ArgumentParser, words: list[str]) -> set[str]:
    """All options of a command, or of the subcommand that the words begin with."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            assert not words or words[0] in action.choices or words[0].startswith("-"), f"no command {words[0]}"
            return options_of(action.choices[words[0]], []) if words and words[0] in action.choices else options(parser)
    return options(parser)


def options(parser: ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_the_program_accepts_the_command(command, monkeypatch):
    parser = parser_of(command, monkeypatch)
    if parser is None:
        assert command.program in {*RUN, *NOT_RUN, *SHELL}, f"{command} is checked by nothing"
        return
    given = {word.split("=")[0] for word in command.arguments if re.match(r"--?[A-Za-z]", word)}
    assert given <= options_of(parser, command.arguments), "argparse would accept the beginning of an option, too"
    if command.whole:
        try:
            parser.parse_args(command.arguments)
        except SystemExit as end:
            if end.code:
                pytest.fail(f"{command}: the parser says why")


@pytest.mark.parametrize("command", [one for one in COMMANDS if {"-tr", "-pl", "--trainer"} & {*one.words}], ids=str)
def test_nnunet_finds_the_class_that_the_command_names(command, monkeypatch):
    import nnunetv2.experiment_planning
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from nnunetv2_mscs.nnunet_shims.run import make_findable

    make_findable()  # changes something only where this version is not installed
    monkeypatch.setenv("nnUNet_extTrainer", str(PROJECT / "benchmarks" / "trainers"))
    for option, name in zip(command.words, command.words[1:], strict=False):
        if option in ("-tr", "--trainer"):
            assert recursive_find_trainer_class_by_name(name).__name__ == name
        elif option == "-pl":
            package = nnunetv2.experiment_planning
            assert recursive_find_python_class(package.__path__[0], name, package.__name__) is not None, name


@pytest.mark.parametrize("target", sorted({one.program for one in COMMANDS if one.program.startswith("make ")}))
def test_make_has_the_target(target):
    assert re.search(rf"^{target.removeprefix('make ')}:", (PROJECT / "Makefile").read_text(), re.MULTILINE)


def test_of_each_program_it_is_known_which_test_runs_it():
    programs = {one.program for one in COMMANDS} - SHELL - {"mscs", "mscs --help"}
    assert programs == RUN.keys() | NOT_RUN.keys()
    assert not RUN.keys() & NOT_RUN.keys()


def test_the_tests_that_run_programs_are_there():
    assert [test for test in RUN.values() if not (PROJECT / test).is_file()] == []


def test_python_on_the_pages_runs():
    blocks = [
        block
        for page in PAGES
        if page.exists() and page.name != "python.md"  # its blocks need data, which test_python.py makes
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    ]
    assert blocks
    for block in blocks:
        exec(block, {})
