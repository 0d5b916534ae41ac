"""The statistics of an evaluation as the terminal shows them."""

from collections.abc import Mapping
from typing import Any

from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.results import Evaluation

HEADER = ("metric", "mean", "95 % interval", "sd", "median", "quartiles", "n", "undefined")


def statistics_text(evaluation: Evaluation, statistics: Mapping[str, Any]) -> str:
    """A table a label, with the empty masks and the agreement of volumes in words below it.

    Args:
        evaluation: of one model.
        statistics: what `summarise` says about it.
    """
    return "\n\n".join(_of_label(evaluation.model, label, one) for label, one in statistics["labels"].items())


def _of_label(model: str, label: str, statistics: Mapping[str, Any]) -> str:
    cases = statistics["cases"]
    title = f"{model}: {statistics['name']} (label {label}), {cases['n']} cases, {cases['with_lesion']} with lesion"
    rows = [HEADER, *(_row(column, one) for column, one in statistics["all_cases"].items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(
        [
            title,
            "",
            *lines,
            "",
            *_empty_words(cases),
            *_lesion_words(statistics),
            *_recall_words(statistics),
            *_volume_words(statistics),
        ]
    )


def _row(column: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    digits = METRICS[column].decimals
    return (
        METRICS[column].title,
        _number(one["mean"], digits),
        f"{_number(one['ci_low'], digits)} to {_number(one['ci_high'], digits)}" if one["ci_low"] is not None else "-",
        _number(one["sd"], digits),
        _number(one["median"], digits),
        f"{_number(one['q1'], digits)} to {_number(one['q3'], digits)}",
        str(one["n"]),
        str(one["undefined"]),
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _empty_words(cases: Mapping[str, int]) -> list[str]:
    return [
        f"empty masks: {cases['both_empty']} both (scores 1, distances 0), {cases['only_reference_empty']} reference "
        f"only, {cases['only_prediction_empty']} prediction only (scores 0, distances undefined)"
    ]


def _lesion_words(statistics: Mapping[str, Any]) -> list[str]:
    """The main metrics over the cases whose reference holds lesion, if there are others, too."""
    cases = statistics["cases"]
    if cases["with_lesion"] in (0, cases["n"]):
        return []
    means = (
        f"{METRICS[column].title} {_number(statistics['lesion_cases'][column]['mean'], METRICS[column].decimals)}"
        for column in MAIN_METRICS
    )
    return [f"the {cases['with_lesion']} cases with lesion alone, mean: {', '.join(means)}"]


def _recall_words(statistics: Mapping[str, Any]) -> list[str]:
    sizes = [one for one in statistics["lesions_by_size"].values() if one["lesions"]]
    if not sizes:
        return []
    found = ", ".join(f"{one['title']} {one['found']}/{one['lesions']}" for one in sizes)
    return [f"lesions found (any overlap): {found}"]


def _volume_words(statistics: Mapping[str, Any]) -> list[str]:
    volumes = statistics["volume_agreement"]
    agreement = volumes["bland_altman"]
    if agreement["bias_ml"] is None or agreement["lower_ml"] is None:
        return []
    concordance = volumes["ccc"]
    words = f"volumes: predicted minus reference {agreement['bias_ml']:+.2f} mL on average, limits of agreement "
    words += f"{agreement['lower_ml']:.2f} to {agreement['upper_ml']:.2f} mL"
    return [words + (f", Lin's concordance {concordance:.3f}" if concordance is not None else "")]
