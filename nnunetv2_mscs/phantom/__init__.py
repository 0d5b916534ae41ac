"""Synthetic scans of acute stroke from published physics: `PhantomSettings`, `phantom_case`, `write_phantoms`."""

from nnunetv2_mscs.phantom.case import PhantomCase, phantom_case
from nnunetv2_mscs.phantom.facts import CaseFacts
from nnunetv2_mscs.phantom.settings import PhantomSettings
from nnunetv2_mscs.phantom.writing import write_phantoms

__all__ = ["CaseFacts", "PhantomCase", "PhantomSettings", "phantom_case", "write_phantoms"]
