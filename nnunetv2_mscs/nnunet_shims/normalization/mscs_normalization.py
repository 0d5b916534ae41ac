"""Hands nnU-Net our normalization. Every look-up of any imports this: light, never raising."""


def __getattr__(name):
    if name != "SliceMinMaxNormalization":
        raise AttributeError(name)
    from nnunetv2_mscs.keras_import.scaling import SliceMinMaxNormalization

    return SliceMinMaxNormalization
