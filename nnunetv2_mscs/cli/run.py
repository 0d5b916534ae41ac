"""Go from a folder of scans to a finished model and its report, each step by nnU-Net's own commands.

Convert, fingerprint, splits, plan, preprocess, train every fold, find the best configuration and postprocessing,
predict the test cases, evaluate, report. Everything is kept in mscs_run/, in the data set's folder of nnUNet_results.
You may interrupt it at any time: the same command continues where it stopped, a training from its latest checkpoint.
What is done is not done again unless what it was made from has changed; you are asked before anything is replaced.
`mscs status DATASET_ID` shows how far it is.

SOURCE is a folder of scans (see mscs convert), or the data set itself in nnUNet_raw, which is then taken as it is.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nnunetv2_mscs.dataset_conversion.options import ConversionOptions
from nnunetv2_mscs.errors import MscsError, did_you_mean
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.workplace.arguments import add_workspace, count, dataset_id, dataset_word
from nnunetv2_mscs.workplace.options import add_options

if TYPE_CHECKING:
    from nnunetv2_mscs.pipeline.run import Run

SUMMARY = "everything, from a folder of scans to a trained model and its report"
EXAMPLE = """mscs run ./stroke 1 Stroke
  mscs run ./stroke 1 Stroke --configurations 2d 3d_fullres --compare nnUNetTrainer --gpus 0,1
  mscs run ./stroke 1 Stroke --dry-run
  mscs run --config stroke.yaml --executor slurm --slurm partition=gpu time=12:00:00 cpus=12"""

# The same command continues after an interruption.
GOES_ON = True
POSITIONAL = ("source", "dataset_id", "name")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", nargs="?", help="folder of the scans, or the data set in nnUNet_raw")
    add("dataset_id", metavar="DATASET_ID", nargs="?", type=dataset_id, help="nnU-Net's dataset id, 1 to 999")
    add("name", metavar="NAME", nargs="?", type=dataset_word, help="the dataset's name: letters, digits, _ and -")
    add("--config", type=Path, metavar="FILE.yaml", help="a YAML file with any of these options; the command line wins")
    add("--yes", action="store_true", help="agree to all replacements")
    add("--dry-run", action="store_true", help="print what would be done as commands that you can type, and end")
    add("--wait", action="store_true", help="with --executor slurm: wait for the jobs and print every change")
    _options(parser)


def _options(parser: argparse.ArgumentParser) -> None:
    """Options that a YAML file may hold as well; None, empty or False if not given."""
    add_options(parser.add_argument_group("the data set (see mscs convert)"), ConversionOptions)
    add_options(parser.add_argument_group("what is trained"), RunSettings, besides=ConversionOptions)
    group = parser.add_argument_group("where it runs")
    add_workspace(group)
    where = group.add_argument
    where("--device", choices=("cpu", "cuda", "mps"), help="default: cuda if there is such a GPU, else cpu")
    where("--executor", choices=("local", "slurm"), help="this machine, or a Slurm cluster (default local)")
    where("--gpus", type=_gpus, metavar="0,1", help="GPUs of this machine to use (default: all), a fold on each")
    where("--gpus-per-fold", type=count, metavar="N", help="train each fold on N GPUs (nnU-Net's DDP; default 1)")
    where("-np", "--processes", type=count, metavar="N", help="processes (default: the available cores)")
    where(
        "--slurm",
        nargs="+",
        metavar="KEY=VALUE",
        help="what to ask of the cluster: partition, cpu_partition, time, memory_gb, cpus, account, qos, constraint, "
        "parallel, and extra=--any-sbatch-option or setup='line of shell', as often as needed",
    )


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.pipeline.checks import early_checks

    asked = _asked(args)
    execution = asked.execution
    _refuse_what_is_not_read(args, execution.executor, execution.device)
    early_checks(asked)
    if args.dry_run:
        from nnunetv2_mscs.pipeline.dry_run import as_script
        from nnunetv2_mscs.pipeline.run import jobs_in_words

        environment = execution.environment(asked.folders)
        stands = asked.standings()
        jobs = jobs_in_words(asked, stands)
        lines = as_script(asked.folder, stands, execution.here, environment, execution.slots(), jobs)
        print("\n".join(lines))
        return 0
    if execution.executor == "slurm":
        return _on_the_cluster(asked, yes=args.yes, wait=args.wait)
    return _here(asked, yes=args.yes)


def _refuse_what_is_not_read(args: argparse.Namespace, executor: str, device: str) -> None:
    """Refuse options on the command line that are for another executor or device; a file may hold those of several.

    Raises:
        MscsError: there is one.
    """
    unread = {
        "local": (("--slurm", args.slurm, "--executor slurm"), ("--wait", args.wait, "--executor slurm")),
        "slurm": (("--gpus", args.gpus, "--gpus-per-fold"), ("-np", args.processes, "--slurm cpus=12")),
    }
    for option, given, instead in unread[executor]:
        if given:
            raise MscsError(f"{option} means nothing to the executor {executor}.", f"Leave it out, or give {instead}.")
    if args.gpus and device != "cuda":
        raise MscsError(f"--gpus, but the device is {device}.", "Leave one of them out.")


def _on_the_cluster(asked: "Run", *, yes: bool, wait: bool) -> int:
    """Submit the jobs and, if asked to, wait for them: then 1 if a stage is not done."""
    from nnunetv2_mscs.pipeline.run import submit

    for line in submit(asked, yes=yes):
        print(line)
    print(f"See how far it is: {asked.folder.command('status')}", flush=True)
    if not wait:
        return 0
    from nnunetv2_mscs.pipeline.slurm_queue import wait_for_jobs

    try:
        undone = wait_for_jobs(asked.folder, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        ending = asked.folder.command("cancel")
        print(f"mscs run: interrupted. The jobs continue. To end them: {ending}", file=sys.stderr)
        return 130
    if undone:
        print(f"Not done: {', '.join(undone)}", file=sys.stderr)
    return 1 if undone else 0


def _here(asked: "Run", *, yes: bool) -> int:
    from nnunetv2_mscs.pipeline.narration import Narration
    from nnunetv2_mscs.pipeline.run import carry_out

    with Narration(asked.folder, live=sys.stdout.isatty()) as narration:
        outcome = carry_out(asked, yes=yes, follower=narration.follower)
    narration.end(outcome)
    return 1 if outcome.failed else 0


def _asked(args: argparse.Namespace) -> "Run":
    """The run that command line and file together ask for."""
    from nnunetv2_mscs.nnunet_files.environment import folders_of
    from nnunetv2_mscs.pipeline.run import Run

    given = {**(_from_file(args.config) if args.config else {}), **_given(args)}
    if lacking := [name.upper() for name in POSITIONAL if name not in given]:
        usage = f"Usage: mscs {args.command} SOURCE DATASET_ID NAME, or --config FILE.yaml."
        raise MscsError(f"{lacking[0]} is not given.", usage)
    folders = folders_of(given.pop("workspace", None))
    if model := given.get("adapt") or getattr(args, "default_model", None):
        _adapt(given, model, folders.results)
    execution = _execution(given)
    for place in ("source", "unlabelled"):
        if place in given:
            given[place] = str(Path(given[place]).absolute())
    return Run(RunSettings.from_json(given), folders, execution)


def _adapt(given: dict[str, Any], model: str, results: Path) -> None:
    """Name the place of the model to adapt, and take trainer and configuration from it where they are not given."""
    from nnunetv2_mscs.models.shipped import SHIPPED
    from nnunetv2_mscs.pipeline.models import ADAPTING_TRAINER
    from nnunetv2_mscs.pipeline.take_plans import model_to_adapt

    source = model_to_adapt(model, results)
    if model != SHIPPED:  # a zip stays one; a data set becomes the folder of its model
        model = str(Path(model).absolute() if Path(model).is_file() else source.first_folder)
    given["adapt"] = model
    given.setdefault("trainer", ADAPTING_TRAINER)
    given.setdefault("configurations", (source.selection.models.models[0].configuration,))


def _execution(given: dict[str, Any]) -> Any:
    """Where it runs; removes the options for that from those given."""
    from nnunetv2_mscs.pipeline.run import LOCAL, Execution
    from nnunetv2_mscs.workplace.devices import look_for_gpus
    from nnunetv2_mscs.workplace.resources import cores

    executor, gpus, device = given.pop("executor", LOCAL), given.pop("gpus", None), given.pop("device", None)
    if device is None:
        device, why = _default_device(executor, gpus)
        print(why, file=sys.stderr, flush=True)
    if executor == LOCAL and device == "cuda":
        gpus = gpus or [gpu.index for gpu in look_for_gpus().found]
    return Execution(
        executor=executor,
        device=device,
        gpus=tuple(gpus or ()) if executor == LOCAL and device == "cuda" else (),
        gpus_per_fold=given.pop("gpus_per_fold", 1),
        processes=given.pop("processes", None) or cores(),
        slurm=_slurm_options(given.pop("slurm", [])),
    )


def _default_device(executor: str, gpus: list[str] | None) -> tuple[str, str]:
    """The device where none is given, and a line that says why."""
    from nnunetv2_mscs.workplace.devices import default_device

    if executor == "slurm":
        return "cuda", "device cuda: the default of --executor slurm; --device cpu asks for no GPU"
    return ("cuda", f"device cuda: --gpus {','.join(gpus)}") if gpus else default_device()


def _slurm_options(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE words as options; several of extra and setup are collected. Raises MscsError for any other word."""
    from nnunetv2_mscs.pipeline.slurm_options import SlurmOptions

    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not value:
            raise MscsError(f"--slurm {pair} is not KEY=VALUE.", "Such as --slurm partition=gpu time=12:00:00.")
        if key in ("extra", "setup"):
            options.setdefault(key, []).append(value)
        else:
            options[key] = _number(key, value)
    SlurmOptions.from_json(options)
    return options


def _number(key: str, value: str) -> Any:
    kinds = {"cpus": int, "parallel": int, "memory_gb": float}
    if key not in kinds:
        return value
    try:
        return kinds[key](value)
    except ValueError:
        raise MscsError(f"--slurm {key}={value} is not a number.", "Such as --slurm cpus=12.") from None


def _from_file(file: Path) -> dict[str, Any]:
    """The options in a YAML file, checked as those of the command line are; exits with 2 if they are wrong."""
    from nnunetv2_mscs.pipeline.settings import as_words, lines_of_keys, read_settings_file

    values = read_settings_file(file)
    parser = _FileParser(file, lines_of_keys(file))
    _options(parser)
    for name in POSITIONAL:
        kinds = {"dataset_id": dataset_id, "name": dataset_word}
        parser.add_argument(f"--{name.replace('_', '-')}", type=kinds.get(name, str))
    parser.refuse_unknown_keys()
    return _given(parser.parse_args(as_words(values)))


class _FileParser(argparse.ArgumentParser):
    """A parser of the options in a YAML file, whose errors name the line and the key as it is written there."""

    OPTION = re.compile(r"argument (?:-\w+/)?--([\w-]+)(?:/\S+)?: ")

    def __init__(self, file: Path, lines: Mapping[str, int]):
        super().__init__(prog=str(file), usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)
        self.lines = lines

    def refuse_unknown_keys(self) -> None:
        """End with 2 and the nearest key if one of the file's keys is no option of a run."""
        known = [option.removeprefix("--") for option in self._option_string_actions if option.startswith("--")]
        for key, line in self.lines.items():
            if key.replace("_", "-") not in known:
                near = did_you_mean(key.replace("_", "-"), known) or f" Known are {', '.join(sorted(known))}."
                self.error(f"line {line}: there is no key {key}.{near}")

    def error(self, message: str) -> NoReturn:
        option = self.OPTION.match(message)
        for key, line in self.lines.items():
            if option and key.replace("_", "-") == option[1]:
                message = f"line {line}: {key}: {message[option.end() :]}"
        super().error(message)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The options of a run that were given."""
    others = ("command", "debug", "config", "yes", "dry_run", "wait", "default_model")
    values = {key: value for key, value in vars(args).items() if key not in others}
    return {key: value for key, value in values.items() if value is not None and value is not False and value != []}


def _gpus(text: str) -> list[str]:
    ids = [one.strip() for one in text.split(",")]
    if not all(one.isdigit() for one in ids) or len(set(ids)) < len(ids):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different GPUs such as 0,1")
    return ids
