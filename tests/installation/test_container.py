"""The Containerfile: built where a builder runs; everywhere, its lines fit project and page."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nnunetv2_mscs.cli.main import build_parser
from nnunetv2_mscs.nnunet_files.environment import VARIABLES

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs/containers.md"
KNOWN = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "ENTRYPOINT"}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (PROJECT / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def all_of(instruction: str) -> list[str]:
    return [arguments for name, arguments in instructions() if name == instruction]


def builder() -> str | None:
    """A program that builds images, if one is installed and works here."""
    for program in ("docker", "podman", "buildah"):
        if shutil.which(program) and not subprocess.run([program, "info"], capture_output=True, timeout=60).returncode:
            return program
    return None


def test_its_instructions_are_known_and_begin_with_a_python_that_is_supported():
    assert {name for name, _ in instructions()} <= KNOWN
    (first, image), *_ = instructions()
    version = re.fullmatch(r"python:3\.(\d+)-slim", image)
    assert (first, version is not None) == ("FROM", True)
    assert 10 <= int(version[1]) <= 13


def test_what_is_copied_is_all_that_the_package_is_built_from(tmp_path):
    for words in map(str.split, all_of("COPY")):
        *sources, target = words
        for source in sources:
            place = tmp_path / "src" / target / (source if len(sources) > 1 else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(PROJECT / source, place)
    sent = {line.removeprefix("!") for line in (PROJECT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert sent == {source for words in map(str.split, all_of("COPY")) for source in words[:-1]}
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path / "built")]
    subprocess.run(build, cwd=tmp_path / "src", check=True, capture_output=True)
    package = tmp_path / "built/nnunetv2_mscs"
    weights = "models/shipped_weights/synthetic/fold_all/checkpoint_final.pth"
    for part in ("cli/main.py", "dataset_conversion/convert.py", "results_templates", weights):
        assert (package / part).exists()


def test_it_runs_our_command_with_nnunets_folders_in_the_mounted_one():
    assert [json.loads(words) for words in all_of("ENTRYPOINT")] == [["mscs"]]
    variables = dict(word.split("=") for words in all_of("ENV") for word in words.split())
    assert {name: variables[name] for name in VARIABLES} == {name: f"/data/{name}" for name in VARIABLES}
    assert all_of("WORKDIR")[-1] == "/data"


@pytest.mark.parametrize("name", ["mscs", "mscs.sif"])
def test_the_pages_commands_are_understood(name):
    lines = [shlex.split(line) for line in PAGE.read_text().splitlines() if re.match(r"(docker|apptainer) run", line)]
    ours = [line[line.index(name) + 1 :] for line in lines if name in line]
    assert ours
    for words in ours:
        assert build_parser().parse_args(words).command in ("predict", "run")


@pytest.mark.skipif(not shutil.which("hadolint"), reason="no hadolint")
def test_hadolint_finds_nothing():
    ignored = [f"--ignore={rule}" for rule in ("DL3008", "DL3013")]  # versions of packages are not pinned
    found = subprocess.run(["hadolint", *ignored, str(PROJECT / "Containerfile")], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(builder() is None, reason="no builder of images works here")
def test_it_builds_and_runs():
    program = builder()
    build = ["bud" if program == "buildah" else "build", "-t", "mscs-test", "-f", "Containerfile", "."]
    subprocess.run([program, *build], cwd=PROJECT, check=True, timeout=1800)
    if program != "buildah":
        for words in (["predict", "--help"], ["run", "--help"]):
            help_text = subprocess.check_output([program, "run", "--rm", "mscs-test", *words], text=True, timeout=300)
            assert f"usage: mscs {words[0]}" in help_text
