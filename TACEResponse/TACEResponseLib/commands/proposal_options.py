"""The options of `propose`."""

import re
from pathlib import Path

from TACEResponseLib.messages.language import tr

from .common_options import Command, add_encoding


def add_propose(command: Command) -> None:
    """Add the command that makes drafts of outlines."""
    text = tr("propose a tumour outline, as a draft, by one click or by a program")
    example = "--image ct.nii.gz --seed-mm -62.5,10,-120 --out draft.nrrd"  # not a text
    propose = command("propose", text, example)
    # A point may begin with a minus, as a negative number may.
    propose._negative_number_matcher = re.compile(r"-[\d.][-\d.,;e]*$")
    add = propose.add_argument_group(tr("one patient")).add_argument
    text = tr("CT before TACE: a volume file or a folder with a DICOM series.")
    add("--image", type=Path, help=text)
    text = tr("Description, number, UID or phase of one series, when the folder has several.")
    add("--series", help=text)
    text = tr("Point inside the tumour, LPS in mm: grow the outline from it, without any other program.")
    add("--seed-mm", metavar="X,Y,Z", help=text)
    text = tr("How far an outline from a point reaches, from 0 to 1 (default: 0.5).")
    add("--extent", type=float, metavar="E", help=text)

    add = propose.add_argument_group(tr("many patients, instead of --image")).add_argument
    text = tr("Folder with cohort.csv or cohort.xlsx and images, or such a table.")
    add("--cohort", type=Path, help=text)
    add_encoding(add)

    add = propose.add_argument_group(tr("program that proposes, where no point is given")).add_argument
    text = tr("Program, called as TotalSegmentator is, with its own arguments (default: TotalSegmentator).")
    add("--command", dest="program", metavar="COMMAND", help=text)
    text = tr("Where the program computes (default: %(default)s).")
    add("--device", choices=("cpu", "gpu"), default="gpu", help=text)

    add = propose.add_argument_group(tr("result")).add_argument
    text = tr("Mask to write (.nrrd, .nii.gz or .mha); of a cohort the folder of the masks; must be given.")
    add("--out", type=Path, required=True, metavar="PATH", help=text)
