"""The data set for further training of imported weights: the facts that plans need, and the place of its plans."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.plans import PLANS_NAME, DataSet
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT, dataset_name
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, folder_named_by
from nnunetv2_mscs.workplace.whole_files import write_whole


@dataclass(frozen=True)
class TrainingData:
    """A data set in nnUNet_raw and nnUNet_preprocessed whose fingerprint nnU-Net has taken."""

    folder: Path
    description: dict[str, Any]
    facts: DataSet

    @property
    def channel_names(self) -> Sequence[str]:
        names = self.description.get("channel_names") or self.description["modality"]
        return [names[str(channel)] for channel in range(len(names))]

    @property
    def plans_file(self) -> Path:
        return self.folder / f"{PLANS_NAME}.json"

    @contextmanager
    def plans_laid_down(self, plans: dict[str, Any]) -> Iterator[None]:
        """Lay down the plans, and dataset.json beside them if nnU-Net's planner has not done so yet.

        If that or the block fails, all is as it was before.

        Raises:
            MscsError: if they cannot be written.
        """
        files = {self.plans_file: plans}
        if not (self.folder / DATASET_JSON).exists():
            files[self.folder / DATASET_JSON] = self.description
        with ExitStack() as undo:
            for file, content in files.items():
                former = file.read_bytes() if file.exists() else None
                write_whole(file, json.dumps(content, indent=4))
                undo.callback(_restore, file, former)
            yield
            undo.pop_all()


def find_training_data(dataset_id: int) -> TrainingData:
    """The data set of this id.

    Raises:
        MscsError: if nnU-Net's folders are not set, there is no such data set, or its fingerprint has not been taken.
    """
    raw, preprocessed = folder_named_by(RAW), folder_named_by(PREPROCESSED)
    found = sorted(path for path in raw.glob(dataset_name(dataset_id, "*")) if (path / DATASET_JSON).is_file())
    if not found:
        raise MscsError(f"There is no data set {dataset_id} in {raw}.", "Make it with: mscs convert SOURCE ID NAME")
    folder = preprocessed / found[0].name
    if not (folder / FINGERPRINT).is_file():
        raise MscsError(
            f"{folder} holds no fingerprint of the data set.", f"Type: nnUNetv2_extract_fingerprint -d {dataset_id}"
        )
    with redirect_stdout(StringIO()):
        planner = ExperimentPlanner(dataset_id, suppress_transpose=True)
        reader = planner.determine_reader_writer().__name__
    fingerprint = planner.dataset_fingerprint
    facts = DataSet(
        name=found[0].name,
        spacing=[float(value) for value in np.median(fingerprint["spacings"], axis=0)],
        shape=[float(value) for value in np.median(fingerprint["shapes_after_crop"], axis=0)],
        reader=reader,
        intensities=fingerprint["foreground_intensity_properties_per_channel"],
    )
    return TrainingData(folder, planner.dataset_json, facts)


def _restore(file: Path, former: bytes | None) -> None:
    if former is None:
        file.unlink()
    else:
        write_whole(file, former)
