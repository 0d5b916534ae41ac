"""nnunetv2_mscs's readers, where nnU-Net looks for readers."""
