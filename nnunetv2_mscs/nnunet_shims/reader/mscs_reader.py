"""Hands nnU-Net our readers. Every look-up of any reader imports this: light, never raising."""


def __getattr__(name):
    if not name.startswith("MSCSReader"):
        raise AttributeError(name)
    from nnunetv2_mscs.nnunet_files import reader

    return getattr(reader, name)
