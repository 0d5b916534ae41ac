"""Generated sources: what is converted equals what was made, voxel by voxel in the world, or is refused rightly.

MSCS_GENERATED_INPUTS says how many inputs are made (default 40); all kinds of them come up among 300.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.evaluation.pairing import MaskPair, open_pair
from nnunetv2_mscs.nnunet_files.reader import READERS
from nnunetv2_mscs.scans.findings import Findings
from tests.dataset_conversion.conftest import make_phantom
from tests.stored_scans import ALL_AXES, along, moved, oblique, placed, same_place, write_nifti

INPUTS = int(os.environ.get("MSCS_GENERATED_INPUTS", "40"))
PER_SOURCE = 10
# The files of a case by channel, with the case's name for {}.
LAYOUTS = {
    "small letters": ("images/{}_adc", "images/{}_dwi", "masks/{}"),
    "capitals": ("images/{}_ADC", "images/{}_DWI", "masks/{}_mask"),
    "numbers": ("images/{}_0000", "images/{}_0001", "masks/{}"),
    "a folder for each channel": ("images/ADC/{}", "images/DWI/{}", "masks/{}_seg"),
    "a folder for each case": ("{}/scan_ADC", "{}/scan_DWI2", "{}/mask"),
    "one file": ("images/{}", "images/{}", "masks/{}_lesion"),
}
ENDINGS = (".nii", ".nii.gz", ".mha", ".nrrd")
TILTS = ((0, 0, 0), (0, 0, 0), (12, 0, -8), (-30, 25, 20), (0, 0, 45), (45, 0, 0))
ADC_PER_MM2 = {"mm2/s": 1e-6, "10^-3": 1e-3, "10^-6": 1.0}
MASK_TYPES = (np.uint8, np.int16, np.float32)
# Headers that not every program reads alike.
ODD: dict[str, dict[str, Any]] = {
    "metres": {"unit": "meter"},
    "microns": {"unit": "micron"},
    "NIfTI-2": {"version": 2},
    "offset 0": {"vox_offset": 0},
    "slope 0": {"scl_slope": 0, "scl_inter": 5},
    "intercept NaN": {"scl_slope": 1, "scl_inter": np.nan},
}
REFUSED = {
    "mask a voxel off": "mask and DWI lie on different grids",
    "ADC elsewhere": "ADC and DWI lie on different grids",
    "all in two places": "qform and sform contradict each other",
    "mask without orientation": "records no orientation",
}
RIGHT, WRONG, ODDLY = "right", "to be refused", "right under an odd header"


@dataclass
class Made:
    """One generated case: what it holds, where, and what is to come of it."""

    name: str
    affine: np.ndarray
    arrays: dict[str, np.ndarray]
    files: dict[str, Path] = field(default_factory=dict)
    traits: list[str] = field(default_factory=list)
    reason: str = ""


def make_case(seed: int, folder: Path, name: str, layout: str, sort: str) -> Made:
    """Write a case of random geometry, orientation, header forms, types, scaling and formats."""
    rng = np.random.default_rng(seed)
    phantom = make_phantom(seed, radius=2)
    spacing = [*rng.choice([0.9, 1.2, 2.0, 3.0], 2), rng.choice([4.0, 5.0, 6.5])]
    affine = oblique(np.diag([*spacing, 1.0]), *TILTS[rng.integers(len(TILTS))])
    affine[:3, 3] = rng.uniform(-60, 60, 3).round(2)
    adc = np.rint(phantom.adc * 1e6).astype(np.int16)
    made = Made(name, affine, {"ADC": adc, "DWI": np.rint(phantom.dwi).astype(np.int16), "mask": phantom.mask})
    together = layout == "one file"
    kinds = {
        RIGHT: [""],
        ODDLY: list(ODD),
        WRONG: [kind for kind in REFUSED if kind != "ADC elsewhere" or not together],
    }
    kind = str(rng.choice(kinds[sort]))
    made.reason = REFUSED.get(kind, "")
    axes, unit = str(rng.choice(ALL_AXES)), str(rng.choice(list(ADC_PER_MM2)))
    torn = str(rng.choice(["ADC", "DWI", "mask", ""])) if sort == RIGHT else ""
    made.traits += [kind, axes, f"{torn} torn", unit]
    for channel in ("ADC", "mask") if together else ("ADC", "DWI", "mask"):
        array, place = made.arrays[channel], affine
        if together and channel == "ADC":
            array = np.stack([array, made.arrays["DWI"]], axis=-1)
        array, options = stored_as(
            rng, channel, array, 1.0 if together else ADC_PER_MM2[unit], scaled="scl_slope" not in ODD.get(kind, {})
        )
        options |= forms(rng, channel == torn)
        if (kind, channel) == ("mask a voxel off", "mask"):
            place = affine @ moved(np.eye(4), 1, 0, 0)
        elif (kind, channel) == ("ADC elsewhere", "ADC"):
            place = moved(affine, 0, 31, 0)
        elif kind == "all in two places":
            options |= {"codes": (1, 1), "sform": moved(np.eye(4), 40, 0, 0)}
        elif (kind, channel) == ("mask without orientation", "mask"):
            options["codes"] = (0, 0)
        elif kind in ODD:
            options |= ODD[kind]
        array, place = along(array, place, str(rng.choice([axes, axes, rng.choice(ALL_AXES)])))
        stem = dict(zip(made.arrays, LAYOUTS[layout], strict=True))[channel].format(name)
        path = folder / f"{stem}{rng.choice(ENDINGS if sort == RIGHT else ENDINGS[:2])}"
        made.traits.append(f"{path.name} {options}")
        made.files[channel] = write(path, array, place, options)
    return made


def write(path: Path, array: np.ndarray, affine: np.ndarray, options: dict[str, Any]) -> Path:
    """Write a file; forms among the options are changes of the affine."""
    if not path.name.endswith(ENDINGS[:2]):
        plain = path.with_name("plain.nii")
        write_nifti(plain, array, affine, **{name: value for name, value in options.items() if name.startswith("scl")})
        image = sitk.ReadImage(str(plain))
        bare = sitk.GetImageFromArray(sitk.GetArrayFromImage(image), isVector=False)  # without NIfTI's other fields
        bare.CopyInformation(image)
        sitk.WriteImage(bare, str(path))
        plain.unlink()
        return path
    changed = {form: options[form] @ affine for form in ("sform", "qform") if form in options}
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    rotation[:, 2] *= np.sign(np.linalg.det(rotation))
    if np.isclose(np.trace(rotation), -1, atol=1e-9) and not changed:  # half a turn: the quaternion has no real part
        changed["quaternion_square"] = 1.0003
    return write_nifti(path, array, affine, **{**options, **changed})


def stored_as(
    rng: np.random.Generator, channel: str, array: np.ndarray, slope: float, *, scaled: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """The numbers as stored: floats, or integers with slope and intercept; the ADC in a unit of its own."""
    options: dict[str, Any] = {"big_endian": bool(rng.random() < 0.2)}
    if channel == "mask":
        return array.astype(MASK_TYPES[rng.integers(3)]) * int(rng.choice([1, 1, 255])), options
    if rng.random() < 0.4 or not scaled:
        return (array * (slope if channel == "ADC" else 1.0)).astype(np.float32), options
    slope = slope if channel == "ADC" else float(rng.choice([1.0, 0.5]))
    factor = round(1 / slope) if channel == "DWI" else 1
    offset = int(rng.choice([0, 0, 1024, -300]))
    stored = (array.astype(np.int32) * factor + offset).astype(np.int16 if rng.random() < 0.7 else np.int32)
    return stored, options | {"scl_slope": slope, "scl_inter": -offset * slope}


def forms(rng: np.random.Generator, torn: bool) -> dict[str, Any]:
    """One form or both, with any codes; of a torn file, one form leads elsewhere."""
    if torn:
        far = (moved(np.eye(4), 0, 0, 37), moved(oblique(np.eye(4), 9, 0, 4), 25, 0, 0))
        return {"codes": (1, 2), str(rng.choice(["sform", "qform"])): far[rng.integers(2)]}
    return {"codes": [(1, 1), (0, 1), (1, 0), (2, 1), (4, 4)][rng.integers(5)]}


def sources() -> Iterator[tuple[int, str, str]]:
    """Number of a source, its layout, and what is to come of its cases."""
    names = list(LAYOUTS)
    for number in range(-(-INPUTS // PER_SOURCE)):
        yield number, names[number % len(names)], (RIGHT, RIGHT, WRONG, ODDLY)[number % 7 % 4]


@pytest.mark.parametrize(("number", "layout", "sort"), list(sources()))
def test_converted_is_what_was_made_or_the_reason_is_told(tmp_path, mscs, raw, number, layout, sort):
    cases = [
        make_case(number * PER_SOURCE + i, tmp_path / "source", f"case{i}", layout, sort) for i in range(PER_SOURCE)
    ]
    words = ["--channels", "ADC", "DWI"] if layout in ("one file", "numbers") else []
    outcome = mscs("convert", tmp_path / "source", 1, "X", *words)
    if sort == WRONG:
        assert outcome.code == 1
        assert not any(raw.iterdir())
        for case in cases:
            rows = [row for row in outcome.err.splitlines() if row.startswith("error") and f" {case.name} " in row]
            assert any(re.search(case.reason, row) for row in rows), (case.name, case.traits, outcome.err)
        return
    assert outcome.code == 0, (outcome.err, [case.traits for case in cases])
    for case in cases:
        _check_written(case, raw / "Dataset001_X")
        _check_read_by_the_others(case, tmp_path)


def _check_written(case: Made, folder: Path) -> None:
    for name, channel in ((f"imagesTr/{case.name}_0000", "ADC"), (f"imagesTr/{case.name}_0001", "DWI")):
        written = placed(folder / f"{name}.nii.gz")
        assert same_place((case.arrays[channel], case.affine), written, atol=1e-3), (channel, case.traits)
    written = placed(folder / f"labelsTr/{case.name}.nii.gz")
    assert same_place((case.arrays["mask"], case.affine), written), case.traits


def _check_read_by_the_others(case: Made, folder: Path) -> None:
    """What evaluation makes of the mask beside a plain one, and nnU-Net of the images."""
    plain = write_nifti(folder / "plain.nii", case.arrays["mask"], case.affine)
    findings = Findings()
    opened = open_pair(MaskPair(case.name, case.files["mask"], plain), findings)
    assert opened is not None
    assert not findings.errors, (findings, case.traits)
    np.testing.assert_array_equal(opened.prediction.T, case.arrays["mask"])
    if "DWI" in case.files and not {"ADC torn", "DWI torn"} & set(case.traits):
        files = [str(case.files[channel]) for channel in ("ADC", "DWI")]
        seen, facts = READERS["MSCSReaderLPS"]().read_images(files)
        known = facts["sitk_stuff"]
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(known["direction"], (3, 3)) * known["spacing"]
        affine[:3, 3] = known["origin"]
        found = (seen[1].T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
        assert same_place((case.arrays["DWI"], case.affine), found, atol=1e-3), case.traits
