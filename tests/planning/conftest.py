"""Data sets as nnU-Net's planner sees them: a dataset.json, one tiny case, and a fingerprint of any shape and size."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

Fingerprinted = Callable[..., str]


@pytest.fixture
def fingerprinted(nnunet_folders: Path) -> Fingerprinted:
    """A function that lays down a data set of `cases` scans and returns its name. Sizes and spacings are (z, y, x).

    `value` is that of every voxel of the one case that there is.
    """

    def lay_down(
        size: Sequence[int] = (20, 192, 192),
        spacing: Sequence[float] = (6.5, 1.2, 1.2),
        cases: int = 250,
        channels: Sequence[str] = ("ADC", "DWI"),
        intensities: Mapping[str, Mapping[str, float]] | None = None,
        value: float = 0.0,
    ) -> str:
        name = "Dataset007_Planned"
        raw, preprocessed = nnunet_folders / "nnUNet_raw" / name, nnunet_folders / "nnUNet_preprocessed" / name
        for folder in (raw / "imagesTr", raw / "labelsTr", preprocessed):
            folder.mkdir(parents=True, exist_ok=True)
        image = sitk.GetImageFromArray(np.full((2, 4, 4), value, np.float32))
        for channel in range(len(channels)):
            sitk.WriteImage(image, str(raw / "imagesTr" / f"case_{channel:04d}.nii.gz"))
        sitk.WriteImage(sitk.Cast(image, sitk.sitkUInt8), str(raw / "labelsTr" / "case.nii.gz"))
        dataset = {
            "channel_names": {str(i): channel for i, channel in enumerate(channels)},
            "labels": {"background": 0, "lesion": 1},
            "numTraining": cases,
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "SimpleITKIO",
        }
        (raw / "dataset.json").write_text(json.dumps(dataset))
        fingerprint = {
            "spacings": [list(spacing)] * 5,
            "shapes_after_crop": [list(size)] * 5,
            "foreground_intensity_properties_per_channel": intensities or {},
            "median_relative_size_after_cropping": 1.0,
        }
        (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
        return name

    return lay_down
