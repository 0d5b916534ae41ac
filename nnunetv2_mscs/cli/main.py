"""Entry point of `mscs`: one argument parser, one module per command, one place where errors become exit codes."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from nnunetv2_mscs import __version__
from nnunetv2_mscs.cli import (
    adapt,
    cancel,
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    export,
    import_keras,
    install,
    model_path,
    phantom,
    predict,
    predict_best,
    report,
    run,
    show,
    status,
    volumes,
)
from nnunetv2_mscs.cli.parser import Parser
from nnunetv2_mscs.errors import MscsError, did_you_mean
from nnunetv2_mscs.workplace.termination import terminable

# Set by a shell that has been told to complete our commands: eval "$(register-python-argcomplete mscs)".
COMPLETING = "_ARGCOMPLETE"
# What nnU-Net has a command for: the answer to those who look for it here.
NNUNETS_OWN = {
    "train": " nnUNetv2_train trains one fold, mscs run all of them.",
    "plan": " nnUNetv2_plan_and_preprocess plans, mscs run does all steps.",
    "preprocess": " nnUNetv2_plan_and_preprocess preprocesses, mscs run does all steps.",
}
COMMANDS = {
    "adapt": adapt,
    "cancel": cancel,
    "compare": compare,
    "convert": convert,
    "demo": demo,
    "doctor": doctor,
    "evaluate": evaluate,
    "export": export,
    "import-keras": import_keras,
    "install": install,
    "model-path": model_path,
    "phantom": phantom,
    "predict": predict,
    "predict-best": predict_best,
    "report": report,
    "run": run,
    "show": show,
    "status": status,
    "volumes": volumes,
}


def build_parser() -> Parser:
    """The parser of all commands. A command module offers SUMMARY, EXAMPLE, configure(parser) and run(args)."""
    parser = Parser(
        prog="mscs",
        description="MSCS-Net for low-resolution stroke MRI, inside stock nnU-Net v2.",
        epilog="""planning, training and prediction are nnU-Net's own commands:
  nnUNetv2_plan_and_preprocess -d DATASET_ID -pl MSCSPlanner
  nnUNetv2_train DATASET_ID 3d_fullres FOLD -tr MSCSTrainer -p MSCSPlans
  nnUNetv2_predict -i SCANS -o MASKS -d DATASET_ID -c 3d_fullres -tr MSCSTrainer -p MSCSPlans""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nnunetv2-mscs {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = subparsers.add_parser(
            name,
            help=module.SUMMARY,
            description=module.__doc__,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 on failed work, 2 on wrong use (argparse), 130 on Ctrl-C.

    141, as the shell's own tools, when the reader of the output went away before its end.
    """
    _prepare_streams()
    try:
        try:
            return _run(_parsed(sys.argv[1:] if argv is None else list(argv)))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parsed(words: list[str]) -> argparse.Namespace:
    """The words of the command line as argparse understands them; `mscs` alone and `mscs help COMMAND` ask for help."""
    if not words or words == ["help"]:
        words = ["--help"]
    elif words[0] == "help":
        words = [*words[1:], "--help"]
    parser = build_parser()
    if COMPLETING in os.environ:
        _complete(parser)
    parser.refuse_unknown(words[:1])
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        near = did_you_mean(words[0], COMMANDS) or NNUNETS_OWN.get(words[0], "")
        parser.error(f"there is no command {words[0]}.{near} `mscs` alone lists all commands.")
    return parser.parse_args(words)


def _complete(parser: Parser) -> None:
    """Print what the shell may complete, and end; argcomplete is loaded only when a shell asks for it."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options="long", exclude=["--debug"])


def _run(args: argparse.Namespace) -> int:
    try:
        with terminable():
            return COMMANDS[args.command].run(args)
    except BrokenPipeError:
        raise
    except MscsError as error:
        if table := error.table(wrap=sys.stderr.isatty()):
            print(table, file=sys.stderr)
        if args.debug:
            raise
        print(f"mscs {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        goes_on = getattr(COMMANDS[args.command], "GOES_ON", False)
        more = "; the same command continues where it stopped" if goes_on else ""
        print(f"mscs {args.command}: interrupted{more}", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(
            f"mscs {args.command}: unexpected {type(error).__name__}: {error} (--debug shows the traceback)",
            file=sys.stderr,
        )
        return 1


def _prepare_streams() -> None:
    """Output never decides on success: closed streams go nowhere, and letters that a stream cannot show are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  for as long as the process lives
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
