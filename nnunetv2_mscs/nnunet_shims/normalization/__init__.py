"""nnunetv2_mscs's normalizations, where nnU-Net looks for normalizations."""
