"""nnunetv2_mscs's normalization, where nnU-Net looks for normalizations."""
