"""Two distributed workers begin anew together, with the same weights, by what both of them saw."""

import json
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_mscs.nnunet_files.checkpoints import LATEST_CHECKPOINT
from nnunetv2_mscs.training.variants import trainer_by_name


def _work(folder: Path, preprocessed: Path, rank: int) -> None:
    """The first worker's validation never holds a lesion; the second's does, and foreground is predicted in epoch 0."""
    plans = json.loads((preprocessed / "MSCSPlans.json").read_text()) | {"continue_training": False}
    plans["configurations"]["2d"]["batch_size"] = 4
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    torch.manual_seed(0)
    trainer = trainer_by_name("MSCSTrainer_4epochs_1iterations")(plans, "2d", 0, dataset, torch.device("cpu"))
    trainer.steps_without_foreground = 2
    trainer.established_dice = 1.1
    trainer.initialize()
    # nnU-Net distributes over GPUs only; from here on the trainer is as in its distributed mode, on the CPU.
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    trainer.is_ddp, trainer.local_rank = True, rank
    trainer.network = DistributedDataParallel(trainer.network)
    trainer._set_batch_size_and_oversample()
    trainer.loss = trainer._build_loss()
    get_dataloaders, start_over, begun = trainer.get_dataloaders, trainer.start_over, []

    def dataloaders():
        training, validation = get_dataloaders()
        return training, (_with_lesion(batch, rank == 1) for batch in validation)

    def force(*_):
        bias = trainer._bare_network().decoder.seg_layers[-1].bias
        speaks = trainer.start.number == 2 or (trainer.current_epoch == 0 and rank == 1)
        with torch.no_grad():
            bias[1] = 50.0 if speaks else -50.0

    def recorded(seed):
        epochs = len(trainer.logger.get_value("val_losses", step=None))
        start_over(seed)
        begun.append((epochs, {name: tensor.clone() for name, tensor in trainer._bare_network().state_dict().items()}))
        distributed.barrier()
        (latest,) = folder.rglob(LATEST_CHECKPOINT)
        assert torch.load(latest, weights_only=False)["init_args"]["start"]["number"] == 2

    trainer.get_dataloaders, trainer.start_over = dataloaders, recorded
    trainer.network.register_forward_pre_hook(force)
    trainer.run_training()
    torch.save((begun, trainer.heads, trainer.start, trainer.current_epoch), folder / f"{rank}.pth")
    distributed.destroy_process_group()


def _with_lesion(batch: dict, there: bool) -> dict:
    for target in batch["target"]:
        target.fill_(float(there))
    return batch


def test_workers_begin_anew_together(preprocessed, tmp_path, in_two_workers):
    in_two_workers(__file__, preprocessed(601))
    first, second = (torch.load(tmp_path / f"{rank}.pth", weights_only=False) for rank in range(2))
    ((epochs, weights),), ((other_epochs, other_weights),) = first[0], second[0]
    # In epoch 0 one worker's foreground was enough for both; epochs 1 and 2 had none.
    assert epochs == other_epochs == 3
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    assert first[1:] == second[1:]
    heads, start, epoch = first[1:]
    assert heads[0].reference_voxels * 2 == heads[0].predicted_voxels
    assert (start.number, epoch) == (2, 4)
