"""Where the outlines of a cohort are from, and further outlines of the same tumours.

`mask_source` says who made `mask`. Any column `mask_NAME` without a meaning of its own holds further
outlines, such as those of a program, which `evaluate --second-mask` compares with the first.
"""

from dataclasses import replace

from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row

COLUMN = "mask_source"
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
