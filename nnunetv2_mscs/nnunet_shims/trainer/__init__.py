"""nnunetv2_mscs's trainers, where nnU-Net looks for trainers."""
