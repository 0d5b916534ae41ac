"""Synthetic scans of acute stroke from label maps of real heads and masks of real lesions: `make_head_scan`."""

from nnunetv2_mscs.phantom.heads.label_maps import HeadMap, find_heads, read_head
from nnunetv2_mscs.phantom.heads.lesion_masks import LesionMasks
from nnunetv2_mscs.phantom.heads.scan import HeadScan, make_head_scan

__all__ = ["HeadMap", "HeadScan", "LesionMasks", "find_heads", "make_head_scan", "read_head"]
