"""The YAML file of a run becomes the words of a command line."""

import pytest

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


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MscsError, match="cannot be read"):
        read_settings_file(tmp_path / "none.yaml")
