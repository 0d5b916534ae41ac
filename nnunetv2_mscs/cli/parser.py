"""argparse as people type: a mistyped command or option is answered with the nearest right one."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from nnunetv2_mscs.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose errors about unknown options show the usage of the command that they were given to."""

    def parse_known_args(  # type: ignore[override]  # argparse has four overloads of it
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse, but for unknown options: looked for first, as argparse would rather say what else is missing."""
        if args is not None and not self._subparsers:
            self.refuse_unknown(args)
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
            if name.startswith("--") and not any(option.startswith(name) for option in options):
                self.error(f"unknown option {name}.{did_you_mean(name, options)}")
