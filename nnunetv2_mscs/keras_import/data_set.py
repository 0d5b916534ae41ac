"""The data set that imported weights are to be trained on with: what plans need of it, and the place of its plans."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.plans import PLANS_NAME, DataSet


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
        if not (self.folder / "dataset.json").exists():
            files[self.folder / "dataset.json"] = self.description
        with ExitStack() as undo:
            for file, content in files.items():
                with _writing(file):
                    former = file.read_bytes() if file.exists() else None
                    _write(file, json.dumps(content, indent=4).encode())
                undo.callback(_restore, file, former)
            yield
            undo.pop_all()


def find_training_data(dataset_id: int) -> TrainingData:
    """The data set of this id.

    Raises:
        MscsError: if nnU-Net's folders are not set, there is no such data set, or its fingerprint has not been taken.
    """
    raw, preprocessed = _folder("nnUNet_raw"), _folder("nnUNet_preprocessed")
    found = sorted(path for path in raw.glob(f"Dataset{dataset_id:03d}_*") if (path / "dataset.json").is_file())
    if not found:
        raise MscsError(f"There is no data set {dataset_id} in {raw}.", "Make it with: mscs convert SOURCE ID NAME")
    folder = preprocessed / found[0].name
    if not (folder / "dataset_fingerprint.json").is_file():
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


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        raise MscsError(f"{variable} is not set.", f"Type: export {variable}=/path/to/{variable}")
    return Path(value)


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Turn a file that cannot be written into the user's error."""
    try:
        yield
    except OSError as error:
        raise MscsError(
            f"{file} could not be written: {error.strerror or error}.", "Check the folder and the disk."
        ) from error


def _write(file: Path, content: bytes) -> None:
    unfinished = file.with_name(f".{file.name}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def _restore(file: Path, former: bytes | None) -> None:
    with _writing(file):
        if former is None:
            file.unlink()
        else:
            _write(file, former)
