"""kill -9 of real trainings, with nnU-Net's own trainer and ours, and what the next call makes of what they left."""

import json
import os
import re
import runpy
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run import run_training
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_mscs.nnunet_files.checkpoints import LATEST_CHECKPOINT
from nnunetv2_mscs.training.timely import MINUTES, TimelyCheckpoints
from nnunetv2_mscs.training.variants import trainer_by_name
from tests.forked_workers import ForkedCommand, run_forked

FINDER = "recursive_find_trainer_class_by_name"
WRAPPED = [sys.executable, "-m", "nnunetv2_mscs.nnunet_shims.run", "nnUNetv2_train"]
STOCK = [str(Path(sys.executable).parent / "nnUNetv2_train")]
GOES_ON = re.compile(r"Epoch (\d+) goes on after (\d+) of (\d+) iterations")


@pytest.fixture
def words(preprocessed, tiny_configuration, tmp_path, monkeypatch) -> list[str]:
    """The arguments of a training of a tiny network on tiny batches, which checkpoints twice a second."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setenv(MINUTES, "0.008")
    plans = json.loads((preprocessed(601) / "MSCSPlans.json").read_text())
    plans["configurations"]["2d"] |= tiny_configuration
    (preprocessed(601) / "SmallPlans.json").write_text(json.dumps(plans | {"plans_name": "SmallPlans"}))
    return ["601", "2d", "0", "-p", "SmallPlans", "-device", "cpu"]


def kill_when(command: list[str], folder: Path, line: str) -> None:
    """Run a training until its log, in `folder`, holds a new line like that, then kill -9."""
    before = {file: file.read_text() for file in folder.glob("training_log*")}
    with ForkedCommand(command, cwd=Path.cwd(), env=os.environ) as process:
        while process.poll() is None:
            new = "".join(file.read_text().removeprefix(before.get(file, "")) for file in folder.glob("training_log*"))
            if re.search(line, new):
                break
            time.sleep(0.02)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)


def finish(command: list[str]) -> None:
    result = run_forked(command, Path.cwd(), os.environ)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def log_of(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted(folder.glob("training_log*"), key=lambda f: f.stat().st_mtime))


@pytest.mark.slow
def test_nnunets_own_trainer_goes_on_within_its_epoch(words, tmp_path):
    command = [*WRAPPED, *words, "-tr", "nnUNetTrainer_1epoch"]
    model = tmp_path / "Dataset601_Small" / "nnUNetTrainer_1epoch__SmallPlans__2d"
    folder = model / "fold_0"
    kill_when(command, folder, "Checkpoint within epoch 0")
    before = torch.load(folder / LATEST_CHECKPOINT, weights_only=False)
    steps = len(before["init_args"]["unfinished_epoch"]["outputs"][0][0])
    assert before["current_epoch"] == 0 < steps < 250
    finish([*command, "--c"])
    assert GOES_ON.findall(log_of(folder)) == [("0", str(steps), "250")]
    assert log_of(folder).count("Training epochs 0 to 0 \n") == 2
    assert sorted(path.name for path in folder.glob("*.pth")) == ["checkpoint_best.pth", "checkpoint_final.pth"]
    final = torch.load(folder / "checkpoint_final.pth", weights_only=False)
    assert (final["trainer_name"], final["current_epoch"]) == ("nnUNetTrainer_1epoch", 1)
    assert "unfinished_epoch" not in final["init_args"]
    assert all(len(values) == 1 for values in final["logging"].values())
    nnUNetPredictor(device=torch.device("cpu")).initialize_from_trained_model_folder(str(model), (0,))
    assert json.loads((folder / "validation" / "summary.json").read_text())["metric_per_case"]


@pytest.mark.slow
def test_mscs_trainer_goes_on_between_and_within_epochs_however_it_is_started(words, tmp_path):
    name = "MSCSTrainer_3epochs_20iterations"
    command = [*STOCK, *words, "-tr", name]
    folder = tmp_path / "Dataset601_Small" / f"{name}__SmallPlans__2d" / "fold_0"
    kill_when(command, folder, "Epoch 1 ")
    assert torch.load(folder / LATEST_CHECKPOINT, weights_only=False)["current_epoch"] == 1
    kill_when([*command, "--c"], folder, "Checkpoint within epoch 1 after .* iterations \n")
    kill_when([*command, "--c"], folder, "Training done")
    log = log_of(folder)
    assert re.findall(r"Training epochs (\d) to 2 \n", log)[:2] == ["0", "1"]
    assert GOES_ON.search(log)
    logged = torch.load(folder / "checkpoint_final.pth", weights_only=False)["logging"]
    assert all(len(values) == 3 for values in logged.values())


def test_a_worker_of_several_gpus_finds_the_timely_trainer(monkeypatch):
    """torch spawns it with the command's words, and imports the main module under another name."""
    monkeypatch.setattr(run_training, FINDER, getattr(run_training, FINDER))
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_train", "1", "2d", "0", "-num_gpus", "2"])
    runpy.run_module("nnunetv2_mscs.nnunet_shims.run", run_name="__mp_main__")
    trainer = getattr(run_training, FINDER)("nnUNetTrainer")
    assert issubclass(trainer, TimelyCheckpoints)
    assert trainer.__name__ == "nnUNetTrainer"


@pytest.mark.slow
def test_plain_nnunet_with_its_own_trainer_stays_as_it_is(words, tmp_path, monkeypatch):
    monkeypatch.setenv(MINUTES, "0")
    folder = tmp_path / "Dataset601_Small" / "nnUNetTrainer_1epoch__SmallPlans__2d" / "fold_0"
    kill_when([*STOCK, *words, "-tr", "nnUNetTrainer_1epoch"], folder, "Epoch 0")
    assert "Training epochs" not in log_of(folder)
    assert not list(folder.glob("*.pth"))


@pytest.mark.slow
def test_workers_write_their_steps_together_and_go_on_with_their_own(
    preprocessed, tmp_path, monkeypatch, in_two_workers
):
    monkeypatch.setenv(MINUTES, "0")
    losses = []
    for resume in (0, 1):
        in_two_workers(__file__, preprocessed(601), bool(resume))
        losses.append([torch.load(tmp_path / f"{resume}{rank}.pth", weights_only=False) for rank in range(2)])
    (first_0, _), (first_1, _) = losses[0]
    (second_0, epoch_0), (second_1, epoch_1) = losses[1]
    assert [len(steps) for steps in (first_0, first_1, second_0, second_1)] == [3, 3, 2, 2]
    assert first_0 != first_1
    steps = [*first_0, *first_1, *second_0, *second_1]
    assert epoch_0 == epoch_1 == pytest.approx(sum(steps) / 10)


def _work(folder: Path, preprocessed: Path, resume: bool, rank: int) -> None:
    """One of two workers: the first training is broken off in its fourth step, the second ends with the epoch."""
    plans = json.loads((preprocessed / "MSCSPlans.json").read_text()) | {"continue_training": False}
    plans["configurations"]["2d"]["batch_size"] = 4
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    torch.manual_seed(0)
    trainer = trainer_by_name("MSCSTrainer_1epochs_5iterations")(plans, "2d", 0, dataset, torch.device("cpu"))
    trainer.initialize()
    # nnU-Net distributes over GPUs only; from here on the trainer is as in its distributed mode, on the CPU.
    store = f"file://{folder}/store{int(resume)}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    trainer.is_ddp, trainer.local_rank = True, rank
    trainer.network = DistributedDataParallel(trainer.network)
    trainer._set_batch_size_and_oversample()
    trainer.loss = trainer._build_loss()
    if resume:
        (latest,) = folder.rglob(LATEST_CHECKPOINT)
        distributed.barrier()
        trainer.load_checkpoint(str(latest))
    train_step, losses = trainer.train_step, []

    def recorded(batch: dict) -> dict:
        output = train_step(batch)
        losses.append(float(output["loss"]))
        return output

    trainer.train_step = recorded
    if not resume:
        trainer.network.register_forward_pre_hook(lambda *_: _leave() if len(losses) == 3 else None)
    try:
        trainer.run_training()
    except KeyboardInterrupt:
        distributed.barrier()  # the first worker may still be writing
    epoch = trainer.logger.get_value("train_losses", step=None)
    torch.save((losses, epoch[0] if epoch else None), folder / f"{int(resume)}{rank}.pth")
    distributed.destroy_process_group()


def _leave() -> None:
    raise KeyboardInterrupt
