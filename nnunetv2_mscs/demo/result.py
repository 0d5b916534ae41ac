"""What came out of the demo: Dice of every unseen case, their mean, and a picture of some."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.demo.stages import DATASET, EVALUATION, PREDICTIONS
from nnunetv2_mscs.evaluation.results import read_evaluation
from nnunetv2_mscs.nnunet_files.dataset import IMAGES_TS, LABELS_TS
from nnunetv2_mscs.nnunet_files.environment import RAW
from nnunetv2_mscs.reporting.overview import draw_overview, result_row
from nnunetv2_mscs.reporting.panels import SheetCase
from nnunetv2_mscs.reporting.pictures import png
from nnunetv2_mscs.reporting.sheet_case import read_sheet_case
from nnunetv2_mscs.reporting.windows import ADC_TEXT
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.workplace.whole_files import write_whole

PICTURE = "demo.png"
PANEL_HEIGHT = 250
HEADINGS = ("DWI", f"ADC, {ADC_TEXT}", "truth", "prediction")


@dataclass(frozen=True)
class Score:
    """One unseen case. `dice` is 1 where there is no lesion and none was predicted."""

    case_identifier: str
    dice: float
    reference_ml: float
    prediction_ml: float


@dataclass(frozen=True)
class Result:
    """All unseen cases, and the mean Dice of `mscs evaluate`: 1 for no lesion and none found, 0 for a false alarm."""

    scores: Sequence[Score]
    mean_dice: float

    @property
    def healthy(self) -> Sequence[Score]:
        """The cases without a lesion."""
        return [score for score in self.scores if score.reference_ml == 0]


def read_result(folder: Path) -> Result:
    """The result from the evaluation in the demo's folder."""
    evaluation = read_evaluation(folder / EVALUATION)
    dice = next(iter(evaluation.statistics["labels"].values()))["all_cases"]["dice"]
    scores = [
        Score(row["case"], row["dice"], row["volume_reference_ml"], row["volume_prediction_ml"])
        for row in evaluation.rows()
    ]
    return Result(scores, dice["mean"])


def result_table(result: Result) -> str:
    """One line per case: Dice and volumes."""
    lines = [f"{'unseen case':<16} {'Dice':>6} {'true, mL':>9} {'predicted, mL':>14}"]
    lines += [
        f"{score.case_identifier:<16} {score.dice:>6.2f} {score.reference_ml:>9.1f} {score.prediction_ml:>14.1f}"
        for score in result.scores
    ]
    return "\n".join(lines)


def summary_lines(result: Result) -> list[str]:
    """In words: what the mean is of, and what is found where there is no lesion."""
    lines = []
    if result.healthy:
        false = [score.prediction_ml for score in result.healthy if score.prediction_ml > 0]
        alarms = f"false alarm in {len(false)}" + (f", of at most {max(false):.2f} mL" if false else "")
        lines.append(f"{len(result.healthy)} of {len(result.scores)} unseen cases without a lesion: {alarms}")
    lines.append("In the mean, a false alarm counts as Dice 0, no lesion and none found as 1.")
    return lines


def cases_to_show(scores: Sequence[Score]) -> list[tuple[str, Score]]:
    """The best, the median and the worst case with a lesion, and one without, each with the reason why it is shown."""
    ranked = sorted((score for score in scores if score.reference_ml > 0), key=lambda score: -score.dice)
    chosen: list[tuple[str, Score]] = []
    if ranked:
        chosen = [("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1])]
    healthy = sorted((score for score in scores if score.reference_ml == 0), key=lambda score: -score.prediction_ml)
    if healthy:
        chosen.append(("no lesion", healthy[0]))
    return chosen


def draw_result(folder: Path, result: Result) -> Path:
    """Write the picture of `cases_to_show` into the demo's folder; returns the file."""
    rows = []
    for reason, score in cases_to_show(result.scores):
        volumes = f"true {score.reference_ml:.1f} mL\npredicted {score.prediction_ml:.1f} mL"
        rows.append(result_row(f"{reason}\nDice {score.dice:.2f}\n{volumes}", _read(folder, score.case_identifier)))
    file = folder / PICTURE
    title = f"Unseen phantoms: mean Dice {result.mean_dice:.2f}"
    write_whole(file, png(draw_overview(rows, height=PANEL_HEIGHT, title=title, headings=HEADINGS)))
    return file


def _read(folder: Path, case_identifier: str) -> SheetCase:
    raw = folder / RAW / DATASET
    images = {name: raw / IMAGES_TS / f"{case_identifier}_{i:04d}.nii.gz" for i, name in enumerate((ADC, DWI))}
    return read_sheet_case(
        case_identifier,
        images,
        truth=raw / LABELS_TS / f"{case_identifier}.nii.gz",
        prediction=folder / PREDICTIONS / f"{case_identifier}.nii.gz",
    )
