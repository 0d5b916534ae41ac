"""nnunetv2_mscs's planners, where nnU-Net looks for planners."""
