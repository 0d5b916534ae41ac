"""The authors' Keras weights as a model folder that nnU-Net predicts with, and as plans for further training."""
