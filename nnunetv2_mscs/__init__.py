"""MSCS-Net, the multi-scale network for low-resolution stroke MRI, as a plugin of nnU-Net v2."""

__version__ = "0.1.0"
