"""How the command line reads its arguments: help where nothing is given, and what was probably meant."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence

BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """A parser that answers a misspelt command or option with the one that was probably meant.

    commands: name -> parser of each command, empty for a command itself. Without any argument a program
    shows its help. Faults are one or two sentences on the error stream and exit code 2.
    """

    def __init__(self, **settings):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)
        self.commands: dict[str, Parser] = {}

    def parse_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        """The options; ends the program after help and after a fault."""
        given = list(sys.argv[1:] if args is None else args)
        if self.commands and not given:
            self.print_help()
            self.exit()
        if self.commands and not given[0].startswith("-") and given[0] not in self.commands:
            self.error(f'there is no command "{given[0]}"{_meant(given[0], self.commands)}')
        options, unknown = self.parse_known_args(given, namespace)
        if unknown:
            self.commands.get(given[0], self).refuse(unknown)
        return options

    def refuse(self, unknown: Sequence[str]) -> None:
        """End the program because of arguments that this command does not take."""
        first = unknown[0].partition("=")[0]
        if not first.startswith("-"):
            self.error(f'"{first}" belongs to no option')
        known = re.findall(r"--[\w-]+", self.format_usage())
        self.error(f"there is no option {first}{_meant(first, known)}")

    def error(self, message: str) -> None:
        """Say what is wrong and where the options are listed; no list of all options before it."""
        message = message.rstrip(".")
        stop = "" if message.endswith("?") else "."
        self.exit(BAD_INPUT, f"{self.prog}: {message}{stop}\nSee {self.prog} --help.\n")


def _meant(word: str, known: Sequence[str]) -> str:
    """ ". Did you mean predict?", or nothing where no known word is like this one."""
    like = difflib.get_close_matches(word, known, n=1)
    return f". Did you mean {like[0]}?" if like else ""
