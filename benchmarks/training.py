"""Trainers and networks beside each other: equal steps, equal batches, several seeds, Dice on unseen cases.

    python benchmarks/training.py
    python benchmarks/training.py --trainers nnUNetTrainer "narrow=MSCSTrainer:stem_features=8,dropout=0.3"
    python benchmarks/training.py --dataset 501 -c 3d_fullres --patch 16 64 64 --batch-size 2 --device cuda

Without --dataset it makes phantoms first. A trainer is any that nnU-Net finds by name. After a colon follow arguments
of the network that differ from the plan's, attributes of the trainer (trainer.initial_lr=0.001), and the optimiser's
kind, momentum and warm-up (optimiser.kind=adamw,optimiser.warmup=50). A name for the table can stand before an equals
sign.

All trainers get the same batches for a seed. nnU-Net's own loaders draw them once, with its augmentation. Loss,
optimiser and schedule are the trainer's; the schedule is shortened to the steps. Measured are:

- the mean Dice of the fold's unseen cases with a lesion at the end (sliding window, no mirroring), and the Dice on
  patches of unseen cases after half of the steps;
- the loss, early and as a curve;
- dead heads: heads of deep supervision that find no lesion voxel on those patches at the end;
- all empty: models that find no lesion voxel in any unseen case;
- seconds per step, and peak memory.

Finished runs are kept in the work folder, and a second call reads them from there. The default takes about 15 minutes
on two CPU cores: 3 seeds of 2 trainers, 200 steps of 5 patches of 64 x 64.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from statistics import fmean

import torch
from reporting import conditions, print_table, write_json
from training_runs import Task, Variant, batches, find_trainer, plans_digest, run, variant_from_text

PHANTOMS_ID, PHANTOMS = 990, "Dataset990_Phantoms"
EARLY = (20, 40)  # steps whose mean loss says how fast a training starts
DECIDING = ("network", "planning", "training")  # rooms of the package that decide on a run's figures
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def commands_for_phantoms(work: Path, cases: int, size: Sequence[int]) -> list[list[str]]:
    """The commands that make, convert, plan and preprocess the phantoms of the bench."""
    phantoms, processes = str(work / "phantoms"), str(min(os.cpu_count() or 1, 4))
    again = ("--overwrite", "-np", processes)
    return [
        ["mscs", "phantom", phantoms, "--cases", str(cases), "--size", *map(str, size), *again],
        ["mscs", "convert", phantoms, str(PHANTOMS_ID), PHANTOMS.split("_")[1], *again],
        [
            *("nnUNetv2_plan_and_preprocess", "-d", str(PHANTOMS_ID), "-c", "2d", "3d_fullres"),
            *("-np", processes, processes, "-npfp", processes),
        ],
    ]


def prepare(args: argparse.Namespace) -> Path:
    """Folder of the preprocessed data set; the phantoms are made if they are not there."""
    if args.dataset is not None:
        from nnunetv2.paths import nnUNet_preprocessed
        from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

        return Path(nnUNet_preprocessed, maybe_convert_to_dataset_name(args.dataset))
    folder = args.work / f"phantoms-{args.cases}-{'x'.join(map(str, args.size))}"
    for name in FOLDERS:
        os.environ[name] = str(folder / name)
    done = folder / "ready"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for words in commands_for_phantoms(folder, args.cases, args.size):
            command = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
            print("$", " ".join(words), flush=True)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        done.touch()
    return folder / "nnUNet_preprocessed" / PHANTOMS


@cache
def code_digest() -> str:
    """What tells this version of the package from others: a changed network or trainer has to run again."""
    import nnunetv2_mscs

    files = sorted(Path(nnunetv2_mscs.__file__).parent.glob("*/*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.parent.name in DECIDING)).hexdigest()


def _run(job: tuple[Task, Variant, int, str]) -> dict:
    """One run in a process of its own; its figures are kept in a file."""
    task, variant, seed, file = job
    figures = run(task, variant, seed)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).with_suffix(".part").write_text(json.dumps(figures))
    Path(file).with_suffix(".part").replace(file)
    return figures


def results(task: Task, variants: Sequence[Variant], seeds: Sequence[int], processes: int) -> Iterator[dict]:
    """The figures of every variant and seed as they come; those that lie in the work folder first."""
    jobs = []
    for seed in seeds:
        for variant in variants:
            settings = [variant.trainer, variant.network, variant.attributes, variant.optimiser]
            spec = json.dumps([asdict(task), *settings, seed, plans_digest(task), code_digest()])
            file = Path(task.cache, "runs", hashlib.sha256(spec.encode()).hexdigest()[:16] + ".json")
            if file.is_file():
                yield json.loads(file.read_text()) | {"variant": asdict(variant)}
            else:
                jobs.append((task, variant, seed, str(file)))
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(_run, jobs, chunksize=1)


def mean_dice(figures: dict) -> float:
    """Mean Dice of the unseen cases with a lesion."""
    return fmean(figures["unseen"]["dice"].values())


def patch_dice(figures: dict, step: int) -> float:
    """Dice of the full-resolution head on patches of unseen cases after so many steps."""
    checks = figures["checks"]
    return checks[str(step) if str(step) in checks else step]["heads"][0]["dice"]


def summary(runs: Sequence[dict], steps: int) -> dict:
    """What the table shows of one variant: its seeds in order, and their means."""
    runs = sorted(runs, key=lambda figures: figures["seed"])
    half, end = [patch_dice(figures, steps // 2) for figures in runs], [mean_dice(figures) for figures in runs]
    return {
        "seeds": [figures["seed"] for figures in runs],
        "early_loss": fmean(fmean(figures["losses"][slice(*EARLY)]) for figures in runs),
        "dice_half": half,
        "dice_end": end,
        "mean_half": fmean(half),
        "mean_end": fmean(end),
        "all_empty": sum(figures["all_empty"] for figures in runs),
        "dead_head": sum(bool(figures["dead_heads"]) for figures in runs),
        "seconds_per_step": min(figures["seconds_per_step"] for figures in runs),
        "peak_memory_gb": max(figures["peak_memory_gb"] for figures in runs),
        "parameters": runs[0]["parameters"],
    }


def table(summaries: dict[str, dict], steps: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the printed table."""
    header = [
        *(
            "variant",
            f"loss, steps {EARLY[0] + 1} to {EARLY[1]}",
            f"patch Dice at {steps // 2}",
            f"Dice at {steps}, by seed",
        ),
        *("mean", "all empty", "dead head", "s per step", "peak GB", "million parameters"),
    ]
    rows = []
    for name, values in summaries.items():
        n = len(values["seeds"])
        rows.append(
            [
                name,
                f"{values['early_loss']:.2f}",
                f"{values['mean_half']:.3f}",
                " ".join(f"{dice:.3f}".lstrip("0") for dice in values["dice_end"]),
                f"{values['mean_end']:.3f}",
                f"{values['all_empty']} of {n}",
                f"{values['dead_head']} of {n}",
                f"{values['seconds_per_step']:.3f}",
                f"{values['peak_memory_gb']:.2f}",
                f"{values['parameters'] / 1e6:.2f}",
            ]
        )
    return header, rows


def draw(file: Path, runs: Sequence[dict], window: int = 10) -> None:
    """Curves of the loss, a moving mean over `window` steps; a colour for each variant, a line for each seed."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    names = list(dict.fromkeys(figures["variant"]["name"] for figures in runs))
    colours = plt.get_cmap("tab20").colors
    for figures in runs:
        name = figures["variant"]["name"]
        loss = torch.tensor(figures["losses"]).unfold(0, min(window, len(figures["losses"])), 1).mean(1)
        label = name if figures is next(f for f in runs if f["variant"]["name"] == name) else None
        axes.plot(range(window, window + len(loss)), loss, color=colours[names.index(name) % 20], lw=1, label=label)
    axes.set_xlabel("training step")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trainers",
        nargs="+",
        default=["nnUNetTrainer", "MSCSTrainer"],
        metavar="[NAME=]TRAINER[:KEY=VALUE,...]",
        help="what to compare (default: nnUNetTrainer MSCSTrainer)",
    )
    parser.add_argument("--dataset", help="id or name of a preprocessed data set (default: phantoms, made here)")
    parser.add_argument("--plans", default="nnUNetPlans")
    parser.add_argument("-c", "--configuration", default="2d")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument(
        "--patch", nargs="+", type=int, help="voxels, in place of the plan's (default for phantoms: 64 64)"
    )
    parser.add_argument("--batch-size", type=int, help="in place of the plan's (default for phantoms: 5)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--epoch-steps", type=int, default=50, help="steps after which the learning rate falls")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cases", type=int, default=66, help="phantoms; a fifth of them are unseen")
    parser.add_argument("--size", nargs=3, type=int, default=(96, 96, 12), metavar=("X", "Y", "Z"), help="of phantoms")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--fp32", action="store_true", help="single precision on the CPU (default: bfloat16)")
    parser.add_argument("--processes", type=int, help="runs side by side (default: the cores; 1 on a GPU)")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--work", type=Path, default=Path("training-bench"), help="folder of data, batches and runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("training.json"), help="the figures as JSON")
    parser.add_argument("--picture", type=Path, help="the curves of the loss")
    args = parser.parse_args(argv)
    if args.dataset is None and args.configuration == "2d":
        args.patch, args.batch_size = args.patch or [64, 64], args.batch_size or 5
    if args.steps < EARLY[1] or args.epoch_steps < 1:
        parser.error(f"a training has at least {EARLY[1]} steps, and an epoch at least one")
    try:
        args.trainers = [variant_from_text(text) for text in args.trainers]
    except ValueError as error:
        parser.error(str(error))
    args.processes = args.processes or (1 if args.device == "cuda" else os.cpu_count() or 1)
    args.work = args.work.resolve()
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    unknown = [variant.trainer for variant in args.trainers if find_trainer(variant.trainer) is None]
    if unknown:
        sys.exit(f"nnU-Net finds no trainer {', '.join(unknown)}")
    preprocessed = prepare(args)
    os.environ["nnUNet_results"] = str(args.work / "nnUNet_results")  # noqa: SIM112  nnU-Net's own name
    task = Task(
        preprocessed=str(preprocessed),
        plans=args.plans,
        configuration=args.configuration,
        fold=args.fold,
        patch=tuple(args.patch) if args.patch else None,
        batch_size=args.batch_size,
        steps=args.steps,
        epoch_steps=args.epoch_steps,
        device=args.device,
        bf16=not args.fp32,
        threads=args.threads,
        cache=str(args.work),
    )
    for seed in args.seeds:
        batches(task, seed)
    runs = []
    for figures in results(task, args.trainers, args.seeds, args.processes):
        runs.append(figures)
        print(
            f"{figures['variant']['name']}, seed {figures['seed']}: Dice {mean_dice(figures):.3f}, "
            f"{figures['seconds_per_step']:.3f} s per step",
            flush=True,
        )
    names = [variant.name for variant in args.trainers]
    summaries = {name: summary([r for r in runs if r["variant"]["name"] == name], args.steps) for name in names}
    print()
    print_table(*table(summaries, args.steps))
    setting = {key: value for key, value in asdict(task).items() if key not in ("preprocessed", "cache")}
    write_json(
        args.output,
        {"conditions": conditions(torch.device(args.device)), "setting": setting, "variants": summaries, "runs": runs},
    )
    if args.picture:
        draw(args.picture, runs)
        print(f"curves: {args.picture}")


if __name__ == "__main__":
    main()
