"""What a table template can name: the statistics of a model, as values that know how they are printed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.paired_tests import PairedTest
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.wording import DASH, number, p_number

DECIMALS, DECIMALS_ML = 3, 2
MARKS = {"better": "*", "worse": "†"}
SIGNED, P_VALUES = ("difference", "median_difference", "ci_low", "ci_high"), ("p", "p_holm")


@dataclass(frozen=True)
class LeftOut:
    """The number of cases that a number leaves out, because its metric is undefined there."""

    title: str
    model: str
    label_name: str
    cases: int


class Number(float):
    """A float that knows how it is printed; NaN is printed as a dash.

    Args:
        value: unrounded.
        look: any of the attributes `decimals`, `signed` (print a plus sign too), `is_p` (a p-value, never printed as
            0, nor so that its side of 0.05 is hidden), and `left_out` (None if no case was left out).
    """

    decimals: int = DECIMALS
    signed: bool = False
    is_p: bool = False
    left_out: LeftOut | None = None

    def __new__(cls, value: float, **look: Any) -> "Number":
        made = super().__new__(cls, value)
        vars(made).update(look)
        return made

    def like(self, value: float, **look: Any) -> "Number":
        """Another value printed like this one, except for the attributes given."""
        return Number(value, **{**vars(self), **look})

    @property
    def text(self) -> str:
        return p_number(self, self.decimals) if self.is_p else number(self, self.decimals, signed=self.signed)


class Mark(str):
    """A sign beside a tested difference; empty where the models are not distinguishable."""


class Group(dict[str, Any]):
    """Values by name, such as the mean and the sd of a metric."""


def row_values(evaluation: Evaluation, label: str, comparison: Comparison | None) -> dict[str, Any]:
    """Everything that a template can name about one model and label; docs/tables.md lists the names."""
    of_label = evaluation.statistics["labels"][label]
    among = {part: _metrics(of_label, evaluation.model, part) for part in ("all_cases", "lesion_cases")}
    return {
        **among["all_cases"],
        **among,
        "model": evaluation.model,
        "label": label,
        "label_name": of_label["name"],
        "labels": list(evaluation.labels.values()),
        "cases": _group(of_label["cases"]),
        "lesions": _group(of_label["lesions_by_size"]),
        "volumes": _group(of_label["volume_agreement"]),
        "threshold_ml": f"{of_label['volume_agreement']['classification']['threshold_ml']:g}",
        "settings": _group(evaluation.statistics["settings"]),
        "baseline": comparison.models[0] if comparison else evaluation.model,
        "against_first": _against_first(comparison, evaluation.model, label),
    }


def _group(values: Mapping[str, Any], **look: Any) -> Group:
    """Statistics as JSON holds them, with `interval` beside ci_low and ci_high."""
    made = Group({key: _value(key, value, look) for key, value in values.items()})
    if "ci_low" in made and "ci_high" in made:
        made["interval"] = (made["ci_low"], made["ci_high"])
    return made


def _value(key: str, value: Any, look: dict[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return _group(value, **look)
    if isinstance(value, list | tuple):
        return tuple(_value(key, one, look) for one in value)
    if value is not None and not isinstance(value, float):
        return value
    look = look | {"signed": key in SIGNED and look.get("signed", False), "is_p": key in P_VALUES}
    if key in P_VALUES:
        look["decimals"] = DECIMALS
    elif key.endswith("_ml"):
        look["decimals"] = DECIMALS_ML
    return Number(float("nan") if value is None else value, **look)


def _metrics(of_label: Mapping[str, Any], model: str, part: str) -> Group:
    among = " among cases with lesion" if part == "lesion_cases" else ""
    metrics = Group()
    for column, one in of_label[part].items():
        metric, undefined = METRICS[column], one["undefined"]
        left_out = LeftOut(metric.title + among, model, of_label["name"], undefined) if undefined else None
        metrics[column] = _group(one, decimals=metric.decimals, left_out=left_out)
    return metrics


def _against_first(comparison: Comparison | None, model: str, label: str) -> Group:
    """The tests against the first model by metric; a group of dashes where there is none."""
    nothing = _group({field.name: None for field in fields(PairedTest)}) | {"verdict": DASH, "mark": ""}
    tests = comparison.of(model, label) if comparison else {}
    return Group({column: _test(tests[column]) if column in tests else Group(nothing) for column in METRICS})


def _test(test: PairedTest) -> Group:
    metric, undefined = METRICS[test.metric], test.cases - test.n
    title = f"difference of {metric.title}"
    left_out = LeftOut(title, test.model, test.label_name, undefined) if undefined else None
    made = _group(asdict(test), decimals=metric.decimals, left_out=left_out, signed=True)
    made["mark"] = Mark(MARKS.get(test.verdict, ""))
    return made
