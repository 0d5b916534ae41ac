"""The ignore label is taken from dataset.json, and a damaged one is never passed over in silence."""

import json

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.reporting.ignored import ignored_by


@pytest.mark.parametrize(
    ("content", "ignored"),
    [
        ({"labels": {"background": 0, "lesion": 1, "ignore": 2}}, 2),
        ({"labels": {"background": 0, "lesion": [1, 2], "ignore": [3]}}, 3),
        ({"labels": {"background": 0, "lesion": 1}}, None),
        ({"labels": {"0": "background", "1": "lesion"}}, None),  # as nnU-Net 1 wrote it, which had no ignore label
    ],
)
def test_the_first_dataset_json_with_labels_decides(content, ignored, tmp_path):
    places = [tmp_path / name for name in ("nothing", "others", "labels", "later")]
    for place, said in zip(places[1:], ({"name": "x"}, content, {"labels": {"ignore": 9}}), strict=True):
        place.mkdir()
        (place / "dataset.json").write_text(json.dumps(said))
    assert ignored_by(places) == ignored
    mask = tmp_path / "mask.nii.gz"
    mask.touch()
    assert ignored_by([*places[:2], mask]) is None


@pytest.mark.parametrize(
    "text",
    ['{"labels": {"ignore": 2}', "[]", '{"labels": ["ignore"]}', '{"labels": {"ignore": "x"}}', '{"labels": 3}'],
)
def test_a_damaged_dataset_json_is_an_error(text, tmp_path):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(MscsError, match=r"dataset\.json does not say which label is to be ignored") as error:
        ignored_by([tmp_path])
    assert error.value.remedy == "Correct it, or move it away."
