"""What the heads are said to have predicted, against counting voxel by voxel in NumPy."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.training.head_watch import trained_heads
from nnunetv2_mscs.training.heads import HeadCounts, head_biases

LABELS = SimpleNamespace(has_regions=False, has_ignore_label=False, ignore_label=None)
IGNORE = SimpleNamespace(has_regions=False, has_ignore_label=True, ignore_label=3)
REGIONS = SimpleNamespace(has_regions=True, has_ignore_label=False, ignore_label=None)
REGIONS_IGNORE = SimpleNamespace(has_regions=True, has_ignore_label=True, ignore_label=3)
SHAPES = [(2, 4, 6, 5), (2, 2, 3, 3)]  # batch and space, of two heads


def batches(labels, *, seed: int = 0, classes: int = 3):
    """Three batches of random logits and references; references are rare enough that a batch may hold none."""
    random = np.random.default_rng(seed)
    for _ in range(3):
        outputs, targets = [], []
        for n, *space in SHAPES:
            outputs.append(random.normal(0, 2, (n, classes, *space)).astype(np.float32))
            if labels.has_regions:
                target = random.random((n, classes + labels.has_ignore_label, *space)) > 0.8
            else:
                target = random.choice(4 if labels.has_ignore_label else 3, (n, 1, *space)).astype(np.float32)
            targets.append(target)
        yield outputs, targets


def brute_force(outputs: list[np.ndarray], targets: list[np.ndarray], labels) -> dict:
    """Of one head over all its batches, voxel by voxel."""
    counts = np.zeros((3, 3))
    largest = 0.0
    for output, target in zip(outputs, targets, strict=True):
        for index in np.ndindex(output.shape[0], *output.shape[2:]):
            voxel = (index[0], slice(None), *index[1:])
            logits, truth = output[voxel], target[voxel]
            if labels.has_ignore_label and (truth[-1] if labels.has_regions else truth[0] == labels.ignore_label):
                continue
            exponentials = np.exp(logits.astype(float))
            for label in range(3) if labels.has_regions else (1, 2):
                if labels.has_regions:
                    probability, there = 1 / (1 + 1 / exponentials[label]), bool(truth[label])
                    found = probability > 0.5
                else:
                    probability, there = exponentials[label] / exponentials.sum(), truth[0] == label
                    found = logits.argmax() == label
                counts[label] += found and there, found, there
                largest = max(largest, probability)
    dices = [2 * tp / (found + there) for tp, found, there in counts if there]
    return {"dice": np.mean(dices), "largest": largest, "predicted": counts[:, 1].sum(), "there": counts[:, 2].sum()}


@pytest.mark.parametrize("labels", [LABELS, IGNORE, REGIONS, REGIONS_IGNORE])
def test_counts_are_those_of_counting(labels):
    counts = HeadCounts()
    made = list(batches(labels))
    for outputs, targets in made:
        counts.add([torch.tensor(o) for o in outputs], [torch.tensor(t) for t in targets], labels)
    results = counts.results()
    assert len(results) == 2
    for head, result in enumerate(results):
        expected = brute_force([o[head] for o, _ in made], [t[head] for _, t in made], labels)
        assert result.dice == pytest.approx(expected["dice"])
        assert result.largest_probability == pytest.approx(expected["largest"], abs=1e-6)
        assert (result.predicted_voxels, result.reference_voxels) == (expected["predicted"], expected["there"])
        assert not result.is_silent


def test_the_order_of_counting_does_not_matter():
    together, apart = HeadCounts(), HeadCounts()
    for outputs, targets in batches(LABELS):
        one = HeadCounts()
        for counts in (together, one):
            counts.add([torch.tensor(o) for o in outputs], [torch.tensor(t) for t in targets], LABELS)
        apart.merge(one.values)
    assert together.results() == apart.results()
    assert HeadCounts().results() == []


def test_a_single_head_and_a_patch_of_nothing_but_the_ignore_label():
    counts = HeadCounts()
    counts.add(torch.full((1, 3, 4, 4), 5.0), torch.full((1, 1, 4, 4), 3.0), IGNORE)
    (head,) = counts.results()
    assert math.isnan(head.dice)
    assert (head.predicted_voxels, head.reference_voxels, head.largest_probability) == (0, 0, 0.0)
    assert not head.is_silent


@pytest.mark.parametrize("labels", [LABELS, REGIONS], ids=["softmax", "regions"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("above", [0.0, 0.5])
def test_a_head_whose_logit_never_exceeds_its_bias(labels, dtype, above):
    """Also in half precision, where the bias itself is rounded: here the two by 0.0018 towards each other."""
    bias = torch.tensor([2.7176, -3.1416])
    features = torch.rand(2, 1, 8, 8)
    features[0, 0, 0, 0] = 0
    logits = bias.reshape(1, 2, 1, 1) + features * torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1)
    if labels.has_regions:
        logits = -3.1416 - features.expand(2, 2, 8, 8)
        bias = torch.tensor([-3.1416, -3.1416])
    logits[1, 1, 3, 3] = -3.1416 + above + (0 if labels.has_regions else 1e-6)
    logits[1, 0, 3, 3] = bias[0]
    target = torch.ones(2, 2 if labels.has_regions else 1, 8, 8)
    counts = HeadCounts()
    counts.add(logits.to(dtype), target, labels, [bias])
    (head,) = counts.results()
    assert head.at_bias == (above == 0)
    assert head.is_silent
    assert head.dice == 0
    unknown = HeadCounts()
    unknown.add(logits, target, labels)
    assert not unknown.results()[0].at_bias


def test_the_biases_are_full_resolution_first():
    network = MSCSNet.original(2, 2)
    first, *_, last = head_biases(network)
    assert first is network.decoder.seg_layers[-1].bias
    assert last is network.decoder.seg_layers[0].bias


def test_the_heads_that_the_loss_trains():
    assert trained_heads(SimpleNamespace(weight_factors=(0.6, 0.3, 0.0)), 3) == 2
    assert trained_heads(SimpleNamespace(weight_factors=(0.6, 0.3, 1e-6)), 3) == 2
    assert trained_heads(nn.MSELoss(), 3) == 3
