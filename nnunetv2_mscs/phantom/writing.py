"""A whole set of phantoms on the disk, in any of the layouts that `mscs convert` reads."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nnunetv2_mscs.phantom.case import phantom_case
from nnunetv2_mscs.phantom.facts import CaseFacts
from nnunetv2_mscs.phantom.layouts import STORES, split_of
from nnunetv2_mscs.phantom.settings import PhantomSettings
from nnunetv2_mscs.workplace.parallel import run_parallel
from nnunetv2_mscs.workplace.result_folder import ResultFolder

TABLE = "phantoms.csv"
PHANTOMS = ResultFolder(kind="a set of phantoms", marks=(TABLE,), prefix=".mscs-phantom-")


def write_phantoms(
    out: Path,
    settings: PhantomSettings,
    *,
    cases: int,
    seed: int,
    first: int = 0,
    layout: str = "images-masks",
    overwrite: bool = False,
    processes: int = 1,
) -> list[CaseFacts]:
    """Write cases `first` to `first + cases - 1` of the set `seed`, and phantoms.csv with the truth about them.

    Args:
        out: a new or empty folder, or, with `overwrite`, a former set.
        settings: how the cases are scanned.
        cases: how many, 1 or more.
        seed: of the set; a case depends on settings, seed and its index alone.
        first: index of the first case; start beyond a training set's last one to get unseen cases of the same kind.
        layout: one of `layouts.STORES`.
        overwrite: replace a former set, once the new one is complete.
        processes: how many to use.

    Raises:
        MscsError: the place is taken or cannot be written. Then nothing is left there.
    """
    with PHANTOMS.staged(out, overwrite=overwrite) as folder:
        work = partial(
            _write_case, settings=settings, seed=seed, first=first, cases=cases, layout=layout, folder=folder
        )
        facts = run_parallel(work, range(first, first + cases), processes=processes, description="phantoms")
        _write_table(facts, folder / TABLE)
    return facts


def _write_case(
    index: int, *, settings: PhantomSettings, seed: int, first: int, cases: int, layout: str, folder: Path
) -> CaseFacts:
    case = phantom_case(settings, seed, index)
    STORES[layout](case, folder, split_of(index - first, cases))
    return case.facts


def _write_table(facts: Sequence[CaseFacts], path: Path) -> None:
    import pandas as pd  # here, as the worker processes do not need it

    pd.DataFrame([case.as_row() for case in facts]).to_csv(path, index=False, lineterminator="\n")
