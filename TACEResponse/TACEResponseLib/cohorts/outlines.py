"""Where the outlines of a cohort are from, and further outlines of the same tumours.

`mask_source` says who made `mask`. Any column `mask_NAME` without a meaning of its own holds further
outlines, such as those of a program, which `evaluate --second-mask` compares with the first.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.readers.tables import Row

if TYPE_CHECKING:
    from .table import Cohort

COLUMN, READER2 = "mask_source", "mask_reader2"
#: Beginning of the name of every column of further outlines.
FURTHER = "mask_"


def outline_of(row: Row, table: str) -> Outline:
    """What a row says of its mask, unknown where it says nothing; TableError for another word."""
    try:
        return Outline.from_text(row.get(COLUMN, ""))
    except InputError as error:
        said = error.problem
        message = tr(
            "row {row}, column {column}: {message}", row=row.number, column=COLUMN, message=said.message
        )
        raise TableError.from_problem(
            replace(said, kind=TableError.kind, message=message, file=table)
        ) from None


def with_sources(cohort: "Cohort", source: str) -> "Cohort":
    """The cohort with `source` for every mask whose row says nothing; InputError for another word."""
    said = Outline.from_text(source)
    patients = (p if p.outline.source else replace(p, outline=said) for p in cohort.patients)
    return replace(cohort, patients=tuple(patients))


def second_masks(cohort: "Cohort", column: str) -> dict[str, Path]:
    """Patient -> path of the outline in another column; InputError for a column that holds none."""
    found = {p.patient_id: {**p.masks, READER2: p.mask_reader2} for p in cohort.patients}
    masks = {patient_id: of[column] for patient_id, of in found.items() if of.get(column) is not None}
    if not masks:
        there = sorted({name for of in found.values() for name, path in of.items() if path is not None})
        raise InputError(
            tr("the table has no second outlines in this column"),
            field="second-mask",
            expected=listed(there) or tr("a column mask_reader2, or one named mask_ and a word, with paths"),
            received=column,
            remedy=tr("name a column that holds masks of the same tumours"),
        )
    return masks
