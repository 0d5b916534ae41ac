"""MSCS-Net, the multi-scale network for low-resolution stroke MRI, as a plugin of nnU-Net v2."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnunetv2_mscs.dataset_conversion.convert import ConversionRequest as ConversionRequest
    from nnunetv2_mscs.dataset_conversion.convert import convert as convert
    from nnunetv2_mscs.evaluation.evaluating import evaluate as evaluate
    from nnunetv2_mscs.evaluation.volumes import measure_volumes as measure_volumes
    from nnunetv2_mscs.models.predictor import Predictor as Predictor
    from nnunetv2_mscs.network import MSCSNet as MSCSNet

__version__ = "0.1.0"
__all__ = ["ConversionRequest", "MSCSNet", "Predictor", "__version__", "convert", "evaluate", "measure_volumes"]

HOMES = {
    "ConversionRequest": "nnunetv2_mscs.dataset_conversion.convert",
    "MSCSNet": "nnunetv2_mscs.network",
    "Predictor": "nnunetv2_mscs.models.predictor",
    "convert": "nnunetv2_mscs.dataset_conversion.convert",
    "evaluate": "nnunetv2_mscs.evaluation.evaluating",
    "measure_volumes": "nnunetv2_mscs.evaluation.volumes",
}

# Python started in a clone finds the package there. The folders that an installation puts into it lie beside it then.
_CLONE = Path(__file__).resolve().parents[1]
if (_CLONE / "dataset_conversion").is_dir() and (_CLONE / "setup.py").is_file():
    __path__.append(str(_CLONE))


def __getattr__(name: str) -> Any:
    """Load what needs PyTorch or pandas only when it is asked for."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
