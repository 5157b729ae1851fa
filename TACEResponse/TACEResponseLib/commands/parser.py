"""How the command line reads its arguments: help where nothing is given, and what was probably meant."""

import argparse
import contextlib
import difflib
import re
import sys
from collections.abc import Iterator, Sequence

from TACEResponseLib.messages.language import LANGUAGES, language, mark, tr, width

BAD_INPUT = 2
#: A part of a point whose numbers stand with blanks between them.
NUMBER = re.compile(r"-?[\d.]+[,;]?$")
#: What argparse itself says of arguments, in its own words: keys of the catalogue.
ARGPARSE = (
    mark("argument %(argument_name)s: %(message)s"),
    mark("the following arguments are required: %s"),
    mark("expected one argument"),
    mark("expected at least one argument"),
    mark("expected at most one argument"),
    mark("expected %s argument"),
    mark("expected %s arguments"),
    mark("ignored explicit argument %r"),
    mark("ambiguous option: %(option)s could match %(matches)s"),
    mark("invalid choice: %(value)r (choose from %(choices)s)"),
    mark("invalid %(type)s value: %(value)r"),
)
#: Where a line of Chinese may end: after a Latin word or any other letter, with the marks that belong to it.
PIECE = re.compile(r"[（“]*(?:[!-~]+|\S)[，。：；、？）”]*\s*")


def asked_language(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """What `--language` says, and the other arguments; read before a parser is made, whose texts have one."""
    only = argparse.ArgumentParser(add_help=False)
    only.add_argument("--language", nargs="?")
    asked, others = only.parse_known_args(arguments)
    return asked.language, others


class Help(argparse.RawDescriptionHelpFormatter):
    """Help in the reader's language, in lines that fit the terminal: a Chinese letter takes two columns."""

    def _format_usage(self, usage, actions, groups, prefix):
        text = super()._format_usage(usage, actions, groups, prefix)
        return text.replace("usage: ", tr("usage: "), 1)  # as wide, or the lines below it would be shifted

    def _split_lines(self, text: str, columns: int) -> list[str]:
        if language() == "en":
            return super()._split_lines(text, columns)
        lines = [""]
        for piece in PIECE.findall(text):
            if width((lines[-1] + piece).rstrip()) > columns:
                lines.append("")
            lines[-1] += piece
        return [line.rstrip() for line in lines]


class Parser(argparse.ArgumentParser):
    """A parser that answers a misspelt command or option with the one that was probably meant.

    commands: name -> parser of each command, empty for a command itself. Without any argument a program
    shows its help. Faults are one or two sentences on the error stream and exit code 2.
    """

    def __init__(self, **settings):
        settings.setdefault("formatter_class", Help)
        super().__init__(**settings)
        self.commands: dict[str, Parser] = {}

    def parse_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        """The options; ends the program after help and after a fault."""
        given = list(sys.argv[1:] if args is None else args)
        asked, others = asked_language(given)
        if self.commands and not others and (not given or asked in LANGUAGES):
            self.print_help()
            self.exit()
        if self.commands and others and not others[0].startswith("-") and others[0] not in self.commands:
            self.error(_unknown_command(others[0], self.commands))
        options, unknown = self.parse_known_args(given, namespace)
        if unknown:
            self.commands.get(getattr(options, "command", ""), self).refuse(unknown)
        return options

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does it, with faults in the reader's language."""
        with _argparse_translated():
            return super().parse_known_args(args, namespace)

    def format_help(self) -> str:
        """The help; in Chinese a heading has its own colon, which argparse would write in English."""
        text = super().format_help()
        return text if language() == "en" else re.sub(r"^(\S.*):$", r"\1：", text, flags=re.MULTILINE)

    def refuse(self, unknown: Sequence[str]) -> None:
        """End the program because of arguments that this command does not take."""
        first = unknown[0].partition("=")[0]
        if NUMBER.match(first):
            said = tr(
                '"{word}" belongs to no option. Write numbers that belong together with commas and without'
                " blanks, as in --seed-mm -62.5,10,-120",
                word=first,
            )
            self.error(said)
        if not first.startswith("-"):
            self.error(tr('"{word}" belongs to no option', word=first))
        like = _like(first, re.findall(r"--[\w-]+", self.format_usage()))
        if like:
            self.error(tr("there is no option {name}. Did you mean {like}?", name=first, like=like))
        self.error(tr("there is no option {name}", name=first))

    def error(self, message: str) -> None:
        """Say what is wrong and where the options are listed; no list of all options before it."""
        message = message.rstrip(".")
        if not message.endswith(("?", "？")):
            message = tr("{text}.", text=message)
        about = tr("{program}: {message}\nSee {program} --help.\n", program=self.prog, message=message)
        self.exit(BAD_INPUT, about)


def _unknown_command(given: str, known: Sequence[str]) -> str:
    like = _like(given, known)
    if like:
        return tr('there is no command "{name}". Did you mean {like}?', name=given, like=like)
    return tr('there is no command "{name}"', name=given)


def _like(word: str, known: Sequence[str]) -> str:
    """The known word that was probably meant; empty where none is like this one."""
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")


@contextlib.contextmanager
def _argparse_translated() -> Iterator[None]:
    """Within it argparse's own faults are in the reader's language.

    A fault reaches `error` as a finished sentence, too late to be translated. argparse asks two names of
    its module for every sentence (3.11 to 3.13; where they go, it speaks English), which lead to gettext
    and to files of the system that nobody has. They are given back at once, for other parsers.
    """
    before = {name: getattr(argparse, name, None) for name in ("_", "ngettext")}
    argparse._ = tr
    argparse.ngettext = lambda one, many, n: tr(one if n == 1 else many)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(argparse, name, function)
