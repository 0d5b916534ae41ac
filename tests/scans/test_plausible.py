"""Maps and masks that no head can have are refused, with the value that shows it."""

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.scans.channels import ReadingRules, ScanFiles
from nnunetv2_mscs.scans.scan import load_scan

SHAPE = (24, 24, 12)
AFFINE = np.diag([4.0, 4.0, 6.0, 1.0])


@pytest.fixture
def head() -> np.ndarray:
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    return np.asarray(x**2 + y**2 + z**2 < 0.8)


@pytest.fixture
def scan(head) -> dict[str, np.ndarray]:
    """ADC in 10^-6 mm2/s, DWI and a lesion mask, (x, y, z)."""
    rng = np.random.default_rng(0)
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[6:9, 10:13, 5:7] = 1
    adc = np.where(head, rng.normal(850, 90, SHAPE), 0) * (1 - 0.5 * lesion)
    dwi = np.where(head, rng.normal(250, 20, SHAPE), 0) * (1.0 + lesion)
    return {"ADC": adc, "DWI": dwi, "mask": lesion}


def findings(
    tmp_path, arrays: dict[str, np.ndarray], *, dtype=np.float32, affine: np.ndarray = AFFINE, allow_large_masks=False
) -> list[tuple[str, str]]:
    """Severity and text of what is found in a scan."""
    for name, array in arrays.items():
        stored = array if name == "mask" else array.astype(dtype)
        nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / f"{name}.nii")
    files = ScanFiles({name: tmp_path / f"{name}.nii" for name in arrays if name != "mask"}, tmp_path / "mask.nii")
    scan, items = load_scan(files, ReadingRules(allow_large_masks=allow_large_masks))
    assert (scan is None) == any(item.severity == "error" for item in items)
    assert all(item.file for item in items)
    return [(item.severity, item.finding) for item in items]


def test_a_sound_scan_is_silent(tmp_path, scan):
    assert findings(tmp_path, scan) == []


@pytest.mark.parametrize(("unit", "factor"), [("10^-6 mm2/s", 1.0), ("10^-3 mm2/s", 1e-3), ("mm2/s", 1e-6)])
@pytest.mark.parametrize("value", [1.5e13, -1.1e5])
def test_one_impossible_adc_value_is_an_error(tmp_path, scan, unit, factor, value):
    scan["ADC"][3, 12, 6] = value
    scan["ADC"] *= factor
    [(severity, text)] = findings(tmp_path, scan)
    assert severity == "error"
    assert f"ADC of {value * factor:.4g} in {unit}" in text


def test_noise_in_air_is_possible(tmp_path, scan, head):
    noise = np.random.default_rng(1).normal(0, 9000, SHAPE)
    scan["ADC"] = np.where(head, scan["ADC"], noise)
    [(severity, text)] = findings(tmp_path, scan)
    assert severity == "warning"
    assert "0 % of the head's" in text


def test_z_scored_maps_are_errors(tmp_path, scan, head):
    over_all = {name: (a - a.mean()) / a.std() for name, a in scan.items() if name != "mask"} | {"mask": scan["mask"]}
    [(severity, text)] = findings(tmp_path, over_all)
    assert severity == "error"
    assert "ADC is negative in the air of the volume's corners" in text
    del over_all["DWI"]
    assert "corners" in findings(tmp_path, over_all)[-1][1]

    over_head = {
        name: np.where(head, (a - a[head].mean()) / a[head].std(), 0) for name, a in scan.items() if name != "mask"
    }
    [(severity, text)] = findings(tmp_path, over_head | {"mask": scan["mask"], "DWI": scan["DWI"]})
    assert severity == "error"
    assert "% of the head" in text


def test_masks_of_more_than_half_are_errors(tmp_path, scan):
    [(severity, text)] = findings(tmp_path, scan | {"mask": 1 - scan["mask"]})
    assert (severity, text) == ("error", "mask marks 99.7 % of all voxels: inverted?")
    lesion_first = np.stack([scan["mask"], 1 - scan["mask"]], axis=-1)
    [(severity, text)] = findings(tmp_path, scan | {"mask": lesion_first})
    assert (severity, text) == ("error", "mask marks 99.7 % of all voxels: inverted?")
    assert "marks every voxel" in findings(tmp_path, scan | {"mask": np.ones(SHAPE, np.uint8)})[0][1]


def adult(shape: tuple[int, int, int] = (36, 44, 30), *, skull: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """A head of 5 mm voxels with a brain of 1360 mL (x, y, z): "brain", ADC, DWI, as of b1000."""
    rng = np.random.default_rng(seed)
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    radius = np.asarray(np.sqrt(x**2 + y**2 + z**2))
    brain, head = radius < 0.76, radius < 0.95
    scalp = head & (radius > 0.85) & skull
    dwi = np.abs(rng.normal(0, 6, shape))
    dwi = np.where(scalp, rng.normal(50, 15, shape), dwi)
    dwi = np.where(brain, rng.normal(200, 25, shape), dwi if skull else 0)
    adc = np.where(brain, rng.normal(850, 120, shape), np.where(scalp, np.abs(rng.normal(1200, 300, shape)), 0))
    return {"brain": brain, "ADC": adc, "DWI": dwi}


SMALLER = {
    "adult": (1.0, slice(None)),
    "newborn": (0.65, slice(None)),
    "five slices": (1.0, slice(13, 18)),
    "three slices of a newborn": (0.65, slice(14, 17)),
}


@pytest.mark.parametrize("channels", [("ADC", "DWI"), ("DWI",), ("ADC",)])
@pytest.mark.parametrize("skull", [True, False])
@pytest.mark.parametrize("size", SMALLER)
def test_a_brain_mask_is_refused_unless_it_is_allowed(tmp_path, size, skull, channels):
    scale, slices = SMALLER[size]
    made = {name: array[..., slices] for name, array in adult(skull=skull).items()}
    scan = {"mask": made["brain"].astype(np.uint8), **{name: made[name] for name in channels}}
    affine = np.diag([5 * scale, 5 * scale, 5 * scale, 1.0])
    [(severity, text)] = findings(tmp_path, scan, affine=affine)
    assert severity == "error"
    assert "more than any lesion" in text
    assert "mask of the brain?" in text
    [(severity, text)] = findings(tmp_path, scan, affine=affine, allow_large_masks=True)
    assert severity == "warning"


@pytest.mark.parametrize("channels", [("ADC", "DWI"), ("DWI",), ("ADC",)])
@pytest.mark.parametrize("skull", [True, False])
@pytest.mark.parametrize("brightness", [1.3, 2.0, 3.0, 4.5])
@pytest.mark.parametrize("slices", [slice(None), slice(13, 18)])
def test_a_malignant_infarct_is_no_brain_mask(tmp_path, slices, brightness, skull, channels):
    made = adult(skull=skull)
    lesion = made["brain"].copy()
    lesion[15:] = False
    assert 340 < lesion.sum() * 0.125 < 460
    made["DWI"] = np.where(lesion, made["DWI"] * brightness, made["DWI"])
    made["ADC"] = np.where(lesion, made["ADC"] * 0.5, made["ADC"])
    scan = {"mask": lesion.astype(np.uint8), **{name: made[name] for name in channels}}
    scan = {name: array[..., slices] for name, array in scan.items()}
    assert findings(tmp_path, scan, affine=np.diag([5.0, 5.0, 5.0, 1.0])) == []


@pytest.mark.parametrize(("fluid", "says"), [(2900, "4 whole numbers alone (10^-3 mm2/s)"), (800, "2 whole numbers")])
def test_an_adc_rounded_to_whole_numbers_of_too_large_a_unit_is_an_error(tmp_path, scan, fluid, says):
    scan["ADC"][12:15, 11:13, 5:7] = fluid
    scan["ADC"][15, 11, 6] = fluid * 0.7
    assert findings(tmp_path, scan | {"ADC": np.rint(scan["ADC"])}) == []
    [(severity, text)] = findings(tmp_path, scan | {"ADC": np.rint(scan["ADC"] / 1000)})
    assert (severity, says in text) == ("error", True), text


@pytest.mark.parametrize("channel", ["ADC", "DWI"])
@pytest.mark.parametrize("value", [4095, 65535, "inverted"])
def test_air_that_is_brighter_than_the_head_is_an_error(tmp_path, scan, head, channel, value):
    inverted = scan[channel].max() - scan[channel]
    scan[channel] = inverted if value == "inverted" else np.where(head, scan[channel], value)
    texts = [text for severity, text in findings(tmp_path, scan) if severity == "error"]
    assert [text for text in texts if text.startswith(f"{channel} is brightest in the air around the head")] == texts


@pytest.mark.parametrize("brightness", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("part", ["brain", "brain without fluid", "smaller by a voxel"])
def test_a_brain_mask_within_a_bright_scalp_is_refused(tmp_path, part, brightness):
    made = adult(seed=1)
    radius = np.sqrt(sum(axis**2 for axis in np.ogrid[tuple(slice(-1, 1, n * 1j) for n in (36, 44, 30))]))
    scalp, fluid = (radius > 0.85) & (radius < 0.95), radius < 0.2
    made["DWI"] = np.where(scalp, 200 * brightness, np.where(fluid, 60, made["DWI"]))
    made["ADC"] = np.where(fluid, 2900, made["ADC"])
    mask = {"brain": made["brain"], "brain without fluid": made["brain"] & ~fluid, "smaller by a voxel": radius < 0.7}
    scan = {"mask": mask[part].astype(np.uint8), "ADC": made["ADC"], "DWI": made["DWI"]}
    affine = np.diag([3.4, 3.4, 3.4, 1.0])
    [(severity, text)] = findings(tmp_path, scan, affine=affine)
    assert (severity, "mask of the brain?" in text) == ("error", True)


@pytest.mark.parametrize("skull", [True, False])
def test_infarcts_of_both_sides_are_no_brain_mask(tmp_path, skull):
    made = adult(skull=skull)
    x, y, _ = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in (36, 44, 30))]
    lesion = made["brain"] & (np.abs(x) > 0.3) & (np.abs(y) < 0.6)
    made["DWI"] = np.where(lesion, made["DWI"] * 2, made["DWI"])
    made["ADC"] = np.where(lesion, made["ADC"] * 0.5, made["ADC"])
    scan = {"mask": lesion.astype(np.uint8), "ADC": made["ADC"], "DWI": made["DWI"]}
    assert 400 < lesion.sum() * 0.125 < 700
    assert findings(tmp_path, scan, affine=np.diag([5.0, 5.0, 5.0, 1.0])) == []


def test_the_mask_of_a_whole_head_is_refused_without_a_channel_that_shows_it(tmp_path, head):
    [(severity, text)] = findings(tmp_path, {"T2": np.where(head, 300.0, 5.0), "mask": head.astype(np.uint8)})
    assert (severity, "of the head's tissue" in text) == ("error", True)


def test_a_large_bright_lesion_is_no_brain_mask(tmp_path, scan, head):
    half = head.copy()
    half[: SHAPE[0] // 2] = False
    scan["DWI"] = np.where(half, 900, np.where(head, 250, 0))
    scan["ADC"] = np.where(half, 400, np.where(head, 850, 0))
    assert findings(tmp_path, scan | {"mask": half.astype(np.uint8)}) == []


def test_numbers_beyond_float32_are_errors(tmp_path, scan):
    scan["DWI"][12, 10, 6] = 1e300
    [(severity, text)] = findings(tmp_path, scan, dtype=np.float64)
    assert (severity, text) == ("error", "DWI holds 1e+300, beyond 32-bit numbers")
