"""Hands nnU-Net the trainers of nnunetv2_mscs by name. Imported at every look-up of any trainer: light, never raising."""


def __getattr__(name):
    if not name.startswith("MSCSTrainer"):
        raise AttributeError(name)
    from nnunetv2_mscs import training

    return getattr(training, name)
