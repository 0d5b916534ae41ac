"""The architecture entry of an nnU-Net plan, rewritten for MSCS-Net: same strides, kernels, norm and convolution."""

from collections.abc import Sequence

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.network.topology import features_of_stages, multi_scale_kernels, per_axis

# docs/training.md says what each of these is worth.
FULL_RESOLUTION_FEATURES = 24
LEAST_DECODER_FEATURES = 48  # of every block below full resolution
PLANNED_DESIGN = {
    "dropout": 0.0,
    "decoder_norm": True,
    "decoder_nonlin": "leaky_relu",
    "stem_features": 16,
    "foreground_prior": 0.01,
}

DMSA_WIDTH_MULTIPLE = 8  # CPUs compute such widths faster

DECODER_WIDTHS, DMSA_MULTIPLE = "decoder_features_per_stage", "dmsa_width_multiple"

MSCS_NET = "nnunetv2_mscs.network.MSCSNet"
BASE_FEATURES = 16
# Widths stop doubling here. In 3D a DMSA of the paper's kernels and width 128 holds 22 million weights, and one of 256
# would hold 88 million; two axes make them cheaper by the kernel's third.
MAX_FEATURES = {2: 16 * BASE_FEATURES, 3: 8 * BASE_FEATURES}


def mscs_architecture(architecture: dict, patch_size: Sequence[int], *, regions: bool = False) -> dict:
    """The plan entry `architecture` of a configuration with the planned MSCS-Net in the place of its U-Net.

    Everything that decides is written into it, so that a plan gives the same network whatever is planned later.

    Args:
        architecture: as in nnU-Net's plans: network_class_name, arch_kwargs, _kw_requires_import.
        patch_size: voxels per axis that the network will see.
        regions: whether the labels are regions that overlap, so that no head speaks for background.

    Returns:
        A new entry; that of MSCS-Net itself is returned as it is.

    Raises:
        MscsError: if the entry has no strides and kernels to follow, or only one stage.
    """
    if architecture["network_class_name"] == MSCS_NET:
        return architecture
    planned = paper_architecture(architecture, patch_size)
    arguments = planned["arch_kwargs"]
    widths = arguments["features_per_stage"]
    own = {
        DECODER_WIDTHS: [FULL_RESOLUTION_FEATURES, *(max(width, LEAST_DECODER_FEATURES) for width in widths[1:])],
        "dmsa_kernel_sizes": _in_plane(arguments["dmsa_kernel_sizes"]),
        DMSA_MULTIPLE: DMSA_WIDTH_MULTIPLE,
    }
    design = PLANNED_DESIGN | {"foreground_prior": None if regions else PLANNED_DESIGN["foreground_prior"]}
    return {**planned, "arch_kwargs": {**arguments, **own, **design}}


def _in_plane(kernels: list[list[list[int]]]) -> list[list[list[int]]]:
    """The kernels of every stage, those of 3D at most 3 wide along the first axis.

    nnU-Net puts the axis with the thickest slices first. Three convolutions in series see seven slices. With kernels of
    5 and 7 along this axis, too, the whole network would cost up to twice as much.
    """
    return [[[min(kernel[0], 3), *kernel[1:]] if len(kernel) == 3 else kernel for kernel in stage] for stage in kernels]


def has_planned_design(architecture: dict) -> bool:
    """Whether a plan entry of MSCS-Net says everything that the planned network has and the paper's has not."""
    return PLANNED_DESIGN.keys() <= architecture["arch_kwargs"].keys()


def stored_architecture(architecture: dict, patch_size: Sequence[int]) -> dict:
    """The plan entry of the network that a trained model has, from the plans that lie beside it.

    Where this is nnU-Net's own network, the model was trained before its network was written into its plans, and has
    the paper's design.
    """
    if architecture["network_class_name"] == MSCS_NET:
        return architecture
    return paper_architecture(architecture, patch_size)


def paper_architecture(architecture: dict, patch_size: Sequence[int]) -> dict:
    """The plan entry with the blocks and widths of the paper, on the topology of the plan.

    No kernel is so wide along an axis that one of its taps would only ever see padding: over a feature map of n voxels
    that is 2 n - 1, from any of which it reaches all others.

    Args, raises: as `mscs_architecture`. From an entry of MSCS-Net what `PLANNED_DESIGN` changes is taken back.
    """
    n_axes = len(patch_size)
    if architecture["network_class_name"] == MSCS_NET:
        arguments = architecture["arch_kwargs"]
        if not has_planned_design(architecture):
            return architecture
        kept = {
            key: value
            for key, value in arguments.items()
            if key not in {*PLANNED_DESIGN, DECODER_WIDTHS, DMSA_MULTIPLE}
        }
        widths = features_of_stages(len(arguments["strides"]), BASE_FEATURES, MAX_FEATURES[n_axes])
        sizes = _feature_map_sizes(patch_size, arguments["strides"])
        return {
            **architecture,
            "arch_kwargs": {
                **kept,
                "features_per_stage": widths,
                "dmsa_kernel_sizes": _multi_scale(arguments["decoder_kernel_sizes"], sizes),
            },
        }
    unet = architecture["arch_kwargs"]
    missing = [key for key in ("strides", "kernel_sizes", "conv_op") if key not in unet]
    if missing:
        raise MscsError(
            f"The plans' network {architecture['network_class_name']} gives no {', '.join(missing)} "
            "that MSCS-Net could follow.",
            "Use plans of MSCSPlanner, of nnU-Net's default planner or of one of its ResEnc planners.",
        )
    strides = [per_axis(stride, n_axes) for stride in unet["strides"]]
    kernels = [per_axis(kernel, n_axes) for kernel in unet["kernel_sizes"]]
    if len(strides) < 2 or min(patch_size) < 1:
        raise MscsError(
            f"A patch of {' x '.join(str(int(size)) for size in patch_size)} voxels is too small for MSCS-Net: nnU-Net "
            "plans no stage below the image for it.",
            "Use larger images (nnU-Net pools an axis from 8 voxels on), or a larger -gpu_memory_target if it was the "
            "target that left no larger patch.",
        )
    sizes = _feature_map_sizes(patch_size, strides)
    entered = [sizes[0], *sizes[:-1]]  # a stage's CBS reads the map above
    return {
        "network_class_name": MSCS_NET,
        "arch_kwargs": {
            "strides": strides,
            "kernel_sizes": [_seeing(k, n, s) for k, n, s in zip(kernels, entered, strides, strict=True)],
            "features_per_stage": features_of_stages(len(strides), BASE_FEATURES, MAX_FEATURES[n_axes]),
            "conv_op": unet["conv_op"],
            "dmsa_kernel_sizes": _multi_scale(kernels, sizes),
            "decoder_kernel_sizes": [_seeing(kernel, n) for kernel, n in zip(kernels, sizes, strict=True)],
            "norm_op": unet.get("norm_op"),
            "norm_op_kwargs": unet.get("norm_op_kwargs"),
        },
        "_kw_requires_import": ["conv_op", "norm_op"],
    }


def _multi_scale(kernels: Sequence[Sequence[int]], sizes: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    """The three DMSA kernels of every stage, narrowed to what its map lets them see."""
    return [
        [_seeing(scale, n) for scale in multi_scale_kernels(kernel)] for kernel, n in zip(kernels, sizes, strict=True)
    ]


def _feature_map_sizes(patch_size: Sequence[int], strides: Sequence[Sequence[int]]) -> list[list[int]]:
    sizes = [[int(size) for size in patch_size]]
    for stride in strides[1:]:
        sizes.append([size // s for size, s in zip(sizes[-1], stride, strict=True)])
    return sizes


def _seeing(kernel: Sequence[int], size: Sequence[int], stride: Sequence[int] | None = None) -> list[int]:
    """The kernel, narrowed along each axis until every tap sees a voxel of a map of `size` voxels.

    Of the k - s voxels of padding for kernel k and stride s, the smaller half lies before the map: the last of k taps
    sees at most voxel k - 1 - (k - s) // 2, and one of the n voxels only if that is below n.
    """
    strides = stride or [1] * len(kernel)
    return [
        next(k for k in range(width, 0, -1) if k - max(k - s, 0) // 2 <= n)
        for width, n, s in zip(kernel, size, strides, strict=True)
    ]
