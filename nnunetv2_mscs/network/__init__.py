"""MSCS-Net in plain PyTorch: building blocks, encoder and decoder."""

from nnunetv2_mscs.network.mscs_net import MSCSNet

__all__ = ["MSCSNet"]
