"""The planner's estimate of a training step's memory beside the bytes that a step takes, over twenty plans.

    python benchmarks/memory.py                     # counted without data, on any machine
    python benchmarks/memory.py --allocator --batch-size 2 --sizes 16x64x64@5x1.2x1.2
    python benchmarks/memory.py --device cuda

The plans are those of MSCSPlanner and of nnU-Net's planner, 2d and 3d_fullres, for 250 scans of each of the sizes.
"Planned with" is what MSCSPlanner holds against its target: what nnU-Net grants its own U-Net, with CUDA's context,
workspaces and fragmentation. "Estimate" is its estimate of the tensors alone, and is compared with:

- counted: a training step on shapes alone (PyTorch's meta device), activations in half precision; the bytes of all
  tensors that are alive, at their peak. The figure is the same on every machine.
- --allocator: a real step on the CPU in float32, as PyTorch's allocator counts it. It takes the step's time.
- --device cuda: a real step in mixed precision, torch.cuda.max_memory_allocated.
"""

import argparse
import sys
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from network import BASELINE, CHANNELS, GIGA, Bench, all_plans, build
from reporting import conditions, print_table, write_json
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from nnunetv2_mscs.planning.memory import TrainingMemory, training_memory

PLANNED = "MSCSNet planned"
# Voxels and mm along z, y, x.
SIZES = ("20x192x192@6x1.2x1.2", "16x96x96@6x2x2", "73x112x112@2x2x2", "32x256x256@4x0.9x0.9", "160x192x160@1x1x1")
CONFIGURATIONS = ("2d", "3d_fullres")
COUNTED, ALLOCATOR, GPU = "counted", "CPU's allocator", "GPU's allocator"


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, each storage once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

    def see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen[storage] = True
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, storage.nbytes())

    def _drop(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self.see, output)
        return output


def counted_peak(configuration: dict, batch_size: int, mixed_precision: bool = True) -> int:
    """Bytes of tensors at the peak of a training step that has weights, gradients and momentum, on shapes alone.

    In mixed precision, weights are cast to half precision for the forward pass, as autocast does for convolutions, and
    the optimiser takes all weights at once, as PyTorch's does on a GPU.
    """
    kind = torch.half if mixed_precision else torch.float
    with torch.device("meta"):
        network = build(configuration).train()
        image = torch.empty((batch_size, CHANNELS, *configuration["patch_size"]), dtype=kind)
    parameters = dict(network.named_parameters())
    settings = {"weight_decay": 3e-5, "momentum": 0.99, "nesterov": True, "foreach": mixed_precision}
    optimizer = torch.optim.SGD(parameters.values(), 1e-2, **settings)
    for parameter in parameters.values():
        optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter)
    with LiveBytes() as live:
        for parameter, state in optimizer.state.items():
            live.see(parameter)
            live.see(state["momentum_buffer"])
        live.see(image)
        weights = {name: parameter.to(kind) for name, parameter in parameters.items()}
        outputs = torch.func.functional_call(network, weights, (image,))
        loss = sum(output.float().log_softmax(1).mean() for output in outputs)
        del outputs
        loss.backward()
        del loss, weights
        optimizer.step()
    return live.peak


def allocated_peak(configuration: dict, batch_size: int, device: torch.device) -> int:
    """Bytes that PyTorch's allocator holds at the peak of a real training step: float32 on a CPU, AMP on a GPU."""
    shape = (batch_size, CHANNELS, *configuration["patch_size"])
    bench = Bench(configuration, shape, device, device.type == "cuda", False)
    bench.training_step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        bench.training_step()
        return torch.cuda.max_memory_allocated(device)
    bench.optimizer.zero_grad(set_to_none=True)
    lasting = [*bench.network.parameters(), *bench.network.parameters(), bench.image, *bench.targets]  # with momentum
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        bench.training_step()
    now = peak = 0
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda one: one.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return sum(tensor.nbytes for tensor in lasting) + peak


def estimated(configuration: dict) -> TrainingMemory:
    return training_memory(partial(build, configuration), CHANNELS, configuration["patch_size"])


def compared(configuration: dict, batch_size: int, measure: str, device: torch.device) -> dict:
    """The estimates of one plan and what is measured, in GB."""
    memory = estimated(configuration)
    if measure == COUNTED:
        measured = counted_peak(configuration, batch_size)
    else:
        measured = allocated_peak(configuration, batch_size, device)
    estimate = memory.peak_of_tensors(batch_size, mixed_precision=measure != ALLOCATOR)
    return {
        "parameters": memory.parameters,
        "planned_with_gb": memory.at_batch_size(batch_size) / GIGA,
        "estimate_gb": estimate / GIGA,
        "measured_gb": measured / GIGA,
        "error": estimate / measured - 1,
    }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, type=size_and_spacing, metavar="ZxYxX@ZxYxX")
    parser.add_argument("--batch-size", type=int, help="of all plans (default: each plan's own)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--allocator", action="store_true", help="measure real steps on the CPU")
    parser.add_argument("-o", "--output", type=Path, default=Path("memory.json"), help="the figures as JSON")
    args = parser.parse_args(argv)
    args.sizes = [size_and_spacing(size) if isinstance(size, str) else size for size in args.sizes]
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU here: --device cpu")
    return args


def size_and_spacing(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    size, spacing = text.split("@")
    return tuple(int(n) for n in size.split("x")), tuple(float(mm) for mm in spacing.split("x"))


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    device = torch.device(args.device)
    measure = GPU if args.device == "cuda" else ALLOCATOR if args.allocator else COUNTED
    rows = []
    for size, spacing in args.sizes:
        for network, configurations in all_plans([PLANNED, BASELINE], size, spacing).items():
            for name in CONFIGURATIONS:
                configuration = configurations[name]
                batch_size = args.batch_size or configuration["batch_size"]
                plan = {"network": network, "configuration": name, "patch": configuration["patch_size"]}
                figures = compared(configuration, batch_size, measure, device)
                rows.append(plan | {"batch_size": batch_size} | figures)
                print(f"{network} {name} {plan['patch']}: {figures['error']:+.1%}", flush=True)
    print()
    print_table(*table(rows, measure))
    write_json(args.output, {"conditions": conditions(device), "measure": measure, "plans": rows})


def table(rows: Sequence[dict], measure: str) -> tuple[list[str], list[list[str]]]:
    header = ["plan", "batch", "million parameters", "planned with, GB", "estimate, GB", f"{measure}, GB", "error"]
    cells = [
        [
            f"{row['network']} {row['configuration']}, {' x '.join(map(str, row['patch']))}",
            str(row["batch_size"]),
            f"{row['parameters'] / 1e6:.1f}",
            *(f"{row[key]:.2f}" for key in ("planned_with_gb", "estimate_gb", "measured_gb")),
            f"{row['error']:+.1%}",
        ]
        for row in rows
    ]
    return header, cells


if __name__ == "__main__":
    sys.exit(main())
