"""What commands that tests start as a user's find of the tests' own environment: nothing of nnU-Net's."""

import os

NAMES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "OMP_WAIT_POLICY")


def kept_variables() -> dict[str, str]:
    """Those that any program needs, and the policy by which the halves of the tests bear each other."""
    return {name: os.environ[name] for name in NAMES if name in os.environ}
