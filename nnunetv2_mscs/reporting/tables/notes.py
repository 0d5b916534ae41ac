"""The sentences below a table: how many cases, how many empty masks, what was left out, what the signs mean."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from nnunetv2_mscs.evaluation.catalogue import ALPHA
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.tables.values import MARKS, LeftOut

EMPTY = {"both_empty": "both", "only_reference_empty": "reference only", "only_prediction_empty": "prediction only"}
EMPTY_RULE = "Both empty: scores 1, distances 0; one empty: scores 0, distances undefined."


def about_cases(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """The number of cases of each label, the empty masks of each model, and the rule for them."""
    any_empty = False
    for label, name in evaluations[0].labels.items():
        counts = [one.statistics["labels"][label]["cases"] for one in evaluations]
        of = f" ({name})" if len(evaluations[0].labels) > 1 else ""
        said = f"n = {counts[0]['n']} cases{of}, {counts[0]['with_lesion']} of them with lesion"
        if not any(one[key] for one in counts for key in EMPTY):
            yield f"{said}; no mask is empty."
            continue
        any_empty = True
        empty = (
            f"{evaluation.model} " + ", ".join(f"{words} {one[key]}" for key, words in EMPTY.items())
            for evaluation, one in zip(evaluations, counts, strict=True)
        )
        yield f"{said}; empty masks: {'; '.join(empty)}."
    if any_empty:
        yield EMPTY_RULE


def about_left_out(left_out: Iterable[LeftOut], labels: Mapping[str, str]) -> Iterator[str]:
    """The number of cases that the printed numbers leave out, by metric and model."""
    by_title: dict[str, list[str]] = {}
    for one in left_out:
        of = f"{one.model}, {one.label_name}" if len(labels) > 1 else one.model
        by_title.setdefault(one.title, []).append(f"{one.cases} ({of})")
    if by_title:
        said = "; ".join(f"{title}: {', '.join(cases)}" for title, cases in by_title.items())
        yield f"Cases left out because undefined: {said}."


def about_signs(*, bold: bool, marks: bool) -> Iterator[str]:
    """The meaning of bold type and of the marks of differences, where a table has them."""
    if bold:
        yield (
            "Bold: best value of the column, which says nothing about chance; none where models left out different "
            "numbers of cases."
        )
    if marks:
        yield (
            f"{MARKS['better']} better, {MARKS['worse']} worse than the first model (Wilcoxon signed-rank test, "
            f"Holm-corrected p < {ALPHA:g}, and an interval that leaves out 0); without a sign: not distinguishable."
        )
