"""Every metric once: its column, unit, direction, and the rule for empty masks. docs/metrics.md gives the formulas."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["score", "distance", "volume", "count"]
Better = Literal["higher", "lower", "neither"]
# Lesions by volume in mL, lower end included, upper end not; and pieces of up to TINY_VOXELS voxels of any volume.
SIZES_ML = {"lt1ml": (0.0, 1.0), "1to5ml": (1.0, 5.0), "5to20ml": (5.0, 20.0), "ge20ml": (20.0, float("inf"))}
TINY, TINY_VOXELS = "upto10voxels", 10
SIZES = (*SIZES_ML, TINY)
SIZE_TITLES = {
    "lt1ml": "< 1 mL",
    "1to5ml": "1 to 5 mL",
    "5to20ml": "5 to 20 mL",
    "ge20ml": "≥ 20 mL",
    TINY: f"≤ {TINY_VOXELS} voxels",
}


@dataclass(frozen=True)
class Metric:
    """One column of cases.csv.

    Args:
        column: its name there.
        title: as tables and plots call it, with its unit.
        kind: scores lie in [0, 1]; distances are in mm, volumes in mL.
        better: whether high or low values are good; `neither` for columns that describe a case.
        both_empty: its value if both masks are empty; None where the formula gives one.
        one_empty: its value if exactly one mask is empty; None where the formula gives one.
        decimals: to print.
    """

    column: str
    title: str
    kind: Kind
    better: Better
    both_empty: float | None = None
    one_empty: float | None = None
    decimals: int = 3


def _score(column: str, title: str, *, defined: bool = False) -> Metric:
    return Metric(column, title, "score", "higher", None if defined else 1.0, None if defined else 0.0)


def _distance(column: str, title: str) -> Metric:
    return Metric(column, title, "distance", "lower", 0.0, float("nan"), 2)


_METRICS = (
    _score("dice", "Dice"),
    _score("iou", "IoU"),
    _score("accuracy", "Accuracy", defined=True),
    _score("precision", "Precision"),
    _score("sensitivity", "Sensitivity"),
    _score("specificity", "Specificity", defined=True),
    Metric("volume_reference_ml", "Reference volume (mL)", "volume", "neither", decimals=2),
    Metric("volume_prediction_ml", "Predicted volume (mL)", "volume", "neither", decimals=2),
    Metric("volume_difference_ml", "Volume difference (mL)", "volume", "neither", decimals=2),
    Metric("absolute_volume_difference_ml", "Absolute volume difference (mL)", "volume", "lower", decimals=2),
    _distance("hd95_mm", "HD95 (mm)"),
    _distance("assd_mm", "ASSD (mm)"),
    _score("nsd_1mm", "NSD at 1 mm"),
    _score("nsd_2mm", "NSD at 2 mm"),
    _distance("ahd_max_mm", "AHD, maximum (mm)"),
    _distance("ahd_mean_mm", "AHD, mean (mm)"),
    _distance("ahd_balanced_mm", "AHD, balanced (mm)"),
    _score("f1_isles22", "Lesion F1 (ISLES'22)"),
    _score("precision_isles22", "Lesion precision (ISLES'22)"),
    _score("recall_isles22", "Lesion recall (ISLES'22)"),
    Metric("lesion_count_reference", "Lesions, reference", "count", "neither", decimals=1),
    Metric("lesion_count_prediction", "Lesions, prediction", "count", "neither", decimals=1),
    Metric("lesion_count_difference", "Lesion count difference", "count", "lower", decimals=1),
    *(
        metric
        for threshold in ("20", "25")
        for metric in (
            _score(f"f1_iou{threshold}", f"Lesion F1 (IoU 0.{threshold})"),
            _score(f"rq_iou{threshold}", f"Recognition quality (IoU 0.{threshold})"),
            _score(f"sq_iou{threshold}", f"Segmentation quality (IoU 0.{threshold})"),
            _score(f"pq_iou{threshold}", f"Panoptic quality (IoU 0.{threshold})"),
        )
    ),
)
METRICS: dict[str, Metric] = {metric.column: metric for metric in _METRICS}
# Counts of reference lesions by size; the recall by size is pooled from them over cases.
SIZE_COLUMNS = tuple(f"lesions_{size}" for size in SIZES) + tuple(f"lesions_found_{size}" for size in SIZES)
MAIN_METRICS = ("dice", "iou", "sensitivity", "precision", "hd95_mm", "assd_mm", "nsd_1mm", "f1_isles22", "f1_iou20")
# Significance level of all tests.
ALPHA = 0.05
