"""How large the demo is: chosen so that two CPU cores finish it in about six minutes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSettings:
    """What decides on the demo's result.

    Args:
        seed: of the phantoms and of the choice of unseen cases.
        cases: phantoms in all.
        unseen_fraction: share of them that training never sees.
        size: voxels (x, y, z).
        spacing_mm: of a voxel (x, y, z).
        configuration: nnU-Net's.
        memory_target_gb: that patch and batch are planned for; a small one makes small batches and quick steps.
        trainer: one with the length in its name.
    """

    seed: int = 0
    cases: int = 60
    unseen_fraction: float = 0.3
    size: tuple[int, int, int] = (80, 80, 12)
    spacing_mm: tuple[float, float, float] = (2.4, 2.4, 6.0)
    configuration: str = "2d"
    memory_target_gb: float = 0.81
    trainer: str = "MSCSTrainer_4epochs_75iterations"
