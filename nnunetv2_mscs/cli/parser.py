"""argparse as people type: a mistyped command or option is answered with the nearest right one."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from nnunetv2_mscs.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose errors about unknown options show the usage of the command that they were given to."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As argparse, but for unknown options: looked for first, as argparse would rather say what else is missing."""
        if args is not None and not self._subparsers:
            self._refuse_unknown(args)
        known, others = super().parse_known_args(args, namespace)
        if others:
            self.error(f"too many words: {' '.join(others)}")
        return known, others

    def _refuse_unknown(self, words: Iterable[str]) -> None:
        options = [option for option in self._option_string_actions if option.startswith("--")]
        for word in words:
            name = word.partition("=")[0]
            if name == "--":
                return
            if name.startswith("--") and not any(option.startswith(name) for option in options):
                self.error(f"unknown option {name}.{did_you_mean(name, options)}")


class MainParser(Parser):
    """The parser of `mscs` itself, which knows the commands by name."""

    commands: tuple[str, ...] = ()

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As argparse; a first word that is no command ends with the nearest ones."""
        words = list(args or [])
        self._refuse_unknown(words[:1])
        if words and not words[0].startswith("-") and words[0] not in self.commands:
            self.unknown_command(words[0])
        return super().parse_args(words, namespace)

    def unknown_command(self, word: str) -> NoReturn:
        """End with 2 and the nearest commands."""
        self.error(f"there is no command {word}.{did_you_mean(word, self.commands)} `mscs` alone lists all commands.")
