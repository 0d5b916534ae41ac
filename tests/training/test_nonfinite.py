"""Gradients that are not finite are found behind clipping, whichever parameter they belong to."""

import pytest
import torch
from torch import nn

from nnunetv2_mscs.training.nonfinite import drop_gradients_unless_finite

FINE, ZERO, INF, NAN = 3.0, 0.0, torch.inf, torch.nan


@pytest.mark.parametrize(
    ("values", "dropped"),
    [
        ((FINE, FINE), False),
        ((1e9, FINE), False),
        ((FINE, ZERO), False),
        ((ZERO, ZERO), False),
        ((INF, FINE), True),
        ((NAN, FINE), True),
        ((FINE, -INF), True),
        ((ZERO, NAN), True),
        ((INF, ZERO), True),
    ],
)
def test_clipped_gradients_are_dropped_if_any_was_not_finite(values, dropped):
    parameters = [nn.Parameter(torch.ones(3)) for _ in values]
    optimizer = torch.optim.SGD([*parameters, nn.Parameter(torch.ones(1))], 0.1, momentum=0.9)
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor([0.5 if value else 0.0, value, 0.0])
    nn.utils.clip_grad_norm_(parameters, 12)
    assert drop_gradients_unless_finite(optimizer) is dropped
    assert all((parameter.grad is None) is dropped for parameter in parameters)


def test_without_gradients_nothing_is_dropped():
    assert not drop_gradients_unless_finite(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1))
