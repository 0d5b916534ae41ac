"""Hands nnU-Net our readers. Every look-up of any reader imports this: light, never raising."""

from importlib import import_module
from itertools import permutations, product

HOME = "nnunetv2_mscs.nnunet_files.reader"
HOMES = {
    f"MSCSReader{''.join(letters)}": HOME for order in permutations(("LR", "PA", "SI")) for letters in product(*order)
}


def __getattr__(name):
    if name not in HOMES:
        raise AttributeError(name)
    return getattr(import_module(HOMES[name]), name)
