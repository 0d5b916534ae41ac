"""MSCS-Net beside nnU-Net's own networks on the same input: size, work, time, memory.

    python benchmarks/network.py
    python benchmarks/network.py --device cuda --precision amp --compile --batch-size 2 --rounds 20

The planned networks are what the real planners (nnU-Net's default, its ResEnc M, and MSCSPlanner) choose for 250 scans
of the given size and spacing; the original is the paper's. The networks take turns in every round, so that a noisy
machine disturbs them alike, and a ratio is one of the same round. A forward pass is prediction's, with one output. A
training step is nnU-Net's: Dice and cross entropy on all heads of deep supervision (the original has one head),
backward pass, clipped gradients, SGD. On a CPU rows follow for the engines of `mscs predict`: PyTorch with what is left
of the operations at this size, and OpenVINO where it is installed, in float32 and, with AMX, in bfloat16. Peak memory
is measured in a process of its own: on the CPU what its resident memory grows by during two steps, on a GPU what
PyTorch's allocator held.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import SimpleITK as sitk
import torch
from reporting import conditions, print_table, spread, write_json
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.training.nonfinite import drop_gradients_unless_finite

CASES = 250
CHANNELS = CLASSES = 2
BASELINE = "PlainConvUNet"
ORIGINAL = "MSCSNet original"
PLANNERS = {
    BASELINE: "ExperimentPlanner",
    "ResidualEncoderUNet": "nnUNetPlannerResEncM",
    "MSCSNet planned": "MSCSPlanner",
}
NETWORKS = (BASELINE, "ResidualEncoderUNet", ORIGINAL, "MSCSNet planned")
PARTS = ("forward", "loss", "backward", "clipping", "finiteness", "optimiser")
GIGA = 1e9
FORWARD, STEP = "forward", "training step"


def lay_down_data_set(folder: Path, size: Sequence[int], spacing: Sequence[float]) -> int:
    """One empty case and the fingerprint of 250 scans in nnU-Net's folders, all that a planner reads.

    Returns:
        The data set's id.
    """
    dataset_id = 999
    raw, preprocessed = (folder / kind / f"Dataset{dataset_id}_Benchmark" for kind in ("raw", "preprocessed"))
    for place in (raw / "imagesTr", raw / "labelsTr", preprocessed):
        place.mkdir(parents=True)
    image = sitk.GetImageFromArray(np.zeros((2, 4, 4), np.uint8))
    for name in ("imagesTr/case_0000", "imagesTr/case_0001", "labelsTr/case"):
        sitk.WriteImage(image, str(raw / f"{name}.nii.gz"))
    dataset = {
        "channel_names": {"0": "ADC", "1": "DWI"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": CASES,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    fingerprint = {
        "spacings": [list(spacing)] * CASES,
        "shapes_after_crop": [list(size)] * CASES,
        "foreground_intensity_properties_per_channel": {},
        "median_relative_size_after_cropping": 1.0,
    }
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    return dataset_id


def all_plans(names: Sequence[str], size: Sequence[int], spacing: Sequence[float]) -> dict[str, dict[str, dict]]:
    """Name of a planned network -> the configurations that its planner writes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{kind}"] = str(Path(folder, kind))
        dataset_id = lay_down_data_set(Path(folder), size, spacing)
        from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments

        configurations = {}
        for name in names:
            with contextlib.redirect_stdout(io.StringIO()):
                plans_name = plan_experiments([dataset_id], PLANNERS[name])
            plans = json.loads(next(Path(folder, "preprocessed").glob(f"*/{plans_name}.json")).read_text())
            configurations[name] = plans["configurations"]
    return configurations


def planned(names: Sequence[str], size: Sequence[int], spacing: Sequence[float]) -> dict[str, dict]:
    """Name of a planned network -> the configuration 3d_fullres that its planner writes."""
    return {name: plans["3d_fullres"] for name, plans in all_plans(names, size, spacing).items()}


def smallest_steps(configuration: dict | None) -> list[int]:
    """By what the sizes of the network's input have to be divisible, (z, y, x)."""
    if configuration is None:
        return [16, 16, 16]
    return np.prod(configuration["architecture"]["arch_kwargs"]["strides"], axis=0).tolist()


def build(configuration: dict | None, base_features: int = 16) -> nn.Module:
    """The network of a planned configuration as nnU-Net builds it for training; without one the paper's of a width."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    if configuration is None:
        return MSCSNet.original(CHANNELS, CLASSES, base_features)
    architecture = configuration["architecture"]
    return get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        CHANNELS,
        CLASSES,
        deep_supervision=True,
    )


def gigaflop(network: nn.Module, shape: Sequence[int]) -> float:
    """Floating point operations of a forward pass with one output, 2 for a multiplication with addition; in 10^9.

    Counted by PyTorch on shapes alone.
    """
    network = network.to("meta").eval()
    network.decoder.deep_supervision = False
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(tuple(shape), device="meta"))
    return counter.get_total_flops() / GIGA


class Bench:
    """One network with its input, ready for a forward pass as in prediction and for a training step."""

    def __init__(
        self,
        configuration: dict | None,
        shape: Sequence[int],
        device: torch.device,
        amp: bool,
        compiled: bool,
        base_features: int = 16,
    ):
        torch.manual_seed(0)
        network = build(configuration, base_features).to(device)
        self.network = network
        self.run: Callable = torch.compile(network) if compiled else network
        self.device, self.amp = device, amp
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp and device.type == "cuda")
        self.image = torch.rand(tuple(shape), device=device)
        self.targets = [
            (torch.rand(shape[0], 1, *head.shape[2:], device=device) > 0.95).float() for head in self._heads()
        ]
        self.loss = self._loss()
        self.optimizer = torch.optim.SGD(network.parameters(), 1e-2, weight_decay=3e-5, momentum=0.99, nesterov=True)
        # MSCSTrainer looks at the gradients where no scaler of nnU-Net's does.
        self.checks_gradients = isinstance(network, MSCSNet) and not self.scaler.is_enabled()

    def _heads(self) -> list[torch.Tensor]:
        with torch.no_grad():
            output = self.network(self.image)
        return output if isinstance(output, list) else [output]

    def _loss(self) -> nn.Module:
        """nnU-Net's loss: its weights halve from head to head, and the last one has none."""
        from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
        from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
        from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

        dice = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
        weights = np.array([0.5**head for head in range(len(self.targets))])
        if len(weights) > 1:
            weights[-1] = 0
        loss = DC_and_CE_loss(dice, {}, weight_ce=1, weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss)
        return DeepSupervisionWrapper(loss, weights / weights.sum())

    def _precision(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, enabled=self.amp)

    @torch.no_grad()
    def forward(self) -> torch.Tensor:
        """A forward pass as in prediction: evaluation mode, one output."""
        self.network.eval()
        self.network.decoder.deep_supervision = False
        with self._precision():
            return self.run(self.image)

    def training_step(self, done: Callable[[str], None] = lambda part: None) -> float:
        """One step as nnU-Net's trainer makes it; `done` is called behind each part. Returns the loss."""
        self.network.train()
        self.network.decoder.deep_supervision = len(self.targets) > 1
        self.optimizer.zero_grad(set_to_none=True)
        with self._precision():
            output = self.run(self.image)
            done("forward")
            loss = self.loss(output if isinstance(output, (list, tuple)) else [output], self.targets)
        done("loss")
        self.scaler.scale(loss).backward()
        done("backward")
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        done("clipping")
        if self.checks_gradients:
            drop_gradients_unless_finite(self.optimizer)
            done("finiteness")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        done("optimiser")
        return float(loss.detach())


class EngineBench:
    """A forward pass of a bench's network by an engine of `mscs predict`, on the bench's image."""

    def __init__(self, bench: Bench, engine: str, precision: str):
        from nnunetv2_mscs.models.engines import OPENVINO, with_fewer_operations
        from nnunetv2_mscs.models.openvino_network import OpenVINONetwork, write_openvino

        bench.network.eval()
        bench.network.decoder.deep_supervision = False
        self.image, self.bfloat16 = bench.image, engine != OPENVINO and precision == "bfloat16"
        shape = bench.image.shape[1:]
        if engine == OPENVINO:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "network.xml")
                write_openvino(bench.network, (1, *shape), file)
                self.network: nn.Module = OpenVINONetwork([file], shape, precision)
        else:
            self.network = with_fewer_operations(bench.network, shape[1:])
            self.network.load_state_dict(bench.network.state_dict())

    @torch.inference_mode()
    def forward(self) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            self.network(self.image)


def engines_of(name: str, bench: Bench) -> dict[str, EngineBench]:
    """The engines that this machine has, by the names of their rows."""
    from nnunetv2_mscs.models.engines import OPENVINO, TORCH
    from nnunetv2_mscs.network.precision import FLOAT32, fastest_precision

    precisions = dict.fromkeys([FLOAT32, fastest_precision(torch.device("cpu"))])
    names = [TORCH, *([OPENVINO] if find_spec(OPENVINO) else [])]
    return {
        f"{name}, {engine} {precision}": EngineBench(bench, engine, precision)
        for engine in names
        for precision in precisions
    }


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the GPU's work included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def parts_of_a_step(bench: Bench, device: torch.device) -> dict[str, float]:
    """Seconds of every part of a training step: the processor's own, or a GPU's from one synchronisation to the next.

    The processor's seconds are those of all threads, and do not count what other programs take meanwhile.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    parts: dict[str, float] = {}

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock()

    begun = [now()]

    def done(part: str) -> None:
        ended = now()
        parts[part] = ended - begun[0]
        begun[0] = ended

    bench.training_step(done)
    return parts


def timings(
    benches: dict[str, Bench], engines: dict[str, EngineBench], device: torch.device, rounds: int
) -> Iterator[tuple[str, str, float]]:
    """(network, "forward" or "training step", seconds) after a warm-up, one network after the other in each round."""
    for turn in range(rounds + 1):
        works = [(name, FORWARD, bench.forward) for name, bench in {**benches, **engines}.items()]
        works += [(name, STEP, bench.training_step) for name, bench in benches.items()]
        for name, kind, work in works:
            elapsed = seconds(work, device)
            if turn:
                yield name, kind, elapsed


def peak_memory(configuration: dict | None, shape: Sequence[int], device: str, amp: bool, compiled: bool) -> float:
    """GB of memory that building the network and two training steps take. For a process of its own."""
    place = torch.device(device)
    warm_up = Bench(None, (1, CHANNELS, 16, 16, 32), place, amp, compiled, base_features=1)
    warm_up.training_step()  # what the first use of PyTorch loads is not the network's own
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bench = Bench(configuration, shape, place, amp, compiled)
    for _ in range(2):
        bench.training_step()
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated(place) / GIGA
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / GIGA


def in_own_process(work: Callable[..., float], *arguments) -> float:
    """The result of a call made in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NAME")
    parser.add_argument("--patch", nargs=3, type=int, default=(16, 192, 192), metavar=("Z", "Y", "X"))
    parser.add_argument("--spacing", nargs=3, type=float, default=(5, 1.2, 1.2), metavar=("Z", "Y", "X"), help="in mm")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--precision", choices=("fp32", "amp"), default="fp32", help="amp: autocast, as nnU-Net on a GPU"
    )
    parser.add_argument("--parts", action="store_true", help="a second table: where a training step's time goes")
    parser.add_argument("--compile", action="store_true", help="torch.compile, as nnU-Net does on a GPU")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("-o", "--output", type=Path, default=Path("network.json"), help="the figures as JSON")
    args = parser.parse_args(argv)
    if min(*args.patch, args.batch_size, args.rounds) < 1:
        parser.error("sizes and counts are whole numbers of at least 1")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU here: --device cpu")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    device, amp = torch.device(args.device), args.precision == "amp"
    torch.backends.cudnn.benchmark = device.type == "cuda"  # as nnU-Net trains
    shape = (args.batch_size, CHANNELS, *args.patch)
    names = [name for name in NETWORKS if name in args.networks]
    configurations = planned([name for name in names if name in PLANNERS], args.patch, args.spacing)
    for name in names:
        steps = smallest_steps(configurations.get(name))
        if any(size % step for size, step in zip(args.patch, steps, strict=True)):
            sys.exit(f"{name} takes patches of multiples of {steps}: --patch {' '.join(map(str, args.patch))} is none")

    figures: dict[str, dict] = {}
    for name in names:
        network = build(configurations.get(name))
        parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
        print(f"{name}: {parameters:,} parameters; measuring memory", flush=True)
        figures[name] = {
            "parameters": parameters,
            "gigaflop": gigaflop(network, (1, CHANNELS, *args.patch)),
            "peak_memory_gb": in_own_process(
                peak_memory, configurations.get(name), shape, args.device, amp, args.compile
            ),
        }
    times: dict[str, dict[str, list[float]]] = {name: {FORWARD: [], STEP: []} for name in names}
    benches = {name: Bench(configurations.get(name), shape, device, amp, args.compile) for name in names}
    engines: dict[str, EngineBench] = {}
    for name, bench in benches.items() if args.device == "cpu" else ():
        rows = engines_of(name, bench)
        engines |= rows
        times |= {row: {FORWARD: []} for row in rows}
        figures |= {row: {key: figures[name][key] for key in ("parameters", "gigaflop")} for row in rows}
    for name, kind, elapsed in timings(benches, engines, device, args.rounds):
        times[name][kind].append(elapsed)
        print(f"{name}: {kind} {elapsed:.3f} s", flush=True)
    for name, by_kind in times.items():
        for kind, values in by_kind.items():
            figures[name][kind] = spread(values)
            if BASELINE in times:
                ratios = [theirs / ours for theirs, ours in zip(times[BASELINE][kind], values, strict=True)]
                figures[name][kind][f"speed over {BASELINE}"] = median(ratios)

    if args.parts:
        for name, bench in benches.items():
            rounds = [parts_of_a_step(bench, device) for _ in range(args.rounds)]
            figures[name]["parts"] = {part: median(one[part] for one in rounds) for part in rounds[0]}

    setting = {
        "patch": list(args.patch),
        "spacing_mm": list(args.spacing),
        "batch_size": args.batch_size,
        "precision": args.precision,
        "compile": args.compile,
        "rounds": args.rounds,
    }
    print()
    print_table(*table(figures))
    if args.parts:
        print()
        print_table(*table_of_parts(figures))
    write_json(args.output, {"conditions": conditions(device), "setting": setting, "networks": figures})


def table_of_parts(figures: dict[str, dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: seconds of each part of a training step, and of the whole."""
    header = ["network", *(f"{part}, s" for part in PARTS), "step, s"]
    rows = []
    for name, values in figures.items():
        parts = values["parts"]
        rows.append([name, *(f"{parts.get(part, 0):.3f}" for part in PARTS), f"{sum(parts.values()):.3f}"])
    return header, rows


def table(figures: dict[str, dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: medians, and in brackets how many times as fast as the baseline."""
    header = ["network", "parameters, million", "GFLOP forward", "forward, s", "training step, s", "peak memory, GB"]
    rows = []
    for name, values in figures.items():
        cells = [name, f"{values['parameters'] / 1e6:.1f}", f"{values['gigaflop']:.1f}"]
        for kind in (FORWARD, STEP):
            measured = values.get(kind, {})
            ratio = measured.get(f"speed over {BASELINE}")
            cells.append(
                (f"{measured['median']:.3f}" if measured else "") + ("" if ratio is None else f" ({ratio:.2f}x)")
            )
        rows.append([*cells, f"{values['peak_memory_gb']:.2f}" if "peak_memory_gb" in values else ""])
    return header, rows


if __name__ == "__main__":
    main()
