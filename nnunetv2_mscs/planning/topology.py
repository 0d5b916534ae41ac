"""The architecture entry of an nnU-Net plan, rewritten for MSCS-Net: same strides, kernels, norm and convolution."""

from collections.abc import Sequence

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.network.mscs_net import features_of_stages, multi_scale_kernels, per_axis

MSCS_NET = "nnunetv2_mscs.network.MSCSNet"
BASE_FEATURES = 16
# Widths stop doubling here. In 3D a DMSA of width 128 already holds 22 million weights and one of 256 would hold 88
# million; two axes make them cheaper by the kernel's third.
MAX_FEATURES = {2: 16 * BASE_FEATURES, 3: 8 * BASE_FEATURES}


def mscs_architecture(architecture: dict, patch_size: Sequence[int]) -> dict:
    """The plan entry `architecture` of a configuration with MSCS-Net in the place of its U-Net.

    No kernel is wider along an axis than the 2 n - 1 voxels with which it can reach, from any voxel of a feature map of
    n, all others: further taps would only ever see padding. A convolution that strides reads the map above it.

    Args:
        architecture: as in nnU-Net's plans: network_class_name, arch_kwargs, _kw_requires_import.
        patch_size: voxels per axis that the network will see.

    Returns:
        A new entry; that of MSCS-Net itself is returned as it is.

    Raises:
        MscsError: if the entry has no strides and kernels to follow.
    """
    if architecture["network_class_name"] == MSCS_NET:
        return architecture
    unet = architecture["arch_kwargs"]
    missing = [key for key in ("strides", "kernel_sizes", "conv_op") if key not in unet]
    if missing:
        raise MscsError(
            f"The plans' network {architecture['network_class_name']} gives no {', '.join(missing)} "
            "that MSCS-Net could follow.",
            "Use plans of MSCSPlanner, of nnU-Net's default planner or of one of its ResEnc planners.",
        )
    n_axes = len(patch_size)
    strides = [per_axis(stride, n_axes) for stride in unet["strides"]]
    kernels = [per_axis(kernel, n_axes) for kernel in unet["kernel_sizes"]]
    sizes = _feature_map_sizes(patch_size, strides)
    read_sizes = [sizes[0], *sizes[:-1]]
    return {
        "network_class_name": MSCS_NET,
        "arch_kwargs": {
            "strides": strides,
            "kernel_sizes": [_limited(kernel, size) for kernel, size in zip(kernels, read_sizes, strict=True)],
            "features_per_stage": features_of_stages(len(strides), BASE_FEATURES, MAX_FEATURES[n_axes]),
            "conv_op": unet["conv_op"],
            "dmsa_kernel_sizes": [
                [_limited(scale, size) for scale in multi_scale_kernels(kernel)]
                for kernel, size in zip(kernels, sizes, strict=True)
            ],
            "norm_op": unet.get("norm_op"),
            "norm_op_kwargs": unet.get("norm_op_kwargs"),
        },
        "_kw_requires_import": ["conv_op", "norm_op"],
    }


def _feature_map_sizes(patch_size: Sequence[int], strides: Sequence[Sequence[int]]) -> list[list[int]]:
    sizes = [[int(size) for size in patch_size]]
    for stride in strides[1:]:
        sizes.append([size // s for size, s in zip(sizes[-1], stride, strict=True)])
    return sizes


def _limited(kernel: Sequence[int], size: Sequence[int]) -> list[int]:
    return [min(width, 2 * n - 1) for width, n in zip(kernel, size, strict=True)]
