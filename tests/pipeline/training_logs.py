"""Logs of trainings, in the words that nnU-Net and our trainers print."""

from datetime import datetime, timedelta

BEGIN = datetime(2026, 11, 23, 20, 0, 0)


def command(fold=0):
    return f"$ nnUNetv2_train 1 3d_fullres {fold} -tr MSCSTrainer -p MSCSPlans -device cpu --c\nUsing device: cpu\n"


def attempt(first, last, *, seconds=30.0, dice=0.5, epochs=1000, extra=()):
    """A command that trains epochs `first` to `last` to their end; `extra` lines follow the last."""
    now = BEGIN
    lines = [
        _stamped(now, "Using splits from existing split file: /somewhere/splits_final.json"),
        _stamped(now, "This split has 40 training and 10 validation cases."),
        _stamped(now, f"Training epochs {first} to {epochs - 1}"),
    ]
    for epoch in range(first, last + 1):
        lines += ["", _stamped(now, f"Epoch {epoch}"), _stamped(now, "Current learning rate: 0.01")]
        now += timedelta(seconds=seconds)
        lines += [
            _stamped(now, "train_loss -0.5155"),
            _stamped(now, "val_loss -0.6545"),
            _stamped(now, f"Pseudo dice [np.float32({dice})]"),
            _stamped(now, f"Epoch time: {seconds} s"),
            _stamped(now, f"Yayy! New best EMA pseudo Dice: {dice}"),
        ]
    return command() + "\n".join([*lines, *(_stamped(now, line) for line in extra)]) + "\n"


def _stamped(moment, line):
    return f"{moment.isoformat(sep=' ')}.123456: {line}"
