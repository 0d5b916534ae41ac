"""Hands nnU-Net our trainers by name. Every look-up of any trainer imports this: light, never raising."""


def __getattr__(name):
    if not name.startswith("MSCSTrainer"):
        raise AttributeError(name)
    from nnunetv2_mscs import training

    return getattr(training, name)
