"""summary.json's numbers: against numpy, by hand, and nothing dropped in silence."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_TITLES, SIZES_ML, TINY
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, describe, summarise, with_statistics
from tests.evaluation.random_evaluation import changed, random_evaluation, shuffled

SAMPLES = 100
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/statistics.md").read_text(encoding="utf-8")
NAN = float("nan")


def summary(evaluation):
    return summarise(evaluation, StatisticsSettings(samples=SAMPLES))


def test_describe_by_hand():
    one = describe(np.array([4.0, NAN, 1.0, 3.0, 2.0]), samples=SAMPLES)
    assert (one["n"], one["undefined"]) == (4, 1)
    assert (one["mean"], one["median"], one["q1"], one["q3"], one["min"], one["max"]) == (2.5, 2.5, 1.75, 3.25, 1, 4)
    assert one["sd"] == pytest.approx((5 / 3) ** 0.5)
    assert 1 <= one["ci_low"] < 2.5 < one["ci_high"] <= 4


@pytest.mark.parametrize(
    ("values", "defined"),
    [
        ([], set()),
        ([NAN, NAN], set()),
        ([0.5], {"mean", "median", "q1", "q3", "min", "max"}),
        ([0.5, NAN], {"mean", "median", "q1", "q3", "min", "max"}),
        ([0.5, 0.5], {"mean", "median", "q1", "q3", "min", "max", "sd", "ci_low", "ci_high"}),
    ],
)
def test_few_values(values, defined):
    one = describe(np.array(values), samples=SAMPLES)
    counts = {"n": np.sum(~np.isnan(values)), "undefined": np.sum(np.isnan(values))}
    assert {key: one.pop(key) for key in counts} == counts
    assert {key for key, value in one.items() if not np.isnan(value)} == defined


def test_undefined_values_are_counted_and_left_out():
    evaluation = random_evaluation("A", 1)
    with_gaps = changed(evaluation, lambda i, one: {"hd95_mm": NAN} if i < 3 else {})
    statistics = summary(with_gaps)["labels"]["1"]["all_cases"]
    assert (statistics["hd95_mm"]["n"], statistics["hd95_mm"]["undefined"]) == (9, 3)
    assert statistics["hd95_mm"]["mean"] == pytest.approx(evaluation.column("hd95_mm", "1")[3:].mean())
    assert (statistics["dice"]["n"], statistics["dice"]["undefined"]) == (12, 0)


def test_cases_with_lesion_and_empty_masks():
    empty = [(True, True), (True, True), (True, False), (False, True), *[(False, False)] * 8]
    evaluation = random_evaluation("A", 1)
    keys = ("reference_empty", "prediction_empty")
    of_label = summary(changed(evaluation, lambda i, one: dict(zip(keys, empty[i], strict=True))))["labels"]["1"]
    counts = {"n": 12, "with_lesion": 9, "both_empty": 2, "only_reference_empty": 1, "only_prediction_empty": 1}
    assert of_label["cases"] == counts
    assert of_label["all_cases"]["dice"]["mean"] == pytest.approx(evaluation.column("dice", "1").mean())
    assert of_label["lesion_cases"]["dice"]["mean"] == pytest.approx(evaluation.column("dice", "1")[3:].mean())
    assert of_label["volume_agreement"]["n"] == 12


def test_lesions_are_pooled_over_cases():
    """One case of 8 lesions with 2 found and three of 1 found: 5 of 11, not the mean of 1/4, 1, 1, 1."""
    lesions, found = [8, 1, 1, 1], [2, 1, 1, 1]
    small, tiny = "lt1ml", TINY
    evaluation = changed(
        random_evaluation("A", 1, cases=5),
        lambda i, one: (
            {f"lesions_{size}": 0 for size in SIZE_TITLES}
            | {f"lesions_found_{size}": 0 for size in SIZE_TITLES}
            | (
                {f"lesions_{small}": lesions[i], f"lesions_found_{small}": found[i], f"lesions_{tiny}": 1}
                if i < 4
                else {}
            )
        ),
    )
    sizes = summary(evaluation)["labels"]["1"]["lesions_by_size"]
    assert (sizes[small]["cases"], sizes[small]["lesions"], sizes[small]["found"]) == (4, 11, 5)
    assert sizes[small]["recall"] == 5 / 11
    assert sizes[small]["ci_low"] < 5 / 11 < sizes[small]["ci_high"]
    assert {**sizes["all"], "title": ""} == {**sizes[small], "title": ""}, "tiny pieces are among the others"
    assert (sizes[tiny]["lesions"], sizes[tiny]["recall"]) == (4, 0)
    assert (sizes[tiny]["ci_low"], sizes[tiny]["ci_high"]) == (0, 0)
    assert sizes["ge20ml"] == {
        **{"title": SIZE_TITLES["ge20ml"], "cases": 0, "lesions": 0, "found": 0},
        **{"recall": None, "ci_low": None, "ci_high": None},
    }


def test_the_order_of_the_cases_says_nothing():
    evaluation = random_evaluation("A", 1)
    assert summary(shuffled(evaluation)) == summary(evaluation)


def test_a_metric_does_not_depend_on_the_others():
    """Its interval is the same whatever else has been computed before."""
    evaluation = random_evaluation("A", 1)
    dice = summary(evaluation)["labels"]["1"]["all_cases"]["dice"]
    assert dice == describe(evaluation.column("dice", "1"), samples=SAMPLES)


def test_the_seed_moves_intervals_only():
    evaluation = random_evaluation("A", 1)
    settings = [StatisticsSettings(seed=seed, samples=SAMPLES) for seed in (0, 1)]
    one, other = (summarise(evaluation, each)["labels"]["1"]["all_cases"] for each in settings)
    differing = {key for metric in METRICS for key in one[metric] if one[metric][key] != other[metric][key]}
    assert differing == {"ci_low", "ci_high"}


def test_foreground_mean_is_by_case():
    """Undefined for a case where it is for one of its labels."""
    evaluation = changed(
        random_evaluation("A", 1, labels=("1", "2")), lambda i, one: {"hd95_mm": NAN} if i == 1 else {}
    )
    foreground = summary(evaluation)["foreground_mean"]
    for metric, n in (("dice", 12), ("hd95_mm", 11)):
        both = np.mean([evaluation.column(metric, label) for label in ("1", "2")], axis=0)
        one = foreground["all_cases"][metric]
        assert (one["n"], one["undefined"]) == (n, 12 - n)
        assert one["mean"] == pytest.approx(np.nanmean(both))
        assert one["sd"] == pytest.approx(np.nanstd(both, ddof=1))
    assert "volume_reference_ml" not in foreground["all_cases"]
    assert summary(random_evaluation("A", 1))["foreground_mean"] is None


def test_foreground_mean_of_lesion_cases_leaves_out_labels_without_lesion():
    """The reference holds label 2 in case 0 only, and no label in case 1."""
    evaluation = random_evaluation("A", 1, cases=6, labels=("1", "2"))
    table = evaluation.table
    absent = ~((table.case == "case_00") | ((table.label == "1") & (table.case != "case_01")))
    empty = {"reference_empty": True, "dice": 1.0, "hd95_mm": NAN}
    evaluation = changed(evaluation, lambda i, one: empty if absent[i] else {})
    foreground, first, second = summary(evaluation)["foreground_mean"], *map(evaluation.of_label, ("1", "2"))
    dice = [(first.dice.iloc[0] + second.dice.iloc[0]) / 2, *first.dice.iloc[2:]]
    assert foreground["lesion_cases"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    assert (foreground["lesion_cases"]["hd95_mm"]["n"], foreground["lesion_cases"]["hd95_mm"]["undefined"]) == (5, 0)
    both = np.mean([evaluation.column("dice", label) for label in ("1", "2")], axis=0)
    assert foreground["all_cases"]["dice"]["mean"] == pytest.approx(both.mean())


def test_statistics_of_the_same_settings_are_kept_and_others_computed_anew():
    settings = StatisticsSettings(samples=SAMPLES, seed=3, threshold_ml=20.0)
    once = with_statistics(random_evaluation("A", 1), settings)
    assert once.statistics == summarise(once, settings)
    assert with_statistics(once, settings) is once
    for other in (replace(settings, seed=4), replace(settings, samples=200), replace(settings, threshold_ml=30.0)):
        assert with_statistics(once, other).statistics == summarise(once, other)


@pytest.mark.parametrize("cases", [0, 1, 2])
def test_few_cases_are_valid_json(cases):
    evaluation = random_evaluation("A", 1, cases=cases)
    text = json.dumps(summary(evaluation), allow_nan=False)
    assert json.loads(text)["labels"]["1"]["all_cases"]["dice"]["n"] == cases


def test_every_key_is_documented():
    names = set(re.findall(r"`(\w+)`", DOCUMENT))
    statistics = summary(random_evaluation("A", 1, labels=("1", "2")))
    assert keys(statistics) - set(METRICS) - set(SIZES_ML) - {"1", "2", TINY} <= names


def keys(value):
    if isinstance(value, dict):
        return set(value).union(*(keys(item) for item in value.values()))
    return set()
