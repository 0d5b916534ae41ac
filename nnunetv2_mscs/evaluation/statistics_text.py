"""The statistics of an evaluation as the terminal shows them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.results import Evaluation

COLUMNS = ("mean", "95 % interval", "sd", "median", "quartiles", "n", "undefined")


def statistics_text(evaluation: Evaluation) -> str:
    """One table per label, with the empty masks and the agreement of volumes in words below it."""
    labels = evaluation.statistics["labels"]
    return "\n\n".join(_of_label(evaluation.model, label, one) for label, one in labels.items())


def _of_label(model: str, label: str, statistics: Mapping[str, Any]) -> str:
    cases = statistics["cases"]
    title = f"{model}: {statistics['name']} (label {label}), {cases['n']} cases, {cases['with_lesion']} with lesion"
    rows = {METRICS[column].title: _row(column, one) for column, one in statistics["all_cases"].items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis(columns="metric").to_string()
    words = (_empty_words(cases), _lesion_words(statistics), _recall_words(statistics), _volume_words(statistics))
    return "\n".join([title, "", table, "", *(line for line in words if line)])


def _row(column: str, one: Mapping[str, Any]) -> list[str]:
    digits = METRICS[column].decimals
    mean, sd, median, q1, q3, low, high = (
        _number(one[key], digits) for key in ("mean", "sd", "median", "q1", "q3", "ci_low", "ci_high")
    )
    interval = f"{low} to {high}" if one["ci_low"] is not None else "-"
    return [mean, interval, sd, median, f"{q1} to {q3}", str(one["n"]), str(one["undefined"])]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _empty_words(cases: Mapping[str, int]) -> str:
    return (
        f"empty masks: {cases['both_empty']} both (scores 1, distances 0), {cases['only_reference_empty']} reference "
        f"only, {cases['only_prediction_empty']} prediction only (scores 0, distances undefined)"
    )


def _lesion_words(statistics: Mapping[str, Any]) -> str:
    """The main metrics over the cases whose reference holds lesion, if there are also cases without."""
    cases = statistics["cases"]
    if cases["with_lesion"] in (0, cases["n"]):
        return ""
    means = (
        f"{METRICS[column].title} {_number(statistics['lesion_cases'][column]['mean'], METRICS[column].decimals)}"
        for column in MAIN_METRICS
    )
    return f"the {cases['with_lesion']} cases with lesion alone, mean: {', '.join(means)}"


def _recall_words(statistics: Mapping[str, Any]) -> str:
    sizes = (one for one in statistics["lesions_by_size"].values() if one["lesions"])
    found = ", ".join(f"{one['title']} {one['found']}/{one['lesions']}" for one in sizes)
    return f"lesions found (any overlap): {found}" if found else ""


def _volume_words(statistics: Mapping[str, Any]) -> str:
    volumes = statistics["volume_agreement"]
    agreement, concordance = volumes["bland_altman"], volumes["ccc"]
    if agreement["bias_ml"] is None or agreement["lower_ml"] is None:
        return ""
    words = f"volumes: predicted minus reference {agreement['bias_ml']:+.2f} mL on average, limits of agreement "
    words += f"{agreement['lower_ml']:.2f} to {agreement['upper_ml']:.2f} mL"
    return words + (f", Lin's concordance {concordance:.3f}" if concordance is not None else "")
