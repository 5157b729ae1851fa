"""Where the files of a row of the cohort's table lie, and which of them are not there."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, Problem, TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row
from TACEResponseLib.readers.volumes import existing


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


def missing_files(row: Row, table: Path, columns: Sequence[str]) -> list[Problem]:
    """What is wrong with the files that the cells of a row name, before any is opened."""
    return [problem for name in columns if row.get(name) for problem in _missing(row, table, name)]


def _missing(row: Row, table: Path, column: str) -> list[Problem]:
    try:
        existing(located(row, table, column), "image" if column == "image" else "mask")
    except InputError as error:
        said = error.problem
        message = tr(
            "row {row}, column {column}: {message}", row=row.number, column=column, message=said.message
        )
        about = {"file": table.name, "patient_id": row["patient_id"], "field": column}
        return [replace(said, kind=TableError.kind, message=message, **about)]
    return []
