"""Stop a run: end its process on this machine, or cancel its jobs on the cluster.

What is done stays, and trainings keep their latest checkpoints: the same `mscs run` continues from there.
"""

import argparse

from nnunetv2_mscs.workplace.arguments import add_workspace, dataset_id

SUMMARY = "stop a run, here or on the cluster; it can continue later"
EXAMPLE = "mscs cancel 1"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset_id", metavar="DATASET_ID", type=dataset_id, help="nnU-Net's dataset id, 1 to 999")
    add_workspace(parser)


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.pipeline.cancel import cancel
    from nnunetv2_mscs.pipeline.state import find_runs

    for one in find_runs(args.workspace, args.dataset_id):
        for line in cancel(one) or ["nothing runs"]:
            print(f"{one.path.parent.name}: {line}")
    return 0
