"""The modules that are laid inside nnU-Net's package at installation, for nnU-Net to find our classes there."""
