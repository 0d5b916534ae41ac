"""Which network the paper's recipe trains: the paper's own where the patch allows it, else the planned topology."""

from collections.abc import Callable, Sequence
from functools import partial

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.planning.topology import MSCS_NET, paper_architecture

# The original halves every axis four times.
DIVISOR = 16
BATCH_NORM = "torch.nn.modules.batchnorm.BatchNorm"
# As Keras computes it; what Keras calls a momentum of 0.99 is 0.01 in PyTorch.
BATCH_NORM_KWARGS = {"eps": 1e-3, "momentum": 0.01}

BuildNetwork = Callable[[int, int], nn.Module]


def paper_network(architecture: dict, patch_size: Sequence[int]) -> tuple[BuildNetwork, str]:
    """The network for a plan entry `architecture`, and in a sentence which it is and why.

    - Plans with MSCS-Net and BatchNorm in them, as the import of Keras weights writes them: that network.
    - A 3D patch divisible by 16 along every axis: the paper's own.
    - Any other: the planned topology with the paper's BatchNorm, inside DMSA without a scale.

    Returns:
        A function of input channels and classes that builds it, without deep supervision; and the sentence.

    Raises:
        MscsError: if the plans give no topology to follow.
    """
    is_mscs_net = architecture["network_class_name"] == MSCS_NET
    if is_mscs_net and str(architecture["arch_kwargs"].get("norm_op")).startswith(BATCH_NORM):
        return _from_plans(architecture), "The network is the plans' own MSCS-Net with BatchNorm."
    size = " x ".join(str(int(n)) for n in patch_size)
    if len(patch_size) == 3 and all(n % DIVISOR == 0 for n in patch_size):
        return MSCSNet.original, f"The network is the paper's own: it halves every axis of the patch {size} four times."
    planned = paper_architecture(architecture, patch_size)
    arguments = {
        "norm_op": f"{BATCH_NORM}{len(patch_size)}d",
        "norm_op_kwargs": BATCH_NORM_KWARGS,
        "shift_only_dmsa_norm": True,
    }
    planned = {**planned, "arch_kwargs": {**planned["arch_kwargs"], **arguments}}
    return _from_plans(planned), f"The network is of the planned topology with BatchNorm: {_why_not(patch_size, size)}"


def _why_not(patch_size: Sequence[int], size: str) -> str:
    if len(patch_size) != 3:
        return "the paper's own is 3D."
    nearest = " x ".join(str(max(round(n / DIVISOR), 1) * DIVISOR) for n in patch_size)
    return (
        f"the paper's own halves every axis four times, and the patch {size} is not divisible by {DIVISOR}. For the "
        f"paper's own set patch_size in the plans to {nearest}, for example."
    )


def _from_plans(architecture: dict) -> BuildNetwork:
    return partial(
        get_network_from_plans,
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        deep_supervision=False,
    )
