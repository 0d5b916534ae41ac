"""Hands nnU-Net our normalizations. Every look-up of any imports this: light, never raising."""

from importlib import import_module

HOMES = {
    "ADCNormalization": "nnunetv2_mscs.planning.normalization",
    "DWINormalization": "nnunetv2_mscs.planning.normalization",
    "SliceMinMaxNormalization": "nnunetv2_mscs.keras_import.scaling",
}


def __getattr__(name):
    if name not in HOMES:
        raise AttributeError(name)
    return getattr(import_module(HOMES[name]), name)
