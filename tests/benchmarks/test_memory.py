"""The planner's estimate of a step's memory beside counted bytes, and these beside what PyTorch's allocator holds."""

from pathlib import Path

import pytest
import torch

from nnunetv2_mscs.planning.topology import mscs_architecture

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import memory

    return memory


def configuration(patch: list[int], strides: list[list[int]]) -> dict:
    axes, n = len(patch), len(strides)
    entry = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "strides": strides,
            "kernel_sizes": [[1, 3, 3] if axes == 3 and patch[0] < patch[1] / 3 else [3] * axes]
            + [[3] * axes] * (n - 1),
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op"],
    }
    return {"patch_size": patch, "architecture": mscs_architecture(entry, patch)}


THICK = [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]]


@pytest.mark.parametrize(
    ("patch", "strides", "batch_size"),
    [
        ([16, 192, 192], THICK, 2),
        ([128, 128, 128], [[1] * 3, *[[2] * 3] * 5], 2),
        ([192, 192], [[1, 1], *[[2, 2]] * 5], 30),
        ([64, 64], [[1, 1], *[[2, 2]] * 4], 5),
    ],
)
def test_the_estimate_is_within_15_percent_of_the_counted_bytes(memory, patch, strides, batch_size):
    figures = memory.compared(configuration(patch, strides), batch_size, memory.COUNTED, torch.device("cpu"))
    assert abs(figures["error"]) < 0.15
    assert figures["planned_with_gb"] > figures["measured_gb"]


def test_counted_bytes_are_those_of_the_allocator(memory):
    plan = configuration([4, 32, 32], [[1, 1, 1], [1, 2, 2], [2, 2, 2]])
    counted = memory.counted_peak(plan, 6, mixed_precision=False)
    assert counted == pytest.approx(memory.allocated_peak(plan, 6, torch.device("cpu")), rel=0.1)
