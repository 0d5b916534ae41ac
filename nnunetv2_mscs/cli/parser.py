"""argparse as people type: a mistyped command or option is answered with the nearest right one."""

import argparse
import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from nnunetv2_mscs.errors import did_you_mean

SHORT = re.compile("-[a-zA-Z]")
# Of nnUNetv2_predict: what our commands call otherwise.
NNUNETS_INPUT, NNUNETS_DATASET, NNUNETS_OUTPUT = "-i", "-d", "-o"
MODEL, OUT = "-m", "--out"


class Parser(argparse.ArgumentParser):
    """A parser whose errors about unknown options show the usage of the command that they were given to."""

    def parse_known_args(  # type: ignore[override]  # argparse has four overloads of it
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse, but for unknown options: looked for first, as argparse would rather say what else is missing."""
        if args is not None:
            self.refuse_unknown(takewhile(lambda word: word.startswith("-"), args) if self._subparsers else args)
        known, others = super().parse_known_args(args, namespace)
        if others:
            self.error(f"too many words: {' '.join(others)}")
        return known, others

    def refuse_unknown(self, words: Iterable[str]) -> None:
        """End with 2 and the nearest options if one of these words is an option that the parser does not know."""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        for word in words:
            name = word.partition("=")[0]
            if name == "--":
                return
            if " " in name:  # a value, as argparse takes it
                continue
            if name.startswith("--") and not any(option.startswith(name) for option in options):
                self.error(f"unknown option {name}.{did_you_mean(name, options)}")
            known = self._option_string_actions
            if SHORT.match(name) and not any(name.startswith(one) or one.startswith(name) for one in known):
                self.error(f"unknown option {name}.{self._instead_of(name, options)}")

    def _instead_of(self, short: str, options: Iterable[str]) -> str:
        """What stands for a short option that the parser does not know, such as one of nnU-Net's; "" if unclear."""
        positional = next((action.metavar for action in self._get_positional_actions() if action.metavar), None)
        if short == NNUNETS_INPUT and isinstance(positional, str):
            return f" {positional} stands without an option."
        if short == NNUNETS_DATASET and MODEL in self._option_string_actions:
            return f" Did you mean {MODEL}?"
        near = [option for option in options if option.startswith(f"--{short[1]}") and option != "--debug"]
        if short == NNUNETS_OUTPUT and OUT in near:
            return f" Did you mean {OUT}?"
        return f" Did you mean {near[0]}?" if len(near) == 1 else ""
