"""Two distributed workers: they stop alike, end with the same weights, and share one Dice and one batch size."""

import json
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_mscs.training.paper_loss import SoftDiceAndFocalLoss
from nnunetv2_mscs.training.variants import trainer_by_name


def _work(folder: Path, preprocessed: Path, rank: int) -> None:
    plans = json.loads((preprocessed / "MSCSPlans.json").read_text()) | {"continue_training": False}
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    trainer_class = trainer_by_name("MSCSTrainerPaper_1patience_5epochs_1iterations")
    torch.manual_seed(0)
    trainer = trainer_class(plans, "2d", 0, dataset, torch.device("cpu"))
    trainer.initialize()
    # nnU-Net distributes over GPUs only; from here on the trainer is as in its distributed mode, on the CPU.
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    trainer.is_ddp, trainer.local_rank = True, rank
    trainer.network = DistributedDataParallel(trainer.network)
    trainer._set_batch_size_and_oversample()
    trainer.loss = trainer._build_loss()
    trainer.run_training()
    state = {name: tensor.clone() for name, tensor in trainer.network.module.state_dict().items()}
    losses = trainer.logger.get_value("val_losses", step=None)
    least = trainer._least_on_all_workers(3.0 - rank)
    torch.save((losses, state, trainer.batch_size, least, _half_of_a_batch(rank)), folder / f"{rank}.pth")
    distributed.destroy_process_group()


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(4, 2, 5, 6, generator=random), torch.randint(2, (4, 1, 5, 6), generator=random)


def _half_of_a_batch(rank: int) -> float:
    logits, target = _batch()
    return SoftDiceAndFocalLoss(ddp=True)(logits[rank::2], target[rank::2]).item()


@pytest.mark.slow
def test_workers_stop_alike_with_the_same_weights(preprocessed, tmp_path, in_two_workers):
    in_two_workers(__file__, preprocessed(601))
    first, second = (torch.load(tmp_path / f"{rank}.pth", weights_only=False) for rank in range(2))
    assert first[0] == second[0]
    trained = {name for name, tensor in first[1].items() if "running" not in name and tensor.is_floating_point()}
    assert all(torch.equal(first[1][name], second[1][name]) for name in trained)
    (final,) = tmp_path.rglob("checkpoint_final.pth")
    kept = torch.load(final, weights_only=False)["network_weights"]
    assert all(torch.equal(first[1][name], kept[name]) for name in kept)
    assert (first[2], second[2]) == (4, 4)
    assert first[3] == second[3] == 2.0
    # A Dice of the whole batch, and the mean of two focal losses, as gradients are averaged over workers.
    assert (first[4] + second[4]) / 2 == pytest.approx(SoftDiceAndFocalLoss()(*_batch()).item(), abs=1e-6)
