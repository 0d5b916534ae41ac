"""How masks without references were made and measured, in sentences to paste into a paper."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from nnunetv2_mscs.reporting.report.citations import Cited

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
    sentences = []
    if by:
        network = f", an MSCS-Net {cited('MSCS-Net')}," if "MSCSTrainer" in by else ""
        sentences.append(f"Lesions were segmented by the model {by}{network} within nnU-Net v2 {cited('nnU-Net')}.")
        sentences.append(_decisions(first))
    sentences.append(
        "The lesion volume is the number of voxels of the mask times the volume of a voxel. Lesions were counted as "
        "26-connected pieces of the mask."
    )
    filled = sum(record["lesion_volume_ml"] > 0 for record in done)
    sentences.append(f"A lesion was found in {filled} of {len(done)} cases. {volumes_in_words(records)}")
    return (" ".join(filter(None, sentences)), *cited.as_list())


def _decisions(record: Mapping[str, Any]) -> str:
    """What decided on a voxel and on a piece of the mask, and the versions, as far as the record says it."""
    words = []
    if "threshold" in record:
        words.append(f"A voxel belongs to a lesion at a probability of at least {record['threshold']:g}.")
    if record.get("min_lesion_ml"):
        words.append(f"Pieces of less than {record['min_lesion_ml']:g} mL were removed.")
    if named := [f"{name} {record['versions'][name]}" for name in PACKAGES if name in record.get("versions", {})]:
        words.append(f"The versions were {', '.join(named)}.")
    return " ".join(words)


def volumes_in_words(records: Sequence[Mapping[str, Any]]) -> str:
    """The volumes of the cases with a lesion in one sentence; empty if there is none."""
    filled = [record["lesion_volume_ml"] for record in records if record.get("lesion_volume_ml")]
    if not filled:
        return ""
    return f"The median lesion volume is {median(filled):.2f} mL (from {min(filled):.2f} to {max(filled):.2f} mL)."
