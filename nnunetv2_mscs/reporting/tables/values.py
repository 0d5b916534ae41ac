"""What a table template can name: the statistics of a model, as values that know how they are printed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.paired_tests import PairedTest
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.wording import number, p_number

DASH = "\N{EN DASH}"
DECIMALS, DECIMALS_ML = 3, 2
MARKS = {"better": "*", "worse": "†"}
SIGNED = ("difference", "median_difference", "ci_low", "ci_high")


@dataclass(frozen=True)
class LeftOut:
    """Cases that a number says nothing about, because its metric is undefined there."""

    title: str
    model: str
    label_name: str
    cases: int


class Number(float):
    """A float that knows how it is printed and what was left out of it; NaN is printed as a dash.

    Args:
        value: unrounded.
        decimals: to print.
        signed: print a plus sign too.
        left_out: None if no case was.
    """

    decimals: int
    signed: bool
    left_out: LeftOut | None

    def __new__(
        cls, value: float, *, decimals: int = DECIMALS, signed: bool = False, left_out: LeftOut | None = None
    ) -> "Number":
        made = super().__new__(cls, value)
        made.decimals, made.signed, made.left_out = decimals, signed, left_out
        return made

    def like(self, value: float, *, decimals: int | None = None, signed: bool | None = None) -> "Number":
        """Another value printed like this one, but for what is given."""
        return type(self)(
            value,
            decimals=self.decimals if decimals is None else decimals,
            signed=self.signed if signed is None else signed,
            left_out=self.left_out,
        )

    @property
    def text(self) -> str:
        return DASH if self != self else number(self, self.decimals, signed=self.signed)


class PValue(Number):
    """A p-value, which is never printed as 0, nor so that its side of 0.05 is hidden."""

    @property
    def text(self) -> str:
        return DASH if self != self else p_number(self, self.decimals)


class Mark(str):
    """A sign beside a tested difference; empty where the models are not distinguishable."""


class Group(dict[str, Any]):
    """Values by name, such as the mean and the sd of a metric."""


def row_values(
    evaluation: Evaluation, statistics: Mapping[str, Any], label: str, comparison: Comparison | None
) -> dict[str, Any]:
    """All that a template can name about one model and label, as docs/tables.md lists it."""
    model, of_label = evaluation.model, statistics["labels"][label]
    name = of_label["name"]
    among = {part: _metrics(of_label[part], model, name, part) for part in ("all_cases", "lesion_cases")}
    return {
        **among["all_cases"],
        **among,
        "model": model,
        "label": label,
        "label_name": name,
        "labels": list(evaluation.labels.values()),
        "cases": group(of_label["cases"]),
        "lesions": group(of_label["lesions_by_size"]),
        "volumes": group(of_label["volume_agreement"]),
        "threshold_ml": f"{of_label['volume_agreement']['classification']['threshold_ml']:g}",
        "settings": group(statistics["settings"]),
        "baseline": comparison.models[0] if comparison else model,
        "against_first": _against_first(comparison, model, label),
    }


def group(
    values: Mapping[str, Any], *, decimals: int = DECIMALS, left_out: LeftOut | None = None, signed: bool = False
) -> Group:
    """Statistics as JSON holds them as a group, with `interval` beside ci_low and ci_high."""

    def shown(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return group(value, decimals=decimals, left_out=left_out, signed=signed)
        if isinstance(value, list | tuple):
            return tuple(shown(key, one) for one in value)
        if value is not None and not isinstance(value, float):
            return value
        places = DECIMALS_ML if key.endswith("_ml") else decimals
        made = PValue if key in ("p", "p_holm") else Number
        return made(
            float("nan") if value is None else value,
            decimals=DECIMALS if made is PValue else places,
            signed=signed and key in SIGNED,
            left_out=left_out,
        )

    made = Group({key: shown(key, value) for key, value in values.items()})
    if "ci_low" in made and "ci_high" in made:
        made["interval"] = (made["ci_low"], made["ci_high"])
    return made


def _metrics(statistics: Mapping[str, Mapping[str, Any]], model: str, label_name: str, part: str) -> Group:
    among = " among cases with lesion" if part == "lesion_cases" else ""
    metrics = Group()
    for column, one in statistics.items():
        metric, undefined = METRICS[column], one["undefined"]
        left_out = LeftOut(metric.title + among, model, label_name, undefined) if undefined else None
        metrics[column] = group(one, decimals=metric.decimals, left_out=left_out)
    return metrics


def _against_first(comparison: Comparison | None, model: str, label: str) -> Group:
    """The tests against the first model by metric; a group of dashes where there is none."""
    nothing = group({field.name: None for field in fields(PairedTest)}) | {"verdict": DASH, "mark": ""}
    tests = comparison.of(model, label) if comparison else {}
    return Group({column: _test(tests[column]) if column in tests else Group(nothing) for column in METRICS})


def _test(test: PairedTest) -> Group:
    metric, undefined = METRICS[test.metric], test.cases - test.n
    title = f"difference of {metric.title}"
    left_out = LeftOut(title, test.model, test.label_name, undefined) if undefined else None
    made = group(asdict(test), decimals=metric.decimals, left_out=left_out, signed=True)
    made["mark"] = Mark(MARKS.get(test.verdict, ""))
    return made
