"""Show where a run stands: every stage and fold waiting, running (epoch, pseudo Dice, end), done, or failed and why.

It reads what `mscs run` keeps on disk, from any machine that sees the folder; it changes and disturbs nothing. Without
DATASET_ID it shows all runs, one line each. While nothing runs, it also shows what is out of date because files have
changed since: the next `mscs run` does those stages again.
"""

import argparse
import json
import shutil
import sys
import threading
from typing import TYPE_CHECKING

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.arguments import add_workspace, dataset_id

if TYPE_CHECKING:
    from nnunetv2_mscs.pipeline.state import RunFolder

SUMMARY = "where a run stands: stages, folds, epochs, expected end; why something failed, and what helps"
EXAMPLE = """mscs status
  mscs status 501 --watch
  mscs status 501 --json
  mscs status 501 --log fold3"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset_id", metavar="DATASET_ID", nargs="?", type=dataset_id, help="nnU-Net's dataset id (default: all runs)"
    )
    add_workspace(parser)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--watch", action="store_true", help="keep the table up to date until the run ends (or Ctrl-C)")
    way.add_argument("--json", action="store_true", help="for machines; times in seconds since 1970")
    way.add_argument("--log", metavar="STAGE", help="print the log of a stage; a part of its name is enough")
    parser.set_defaults(wrong_use=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.dataset_id is None and (args.watch or args.log):
        args.wrong_use("--watch and --log show one run: give its DATASET_ID")
    from nnunetv2_mscs.pipeline.state import find_runs

    runs = find_runs(args.workspace, args.dataset_id)
    if args.dataset_id is None:
        _show_all(runs, as_json=args.json)
    elif args.json:
        from nnunetv2_mscs.pipeline.status import run_status

        print(json.dumps(run_status(runs[0]).as_json(), indent=1))
    elif args.log:
        _show_log(runs[0], args.log)
    elif args.watch:
        _watch(runs[0])
    else:
        _show(runs[0])
    return 0


def _show_all(runs: "list[RunFolder]", *, as_json: bool) -> None:
    from nnunetv2_mscs.pipeline.status import run_status
    from nnunetv2_mscs.pipeline.view import headline

    found = []
    for one in runs:
        try:
            found.append(run_status(one, check_files=False))
        except MscsError as error:
            print(f"mscs status: {error}", file=sys.stderr)
    if as_json:
        print(json.dumps([status.as_json() for status in found], indent=1))
    else:
        print("\n".join(headline(status) for status in found))


def _show(run_folder: "RunFolder") -> None:
    from nnunetv2_mscs.pipeline.headlines import results_of
    from nnunetv2_mscs.pipeline.status import DONE, run_status
    from nnunetv2_mscs.pipeline.view import details, table, wants_colours

    status = run_status(run_folder)
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 200
    print(table(status, width=width, colours=wants_colours(sys.stdout)))
    if text := details(status):
        print(f"\n{text}")
    if status.state == DONE:
        print("\n".join(["", *results_of(run_folder)]))


def _watch(run_folder: "RunFolder") -> None:
    from nnunetv2_mscs.pipeline.status import run_status
    from nnunetv2_mscs.pipeline.view import details, live_view

    try:
        live_view(run_folder, threading.Event(), sys.stdout, until_end=True)
    except KeyboardInterrupt:  # the usual way to leave it
        return
    if text := details(run_status(run_folder, check_files=False)):
        print(f"\n{text}")


def _show_log(run_folder: "RunFolder", part: str) -> None:
    names = sorted(log.stem for log in run_folder.logs.glob("*.log"))
    matches = [name for name in names if name == part] or [name for name in names if part in name]
    if len(matches) != 1:
        finding = f"{len(matches)} stages have {part!r} in their names" if matches else f"No stage {part!r} has a log"
        raise MscsError(f"{finding}.", f"Choose among {', '.join(matches or names) or 'none yet'}.")
    with run_folder.log(matches[0]).open(errors="replace") as log:
        shutil.copyfileobj(log, sys.stdout)
