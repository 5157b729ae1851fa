"""Where the outlines of a cohort are from: the column `mask_source`, and further columns of masks."""

from dataclasses import replace
from typing import TYPE_CHECKING

from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row

if TYPE_CHECKING:
    from .table import Cohort

COLUMN = "mask_source"


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
