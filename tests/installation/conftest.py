"""Virtual environments to install into, within seconds and without a network.

Each holds a copy of nnU-Net of its own and sees all other packages of the environment that runs the tests.
"""

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kept_variables import kept_variables

PROJECT = Path(__file__).resolve().parents[2]
PACKAGED = (
    "nnunetv2_mscs",
    "dataset_conversion",
    "results_templates",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)


@dataclass
class Environment:
    """A virtual environment and what a user does in it."""

    folder: Path
    variables: dict[str, str]

    @property
    def site_packages(self) -> Path:
        return next((self.folder / "lib").glob("python*/site-packages"))

    @property
    def nnunet(self) -> Path:
        return self.site_packages / "nnunetv2"

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess:
        """Run a program of this environment; its output is captured, its exit code is the caller's to check."""
        program = str(self.folder / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]],
            env=self.variables | variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=1200,
        )

    def python(self, code: str, **variables: str) -> str:
        """Run a script (from a file, so that it can start workers) and return what it prints."""
        script = self.folder / "script.py"
        script.write_text(code)
        result = self.run("python", str(script), **variables)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def pip(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.folder / "bin" / "python"), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=1200)
        assert result.returncode == 0, result.stderr

    def install(self, *what: str) -> None:
        self.pip("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", *what)


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    """A copy of the project's packaged files, so that building leaves nothing behind in the project."""
    folder = tmp_path_factory.mktemp("project")
    for name in PACKAGED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="session")
def wheel(sources, tmp_path_factory) -> Path:
    """The distribution as it is published."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(sources)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture
def environment(tmp_path) -> Environment:
    """A new environment with nnU-Net, without this package, and with nnU-Net's three folders set."""
    return make_environment(tmp_path)


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Environment:
    """An environment with the distribution in it; not to be changed."""
    environment = make_environment(tmp_path_factory.mktemp("installed"))
    environment.install(str(wheel))
    return environment


def make_environment(place: Path) -> Environment:
    folder = place / "environment"
    venv.create(folder, with_pip=False)
    variables = kept_variables() | {"PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        variables[name] = str(place / name)
        (place / name).mkdir()
    environment = Environment(folder, variables)

    here = Path(sysconfig.get_path("purelib"))
    others = folder / "others"
    others.mkdir()
    for path in here.iterdir():
        if path.name.startswith("nnunetv2"):
            continue
        if not path.name.startswith("__editable__"):
            (others / path.name).symlink_to(path)
    (environment.site_packages / "others.pth").write_text(f"{others}\n")
    for path in here.glob("nnunetv2*"):
        if not path.name.startswith("nnunetv2_mscs"):
            shutil.copytree(path, environment.site_packages / path.name, ignore=shutil.ignore_patterns("mscs"))
    return environment
