"""nnunetv2_mscs's planner, where nnU-Net looks for planners."""
