"""Run the main job on synthetic scans: make, convert, plan, preprocess, train, predict unseen ones, evaluate, report.

Every step is a command of nnU-Net's or ours, which is printed as you would type it for scans of your own. All of it
stays in one folder, nnU-Net's three folders included. Interrupt it at any time: the same command continues where it
stopped. Two CPU cores take about six minutes; the training runs on a GPU if there is one.
"""

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from nnunetv2_mscs.workplace.arguments import whole

SUMMARY = "the main job on synthetic scans, from nothing to a score and a picture"
EXAMPLE = "mscs demo --out ./demo"

# The same command continues after an interruption.
GOES_ON = True
LARGEST_SEED = 2**31 - 1


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", type=Path, default=Path("mscs_demo"), metavar="DIR", help="folder of the demo (default ./mscs_demo)")
    add(
        "--seed",
        type=whole(0, LARGEST_SEED),
        default=0,
        metavar="N",
        help="seed of the scans and of the choice of unseen ones (default 0)",
    )
    add("--device", choices=("cpu", "cuda", "mps"), help="where to train (default: cuda if there is such a GPU)")
    add("--overwrite", action="store_true", help="start over, if the folder holds a demo")


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.demo.result import draw_result, read_result, result_table, summary_lines
    from nnunetv2_mscs.demo.run import check_folder, run_demo
    from nnunetv2_mscs.demo.settings import DemoSettings
    from nnunetv2_mscs.demo.stages import REPORT
    from nnunetv2_mscs.pipeline.state import RunFolder
    from nnunetv2_mscs.workplace.devices import check_device, default_device

    settings = DemoSettings(seed=args.seed)
    check_folder(RunFolder(args.out))
    if args.device:
        check_device(args.device)
    device, why = (args.device, "") if args.device else default_device()
    if why:
        print(why, flush=True)
    seconds = run_demo(args.out, settings, device=device, overwrite=args.overwrite)
    result = read_result(args.out)
    picture = draw_result(args.out, result)
    print(f"\n{result_table(result)}\n")
    print("\n".join(summary_lines(result)))
    print(f"All steps together took {seconds / 60:.1f} minutes. Logs: {args.out / 'logs'}")
    print(f"report {args.out / REPORT}")
    print(f"picture {picture}")
    print(f"mean Dice {result.mean_dice:.2f}")
    print(f"next: your own scans: {_command()} run SCANS 501 Stroke --workspace ./stroke --dry-run")
    return 0


def _command() -> str:
    """The words that start `mscs` in this environment, even if it is not activated."""
    found = shutil.which("mscs")
    return "mscs" if found else shlex.quote(str(Path(sys.executable).with_name("mscs")))
