"""Where the files of a row of the cohort's table lie."""

import os
from pathlib import Path

from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row


def located(row: Row, table: Path, column: str) -> Path:
    """The path in a cell, from the table's folder; TableError when the cell is empty."""
    if not row.get(column):
        raise TableError(
            tr("row {number}, column {column} is empty", number=row.number, column=column),
            file=table.name,
            field=column,
            expected=tr("a path"),
        )
    path = (table.parent / row[column]).absolute()
    if os.sep == "/" and "\\" in row[column] and not os.path.lexists(path):  # written on Windows
        path = (table.parent / row[column].replace("\\", "/")).absolute()
    return path
