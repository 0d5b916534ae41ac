"""MSCS-Net, the multi-scale network for low-resolution stroke MRI, as a plugin of nnU-Net v2."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnunetv2_mscs.models.predictor import Predictor as Predictor

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """Load what needs PyTorch only when it is asked for."""
    if name == "Predictor":
        from nnunetv2_mscs.models.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
