"""The tables of a paper: templates found, filled with the statistics of models, written as Markdown, LaTeX and CSV."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.tables.filling import check_template, fill_table
from nnunetv2_mscs.reporting.tables.template import find_templates
from nnunetv2_mscs.reporting.tables.writing import write_table


def table_writer(
    names: Sequence[str], folder: Path | None
) -> Callable[[Path, Sequence[Evaluation], Comparison | None], None]:
    """A function that fills the templates of these names and writes the tables into a folder.

    `folder` holds templates of the user's own. A name given twice counts once.

    Raises:
        MscsError: there is no such template, or it is broken.
    """
    known = find_templates([folder] if folder else [])
    for name in names:
        if name not in known:
            raise MscsError(f"There is no table template {name}.", f"There are: {', '.join(sorted(known))}.")
        check_template(known[name])

    def write(out: Path, evaluations: Sequence[Evaluation], comparison: Comparison | None) -> None:
        for name in dict.fromkeys(names):
            write_table(fill_table(known[name], evaluations, comparison), out)

    return write
