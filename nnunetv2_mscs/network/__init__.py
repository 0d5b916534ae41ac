"""MSCS-Net in plain PyTorch: building blocks, encoder, decoder, and the weights of the original program."""

from nnunetv2_mscs.network.mscs_net import MSCSNet

__all__ = ["MSCSNet"]
