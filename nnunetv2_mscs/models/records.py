"""The folder that `mscs predict` writes: a record for each case, the table of all, and what continues after a kill."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from nnunetv2_mscs.dataset_conversion.cases import natural_key
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.workplace.locks import WAIT, lock
from nnunetv2_mscs.workplace.whole_files import write_whole

FORMAT = "mscs predict 1"
OK, FAILED = "ok", "failed"
TABLE, PAGE, SHEETS, SLICES, LOCK = "cases.csv", "index.html", "sheets", "slices", ".mscs-predict.lock"
COLUMNS = (
    *("case", "status", "lesion_volume_ml", "lesion_count", "largest_lesion_ml", "largest_probability"),
    *("mean_adc", "relative_dwi", "b_value", "threshold", "min_lesion_ml", "warnings", "reason"),
)
# What finds a DICOM study in a picture archive: columns after the others, if the records keep it.
IDS = {"patient_id": "PatientID", "accession_number": "AccessionNumber"}
BETWEEN_WARNINGS = "; "


@dataclass(frozen=True)
class Results:
    """The files of one folder of predictions."""

    out: Path

    def mask(self, case: str) -> Path:
        return self.out / f"{case}.nii.gz"

    def record(self, case: str) -> Path:
        return self.out / f"{case}.json"

    def probabilities(self, case: str) -> Path:
        return self.out / f"{case}_probability.nii.gz"

    def sheet(self, case: str) -> Path:
        return self.out / SHEETS / f"{case}.png"

    def thumbnail(self, case: str) -> Path:
        return self.out / SHEETS / f"{case}_small.png"

    def slices(self, case: str) -> Path:
        return self.out / SLICES / f"{case}.webp"

    def contours(self, case: str) -> Path:
        return self.out / SLICES / f"{case}_mask.png"

    def segmentation(self, case: str) -> Path:
        return self.out / f"{case}_seg.dcm"

    def files_of(self, case: str) -> tuple[Path, ...]:
        arrays = (self.mask(case), self.probabilities(case), self.segmentation(case))
        pictures = (self.sheet(case), self.thumbnail(case), self.slices(case), self.contours(case))
        return *arrays, *pictures, self.record(case)

    def records(self) -> dict[str, dict[str, Any]]:
        """All records in the folder by the name of their case."""
        found = [read_json_if_there(file) for file in self.out.glob("*.json")] if self.out.is_dir() else []
        return {str(one["case"]): one for one in found if one.get("format") == FORMAT}

    def check(self) -> None:
        """Raise MscsError unless the folder is not there, empty, or one of predictions."""
        if self.out.exists() and not self.out.is_dir():
            raise MscsError(f"{self.out} is a file, not a folder.", "Choose another folder.")
        visible = [path for path in self.out.iterdir() if path.name[0] != "."] if self.out.is_dir() else []
        if visible and not self._is_ours():
            raise MscsError(f"{self.out} is not empty, and holds no predictions of mscs predict.", "Choose another.")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder and hold it against other commands, where the system has locks.

        Raises:
            MscsError: it cannot be made, or another command is at work in it.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            handle = (self.out / LOCK).open("wb")
        except OSError as error:
            raise MscsError(f"{self.out} cannot be written: {error.strerror}.", "Choose another folder.") from error
        with handle:
            try:
                is_free = lock(handle)
            except OSError:  # this system or disk has no locks
                is_free = True
            if not is_free:
                raise MscsError(f"Another mscs predict is at work in {self.out}.", WAIT)
            yield

    def _is_ours(self) -> bool:
        """Whether a table of predictions is there, which is the first file to be written."""
        try:
            with (self.out / TABLE).open(encoding="utf-8") as table:
                return table.readline().rstrip() in (",".join(COLUMNS), ",".join((*COLUMNS, *IDS)))
        except (OSError, UnicodeDecodeError):
            return False

    def remove(self, cases: Iterable[str]) -> None:
        """Remove the files of cases, the record first: a case without one is not done."""
        for case in cases:
            for file in reversed(self.files_of(case)):
                file.unlink(missing_ok=True)

    def write_record(self, record: Mapping[str, Any]) -> None:
        write_whole(self.record(str(record["case"])), json.dumps(record, indent=2, allow_nan=False) + "\n")

    def write_table(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write cases.csv."""
        ordered = sorted(records, key=lambda one: natural_key(str(one["case"])))
        write_whole(self.out / TABLE, table_of(ordered))


def table_of(records: Iterable[Mapping[str, Any]]) -> str:
    """One row per case as CSV, with the columns of `IDS` if a record keeps them."""
    rows, columns = [], list(COLUMNS)
    for record in records:
        row = {column: record.get(column) for column in COLUMNS}
        row["warnings"] = BETWEEN_WARNINGS.join(record.get("warnings", ()))
        if "dicom" in record:
            row |= {column: record["dicom"][tag] for column, tag in IDS.items()}
            columns = [*COLUMNS, *IDS]
        rows.append(row)
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
