"""Stop a run: end its process on this machine, or cancel its jobs on the cluster.

What is done stays, and trainings keep their latest checkpoints: the same `mscs run` continues from there.
"""

import argparse
from pathlib import Path

from nnunetv2_mscs.workplace.arguments import dataset_id

SUMMARY = "stop a run, here or on the cluster; it can continue later"
EXAMPLE = "mscs cancel 1"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset_id", metavar="DATASET_ID", type=dataset_id, help="nnU-Net's dataset id, 1 to 999")
    add(
        "--workspace",
        type=Path,
        metavar="DIR",
        help="the folder that holds nnU-Net's three (default: its variables)",
    )


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.pipeline.cancel import cancel
    from nnunetv2_mscs.pipeline.state import find_runs

    for one in find_runs(args.workspace, args.dataset_id):
        for line in cancel(one) or ["nothing runs"]:
            print(f"{one.path.parent.name}: {line}")
    return 0
