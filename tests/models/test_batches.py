"""Slices in batches and in bfloat16: the masks of nnU-Net's own predictor."""

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_mscs import Predictor
from nnunetv2_mscs.models import batches
from nnunetv2_mscs.models.batches import SLICES, InBatches
from nnunetv2_mscs.network.precision import fastest_precision
from tests.models.new_scans import write_study


def test_batches_give_the_sums_of_nnunets_own_windows(predictor):
    """Several windows a slice, and a last batch that is not full."""
    inner = next(iter(predictor._networks._predictors.values()))
    data = torch.randn(2, SLICES + 3, 31, 40)
    found = inner.predict_logits_from_preprocessed_data(data)
    inner.__class__ = nnUNetPredictor
    try:
        theirs = inner.predict_logits_from_preprocessed_data(data)
    finally:
        inner.__class__ = InBatches
    # nnU-Net adds in half precision, which loses the corners of windows
    close = np.isclose(found, theirs.float(), atol=0.01 * float(theirs.abs().max()))
    assert close.mean() > 0.995
    assert np.mean(found.argmax(0).numpy() == theirs.argmax(0).numpy()) > 0.995


def test_a_batch_is_the_same_as_one_after_the_other(predictor, monkeypatch):
    inner = next(iter(predictor._networks._predictors.values()))
    data = torch.randn(2, SLICES + 3, 31, 40)
    together = inner.predict_logits_from_preprocessed_data(data)
    monkeypatch.setattr(batches, "SLICES", 1)
    np.testing.assert_allclose(inner.predict_logits_from_preprocessed_data(data), together, atol=1e-4)


def test_bfloat16_changes_little(model, predictor, tmp_path):
    write_study(tmp_path)
    files = {"adc": tmp_path / "adc.nii.gz", "dwi": tmp_path / "dwi.nii.gz"}
    exact = predictor.predict(**files)
    half = Predictor(model, "cpu", precision="bfloat16").predict(**files)
    difference = np.abs(exact.probabilities - half.probabilities)
    assert 0 < difference.max() < 0.1
    assert difference.mean() < 0.01


def test_the_precision_that_suits_a_device():
    assert fastest_precision(torch.device("cuda")) == "float16"
    assert fastest_precision(torch.device("cpu")) in ("float32", "bfloat16")
