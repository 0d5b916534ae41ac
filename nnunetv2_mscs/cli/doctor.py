"""Report what is installed, found and missing; exit 1 if a training could not start.

Stock nnU-Net finds MSCSTrainer, MSCSPlanner and the normalizations after a regular pip install. After an editable one,
--link places the modules that nnU-Net looks for into the nnU-Net in use, and --unlink removes them.
"""

import argparse

SUMMARY = "what is installed, found and missing"
EXAMPLE = "mscs doctor"


def configure(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--link", action="store_true", help="let stock nnU-Net find an editable installation")
    action.add_argument("--unlink", action="store_true", help="undo what --link did")


def run(args: argparse.Namespace) -> int:
    if args.link or args.unlink:
        return _change_links(args.link)
    from nnunetv2_mscs.doctor import MISSING, examine

    missing = 0
    for finding in examine():
        print(f"{finding.state:<8} {finding.subject:<25} {finding.text}", flush=True)
        if finding.remedy:
            print(f"{'':<34} -> {finding.remedy}", flush=True)
        missing += finding.state == MISSING
    print("A training could start." if not missing else f"A training could not start: {missing} missing (see above).")
    return 1 if missing else 0


def _change_links(link: bool) -> int:
    from nnunetv2_mscs.nnunet_shims import link as links

    folders = links.link() if link else links.unlink()
    for folder in folders:
        print(f"{'placed' if link else 'removed'} {folder}")
    if not folders:
        print("Nothing to do: pip has placed them." if link else "Nothing to do: there are none.")
    return 0
