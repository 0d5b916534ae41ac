"""Installing, finding, uninstalling: as a user does it, in environments of the test's own."""

import shutil
import zipfile
from pathlib import Path

import pytest

FIND = """
import multiprocessing
import nnunetv2
from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

def trainer(name):
    found = recursive_find_trainer_class_by_name(name)
    return found.__module__, found.__name__

def planner(name):
    folder = nnunetv2.__path__[0] + "/experiment_planning"
    return recursive_find_python_class(folder, name, "nnunetv2.experiment_planning").__name__

def normalization(name):
    folder = nnunetv2.__path__[0] + "/preprocessing/normalization"
    return recursive_find_python_class(folder, name, "nnunetv2.preprocessing.normalization").__name__

def reader(name):
    return recursive_find_reader_writer_by_name(name).__name__

if __name__ == "__main__":
    names = ["MSCSTrainer", "MSCSTrainer_3epochs", "MSCSTrainer_3epochs_2iterations", "nnUNetTrainer"]
    with multiprocessing.get_context("spawn").Pool(1) as worker:
        for name in names:
            assert worker.apply(trainer, (name,)) == trainer(name), name
            print(*trainer(name))
        for name in ("MSCSPlanner", "MSCSPlannerZScore", "ExperimentPlanner"):
            assert worker.apply(planner, (name,)) == name
            print(name)
        for name in ("ADCNormalization", "DWINormalization", "SliceMinMaxNormalization", "ZScoreNormalization"):
            assert worker.apply(normalization, (name,)) == name
            print(name)
        for name in ("MSCSReaderLPS", "MSCSReaderSAR", "SimpleITKIO"):
            assert worker.apply(reader, (name,)) == name
            print(name)
        print(worker.apply(recursive_find_trainer_class_by_name, ("MSCSTrainer_5epochs",)).__name__)
"""
PICKLE = """
import pickle
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find
trainer = find("MSCSTrainer_3epochs")
assert pickle.loads(pickle.dumps(trainer)) is trainer is find("MSCSTrainer_3epochs")
print(trainer.__name__)
"""
FOUND = """nnunetv2_mscs.training.trainer MSCSTrainer
nnunetv2_mscs.training.variants MSCSTrainer_3epochs
nnunetv2_mscs.training.variants MSCSTrainer_3epochs_2iterations
nnunetv2.training.nnUNetTrainer.nnUNetTrainer nnUNetTrainer
MSCSPlanner
MSCSPlannerZScore
ExperimentPlanner
ADCNormalization
DWINormalization
SliceMinMaxNormalization
ZScoreNormalization
MSCSReaderLPS
MSCSReaderSAR
SimpleITKIO
MSCSTrainer_5epochs
"""
LOADED_MODULES = """
import sys
from nnunetv2_mscs.cli.main import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
heavy = {"torch", "nnunetv2", "numpy", "SimpleITK", "pandas", "scipy"}
print("heavy:", sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""


def tree(folder) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts}


@pytest.mark.slow
def test_stock_nnunet_finds_a_regular_installation_and_is_left_as_it_was(environment, wheel):
    before = tree(environment.site_packages)
    environment.install(str(wheel))
    assert environment.python(FIND) == FOUND
    doctor = environment.run("mscs", "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "A training could start." in doctor.stdout
    assert all(name in doctor.stdout for name in ("MSCSPlanner", "ADCNormalization", "SliceMinMaxNormalization"))
    linked = environment.run("mscs", "doctor", "--link")
    assert (linked.returncode, linked.stdout) == (0, "Nothing to do: pip has placed them.\n")
    refused = environment.run("mscs", "doctor", "--unlink")
    assert refused.returncode == 1
    assert "pip uninstall nnunetv2-mscs removes it" in refused.stderr
    environment.pip("uninstall", "--quiet", "--yes", "nnunetv2-mscs")
    assert tree(environment.site_packages) == before
    assert not list(environment.nnunet.rglob("mscs"))


@pytest.mark.slow
def test_an_editable_installation_works_as_doctor_says(environment, sources):
    before = tree(environment.nnunet)
    environment.install("--editable", str(sources))
    doctor = environment.run("mscs", "doctor")
    assert doctor.returncode == 1
    assert "mscs doctor --link" in doctor.stdout

    (line,) = [part for part in doctor.stdout.split("export ") if part.startswith("nnUNet_extTrainer=")]
    name, value = line.split()[0].split("=")
    by_variable = environment.run("mscs", "doctor", **{name: value})
    assert by_variable.returncode == 0, by_variable.stdout
    assert "a training with nnU-Net's own plans could start" in by_variable.stdout
    assert environment.python(PICKLE, **{name: value}).splitlines()[-1] == "MSCSTrainer_3epochs"

    linked = environment.run("mscs", "doctor", "--link")
    assert linked.returncode == 0
    assert linked.stdout.count("placed") == 4
    assert environment.python(FIND) == FOUND
    assert environment.run("mscs", "doctor").returncode == 0
    assert environment.run("mscs", "doctor", "--unlink").stdout.count("removed") == 4
    assert tree(environment.nnunet) == before


@pytest.mark.slow
def test_an_editable_nnunet_is_freed_from_the_folder_that_pip_makes(environment, wheel, tmp_path):
    """Beside an editable nnU-Net, pip lays the shims into a folder that Python then takes for nnU-Net itself."""
    clone = tmp_path / "nnUNet"
    clone.mkdir()
    shutil.move(environment.nnunet, clone / "nnunetv2")
    for info in environment.site_packages.glob("nnunetv2-*.dist-info"):
        version = info.name.split("-")[1].removesuffix(".dist")
        shutil.rmtree(info)
    (clone / "pyproject.toml").write_text(
        f'[project]\nname = "nnunetv2"\nversion = "{version}"\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[tool.setuptools.packages.find]\ninclude = ["nnunetv2*"]\n'
    )
    environment.install("--editable", str(clone))
    before = tree(clone / "nnunetv2")
    environment.install(str(wheel))
    doctor = environment.run("mscs", "doctor")
    assert doctor.returncode == 1
    assert f"hides the nnU-Net in {clone / 'nnunetv2'}" in doctor.stdout

    assert environment.run("mscs", "doctor", "--link").stdout.count("placed") == 4
    assert environment.run("mscs", "doctor").returncode == 0
    assert environment.python(FIND) == FOUND
    assert environment.run("mscs", "doctor", "--unlink").stdout.count("removed") == 4
    environment.pip("uninstall", "--quiet", "--yes", "nnunetv2-mscs")
    assert tree(clone / "nnunetv2") == before


def test_doctor_names_what_is_missing(installed):
    doctor = installed.run("mscs", "doctor", nnUNet_preprocessed="", nnUNet_results="/no/such/folder")
    assert doctor.returncode == 1
    assert "export nnUNet_preprocessed=FOLDER" in doctor.stdout
    assert "/no/such/folder does not exist" in doctor.stdout
    assert "2 missing" in doctor.stdout


def test_doctor_knows_that_training_needs_no_raw_data(installed):
    doctor = installed.run("mscs", "doctor", nnUNet_raw="")
    assert doctor.returncode == 0, doctor.stdout
    assert "export nnUNet_raw=FOLDER" in doctor.stdout


def test_linking_leaves_strange_folders_alone(environment, sources):
    environment.install("--editable", str(sources))
    strange = environment.nnunet / "experiment_planning" / "mscs"
    strange.mkdir()
    (strange / "notes.py").write_text("")
    linked = environment.run("mscs", "doctor", "--link")
    assert linked.returncode == 1
    assert "was not placed by this command" in linked.stderr
    assert "Traceback" not in linked.stderr
    assert [path.name for path in strange.iterdir()] == ["notes.py"]


def test_converters_and_templates_install_under_the_package_and_nothing_at_the_top(installed, sources, wheel):
    new = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in new if not name.endswith(".dist-info")} == {"nnunetv2", "nnunetv2_mscs"}
    rooms = {path.parent.relative_to(sources / "nnunetv2_mscs") for path in sources.glob("nnunetv2_mscs/**/*.py")}
    package = installed.site_packages / "nnunetv2_mscs"
    found = {path.parent.relative_to(package) for path in package.rglob("*.py")}
    assert found == rooms | {Path("dataset_conversion"), Path("results_templates")}
    assert installed.run("python", "-c", "import nnunetv2_mscs.dataset_conversion").returncode == 0
    templates = {path.relative_to(sources) for path in sources.glob("results_templates/**/*.*")}
    assert {path for path in templates if (package / path).is_file() and path.suffix != ".pyc"} == {
        path for path in templates if path.suffix != ".pyc"
    }


def test_help_loads_nothing_heavy(installed):
    assert installed.python(LOADED_MODULES).splitlines()[-1] == "heavy: []"
    assert installed.run("mscs").returncode == 0
    assert installed.run("mscs", "--version").stdout.startswith("nnunetv2-mscs ")


def test_doctor_without_nnunet_says_so(environment, wheel):
    environment.install(str(wheel))
    for path in environment.site_packages.glob("nnunetv2*"):
        if not path.name.startswith("nnunetv2_mscs"):
            shutil.rmtree(path)
    doctor = environment.run("mscs", "doctor")
    assert doctor.returncode == 1
    assert "pip install nnunetv2" in doctor.stdout
    assert "Traceback" not in doctor.stderr
