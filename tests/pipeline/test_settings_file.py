"""The YAML file of a run becomes the words of a command line."""

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.settings import as_words, read_settings_file

FILE = """
source: /data/stroke
dataset_id: 501
patient-pattern: 'sub-\\d+'
configurations: [2d, 3d_fullres]
spacing: [1.2, 1.2, 6]
resample: yes
unlabelled:
slurm:
  time: 12:00:00
  setup: [module load cuda, ulimit -n 4096]
"""


def test_all_kinds_of_values(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(FILE)
    assert as_words(read_settings_file(file)) == [
        *("--source=/data/stroke", "--dataset-id=501", r"--patient-pattern=sub-\d+"),
        *("--configurations", "2d", "3d_fullres", "--spacing", "1.2", "1.2", "6", "--resample"),
        *("--slurm", "time=12:00:00", "setup=module load cuda", "setup=ulimit -n 4096"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "does not hold options"),
        ("a: [b\n", "is no YAML"),
        ("resample: perhaps\n", "neither true nor false"),
        ("trainer: {name: MSCSTrainer}\n", "options of its own"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_what_is_no_settings_file_is_refused(tmp_path, content, message):
    file = tmp_path / "run.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MscsError, match=message):
        as_words(read_settings_file(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trainer: MSCSTrainer\nepoch: 3\n", "line 2: there is no key epoch. Did you mean epochs?"),
        ("\n\npatient_patern: x\n", "line 3: there is no key patient_patern. Did you mean patient-pattern?"),
        ("colour: red\n", "line 1: there is no key colour. Known are adapt, allow-large-masks, "),
        ("# mine\nepochs: many\n", "line 2: epochs: 'many' is not a whole number"),
        ("processes: 0\n", "line 1: processes: "),
        ("name: a b\n", "line 1: name: 'a b' is not made of letters"),
        ("layout: flat\n", "line 1: layout: invalid choice: 'flat'"),
        ("folds: [0, 7]\n", "line 1: folds: '7' is not a whole number from 0 to 4"),
    ],
)
def test_mistakes_in_the_file_are_named_by_line_and_key(tmp_path, content, message, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--config", str(file)])
    assert capsys.readouterr().err.startswith(f"{file}: error: {message}")
