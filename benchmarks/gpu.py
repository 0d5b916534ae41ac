"""Everything that a GPU changes, in one command and less than eight minutes: steps, memory, prediction, two folds.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --shorten     # what a CPU can do of it, on tiny inputs

It needs no network and no data but phantoms, which it makes. The parts are:

- training step: nnU-Net's PlainConvUNet, the planned MSCS-Net and the paper's, with the same patch and batch; on a GPU
  in mixed precision, with torch.compile off and on. Seconds of a step, the GPU's peak memory, the loss.
- memory: the planner's estimate of both planned networks' tensors beside the peak that the allocator saw; on a CPU
  beside bytes counted without data (see memory.py).
- prediction: a study by the weights of this package, on the CPU and on the GPU: the masks' Dice must exceed 0.999. The
  same for the logits of the networks above, whose weights are random: they may differ by 1 in 1000 of their range.
- two folds: all stages from conversion on, through the executor of `mscs run`, with both trainings at once on one GPU.

Each part runs in a process of its own and has a time limit. A part that fails is recorded and the others go on; the
exit status is then 1. The table says which parts were not run, and why.
"""

import argparse
import multiprocessing
import os
import queue
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from memory import COUNTED, GPU, compared
from network import BASELINE, CHANNELS, GIGA, ORIGINAL, Bench, planned, seconds
from reporting import conditions, print_table, write_json

from nnunetv2_mscs.nnunet_files.environment import folders_of
from nnunetv2_mscs.phantom import PhantomSettings, write_phantoms
from nnunetv2_mscs.pipeline.commands import environment
from nnunetv2_mscs.pipeline.local import Follower, Slot, run_local, slots_for
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.stage import Here, Stage
from nnunetv2_mscs.pipeline.stages import build_stages
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.workplace.devices import Gpus, look_for_gpus

PLANNED = "MSCSNet planned"
NETWORKS = (BASELINE, PLANNED, ORIGINAL)
WHOLE_S = 470.0
ENDING_S = 5.0
LEAST_DICE, LARGEST_DIFFERENCE = 0.999, 1e-3
FOLDS = (0, 1)
DONE, FAILED, NOT_RUN = "done", "failed", "not run"
POLL_S = 0.2
LONGEST_REASON = 400


@dataclass(frozen=True)
class Size:
    """How much of everything is done."""

    patch: tuple[int, int, int]
    spacing: tuple[float, float, float]
    batch_size: int
    steps: int
    scan: tuple[int, int, int]
    study: tuple[int, int, int]
    iterations: int
    configuration: str
    workers: int


FULL = Size((16, 192, 192), (5, 1.2, 1.2), 2, 10, (96, 96, 16), (192, 192, 20), 20, "3d_fullres", 4)
SHORT = Size((16, 32, 32), (8, 7, 7), 1, 2, (48, 48, 6), (48, 48, 6), 1, "2d", 0)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    result: str
    figures: dict = field(default_factory=dict)


@dataclass
class Context:
    """What all parts are given."""

    device: str
    gpu: str | None
    size: Size
    work: Path
    configurations: dict[str, dict]

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size.batch_size, CHANNELS, *self.size.patch)


class Failed(Exception):
    """A part's result is not what it must be."""


@dataclass(frozen=True)
class Part:
    """One part of the benchmark, carried out in a process of its own; its rows are kept as they come."""

    name: str
    work: Callable[[Context], Iterator[Row]]
    limit_s: float
    needs_gpu: bool = False


@dataclass
class Outcome:
    """How a part ended: done, failed, or not run."""

    part: str
    state: str
    seconds: float = 0.0
    reason: str = ""
    rows: list[Row] = field(default_factory=list)


def training_steps(context: Context, compiled: bool) -> Iterator[Row]:
    """Steps of the networks, one network after the other, so that each has the memory for itself."""
    device = torch.device(context.device)
    torch.backends.cudnn.benchmark = context.on_gpu
    baseline = None
    for name in NETWORKS:
        if context.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        bench = Bench(context.configurations.get(name), context.shape, device, context.on_gpu, compiled)
        first = seconds(bench.training_step, device)
        step = median(seconds(bench.training_step, device) for _ in range(context.size.steps))
        loss = bench.training_step()
        del bench
        baseline = baseline or step
        figures = {"seconds": step, "first_s": first, "of_baseline": step / baseline, "loss": loss}
        result = f"{step:.4f} s a step, {step / baseline:.2f} of {BASELINE}, the first {first:.1f} s"
        if context.on_gpu:
            figures["peak_gb"] = torch.cuda.max_memory_allocated(device) / GIGA
            result += f", {figures['peak_gb']:.2f} GB"
        yield Row(name, result, figures)
        if not np.isfinite(loss):
            raise Failed(f"the loss of {name} is {loss}")


def memory(context: Context) -> Iterator[Row]:
    """The estimate of tensors beside the measured peak."""
    device, measure = torch.device(context.device), GPU if context.on_gpu else COUNTED
    for name, configuration in context.configurations.items():
        figures = compared(configuration, context.size.batch_size, measure, device)
        result = f"estimate {figures['estimate_gb']:.2f} GB, {measure} {figures['measured_gb']:.2f} GB"
        result += f" ({figures['error']:+.0%}); planned with {figures['planned_with_gb']:.2f} GB"
        yield Row(name, result, figures)
        if context.on_gpu:
            torch.cuda.empty_cache()


def agreement(context: Context) -> Iterator[Row]:
    """Logits in float32 with equal weights and input, on the CPU and on the GPU."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    for name in NETWORKS:
        bench = Bench(context.configurations.get(name), (1, *context.shape[1:]), torch.device("cpu"), False, False)
        expected = bench.forward()
        bench.network.cuda()
        bench.image = bench.image.cuda()
        found = bench.forward().cpu()
        difference = float((found - expected).abs().max() / (expected.max() - expected.min()))
        yield Row(f"logits of {name}", f"differ by {difference:.1e} of their range", {"difference": difference})
        if not difference <= LARGEST_DIFFERENCE:
            raise Failed(f"the logits of {name} differ by {difference:.1e} of their range")


def prediction(context: Context) -> Iterator[Row]:
    """A study on the CPU, and where there is one on the GPU."""
    from nnunetv2_mscs.models.predictor import Predictor

    folder = context.work / "study"
    write_phantoms(folder, PhantomSettings(size=context.size.study, lesion_free=0), cases=1, seed=3)
    images = {kind: next((folder / "images").glob(f"*_{kind}.nii.gz")) for kind in ("adc", "dwi")}
    masks = {}
    for device in ("cpu", "cuda") if context.on_gpu else ("cpu",):
        start = time.perf_counter()
        predictor = Predictor(device=device, precision="float32")
        loaded = time.perf_counter() - start
        made = predictor.predict(**images)
        again = predictor.predict(**images) if context.on_gpu else made
        masks[device] = made.mask > 0
        figures = {
            "load_s": loaded,
            "seconds": made.seconds,
            "again_s": again.seconds,
            "voxels": int(masks[device].sum()),
        }
        whole, second = sum(made.seconds.values()), sum(again.seconds.values())
        result = f"{loaded:.1f} s to load, {whole:.1f} s a study, {second:.1f} s again, {figures['voxels']} voxels"
        yield Row(f"a study on {device}", result, figures)
    if not context.on_gpu:
        return
    a, b = masks.values()
    dice = 2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1)
    yield Row("masks of CPU and GPU", f"Dice {dice:.5f}", {"dice": dice})
    if not ((a == b).all() or dice > LEAST_DICE):
        raise Failed(f"the masks of CPU and GPU have a Dice of {dice:.5f}")


def with_needs(stages: Mapping[str, Stage], names: Sequence[str]) -> dict[str, Stage]:
    """These stages and all that they need, directly or not, in the order of a run."""
    wanted: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in wanted:
            wanted.add(name)
            left += stages[name].needs
    return {name: stage for name, stage in stages.items() if name in wanted}


def two_folds(context: Context) -> Iterator[Row]:
    """All stages up to the trainings of two folds, through the executor of `mscs run`."""
    size, source = context.size, context.work / "phantoms"
    write_phantoms(source, PhantomSettings(size=size.scan, lesion_free=0), cases=5, seed=1)
    trainer = f"MSCSTrainer_1epochs_{size.iterations}iterations"
    settings = RunSettings(
        str(source), 1, "Phantoms", configurations=(size.configuration,), trainer=trainer, folds=FOLDS
    )
    folders = folders_of(context.work / "workspace")
    stages = build_stages(settings, folders)
    trainings = [name for name, stage in stages.items() if stage.training is not None]
    wanted = with_needs(stages, trainings)
    run = RunFolder.of(folders, settings.dataset)
    run.path.mkdir(parents=True)
    spans: dict[str, list[float]] = {}
    follower = Follower(
        begins=lambda stage, slot: spans.setdefault(stage.name, [time.perf_counter()]),
        ends=lambda stage, record: spans.setdefault(stage.name, []).append(time.perf_counter()),
    )
    # One GPU, named twice, is two places; a CPU has two places of its own.
    slots = [Slot(), Slot()] if context.gpu is None else slots_for([context.gpu] * 2, 1)
    variables = environment(folders, training_workers=size.workers, workers=max(size.workers, 1))
    variables["nnUNet_compile"] = "f"  # two compilations would take longer than the trainings
    outcome = run_local(
        run, wanted, slots, Here(max(size.workers, 1), context.device), environment=variables, follower=follower
    )
    for name in wanted:  # in the order of a run: what runs at once may begin in any order
        span = spans.get(name, [])
        if len(span) == 2:
            yield Row(name, f"{span[1] - span[0]:.1f} s", {"seconds": span[1] - span[0]})
    if outcome.failed or outcome.blocked:
        raise Failed("; ".join(outcome.failed.values()) or f"not started: {', '.join(outcome.blocked)}")
    (a, b), (c, d) = (spans[name] for name in trainings)
    together = max(0.0, min(b, d) - max(a, c))
    yield Row("both folds at once", f"{together:.1f} s", {"seconds": together})
    if not together:
        raise Failed("the two folds were trained one after the other")


def parts() -> list[Part]:
    """All of them, the shortest and surest first; their limits add up to less than eight minutes."""
    return [
        Part("step", partial(training_steps, compiled=False), 60),
        Part("memory", memory, 40),
        Part("agreement with the CPU", agreement, 30, needs_gpu=True),
        Part("prediction", prediction, 50),
        Part("two folds", two_folds, 110),
        Part("step, compiled", partial(training_steps, compiled=True), 170, needs_gpu=True),
    ]


def _work(part: Part, context: Context, messages) -> None:
    """What a part's process does: it sends its rows, and "" or what has failed at the end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that commands it has started are ended, too
    try:
        for row in part.work(context):
            messages.put(row)
        messages.put("")
    except Failed as failure:
        messages.put(str(failure))
    except Exception as error:
        traceback.print_exc()
        messages.put(f"{type(error).__name__}: {error}"[:LONGEST_REASON])


def carried_out(part: Part, context: Context, limit_s: float) -> Outcome:
    """The outcome of a part, which is ended when its time is up.

    Its process is forked: this one has imported everything, and never touches a GPU before the last part has ended.
    """
    start = time.perf_counter()
    forking = multiprocessing.get_context("fork")
    messages = forking.Queue()
    process = forking.Process(target=_work, args=(part, context, messages))
    process.start()
    outcome = Outcome(part.name, FAILED, reason=f"not done within {limit_s:.0f} s")
    while time.perf_counter() - start < limit_s:
        alive = process.is_alive()  # asked before: what it has sent by its end is still read
        try:
            message = messages.get(timeout=POLL_S)
        except queue.Empty:
            if alive:
                continue
            message = f"its process ended with {process.exitcode}"
        if isinstance(message, Row):
            outcome.rows.append(message)
            continue
        outcome.state, outcome.reason = (FAILED, message) if message else (DONE, "")
        process.join(ENDING_S)
        break
    for end in (process.terminate, process.kill):
        if process.is_alive():
            end()
            process.join(ENDING_S)
    outcome.seconds = time.perf_counter() - start
    return outcome


def carry_out(context: Context, gpus: Gpus, start: float, patience: float) -> list[Outcome]:
    """All parts in their order. What is left when the whole time is up is not run, and counts as failed."""
    deadline = start + WHOLE_S * patience
    outcomes = []
    for part in parts():
        left = deadline - time.perf_counter()
        if part.needs_gpu and not context.on_gpu:
            reason = gpus.words if not gpus.found else "--device cpu was asked for"
            outcome = Outcome(part.name, NOT_RUN, reason=f"needs a GPU: {reason}")
        elif left < ENDING_S:
            outcome = Outcome(part.name, FAILED, reason="no time was left for it")
        else:
            outcome = carried_out(part, context, min(part.limit_s * patience, left))
        print(f"{part.name}: {outcome.state}, {outcome.seconds:.0f} s {outcome.reason}", flush=True)
        outcomes.append(outcome)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for outcome in outcomes:
        state = f"{outcome.state}, {outcome.seconds:.0f} s" if outcome.seconds else outcome.state
        rows += [[outcome.part, row.what, row.result] for row in outcome.rows]
        rows.append([outcome.part, state, outcome.reason])
    return ["part", "what", "result"], rows


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where PyTorch finds a GPU")
    parser.add_argument("--shorten", action="store_true", help="tiny inputs, for a test of the benchmark itself")
    parser.add_argument(
        "--patience", type=float, default=1.0, metavar="F", help="multiply all time limits, on a busy machine"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu.json"), help="the figures as JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    gpus = look_for_gpus()
    device = args.device or ("cuda" if gpus.found else "cpu")
    if device == "cuda" and not gpus.found:
        print(f"{gpus.words}: --device cpu", file=sys.stderr)
        return 2
    size, start = SHORT if args.shorten else FULL, time.perf_counter()
    if device == "cuda":
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    configurations = planned([BASELINE, PLANNED], size.patch, size.spacing)
    with TemporaryDirectory() as work:
        context = Context(device, gpus.found[0].index if device == "cuda" else None, size, Path(work), configurations)
        outcomes = carry_out(context, gpus, start, args.patience)
    print()
    print_table(*table(outcomes))
    report = {
        "conditions": conditions(torch.device(device)),
        "shortened": args.shorten,
        "size": asdict(size),
        "seconds": time.perf_counter() - start,
        "parts": [asdict(outcome) for outcome in outcomes],
    }
    write_json(args.output, report)
    return 1 if any(outcome.state == FAILED for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
