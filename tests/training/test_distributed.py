"""A loss that is NaN on one of two distributed workers: no worker may step, and none may wait for the other."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_mscs.training.trainer import MSCSTrainer


def _work(folder: Path, preprocessed: Path, scaler: bool, rank: int) -> None:
    plans = json.loads((preprocessed / "MSCSPlans.json").read_text()) | {"continue_training": False}
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    torch.manual_seed(0)
    trainer = MSCSTrainer(plans, "2d", rank, dataset, torch.device("cpu"))
    if scaler:
        trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.initialize()
    # nnU-Net distributes over GPUs only; from here on the trainer is as in its distributed mode, on the CPU.
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    trainer.is_ddp, trainer.network = True, DistributedDataParallel(trainer.network)
    trainer.loss = trainer._build_loss()
    trainer.network.train()

    torch.manual_seed(rank)
    data = torch.rand(2, 2, *trainer.configuration_manager.patch_size)
    scales = trainer._get_deep_supervision_scales()
    target = [
        (torch.rand(2, 1, *[round(n * s) for n, s in zip(data.shape[2:], scale, strict=True)]) > 0.5).float()
        for scale in scales
    ]
    states, outputs = [_state(trainer)], []
    for poisoned in (False, True, False):
        batch = {"data": torch.full_like(data, torch.nan) if poisoned and rank == 1 else data, "target": target}
        outputs.append(trainer.train_step(batch))
        states.append(_state(trainer))
    trainer.on_train_epoch_end(outputs)
    loss = float(trainer.logger.get_value("train_losses", step=-1))
    scale = trainer.grad_scaler.get_scale() if trainer.grad_scaler else None
    torch.save((states, loss, scale, trainer.skipped_steps.in_epoch), folder / f"{rank}.pth")
    distributed.destroy_process_group()


def _state(trainer: MSCSTrainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.network.module.named_parameters()}


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("scaler", [False, True], ids=["no scaler", "scaler"])
def test_a_nan_on_one_worker_stops_the_step_on_both(preprocessed, tmp_path, in_two_workers, scaler):
    in_two_workers(__file__, preprocessed(601), scaler)
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    start, stepped, poisoned, stepped_again = first[0]
    assert not _same(start, stepped)
    assert _same(stepped, poisoned)
    assert not _same(poisoned, stepped_again)
    assert all(_same(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert first[1] == second[1]
    assert math.isfinite(first[1])
    assert first[2:] == second[2:] == (1024.0 if scaler else None, 1)
