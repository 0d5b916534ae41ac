"""Numbers and paired tests in words: a sentence that anyone understands and a statistician can check."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nnunetv2_mscs.evaluation.catalogue import ALPHA, METRICS

if TYPE_CHECKING:
    from nnunetv2_mscs.evaluation.paired_tests import PairedTest

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
SMALLEST_P = 0.001
WHY_UNDEFINED = "a distance is undefined where a lesion is missed or invented altogether"


def sentence(test: "PairedTest", *, name_label: bool = False) -> str:
    """The verdict in a sentence: the difference with its interval, the number of cases, and cases left out."""
    title = METRICS[test.metric].title + (f" of {test.label_name}" if name_label else "")
    if test.verdict == "not tested":
        said = f"not tested, {_cases(test)}."
    elif test.verdict == "not distinguishable":
        said = _not_distinguishable(test)
    else:
        said = _distinguishable(test)
    return f"{title}: {said}{_left_out(test)}"


def _distinguishable(test: "PairedTest") -> str:
    size, low, high = test.difference, test.ci_low, test.ci_high
    if size < 0:
        size, low, high = -size, -high, -low
    side = "higher" if test.difference > 0 else "lower"
    by = f"{_number(size, test)} [{_number(low, test)}; {_number(high, test)}]"
    return f"{test.model} is {side} ({test.verdict}) than {test.baseline} by {by}, {_p(test)}, {_cases(test)}."


def _not_distinguishable(test: "PairedTest") -> str:
    said = f"{test.model} and {test.baseline} are not distinguishable"
    if test.p == 1 and test.difference == test.ci_low == test.ci_high == 0:
        return f"{said}: no case differs, {_cases(test)}."
    difference = f"{test.model} minus {test.baseline}: {_signed(test.difference, test)}"
    interval = f"{_signed(test.ci_low, test)} to {_signed(test.ci_high, test)}"
    zero_inside = test.ci_low <= 0 <= test.ci_high
    if test.p_holm < ALPHA:
        return f"no verdict, because test and mean disagree. {_disagreement(test, difference, interval)}"
    said += f" ({difference}, {_p(test)}, {_cases(test)}); the interval leaves open {interval}."
    return said if zero_inside else f"{said} It leaves out 0, but the corrected test does not confirm a difference."


def _disagreement(test: "PairedTest", difference: str, interval: str) -> str:
    """What the ranks say, and what the mean and its interval say instead."""
    ranks = f"{_on_the_side_of_the_ranks(test)} ({_p(test)}); but the mean difference ({difference}) "
    if test.ci_low <= 0 <= test.ci_high:
        return f"{ranks}may be 0: its interval is {interval}. A few large differences decide the mean."
    return f"{ranks}goes the other way: its interval is {interval}. Look at the cases that differ most."


def _on_the_side_of_the_ranks(test: "PairedTest") -> str:
    """The number of cases where the model differs towards the side that the ranks favour, and towards the other."""
    higher = test.rank_biserial > 0
    good = "better" if higher == (METRICS[test.metric].better == "higher") else "worse"
    side, count, others = ("higher", test.higher, test.lower) if higher else ("lower", test.lower, test.higher)
    opposite = "lower" if higher else "higher"
    return f"In {count} of {_plural(test.n, 'case')} {test.model} is {side} ({good}), in {others} {opposite}"


def _left_out(test: "PairedTest") -> str:
    if test.n == test.cases:
        return ""
    said = f" Left out: {_plural(test.cases - test.n, 'case')} (undefined for {test.baseline} in "
    said += f"{test.undefined_baseline}, for {test.model} in {test.undefined_model})"
    if test.undefined_baseline == test.undefined_model:
        return f"{said}."
    more = test.model if test.undefined_model > test.undefined_baseline else test.baseline
    return f"{said}, which flatters {more}: {WHY_UNDEFINED}."


def comparison_warnings(tests: "Sequence[PairedTest]", family_sizes: Mapping[str, int]) -> list[str]:
    """Warnings about too few cases to show anything, and about undefined values that bias a test."""
    warnings = []
    for family, size in family_sizes.items():
        differing = max((test.higher + test.lower for test in tests if test.family == family), default=0)
        if size and differing and size * 2.0 ** (1 - differing) >= ALPHA:
            warnings.append(
                f"{_plural(differing, 'case')} with a difference and {_plural(size, 'test')} of {family} metrics: "
                f"after Holm's correction no p can fall below {ALPHA:g}, however large the difference. "
                "Look at the intervals, or add cases."
            )
    biased = [test for test in tests if test.undefined_baseline != test.undefined_model]
    if biased:
        columns = list(dict.fromkeys(test.metric for test in biased))
        warnings.append(
            f"{', '.join(METRICS[column].title for column in columns)}: undefined more often for one model than for "
            f"another. These cases are left out of the tests, which flatters that model: {WHY_UNDEFINED}."
        )
    return warnings


def _cases(test: "PairedTest") -> str:
    return f"n = {_plural(test.n, 'case')}" if test.n == test.cases else f"n = {test.n} of {test.cases} cases"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _p(test: "PairedTest") -> str:
    return f"{p_value(test.p_holm)} after Holm"


def p_value(p: float) -> str:
    """`p = 0.041`, `p < 0.001`, with as many digits as `p_number`."""
    text = p_number(p)
    return f"p {text}" if p < SMALLEST_P else f"p = {text}"


def p_number(p: float, decimals: int = 3) -> str:
    """`0.041`, `< 0.001`; with more digits where rounding would hide its side of 0.05; a dash for NaN."""
    if p != p:
        return DASH
    if p < SMALLEST_P:
        return f"< {SMALLEST_P:g}"
    enough = next((digits for digits in range(decimals, 6) if (round(p, digits) < ALPHA) == (p < ALPHA)), 6)
    return f"{p:.{max(enough, decimals)}f}"


def _number(value: float, test: "PairedTest") -> str:
    return number(value, METRICS[test.metric].decimals)


def _signed(value: float, test: "PairedTest") -> str:
    return number(value, METRICS[test.metric].decimals, signed=True)


def number(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """With a true minus sign; with a plus sign too if signed; no sign if it rounds to 0; a dash for None and NaN."""
    if value is None or value != value:
        return DASH
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return f"{MINUS}{text}" if value < 0 else f"+{text}" if signed else text
