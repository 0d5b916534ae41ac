"""The demo's first mask, in a line: what the weights of the package find in a scan that nobody has trained on."""

from pathlib import Path

from nnunetv2_mscs.demo.stages import FIRST_MASK, FIRST_SCAN
from nnunetv2_mscs.evaluation.sources import find_masks
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.lesions import lesion_volume_ml
from nnunetv2_mscs.scans.reading import read_volume


def first_mask_line(folder: Path) -> str:
    """Volume of the mask and of the phantom's true lesion, and where the picture is."""
    (case, truth), *_ = find_masks(folder / FIRST_SCAN / "masks", Findings()).files.items()
    volume = read_volume(truth)
    true_ml = lesion_volume_ml(volume.array, volume.grid.voxel_volume_ml)
    found_ml = read_json(folder / FIRST_MASK / f"{case}.json")["lesion_volume_ml"]
    picture = folder / FIRST_MASK / "sheets" / f"{case}.png"
    return f"  first mask, before any training: {found_ml:.1f} mL (true {true_ml:.1f} mL), see {picture}"
