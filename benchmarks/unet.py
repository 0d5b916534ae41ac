"""nnU-Net's own 2D U-Net, as nnU-Net plans it, in the place of the MSCS-Net of a plans file."""

import copy

FEATURES, CONVOLUTIONS = (32, 64, 128, 256, 512, 512, 512), 2


def with_unet(plans: dict, configuration: str = "2d") -> dict:
    """A copy of these plans with PlainConvUNet: same patch, strides and batch, features 32 to 512."""
    plans = copy.deepcopy(plans)
    strides = plans["configurations"][configuration]["architecture"]["arch_kwargs"]["strides"]
    n = len(strides)
    plans["configurations"][configuration]["architecture"] = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": n,
            "features_per_stage": FEATURES[:n],
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * n,
            "strides": strides,
            "n_conv_per_stage": [CONVOLUTIONS] * n,
            "n_conv_per_stage_decoder": [CONVOLUTIONS] * (n - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    return plans
