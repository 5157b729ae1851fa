"""Options that several commands have: which patients, how they are measured, how many at a time."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import TrainingSettings

from .parser import Parser

#: Adds a command: its name, one line of help, and an example of its arguments.
Command = Callable[[str, str, str], Parser]
#: What a training does that names no other choice.
PAPER = TrainingSettings()
#: As `cases.outline.SOURCES`, which needs packages that the help must do without.
MASK_SOURCES = ("drawn", "proposed", "confirmed", "edited")


def add_cohort(command: Parser, repairs: bool = False) -> Callable[..., argparse.Action]:
    """The options that say which patients; what adds further ones to their group."""
    add = command.add_argument_group("what to do").add_argument
    text = "Folder with cohort.csv or cohort.xlsx, or such a table; must be given."
    add("--cohort", type=Path, required=True, help=text)
    add_encoding(add)
    if repairs:
        add_repair(add)
    return add


def add_register(add: Callable) -> None:
    add("--register", type=Path, required=True, metavar="FILE", help="File of the register; must be given.")


def add_preset(add: Callable) -> None:
    text = "Recipe of the training: peng2021, recommended or public2026 (default: %(default)s)."
    add("--preset", default=PAPER.preset, metavar="NAME", help=text)


def add_engine(add: Callable, default: str) -> None:
    text = f"Program that measures the radiomics features (default: {default})."
    add("--engine", choices=("fast", "pyradiomics"), help=text)
    add_jobs(add)


def add_jobs(add: Callable) -> None:
    text = "Number of patients at a time (default: %(default)s, one per processor)."
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help=text)


def add_encoding(add: Callable) -> None:
    names = "gb18030, big5, shift_jis, cp949, cp1251 or cp1252"
    text = f"Text encoding of the CSV, such as {names} (default: recognised where it is certain)."
    add("--encoding", metavar="NAME", help=text)


def add_repair(add: Callable) -> None:
    text = "Repair masks that would be refused, and record it: copy-geometry, resample-mask or union."
    add("--repair", default="", metavar="NAMES", help=text)


def add_mask_source(add: Callable) -> None:
    text = tr("Where the mask is from; of a cohort, where its table does not say (default: not known).")
    add("--mask-source", choices=MASK_SOURCES, default="", help=text)
