"""From nnU-Net's plan topology to MSCS-Net: its architecture, the memory it needs, and the planner choosing by it."""

from nnunetv2_mscs.planning.topology import mscs_architecture

__all__ = ["mscs_architecture"]
