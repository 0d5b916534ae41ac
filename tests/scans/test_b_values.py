"""b-values by value: which volumes of a series become DWI and b0, and the ADC that they give."""

from itertools import permutations

import numpy as np
import pytest

from nnunetv2_mscs.scans.b_values import b_value_in_name, compute_adc, geometric_mean
from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI, ReadingRules, ScanFiles
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.new_scan import B0, make_new_scan, read_new_channels
from tests.models.new_scans import AFFINE, scan
from tests.stored_scans import write_nifti

RULES = ReadingRules()


def read(path, *, b_value=None, name=DWI):
    return make_new_scan(read_new_channels(ScanFiles({name: path}), RULES, b_value=b_value), (ADC, DWI), RULES)


def write_series(folder, b_values, vectors=None, **seeds):
    """A 4D file whose volumes have these b-values, and the files beside it."""
    made = scan()
    factors = {0: 1.0, 5: 1.0, 500: 1.0, 1000: 1.0, 2000: 1.0} | seeds
    volumes = [made["b0"] * np.exp(-made_adc(made) * b * 1e-6) * factors.get(b, 1.0) for b in b_values]
    write_nifti(folder / "s_dwi.nii.gz", np.stack(volumes, axis=-1).astype(np.float32), AFFINE)
    (folder / "s_dwi.bval").write_text(" ".join(map(str, b_values)) + "\n")
    if vectors is not None:
        (folder / "s_dwi.bvec").write_text("\n".join(" ".join(map(str, row)) for row in np.transpose(vectors)))
    return folder / "s_dwi.nii.gz"


def made_adc(made):
    return np.where(made["adc"] > 0, made["adc"], 850.0)


@pytest.mark.parametrize("b_values", list(permutations((0, 1000, 2000))), ids=str)
@pytest.mark.parametrize("name", [DWI, COMBINED])
def test_the_order_of_the_volumes_does_not_matter(b_values, name, tmp_path):
    found = read(write_series(tmp_path, b_values), name=name)
    made = scan()
    expected = made["b0"] * np.exp(-made_adc(made) * 1e-3)
    np.testing.assert_allclose(found.scan.channels[DWI], expected.T, rtol=1e-5)
    np.testing.assert_allclose(found.scan.channels[ADC], made_adc(made).T, rtol=1e-3)
    assert found.b_value == 1000
    assert any("passed over: b = 2000" in one.finding for one in found.findings if one.severity == "warning")


def test_directions_are_joined_by_their_geometric_mean_and_b0s_by_their_mean(tmp_path):
    path = write_series(tmp_path, (0, 5, 990, 1000, 1010))
    found = read(path)
    made = scan()
    np.testing.assert_allclose(found.scan.channels[DWI], (made["b0"] * np.exp(-made_adc(made) * 1e-3)).T, rtol=1e-5)
    assert found.b_value == 1000
    said = [one.finding for one in found.findings]
    assert "DWI: geometric mean of 3 volumes of b = 1000 s/mm2" in said
    assert "b0: mean of 2 volumes" in said
    # b0 and b5 together have b = 2.5, which the ADC must heed.
    np.testing.assert_allclose(found.scan.channels[ADC], made_adc(made).T, rtol=1e-4)


def test_an_appended_trace_image_is_taken_alone(tmp_path):
    vectors = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
    path = write_series(tmp_path, (0, 1000, 1000, 1000, 1001), vectors)
    found = read(path)
    assert found.b_value == pytest.approx(1000.25)
    said = [one.finding for one in found.findings]
    assert any("the trace image of b = 1000.25 was taken, not its 3 directions" in one for one in said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 1000", "holds 3 volumes, and its .bval file 2 b-values"),
        ("0 0 5", r"holds no diffusion-weighted volume \(b = 0, 5\)"),
        ("0 1000 x", "cannot be read as numbers"),
        ("0 1000 -5", "holds values that are no b-values"),
    ],
)
def test_b_values_that_do_not_fit(text, said, tmp_path):
    path = write_series(tmp_path, (0, 1000, 2000))
    (tmp_path / "s_dwi.bval").write_text(text)
    with pytest.raises(ScanError, match=said):
        read(path)


def test_without_b_values_a_series_is_refused(tmp_path):
    path = write_series(tmp_path, (0, 1000))
    (tmp_path / "s_dwi.bval").unlink()
    with pytest.raises(ScanError, match="holds 2 volumes where one DWI volume is expected"):
        read(path)


@pytest.mark.parametrize(
    ("stem", "b_value"),
    [
        *(("p1_b1000", 1000), ("dwi_b0800", 800), ("p1_dwib1500", 1500), ("p_b-value-1000_x", 1000)),
        *(("p1_dwi", None), ("b0", None), ("p1_b500_b1000", None), ("p1000", None), ("scan_2019", None)),
    ],
)
def test_b_values_in_names(stem, b_value):
    assert b_value_in_name(stem) == b_value


def test_signals_of_nothing_give_an_adc_of_zero():
    dwi, b0 = np.array([[[0.0, -3.0, 5.0, 5.0]]]), np.array([[[9.0, 9.0, 0.0, 5.0 * np.e]]])
    np.testing.assert_allclose(compute_adc(dwi, b0, 1000.0), [[[0, 0, 0, 1000]]], rtol=1e-6)
    assert compute_adc(b0, dwi, 1000.0)[0, 0, 3] == pytest.approx(-1000), "noise may make the DWI the brighter one"


def test_the_geometric_mean_of_one_volume_is_that_volume():
    array = np.random.default_rng(0).normal(size=(1, 2, 3, 4))
    assert geometric_mean(array) is array
    assert (geometric_mean(np.stack([array[0], -abs(array[0])])) == 0).all()


def test_a_real_adc_is_computed_as_it_was_stored(real_folder):
    place = real_folder / "unlabelled/ads_02"
    stored = read_new_channels(ScanFiles({ADC: place / "adc.nii.gz", DWI: place / "dwi.nii.gz"}), RULES)
    given = ScanFiles({B0: place / "b0.nii.gz", DWI: place / "dwi.nii.gz"})
    computed = read_new_channels(given, RULES, b_value=1000.0)
    expected, found = (make_new_scan(one, (ADC, DWI), RULES).scan for one in (stored, computed))
    # The file is rounded to 10^-6 mm2/s.
    np.testing.assert_allclose(found.channels[ADC], expected.channels[ADC], atol=0.501, rtol=0)
    with pytest.raises(ScanError, match="has a median of"):
        make_new_scan(read_new_channels(given, RULES, b_value=100.0), (ADC, DWI), RULES)
