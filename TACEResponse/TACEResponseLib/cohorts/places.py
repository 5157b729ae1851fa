"""Where the table of a cohort's folder lies, and the files of its rows."""

import os
from pathlib import Path

from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row

TABLES = ("cohort.csv", "cohort.xlsx")


def table_in(folder: Path) -> Path | None:
    """The table of a cohort's folder, None without one; TableError when there are two."""
    tables = [folder / name for name in TABLES if (folder / name).exists()]
    if len(tables) > 1:
        raise TableError(
            tr("the folder holds two tables of the cohort"),
            file=folder.name,
            expected=tr("cohort.csv or cohort.xlsx"),
            received=tr("both"),
            remedy=tr("name the one that counts, or remove the other"),
        )
    return tables[0] if tables else None


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
