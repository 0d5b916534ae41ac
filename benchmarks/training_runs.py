"""One training of the bench in benchmarks/training.py: so many steps on cached batches, then the unseen cases.

A run is in a process of its own, so that its peak memory is its own, and gives a dictionary of figures.
"""

import contextlib
import copy
import hashlib
import io
import json
import math
import os
import random
import resource
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

VALIDATION_BATCHES = 12
GIGA = 1e9


@dataclass(frozen=True)
class Variant:
    """What is trained: a trainer by name, with other values for some attributes of it and of its network.

    Attributes:
        name: in tables.
        trainer: class name that nnU-Net finds.
        network: arguments of the network in place of the plan's; `features_per_stage.0` is the first of a list.
        attributes: of the trainer, set before it builds its network and optimiser.
        optimiser: `kind` (adamw), `momentum`, and `warmup`, steps over which the learning rate rises from 0.
    """

    name: str
    trainer: str
    network: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What all variants of a bench share: data, patch, batches, length."""

    preprocessed: str
    plans: str
    configuration: str
    fold: int
    patch: tuple[int, ...] | None
    batch_size: int | None
    steps: int
    epoch_steps: int
    device: str
    bf16: bool
    threads: int
    cache: str


def variant_from_text(text: str) -> Variant:
    """`[NAME=]TRAINER[:key=value,...]`; keys are the network's arguments, `trainer.ATTRIBUTE` or `optimiser.SETTING`.

    Values are JSON, or words.

    Raises:
        ValueError: if a setting is not of this form.
    """
    head, _, settings = text.partition(":")
    label, _, trainer = head.rpartition("=")
    groups: dict[str, dict] = {"network": {}, "trainer": {}, "optimiser": {}}
    for setting in filter(None, settings.split(",")):
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} in {text!r} is not of the form key=value")
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
        group, dot, rest = key.partition(".")
        in_group = dot and group in ("trainer", "optimiser")
        groups[group if in_group else "network"][rest if in_group else key] = value
    return Variant(label or text, trainer, groups["network"], groups["trainer"], groups["optimiser"])


def find_trainer(name: str):
    """The trainer class of that name as nnU-Net finds it; None if there is none."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:
        return recursive_find_trainer_class_by_name(name)
    except RuntimeError:
        return None


def new_trainer(task: Task, variant: Variant):
    """The trainer as nnUNetv2_train makes it, with the task's patch and batch size and the variant's settings."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunetv2_mscs.training.trainer import MSCSTrainer

    trainer_class = find_trainer(variant.trainer)
    folder = Path(task.preprocessed)
    plans = json.loads((folder / f"{task.plans}.json").read_text())
    configuration = plans["configurations"][task.configuration]
    if task.patch:
        configuration["patch_size"] = list(task.patch)
    if task.batch_size:
        configuration["batch_size"] = task.batch_size
    architecture = copy.deepcopy(configuration["architecture"])
    dataset = json.loads((folder / "dataset.json").read_text())
    if issubclass(trainer_class, MSCSTrainer):
        regions = PlansManager(plans).get_label_manager(dataset).has_regions
        architecture = trainer_class.planned_architecture(architecture, configuration["patch_size"], regions)
    for key, value in variant.network.items():
        name, _, index = key.partition(".")
        if index:
            architecture["arch_kwargs"][name][int(index)] = value
        else:
            architecture["arch_kwargs"][name] = value
    configuration["architecture"] = architecture
    plans["continue_training"] = False
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = trainer_class(plans, task.configuration, task.fold, dataset, torch.device(task.device))
        if issubclass(trainer_class, MSCSTrainer) and trainer._architecture != architecture:
            raise ValueError(f"{variant.trainer} decides on its network itself: {variant.network} would be ignored")
        trainer.precision = "float32"  # of all networks alike; see `precision`
        for key, value in variant.attributes.items():
            if not hasattr(trainer, key):
                raise ValueError(f"{variant.trainer} has no attribute {key!r}")
            setattr(trainer, key, value)
        trainer.num_iterations_per_epoch = task.epoch_steps
        trainer.num_epochs = math.ceil(task.steps / task.epoch_steps)
    return trainer


def set_optimiser(trainer, kind: str = "", momentum: float | None = None, warmup: int = 0) -> int:
    """Give the trainer another optimiser than its own; the steps of its warm-up."""
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

    if kind == "adamw":
        trainer.optimizer = torch.optim.AdamW(
            trainer.network.parameters(), trainer.initial_lr, weight_decay=trainer.weight_decay
        )
        trainer.lr_scheduler = PolyLRScheduler(trainer.optimizer, trainer.initial_lr, trainer.num_epochs)
    elif kind:
        raise ValueError(f"optimiser.kind is adamw or left out, not {kind!r}")
    if momentum is not None:
        for group in trainer.optimizer.param_groups:
            group["momentum"] = momentum
    return warmup


def set_seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def plans_digest(task: Task) -> str:
    """What tells the task's plans from others of the same name."""
    return hashlib.sha256(Path(task.preprocessed, f"{task.plans}.json").read_bytes()).hexdigest()[:12]


def batches(task: Task, seed: int) -> Path:
    """File of the training and validation batches of a seed, from nnU-Net's own loaders; made if it is not there."""
    size = "x".join(map(str, task.patch or ()))
    name = f"{Path(task.preprocessed).name}_{task.plans}_{task.configuration}_{task.fold}_{size}_{task.batch_size}"
    file = Path(task.cache, f"{name}_{task.steps}_{seed}_{plans_digest(task)}.pt")
    if file.is_file():
        return file
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112  nnU-Net's own name
    trainer = new_trainer(task, Variant("loader", "nnUNetTrainer"))
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.initialize()
        set_seed(seed)
        training, validation = trainer.get_dataloaders()
        made = {
            "training": [_plain(next(training)) for _ in range(task.steps)],
            "validation": [_plain(next(validation)) for _ in range(VALIDATION_BATCHES)],
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(made, file.with_suffix(".part"))
    file.with_suffix(".part").replace(file)
    return file


def _plain(batch: dict) -> dict:
    return {"data": batch["data"].half(), "target": [target.to(torch.int8) for target in batch["target"]]}


def _usable(batch: dict, deep_supervision: bool) -> dict:
    targets = [target.float() for target in batch["target"]]
    return {"data": batch["data"].float(), "target": targets if deep_supervision else targets[0]}


def precision(task: Task) -> contextlib.AbstractContextManager:
    """bfloat16 on the CPU where asked for; on a GPU nnU-Net's own steps choose it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=task.bf16 and task.device == "cpu")


def heads(trainer, task: Task, batch_list: list[dict]) -> list[dict]:
    """What every head predicts on batches of unseen cases, full resolution first."""
    from nnunetv2_mscs.training.heads import HeadCounts, head_biases

    trainer.network.eval()
    counts = HeadCounts()
    biases = head_biases(trainer.network)
    for batch in batch_list:
        ready = _usable(batch, True)
        with torch.no_grad(), precision(task):
            outputs = trainer.network(ready["data"].to(task.device))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        spoken = len(outputs)
        counts.add(outputs, ready["target"][:spoken], trainer.label_manager, biases[:spoken])
    return [asdict(result) for result in counts.results()]


def unseen(trainer, task: Task) -> dict[str, Any]:
    """Dice of every unseen case with a lesion by nnU-Net's sliding window, and false lesion voxels of those without."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    device = torch.device(task.device)
    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=True, device=device, verbose=False, allow_tqdm=False
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        None,
        trainer.dataset_json,
        trainer.__class__.__name__,
        None,
    )
    _, keys = trainer.do_split()
    cases = trainer.dataset_class(trainer.preprocessed_dataset_folder, keys)
    dices, found_voxels, false_voxels = {}, {}, {}
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    for key in cases.identifiers:
        data, reference, _, _ = cases.load_case(key)
        with precision(task):
            logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(data[:]))
        found = logits.float().argmax(0).cpu().numpy() > 0
        lesion = np.asarray(reference[0]) > 0
        found_voxels[key] = int(found.sum())
        if lesion.any():
            dices[key] = 2 * float((found & lesion).sum()) / float(found.sum() + lesion.sum())
        else:
            false_voxels[key] = int(found.sum())
    trainer.set_deep_supervision_enabled(True)
    return {"dice": dices, "found_voxels": found_voxels, "false_voxels": false_voxels}


def run(task: Task, variant: Variant, seed: int) -> dict[str, Any]:
    """Train a variant on the batches of a seed; its figures."""
    torch.set_num_threads(task.threads)
    made = torch.load(batches(task, seed))
    trainer = new_trainer(task, variant)
    set_seed(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.initialize()
        warmup = set_optimiser(trainer, **variant.optimiser)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses, seconds, checks = [], [], {}
    with contextlib.redirect_stdout(io.StringIO()):
        for step, batch in enumerate(made["training"][: task.steps]):
            if step % task.epoch_steps == 0:
                trainer.current_epoch = step // task.epoch_steps
                trainer.on_train_epoch_start()
                rate = trainer.optimizer.param_groups[0]["lr"]
            for group in trainer.optimizer.param_groups if warmup else ():
                group["lr"] = rate * min(1.0, (step + 1) / warmup)
            begin = time.perf_counter()
            with precision(task):
                output = trainer.train_step(_usable(batch, trainer.enable_deep_supervision))
            seconds.append(time.perf_counter() - begin)
            losses.append(float(output["loss"]))
            if step == 1:
                memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / GIGA
            if step + 1 in (task.steps // 2, task.steps):
                checks[step + 1] = {"heads": heads(trainer, task, made["validation"])}
                trainer.network.train()
        whole = unseen(trainer, task)
    if task.device == "cuda":
        memory = torch.cuda.max_memory_allocated() / GIGA
    found = checks[task.steps]["heads"]
    supervised = found[:-1] or found  # nnU-Net's loss gives the lowest head no weight
    return {
        "variant": asdict(variant),
        "seed": seed,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "losses": losses,
        "seconds_per_step": median(seconds),
        "peak_memory_gb": memory,
        "checks": checks,
        "unseen": whole,
        "dead_heads": [i for i, head in enumerate(supervised) if not head["predicted_voxels"]],
        "all_empty": not any(whole["found_voxels"].values()),
    }
