"""The report's table of paired tests."""

from dataclasses import replace

import pytest

from nnunetv2_mscs.evaluation.comparison import compare
from nnunetv2_mscs.reporting.report.comparing import HEADER, comparison_section
from tests.evaluation.random_evaluation import random_evaluation


@pytest.mark.parametrize(
    ("p", "printed"), [(1e-7, "< 0.001"), (0.0498, "0.0498"), (0.04996, "0.04996"), (0.05, "0.050")]
)
def test_p_is_printed_on_its_side_of_the_limit(p, printed):
    comparison = compare([random_evaluation("A", 1), random_evaluation("B", 2)], samples=100)
    tests = tuple(replace(test, p=p, p_holm=p) for test in comparison.tests)
    (table,) = comparison_section(replace(comparison, tests=tests)).tables
    columns = HEADER.index("p"), HEADER.index("p (Holm)")
    assert {row[column] for row in table.rows for column in columns} == {printed}
