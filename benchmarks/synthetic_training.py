"""Train MSCS-Net on synthetic scans of acute stroke: from label maps and lesion masks to a model folder of nnU-Net's.

    python benchmarks/synthetic_training.py WORK --heads LABEL_MAPS --lesion-masks MASKS --volumes 2000 --steps 20000

docs/weights.md says where label maps and masks are to be had. WORK gets:

- planned/, nnUNet_raw/, nnUNet_preprocessed/: a few whole scans, and the plan that MSCSPlanner makes of them;
- volumes/: what is trained on, preprocessed by nnU-Net's preprocessor by that plan. Volumes that another call of this
  program makes (`--only-volumes --first-seed 1000 --volumes 500`) while the training runs are taken up as they
  appear;
- MODEL/ (`--model`): plans.json, dataset.json, fold_all/checkpoint_final.pth with the moving average of the weights,
  as nnUNetv2_predict_from_modelfolder reads it, written anew every few minutes;
- training.pt and training.log: a second call goes on from there.

Seeds of volumes for validation begin at 1,000,000: heads are the same, everything else is not. Threshold and smallest
lesion are chosen by choose_threshold.py on whole synthetic scans, never on real ones.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from leaving_out import PARTS
from synthetic_data import CONFIGURATION, VALIDATION_SEED, Sources, make_volumes, plan, set_folders
from torch import nn
from unet import with_unet

from nnunetv2_mscs.workplace.whole_files import whole_file, write_whole

WARM_UP, CONSTANT_SHARE = 100, 0.5
AVERAGE, SAVE_MINUTES, LOG_STEPS, VALIDATE_STEPS = 0.998, 10.0, 50, 500
NETWORKS = ("MSCSNet", "PlainConvUNet")
COMPONENT_WEIGHT = 0.3
BRAIN_LEVEL = 0.9  # of the normalised DWI: below it is air


@dataclass
class Volumes:
    """The volumes in a folder, read from the disk as they are needed."""

    folder: Path
    first_seed: int
    end_seed: int
    z_scores: bool = False

    def __post_init__(self) -> None:
        self.images: dict[int, np.ndarray] = {}
        self.labels: dict[int, np.ndarray] = {}
        self.lesion: dict[int, np.ndarray] = {}
        self.other: dict[int, np.ndarray] = {}
        self.moments: dict[int, np.ndarray] = {}
        self.look()

    def look(self) -> int:
        """Take up what has appeared; how many volumes there are."""
        for file in self.folder.glob("*.json"):
            seed = int(file.stem)
            if seed in self.images or not self.first_seed <= seed < self.end_seed:
                continue
            images = np.load(self.folder / f"{seed}_x.npy", mmap_mode="r")
            labels = np.load(self.folder / f"{seed}_y.npy")
            sizes = labels.sum((1, 2))
            brain = (images[:, 1] > BRAIN_LEVEL).mean((1, 2)) > 0.01
            self.images[seed], self.labels[seed] = images, labels
            if (sizes >= 2).any():
                self.lesion[seed] = np.flatnonzero(sizes >= 2)
            if ((sizes == 0) & brain).any():
                self.other[seed] = np.flatnonzero((sizes == 0) & brain)
        return len(self.images)

    @property
    def can_be_drawn_from(self) -> bool:
        """Whether there are slices with a lesion and without."""
        return bool(self.lesion and self.other)

    def batch(self, size: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        """Half of the slices with a lesion, every volume as likely.

        Returns:
            Images (N, 2, Y, X) and labels (N, Y, X), float32, and the volume of each.
        """
        images, labels, drawn = [], [], []
        for i in range(size):
            pool = self.lesion if i < size // 2 else self.other
            seeds = list(pool)
            seed = seeds[int(rng.integers(len(seeds)))]
            index = int(rng.choice(pool[seed]))
            images.append(np.asarray(self.images[seed][index], np.float32))
            labels.append(self.labels[seed][index].astype(np.float32))
            drawn.append(seed)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels)), drawn

    def as_input(self, x: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """What the network sees of slices (N, 2, Y, X) of these volumes: as they are, or nnU-Net's z-scores."""
        if not self.z_scores:
            return x
        return torch.stack([(one - self._moments(s)[0]) / self._moments(s)[1] for one, s in zip(x, seeds, strict=True)])

    def _moments(self, seed: int) -> torch.Tensor:
        """Mean and standard deviation of both channels, (2, 2, 1, 1)."""
        if seed not in self.moments:
            image = np.asarray(self.images[seed], np.float32)
            self.moments[seed] = np.stack([image.mean((0, 2, 3)), np.maximum(image.std((0, 2, 3)), 1e-3)])
        return torch.from_numpy(self.moments[seed])[..., None, None]


def augmented(x: torch.Tensor, y: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Turned, scaled, moved, mirrored; ADC and DWI brighter or darker, sharper or smoother; some without ADC."""
    n = len(x)

    def drawn(low: float, high: float, probability: float, neutral: float) -> torch.Tensor:
        values = np.where(rng.random(n) < probability, rng.uniform(low, high, n), neutral)
        return torch.from_numpy(values.astype(np.float32))

    angle, size = drawn(-0.25, 0.25, 0.6, 0.0), drawn(0.85, 1.2, 0.6, 1.0)
    mirror = torch.from_numpy(rng.choice([-1.0, 1.0], n).astype(np.float32))
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = size * angle.cos() * mirror, -size * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = size * angle.sin() * mirror, size * angle.cos()
    theta[:, :, 2] = torch.from_numpy(rng.uniform(-0.12, 0.12, (n, 2)).astype(np.float32))
    grid = F.affine_grid(theta, [n, 1, *x.shape[2:]], align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False, padding_mode="zeros")
    y = (F.grid_sample(y[:, None], grid, align_corners=False) > 0.5).float()
    adc, dwi = x[:, :1], x[:, 1:]
    one = (slice(None), None, None, None)
    adc = adc * drawn(0.9, 1.1, 0.6, 1.0)[one] * drawn(0.0, 0.0, 0.06, 1.0)[one]
    dwi = (dwi / 3).clamp(min=1e-4) ** drawn(0.8, 1.25, 0.5, 1.0)[one] * 3 * drawn(0.85, 1.15, 0.6, 1.0)[one]
    noise = drawn(0.0, 0.25, 0.2, 0.0)[one] * torch.randn(dwi.shape) * (dwi > 0.3)
    dwi = dwi + noise
    if rng.random() < 0.3:
        smooth = F.avg_pool2d(dwi, 3, 1, 1)
        dwi = dwi + drawn(-0.4, 0.8, 0.5, 0.0)[one] * (smooth - dwi)
    return torch.cat([adc.clamp(0, 6), dwi.clamp(0, 15)], 1), y


class Loss(nn.Module):
    """nnU-Net's Dice and cross entropy at its deep supervision, and that of every lesion at full resolution."""

    def __init__(self, extent_mm: Sequence[float], heads: int):
        super().__init__()
        from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
        from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
        from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

        from nnunetv2_mscs.training.component_loss import ComponentDiceCELoss

        weights = 0.5 ** np.arange(heads)
        weights[1:][-1:] = 0  # as nnU-Net leaves out the lowest head
        dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}
        whole = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)
        self.whole = DeepSupervisionWrapper(whole, (weights / weights.sum()).tolist())
        self.components = ComponentDiceCELoss(extent_mm)

    def forward(self, outputs: Sequence[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
        outputs = [output.float() for output in outputs]
        steps = [y.shape[-1] // output.shape[-1] for output in outputs]
        whole = self.whole(outputs, [y[:, :, ::step, ::step] for step in steps])
        return whole + COMPONENT_WEIGHT * self.components(outputs[0], y)


def trainer_of(plans: dict) -> str:
    """The name of the trainer that trains the planned network."""
    network = plans["configurations"][CONFIGURATION]["architecture"]["network_class_name"]
    return "nnUNetTrainer" if network.endswith(".PlainConvUNet") else "MSCSTrainer"


def new_network(plans: dict, dataset: dict, deep_supervision: bool) -> nn.Module:
    """The planned network, as its trainer builds it."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunetv2_mscs.training.trainer import MSCSTrainer

    manager = PlansManager(plans)
    configuration = manager.get_configuration(CONFIGURATION)
    trainer = {"MSCSTrainer": MSCSTrainer, "nnUNetTrainer": nnUNetTrainer}[trainer_of(plans)]
    return trainer.build_network_architecture(
        manager, configuration, len(dataset["channel_names"]), len(dataset["labels"]), deep_supervision
    )


def write_model(folder: Path, weights: dict, plans: dict, dataset: dict, facts: dict) -> None:
    """The model folder, as nnU-Net's training on all cases leaves it; mirrored left to right alone."""
    (folder / "fold_all").mkdir(parents=True, exist_ok=True)
    for name, content in (("plans.json", plans), ("dataset.json", dataset), ("synthetic_training.json", facts)):
        write_whole(folder / name, json.dumps(content, indent=4))
    checkpoint = {
        "network_weights": weights,
        "trainer_name": trainer_of(plans),
        "init_args": {"plans": plans, "configuration": CONFIGURATION, "fold": "all", "dataset_json": dataset},
        "inference_allowed_mirroring_axes": (1,),
    }
    with whole_file(folder / "fold_all" / "checkpoint_final.pth") as file:
        torch.save(checkpoint, file)


def probabilities(network: nn.Module, images: torch.Tensor) -> np.ndarray:
    """Probability of lesion (slice, row, column)."""
    network.eval()
    parts = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for first in range(0, len(images), 14):
            output = network(images[first : first + 14])
            output = output[0] if isinstance(output, list) else output
            parts.append(torch.softmax(output.float(), 1)[:, 1].numpy())
    network.train()
    return np.concatenate(parts)


def validate(network: nn.Module, volumes: Volumes, threshold: float = 0.5) -> dict[str, float]:
    """Mean Dice of the volumes with a lesion of 10 pixels or more, that of small ones, and false pixels without one."""
    dice, small, false = [], [], []
    for seed, images in volumes.images.items():
        images = volumes.as_input(torch.from_numpy(np.asarray(images, np.float32)), [seed] * len(images))
        found, truth = probabilities(network, images) > threshold, volumes.labels[seed] > 0
        if truth.sum() >= 10:
            one = 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())
            dice.append(one)
            if truth.sum() < 150:
                small.append(one)
        elif not truth.any():
            false.append(float(found.sum()))
    return {
        "dice": float(np.mean(dice or [0])),
        "dice_small": float(np.mean(small or [0])),
        "false_pixels_per_volume": float(np.mean(false or [0])),
    }


def rate(step: int, steps: int, highest: float) -> float:
    """Warm-up, constant for half of the training, then falling to 0."""
    share = step / steps
    falling = (1 - share) / (1 - CONSTANT_SHARE)
    return highest * min(1.0, (step + 1) / WARM_UP, falling) + 1e-6


def train(args: argparse.Namespace, plans: dict, dataset: dict, training: Volumes, validation: Volumes) -> None:
    torch.manual_seed(args.seed)
    configuration = plans["configurations"][CONFIGURATION]
    network = new_network(plans, dataset, deep_supervision=True)
    average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), args.learning_rate, weight_decay=0.01)
    extent_mm = [n * s for n, s in zip(configuration["patch_size"], configuration["spacing"], strict=True)]
    loss_of = Loss(extent_mm, heads=len(configuration["architecture"]["arch_kwargs"]["strides"]) - 1)
    state_file, first, seconds = args.work / "training.pt", 0, 0.0
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average, first, seconds = state["average"], state["step"], state["seconds"]
    log = _Log(args.work / "training.log")
    parameters = sum(p.numel() for p in network.parameters())
    log(f"{parameters:,} parameters, {len(training.images)} volumes, from step {first} of {args.steps}")
    rng = np.random.default_rng([args.seed, first])
    losses, begin, saved = [], time.monotonic() - seconds, time.monotonic()
    for step in range(first, args.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, args.steps, args.learning_rate)
        x, y, seeds = training.batch(args.batch_size, rng)
        x, y = augmented(x, y, rng)
        x = training.as_input(x, seeds)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(x.contiguous())
        loss = loss_of(outputs, y)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        _follow(average, network, min(AVERAGE, (step + 1) / (step + 20)))
        last = step + 1 == args.steps
        if (step + 1) % LOG_STEPS == 0 or last:
            passed = time.monotonic() - begin
            log(f"step {step + 1} loss {np.mean(losses):.4f} {passed:.0f} s, {training.look()} volumes")
            losses = []
        if (step + 1) % VALIDATE_STEPS == 0 or last:
            validation.look()
            found = validate(_with(network, average, plans, dataset), validation)
            log(f"step {step + 1} validation {json.dumps(found)}")
        if last or time.monotonic() - saved > 60 * SAVE_MINUTES:
            saved = time.monotonic()
            facts = {"steps": step + 1, "seconds": saved - begin, "volumes": len(training.images), **_plain(args)}
            write_model(args.model, average, plans, dataset, facts)
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "average": average}
            with whole_file(state_file) as file:
                torch.save({**state, "step": step + 1, "seconds": saved - begin}, file)
            log(f"step {step + 1} saved")


def _plain(args: argparse.Namespace) -> dict:
    """The settings that decide on the weights; no paths."""
    return {key: getattr(args, key) for key in ("network", "without", "batch_size", "learning_rate", "seed")}


def _follow(average: dict[str, torch.Tensor], network: nn.Module, kept: float) -> None:
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            average[name].lerp_(tensor, 1 - kept)


def _with(network: nn.Module, average: dict[str, torch.Tensor], plans: dict, dataset: dict) -> nn.Module:
    other = new_network(plans, dataset, deep_supervision=True)
    other.load_state_dict(average)
    return other


class _Log:
    def __init__(self, file: Path):
        self.file = file

    def __call__(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with self.file.open("a") as file:
            file.write(line + "\n")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("work", type=Path, metavar="WORK", help="folder of all that is made")
    add("--heads", type=Path, required=True, help="folder of label maps in FreeSurfer's or SynthSeg's numbers")
    add("--lesion-masks", type=Path, required=True, help="in MNI space: a packed file, or a folder of NIfTI masks")
    add("--volumes", type=int, default=2000, help="volumes to train on (default 2000)")
    add("--first-seed", type=int, default=0, help="of the volumes")
    add("--validation", type=int, default=30, help="volumes to validate on (default 30)")
    add("--planned-cases", type=int, default=16, help="whole scans that the plan is made from (default 16)")
    add("--only-volumes", action="store_true", help="make the volumes and do not train")
    add("--only-training", action="store_true", help="train on the volumes that are there and that appear")
    add("--least-volumes", type=int, default=1, metavar="N", help="wait for so many before the first step (default 1)")
    add("--model", type=Path, help="model folder (default WORK/model)")
    add("--network", choices=NETWORKS, default=NETWORKS[0], help="PlainConvUNet: nnU-Net's own, to compare with")
    add("--without", choices=PARTS, help="leave this out of the scans to train on, to see what it is worth")
    add("--steps", type=int, default=20_000)
    add("--batch-size", type=int, default=16)
    add("--learning-rate", type=float, default=1e-3)
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=1)
    add("-np", dest="processes", type=int, default=1, help="processes that make volumes")
    args = parser.parse_args(argv)
    args.work, args.heads, args.lesion_masks = (p.resolve() for p in (args.work, args.heads, args.lesion_masks))
    args.model = (args.model or args.work / "model").resolve()
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    torch.set_num_threads(args.threads)
    set_folders(args.work)
    sources = Sources(str(args.heads), str(args.lesion_masks))
    plans_file, dataset_file = plan(args.work, sources, args.processes, cases=args.planned_cases)
    folder, first = args.work / "volumes", args.first_seed
    if not args.only_training:
        validated = range(VALIDATION_SEED, VALIDATION_SEED + args.validation)
        make_volumes(folder, sources, plans_file, validated, args.processes)
        made = range(first, first + args.volumes)
        make_volumes(folder, sources, plans_file, made, args.processes, args.without)
    if not args.only_volumes:
        plans, dataset = json.loads(plans_file.read_text()), json.loads(dataset_file.read_text())
        dataset.pop("source", None)  # a folder of this machine
        if args.network != NETWORKS[0]:
            plans = with_unet(plans, CONFIGURATION)
        z_scores = args.without == "normalisation"
        if z_scores:
            schemes = {"normalization_schemes": ["ZScoreNormalization"] * 2, "use_mask_for_norm": [False] * 2}
            plans["configurations"][CONFIGURATION] |= schemes
        validation = Volumes(folder, VALIDATION_SEED, VALIDATION_SEED + args.validation, z_scores)
        training = Volumes(folder, 0, VALIDATION_SEED, z_scores)
        while args.only_training and (training.look() < args.least_volumes or not training.can_be_drawn_from):
            time.sleep(10)
        if not training.can_be_drawn_from:
            raise SystemExit("No slices with a lesion, or none without: make more volumes (--volumes).")
        train(args, plans, dataset, training, validation)


if __name__ == "__main__":
    main()
