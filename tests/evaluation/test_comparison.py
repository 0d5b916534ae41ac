"""Models on the same cases: tests against their definition, verdicts that hold both ways, and sentences that say so."""

import itertools
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.comparison import compare, read_comparison
from nnunetv2_mscs.evaluation.paired_tests import PairedTest, holm, paired_test
from nnunetv2_mscs.evaluation.wording import MINUS, p_value, sentence
from tests.evaluation.random_evaluation import TRUTH, changed, random_evaluation, shuffled

SAMPLES = 200
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/statistics.md").read_text(encoding="utf-8")
NAN = float("nan")
MIRROR = {"better": "worse", "worse": "better"}


def of_differences(differences):
    """Dice of two models that differ by this, case by case."""
    differences = np.asarray(differences, float)
    first = random_evaluation("A", 1, cases=len(differences))
    other = changed(first, lambda i, one: {"dice": one["dice"] + differences[i]})
    names = {"metric": "dice", "label": "1", "label_name": "lesion", "baseline": "A", "model": "B"}
    return paired_test(first.column("dice", "1"), other.column("dice", "1"), **names, seed=0, samples=SAMPLES)


def better_model(shift=20.0, **options):
    """A, and B with a Dice that is higher by `shift` on average, in all cases but two."""
    first = random_evaluation("A", 1, **options)
    noise = np.random.default_rng(3).normal(shift, shift / 2, len(first.table))
    return first, replace(changed(first, lambda i, one: {"dice": one["dice"] + noise[i]}), model="B")


def signed_rank_by_every_sign(differences):
    """p of all 2^n ways to sign the ranks; zeros hold the lowest ranks and none of the sum (Pratt 1959)."""
    ranks = np.array([np.mean(np.flatnonzero(np.sort(np.abs(differences)) == abs(one))) + 1 for one in differences])
    ranks[differences == 0] = 0
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product((-1, 1), repeat=len(ranks))])
    return np.mean(np.abs(sums) >= abs(np.dot(np.sign(differences), ranks)) - 1e-9)


@pytest.mark.parametrize(
    "differences",
    [
        [1, 2, 3, 4, 5, 6, -1.5],
        [1, 1, 2, 2, -1, 3, 5, 4],
        [0, 0, 1, 2, 3, -1.5, 4, 6, 7],
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, -1, -2, 3, 4, 5, 6],
        [0.5, -0.5],
        [0, 3],
        [0] * 10 + [1, 2, 3, 4, 5],
        [0] * 5 + [1, 1, 2, -2, 3, 3, 3, 8, -9, 4],
    ],
)
def test_signed_rank_test(differences):
    differences = np.array(differences, float)
    assert of_differences(differences).p == pytest.approx(signed_rank_by_every_sign(differences))


def test_many_zeros_do_not_make_four_cases_a_finding():
    """All four signs the same: 2 of 2^4 ways, whatever the 20 cases without a difference."""
    assert of_differences([0] * 20 + [1, 2, 3, 4]).p == 2 / 2**4


@pytest.mark.parametrize(("n", "tolerance"), [(50, 1e-12), (51, 1e-2)])
def test_signed_rank_test_where_the_exact_one_ends(n, tolerance):
    """51 differing cases are left to the normal approximation, which comes close by then."""
    differences = np.random.default_rng(n).normal(0.2, 1, n).round(6)
    exact = wilcoxon(differences, method="exact").pvalue
    assert 0.01 < exact < 0.9
    assert of_differences(differences).p == pytest.approx(exact, abs=tolerance)


def test_cases_to_either_side_are_counted():
    test = of_differences([0, 0, -1, 2, 3])
    assert (test.n, test.higher, test.lower) == (5, 2, 1)


def test_effect_size_by_hand():
    """Ranks 1, 2, 3.5, 3.5 of -1, 2, 3, 3: (9 - 1) / 10. A zero holds rank 1 and counts for neither."""
    assert of_differences([-1, 2, 3, 3]).rank_biserial == pytest.approx(0.8)
    assert of_differences([0, -1, 2]).rank_biserial == pytest.approx((3 - 2) / 5)
    assert of_differences([1, 2, 3]).rank_biserial == 1
    assert of_differences([0, 0, 0]).rank_biserial == 0


def test_holm_by_hand():
    """Sorted 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, none below the one before it."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.6])) == pytest.approx([1, 1])
    assert holm(np.array([NAN, 0.02, NAN, 0.03])) == pytest.approx([NAN, 0.04, NAN, 0.04], nan_ok=True)
    assert holm(np.array([])).size == 0


def test_holm_keeps_the_chance_of_any_false_finding():
    """Below 5 % of families of 12 true null hypotheses; without correction it is 46 %."""
    p = np.random.default_rng(0).random((2000, 12))
    assert np.mean([(holm(family) < 0.05).any() for family in p]) < 0.065


def test_numbers_of_a_pair():
    first, other = random_evaluation("A", 1), random_evaluation("B", 2)
    test = compare([first, other], samples=SAMPLES).of("B", "1")["assd_mm"]
    old, new = first.column("assd_mm", "1"), other.column("assd_mm", "1")
    assert (test.mean_baseline, test.mean_model) == pytest.approx((old.mean(), new.mean()))
    assert (test.difference, test.median_difference) == pytest.approx((np.mean(new - old), np.median(new - old)))
    assert test.ci_low < test.difference < test.ci_high


def test_turned_round():
    first, other = better_model()
    other = changed(other, lambda i, one: {"hd95_mm": NAN} if i == 2 else {"assd_mm": one["assd_mm"] - 50})
    there = compare([first, other], samples=SAMPLES).of("B", "1")
    back = compare([other, first], samples=SAMPLES).of("A", "1")
    assert {there[metric].verdict for metric in there} >= {"better", "not distinguishable"}
    for metric, one in there.items():
        other_way = back[metric]
        assert (one.p, one.p_holm, one.n) == (other_way.p, other_way.p_holm, other_way.n)
        assert (one.ci_low, one.ci_high) == (-other_way.ci_high, -other_way.ci_low)
        assert one.rank_biserial == -other_way.rank_biserial
        assert one.difference == pytest.approx(-other_way.difference)
        assert other_way.verdict == MIRROR.get(one.verdict, one.verdict)


def test_differences_that_are_their_own_mirror_image():
    test = of_differences([-3, -1, 0, 1, 3])
    assert test.ci_low == -test.ci_high < 0
    assert (test.p, test.difference) == (1, 0)


def test_the_order_of_the_cases_says_nothing():
    first, other = better_model()
    assert compare([first, shuffled(other)], samples=SAMPLES) == compare([first, other], samples=SAMPLES)
    reordered = compare([shuffled(first), other], samples=SAMPLES).as_json()
    expected = compare([first, other], samples=SAMPLES).as_json()
    for one, same in zip(reordered["tests"], expected["tests"], strict=True):
        assert one == pytest.approx(same, nan_ok=True)


@pytest.mark.parametrize(("metric", "verdict"), [("dice", "better"), ("hd95_mm", "worse"), ("nsd_1mm", "better")])
def test_higher_is_better_for_scores_and_worse_for_distances(metric, verdict):
    first = random_evaluation("A", 1, cases=20)
    other = replace(changed(first, lambda i, one: {metric: one[metric] + 1 + i}), model="B")
    assert compare([first, other], samples=SAMPLES).of("B", "1")[metric].verdict == verdict


def test_a_shift_of_ranks_against_the_mean_is_no_finding():
    """In 36 of 40 cases B is a little lower, in 4 much higher: the ranks say lower, the mean says higher."""
    differences = [*(-0.01 * i for i in range(1, 37)), 30, 31, 32, 33]
    first = random_evaluation("A", 1, cases=40)
    other = changed(first, lambda i, one: {"dice": one["dice"] + differences[i]})
    comparison = compare([first, replace(other, model="B")], samples=2000)
    test = comparison.of("B", "1")["dice"]
    assert test.p_holm < 0.05
    assert test.ci_low > 0
    assert test.rank_biserial < 0
    assert test.verdict == "not distinguishable"
    assert (
        "no verdict, because test and mean disagree. In 36 of 40 cases B is lower (worse), in 4 higher ("
        in sentence_of(comparison, "dice")
    )
    assert "goes the other way" in sentence_of(comparison, "dice")


def test_a_sum_of_ranks_is_no_count_of_cases():
    """B is lower by a little in 22 cases and higher by more in 18: the ranks favour what most cases do not show."""
    differences = [*(-0.001 * i for i in range(1, 23)), *range(1, 18), -90]
    test = of_differences(differences)
    said = sentence(replace(test, p_holm=0.01, verdict="not distinguishable", ci_low=-9.0, ci_high=9.0))
    assert test.rank_biserial > 0
    assert "In 17 of 40 cases B is higher (better), in 23 lower (" in said
    assert "ost cases" not in said


def test_a_shift_of_ranks_that_the_mean_does_not_confirm_is_no_finding():
    """In 30 of 31 cases B is a little lower, in one much higher: lower on average, by an interval that holds 0."""
    differences = [*(-0.01 * i for i in range(1, 31)), 4]
    first = random_evaluation("A", 1, cases=31)
    other = changed(first, lambda i, one: {"dice": one["dice"] + differences[i]})
    comparison = compare([first, replace(other, model="B")], samples=SAMPLES)
    test = comparison.of("B", "1")["dice"]
    assert test.p_holm < 0.05
    assert test.difference < 0 < test.ci_high
    assert test.verdict == "not distinguishable"
    said = sentence_of(comparison, "dice")
    assert "In 30 of 31 cases B is lower (worse), in 1 higher (p " in said
    assert re.search("may be 0: its interval is .* A few large differences decide the mean", said)
    assert "distinguishable" not in said


def test_what_describes_a_case_is_not_tested():
    metrics = {test.metric for test in compare(better_model(), samples=SAMPLES).tests}
    tested_once = {column for column in METRICS if not column.startswith("rq_")}
    assert metrics == {column for column in tested_once if METRICS[column].better != "neither"}


def test_equal_models():
    first = random_evaluation("A", 1)
    comparison = compare([first, replace(first, model="B")], samples=SAMPLES)
    assert {(test.p, test.p_holm, test.verdict) for test in comparison.tests} == {(1.0, 1.0, "not distinguishable")}
    assert sentence_of(comparison, "dice") == "Dice: B and A are not distinguishable: no case differs, n = 12 cases."


def test_rounding_errors_are_no_differences():
    first = random_evaluation("A", 1)
    other = changed(first, lambda i, one: {"dice": one["dice"] * (1 + (i % 2) * 1e-15)})
    assert compare([first, replace(other, model="B")], samples=SAMPLES).of("B", "1")["dice"].p == 1


def test_all_pairs_with_the_baseline_first_and_one_family():
    models = [random_evaluation(name, seed, labels=("1", "2")) for seed, name in enumerate("ABC")]
    comparison = compare(models, samples=SAMPLES)
    pairs = list(dict.fromkeys((test.baseline, test.model) for test in comparison.tests))
    assert pairs == [("A", "B"), ("A", "C"), ("B", "C")]
    main = [test for test in comparison.tests if test.family == "main"]
    assert comparison.family_sizes()["main"] == len(main) == len(MAIN_METRICS) * 3 * 2
    smallest = min(main, key=lambda test: test.p)
    assert smallest.p_holm == pytest.approx(min(1, smallest.p * len(main)))
    assert set(comparison.of("C", "2")) == {test.metric for test in comparison.tests}
    assert all("of lesion" in sentence for sentence in comparison.sentences())


def sentence_of(comparison, metric):
    return next(row["sentence"] for row in comparison.rows() if row["metric"] == metric)


def test_the_sentence_of_a_difference():
    comparison = compare(better_model(cases=20), samples=SAMPLES)
    number = r"\d+\.\d{3}"
    pattern = (
        rf"Dice: B is higher \(better\) than A by {number} \[{number}; {number}\], p < 0.001 after Holm, n = 20 cases\."
    )
    assert re.fullmatch(pattern, sentence_of(comparison, "dice"))


def test_the_sentence_of_none():
    first, other = random_evaluation("A", 1), random_evaluation("B", 2)
    sentence = sentence_of(compare([first, other], samples=SAMPLES), "dice")
    assert re.match(rf"Dice: B and A are not distinguishable \(B minus A: [+{MINUS}]\d", sentence)
    assert re.search(rf"the interval leaves open {MINUS}\d+\.\d{{3}} to \+\d+\.\d{{3}}\.", sentence)


def test_what_is_left_out_is_said_and_whom_it_flatters():
    """HD95 of B is undefined in three cases, of A in one of them and in another."""
    first = changed(random_evaluation("A", 1), lambda i, one: {"hd95_mm": NAN} if i in (2, 7) else {})
    other = changed(random_evaluation("B", 2), lambda i, one: {"hd95_mm": NAN} if i in (0, 1, 2) else {})
    comparison = compare([first, other], samples=SAMPLES)
    test, sentence = comparison.of("B", "1")["hd95_mm"], sentence_of(comparison, "hd95_mm")
    assert (test.cases, test.n, test.undefined_baseline, test.undefined_model) == (12, 8, 2, 3)
    assert "n = 8 of 12 cases" in sentence
    assert "4 cases (undefined for A in 2, for B in 3), which flatters B" in sentence
    assert any(warning.startswith("HD95 (mm): undefined more often") for warning in comparison.warnings())
    assert not any("undefined" in warning for warning in compare(better_model(), samples=SAMPLES).warnings())


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_defined_cases_are_not_tested(n):
    first, other = better_model()
    other = changed(other, lambda i, one: {"dice": NAN} if i >= n else {})
    comparison = compare([first, other], samples=SAMPLES)
    test = comparison.of("B", "1")["dice"]
    assert (test.n, test.verdict) == (n, "not tested")
    assert np.isnan([test.p, test.p_holm, test.ci_low]).all()
    assert np.isnan(test.difference) == (n == 0)
    assert comparison.family_sizes()["main"] == len(MAIN_METRICS) - 1
    json.dumps(comparison.as_json(), allow_nan=False)


@pytest.mark.parametrize(("cases", "warned"), [(2, True), (8, True), (9, False)])
def test_too_few_cases_to_show_anything_are_warned_of(cases, warned):
    """Nine tests at once: 9 x 2^-7 is above 0.05, 9 x 2^-8 is below. B is better in every case and every metric."""
    first = random_evaluation("A", 1, cases=cases)
    other = changed(
        first,
        lambda i, one: {metric: one[metric] + (10 + i) * (-1) ** ("mm" in metric) for metric in MAIN_METRICS},
    )
    comparison = compare([first, replace(other, model="B")], samples=SAMPLES)
    assert any("of main metrics" in warning for warning in comparison.warnings()) == warned
    assert any(test.verdict != "not distinguishable" for test in comparison.tests if test.family == "main") != warned


def test_cases_without_a_difference_are_few_cases_too():
    """Of 20 cases 4 differ: p = 2 / 2^4 at best."""
    first = random_evaluation("A", 1, cases=20)
    other = changed(first, lambda i, one: {metric: one[metric] + max(i - 15, 0) for metric in METRICS})
    other = changed(other, lambda i, one: {column: first.table[column][i] for column in TRUTH})
    comparison = compare([first, replace(other, model="B")], samples=SAMPLES)
    assert min(test.p for test in comparison.tests) == 2 / 2**4
    assert any(warning.startswith("4 cases with a difference and 9 tests of main") for warning in comparison.warnings())


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0001, "p < 0.001"), (0.041, "p = 0.041"), (0.0498, "p = 0.0498"), (0.05, "p = 0.050"), (1.0, "p = 1.000")],
)
def test_p_in_words(p, text):
    assert p_value(p) == text


def fewer_cases(evaluation):
    return replace(evaluation, table=evaluation.table[:-7])


@pytest.mark.parametrize(
    ("others", "finding"),
    [
        (lambda first, other: [], "two models"),
        (lambda first, other: [replace(other, model="A")], "called A"),
        (
            lambda first, other: [fewer_cases(other)],
            "case_05, case_06, case_07, case_08, case_09 and 2 more of A are not in B",
        ),
        (lambda first, other: [random_evaluation("B", 2, labels=("1", "2"))], "has the labels 1, B has 1, 2"),
        (
            lambda first, other: [changed(other, lambda i, one: {"volume_reference_ml": 9} if i == 4 else {})],
            "case_04 is not",
        ),
        (
            lambda first, other: [
                other,
                changed(replace(other, model="C"), lambda i, one: {"lesion_count_reference": 9}),
            ],
            "C",
        ),
    ],
)
def test_models_that_cannot_be_compared(others, finding):
    first, other = random_evaluation("A", 1), random_evaluation("B", 2)
    with pytest.raises(MscsError, match=finding):
        compare([first, *others(first, other)], samples=SAMPLES)


def test_no_cases():
    with pytest.raises(MscsError, match="no case"):
        compare([random_evaluation(name, 1, cases=0) for name in "AB"], samples=SAMPLES)


def test_what_is_written_is_read_back(tmp_path):
    first, other = better_model()
    comparison = compare([first, changed(other, lambda i, one: {"hd95_mm": NAN})], samples=SAMPLES)
    (tmp_path / "comparison.json").write_text(json.dumps(comparison.as_json(), allow_nan=False))
    read = read_comparison(tmp_path)
    np.testing.assert_equal(read.rows(), comparison.rows())
    assert replace(read, tests=()) == replace(comparison, tests=())
    assert read.renamed(["ours", "theirs"]).of("theirs", "1")["dice"].p == comparison.tests[0].p


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"models": ["A"], "labels": {}, "cases": 1, "tests": [{}]}'])
def test_a_damaged_comparison_is_refused(text, tmp_path):
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(MscsError, match=r"comparison\.json cannot be read"):
        read_comparison(tmp_path)


def test_every_key_is_documented():
    names = set(re.findall(r"`(\w+)`", DOCUMENT))
    comparison = compare(better_model(), samples=SAMPLES).as_json()
    assert {*comparison, *comparison["settings"], *comparison["families"], *comparison["tests"][0]} <= names
    assert {field.name for field in fields(PairedTest)} < set(comparison["tests"][0])
