"""How masks without references were made and measured, in sentences to paste into a paper."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from nnunetv2_mscs.reporting.report.methods import Cited

PACKAGES = ("nnunetv2-mscs", "nnunetv2", "torch")


def methods_of_predictions(records: Sequence[Mapping[str, Any]], by: str) -> tuple[str, ...]:
    """One paragraph, then one per reference; empty where no case was predicted.

    Args:
        records: of the cases, as `mscs predict` writes them.
        by: the model; "" if nothing records it.
    """
    done = [record for record in records if record["status"] == "ok"]
    if not done:
        return ()
    cited, first = Cited(), done[0]
    sentences = [f"Lesions were segmented by {by}."] if by else []
    if by and "versions" in first:
        named = ", ".join(f"{name} {first['versions'][name]}" for name in PACKAGES if name in first["versions"])
        sentences = [f"Lesions were segmented by {by} within nnU-Net v2 {cited('nnU-Net')} ({named})."]
        sentences.append(_decisions(first))
    sentences.append(
        "The lesion volume is the number of voxels of the mask times the volume of a voxel. Lesions were counted as "
        "26-connected pieces of the mask."
    )
    filled = sum(record["lesion_volume_ml"] > 0 for record in done)
    sentences.append(f"Of {len(done)} cases, {filled} had a lesion. {volumes_in_words(records)}")
    return (" ".join(sentences).strip(), *cited.as_list())


def _decisions(record: Mapping[str, Any]) -> str:
    """What decided on a voxel and on a piece of the mask."""
    words = f"A voxel belongs to a lesion at a probability of at least {record['threshold']:g}"
    if record.get("min_lesion_ml"):
        words += f"; pieces of less than {record['min_lesion_ml']:g} mL were removed"
    return f"{words}."


def volumes_in_words(records: Sequence[Mapping[str, Any]]) -> str:
    """The volumes of the cases with a lesion in one sentence; empty if there is none."""
    filled = [record["lesion_volume_ml"] for record in records if record.get("lesion_volume_ml")]
    if not filled:
        return ""
    return f"The median lesion volume is {median(filled):.2f} mL (from {min(filled):.2f} to {max(filled):.2f} mL)."
