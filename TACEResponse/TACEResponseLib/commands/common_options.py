"""Options that several commands have: which patients, how they are measured, how many at a time."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from TACEResponseLib.messages.language import LANGUAGES, VARIABLE, tr
from TACEResponseLib.settings import TrainingSettings

from .parser import Parser

#: Adds a command: its name, one line of help, and an example of its arguments.
Command = Callable[[str, str, str], Parser]
#: What a training does that names no other choice.
PAPER = TrainingSettings()
#: As `cases.outline.SOURCES`, which needs packages that the help must do without.
MASK_SOURCES = ("drawn", "proposed", "confirmed", "edited")


def add_general(add: Callable) -> None:
    """Help and language, which every parser has: both stand before and after the command's name."""
    add("-h", "--help", action="help", help=tr("Show this help and end."))
    text = tr("Language of texts, pages and figures; data stay English (default: {of}, or en).", of=VARIABLE)
    # It is spoken already: `asked_language` has read it before this parser was made.
    add("--language", choices=tuple(LANGUAGES), help=text)


def add_cohort(command: Parser, repairs: bool = False) -> Callable[..., argparse.Action]:
    """The options that say which patients; what adds further ones to their group."""
    add = command.add_argument_group(tr("what to do")).add_argument
    text = tr("Folder with cohort.csv or cohort.xlsx, or such a table; must be given.")
    add("--cohort", type=Path, required=True, help=text)
    add_encoding(add)
    if repairs:
        add_repair(add)
    return add


def add_register(add: Callable) -> None:
    text = tr("File of the register; must be given.")
    add("--register", type=Path, required=True, metavar="FILE", help=text)


def add_preset(add: Callable) -> None:
    text = tr("Recipe of the training: peng2021, recommended or public2026 (default: %(default)s).")
    add("--preset", default=PAPER.preset, metavar="NAME", help=text)


def add_engine(add: Callable, default: str) -> None:
    text = tr("Program that measures the radiomics features (default: {default}).", default=default)
    add("--engine", choices=("fast", "pyradiomics"), help=text)
    add_jobs(add)


def add_jobs(add: Callable) -> None:
    text = tr("Number of patients at a time (default: %(default)s, one per processor).")
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help=text)


def add_encoding(add: Callable) -> None:
    text = tr(
        "Text encoding of the CSV, such as gb18030, big5, shift_jis, cp949, cp1251 or cp1252 (default: "
        "recognised where it is certain)."
    )
    add("--encoding", metavar="NAME", help=text)


def add_repair(add: Callable) -> None:
    text = tr("Repair masks that would be refused, and record it: copy-geometry, resample-mask or union.")
    add("--repair", default="", metavar="NAMES", help=text)


def add_mask_source(add: Callable) -> None:
    text = tr("Where the mask is from; of a cohort, where its table does not say (default: not known).")
    add("--mask-source", choices=MASK_SOURCES, default="", help=text)
