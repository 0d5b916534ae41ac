"""From two folders of masks to an evaluation: every pair is checked, every label measured, nothing dropped."""

import functools
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.labels import Labels, chosen_labels, labels_of_dataset, labels_of_values
from nnunetv2_mscs.evaluation.measuring import MeasuredPair, measure_pair
from nnunetv2_mscs.evaluation.pairing import MaskPair, pair_up
from nnunetv2_mscs.evaluation.results import CaseFiles, Evaluation, case_table
from nnunetv2_mscs.evaluation.sources import (
    Masks,
    find_masks,
    find_predictions,
    images_folder,
    model_name,
    references_of,
)
from nnunetv2_mscs.scans.findings import Finding, Findings
from nnunetv2_mscs.scans.findings_table import findings_table
from nnunetv2_mscs.workplace.parallel import run_parallel


class MasksRefused(MscsError):
    """Masks that cannot be evaluated, with everything that is wrong with them."""

    def __init__(self, findings: Sequence[Finding], roots: Sequence[Path]):
        errors = [finding for finding in findings if finding.severity == "error"]
        concerned = len({finding.case or finding.file for finding in errors})
        super().__init__(
            f"{len(errors)} error{'s' * (len(errors) > 1)} in {concerned} case{'s' * (concerned > 1)}; "
            "nothing was written.",
            "Correct what the table names.",
        )
        self.findings = tuple(findings)
        self.roots = tuple(roots)

    def table(self, *, wrap: bool) -> str:
        return findings_table(self.findings, self.roots, wrap=wrap)


def evaluate(
    predictions: Path,
    references: Path | None = None,
    *,
    name: str = "",
    labels: Sequence[int] = (),
    images: Path | None = None,
    partial: bool = False,
    folds: Sequence[int] = (),
    processes: int = 1,
) -> Evaluation:
    """Measure every case and label.

    Args:
        predictions: a mask, a folder of masks, a validation folder of nnU-Net's, or a model folder: then all its folds.
        references: the truth, a file or a folder; None to find the one of nnU-Net's data set.
        name: of the model in tables; by default nnU-Net's trainer, or the folder's name.
        labels: values to evaluate; by default those of dataset.json beside the masks, else all in the references.
        images: the folder with the scans; by default looked for beside the references.
        partial: cases that only one side holds are left out with a warning, instead of refused.
        folds: of a model folder, those that count; all that are validated if empty.
        processes: how many to use.

    Returns:
        The evaluation; its warnings say what was left out.

    Raises:
        MscsError: nothing is found at a place, or (as MasksRefused) masks are missing or cannot be compared.
    """
    findings = Findings()
    found = find_predictions(predictions, findings, folds)
    truth = find_masks(references if references is not None else references_of(found), findings)
    scans = images if images is not None else images_folder(truth, found)
    if found.files == truth.files:
        findings.warning("predictions and references are the same files", "Is one of the two paths mistaken?")
    pairs = pair_up(found, truth, findings, partial=partial, images=scans)
    declared = _declared_labels(labels, found, truth)
    work = functools.partial(measure_pair, labels=declared, measure=not findings.errors)
    measured = run_parallel(work, pairs, processes=processes, description="evaluating")
    for one in measured:
        findings.items += one.findings
    settled = declared or labels_of_values(v for one in measured for v in one.reference_values)
    for pair, one in zip(pairs, measured, strict=True):
        _check_labels(pair, one, settled, findings)
    if not findings.errors:
        _check_presence(measured, settled, findings, named=bool(labels))
    if not pairs and not findings.errors:
        findings.error("no case has both a prediction and a reference", "Do the file names agree?")
    if findings.errors:
        raise MasksRefused(findings.items, (found.place, truth.place))
    return Evaluation(
        model=name or model_name(found.place),
        predictions=str(found.place),
        references=str(truth.place),
        labels={label.key: label.name for label in settled.evaluated},
        table=case_table(
            one.row(label, pair) for pair, one in zip(pairs, measured, strict=True) for label in settled.evaluated
        ),
        files={pair.name: CaseFiles(pair.prediction, pair.reference, dict(pair.images)) for pair in pairs},
        warnings=tuple(_warnings(found, findings)),
    )


def _declared_labels(values: Sequence[int], predictions: Masks, references: Masks) -> Labels | None:
    """The labels that the user or a dataset.json names; None if neither does."""
    declared = next(
        (labels_of_dataset(one.dataset_json) for one in (references, predictions) if one.dataset_json.get("labels")),
        None,
    )
    return chosen_labels(values, declared) if values else declared


def _check_labels(pair: MaskPair, one: MeasuredPair, labels: Labels, findings: Findings) -> None:
    shown = ", ".join(str(value) for value in sorted(labels.known))
    if labels.ignored is not None and labels.ignored in one.prediction_values:
        findings.error(
            f"holds label {labels.ignored}, which marks voxels to be ignored in references",
            "Is it a reference, not a prediction?",
            file=pair.prediction,
            case=pair.name,
        )
    if one.reference_values == (labels.ignored,):
        findings.warning(
            "is ignored everywhere, so that nothing was judged and its scores are those of empty masks",
            "Take the case away.",
            file=pair.reference,
            case=pair.name,
        )
    for values, file, of in (
        (one.reference_values, pair.reference, "the data set has"),
        (one.prediction_values, pair.prediction, "the references have"),
    ):
        unknown = ", ".join(str(value) for value in values if value not in labels.known)
        if unknown:
            findings.error(
                f"holds label {unknown}, {of} {shown}",
                "Is it a mask of another data set? Name the labels to evaluate with --labels.",
                file=file,
                case=pair.name,
            )


def _check_presence(measured: Sequence[MeasuredPair], labels: Labels, findings: Findings, *, named: bool) -> None:
    """Report labels that no reference holds: an error for one that the user named, if there are others."""
    present = {value for one in measured for value in one.reference_values}
    for label in labels.evaluated:
        if not present & set(label.values):
            shown = ", ".join(str(value) for value in sorted(present))
            report = findings.error if named and present != {0} else findings.warning
            report(
                f"no reference holds label {label.key} ({label.name}); they hold {shown}",
                "Its scores say only where it is predicted." if report == findings.warning else "Correct --labels.",
            )


def _warnings(predictions: Masks, findings: Findings) -> list[str]:
    sentences = []
    if predictions.missing_folds:
        folds = ", ".join(str(fold) for fold in predictions.missing_folds)
        sentences.append(f"Folds without validation predictions, whose cases are missing here: {folds}.")
    for item in findings.items:
        if item.severity == "warning":
            subject = f"{item.case}: " if item.case else ""
            sentences.append(f"{subject}{item.finding}. {item.remedy}".strip())
    return sentences
