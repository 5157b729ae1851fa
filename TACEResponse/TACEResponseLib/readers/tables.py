"""Tables as hospitals send them: CSV of any usual encoding and separator, or a spreadsheet.

Every cell becomes text as a person would type it, IDs above all: 0012 stays 0012. Faults name
row and column as a spreadsheet shows them (the header is row 1), and all of a table are said at once.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, Problem, TableError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.storage import shown_text, unquoted

from .encodings import decode_table
from .spreadsheets import read_sheet, unseen_faults

OLD_EXCEL = b"\xd0\xcf\x11\xe0"
#: Largest CSV; a feature table of 10,000 patients is smaller.
LARGEST_CSV_MB = 500
#: Kinds of characters that show nothing, or turn the text around them: no part of an ID.
INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Cs")


class Row(dict[str, str]):
    """Column -> text of one row; `number` is the row's number in the spreadsheet."""

    def __init__(self, cells, number: int):
        super().__init__(cells)
        self.number = number


def read_table(
    path: Path, required: tuple[str, ...], id_column: str = "patient_id", *, encoding: str | None = None
) -> list[Row]:
    """Rows of a CSV or `.xlsx`, every cell as text.

    CSV may have comma, semicolon or tab, and any encoding that is certain; `encoding` names it where
    it is not. `required` names columns that must be there, `id_column` among them; IDs must be filled,
    unique and without invisible characters. Raises InputError when there is no such file, TableError
    naming row and column otherwise; one error lists every fault of the table.
    """
    rows, faults = read_rows(path, required, id_column, encoding=encoding)
    if faults:
        raise TableError.listing(faults, Path(path).name)
    return rows


def read_rows(
    path: Path, required: tuple[str, ...], id_column: str = "patient_id", *, encoding: str | None = None
) -> tuple[list[Row], list[Problem]]:
    """The rows that can be read, and the faults of all others; raises as `read_table` for the rest."""
    path = Path(path)
    lines, dates, faults = _cells(path, required, encoding)
    header = [name.strip() for name in lines[0]] if lines else []
    problems = _header_faults(header, required, path.name)
    if problems:
        raise TableError.listing([*problems, *faults], path.name)
    rows, seen = [], {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        if any(cell.strip() for cell in line[len(header) :]):
            faults.append(_too_long(number, len(header), len(line), path.name))
            continue
        cells = [cell.strip() for cell in line] + [""] * len(header)
        row = Row(zip(header, cells, strict=False), number)
        row[id_column] = unquoted(row[id_column])
        is_date = (number, header.index(id_column) + 1) in dates
        fault = _id_fault(row, id_column, seen, path.name, is_date)
        seen.setdefault(row[id_column], row)
        if fault is None:
            rows.append(row)
        else:
            faults.append(fault)
    return rows, faults


def _too_long(number: int, expected: int, received: int, table: str) -> Problem:
    return Problem(
        "table",
        tr("row {number} has more cells than the header", number=number),
        file=table,
        expected=tr("{n} cells", n=expected),
        received=f"{received}",
        remedy=tr("quote cells that contain the separator"),
    )


def _header_faults(header: Sequence[str], required: tuple[str, ...], table: str) -> list[Problem]:
    if not any(header):
        raise TableError(tr("the table is empty"), file=table, expected=tr("a header and a row a patient"))
    missing = [name for name in required if name not in header]
    faults = []
    if missing:
        faults.append(
            Problem(
                "table",
                tr("the table has no column {names}", names=listed(missing)),
                file=table,
                field=missing[0],
                expected=listed(required),
                received=listed(header[:20])[:500],
                remedy=tr("rename or add the column"),
            )
        )
    for twice in sorted({name for name in header if name and header.count(name) > 1}):
        faults.append(
            Problem(
                "table",
                tr("the table has the column {name} more than once", name=twice),
                file=table,
                field=twice,
                expected=tr("every column once"),
                received=tr("{n} times", n=header.count(twice)),
                remedy=tr("rename or remove one of them"),
            )
        )
    return faults


def _id_fault(row: Row, column: str, seen: dict[str, Row], table: str, is_date: bool) -> Problem | None:
    """What is wrong with the row's ID: empty, a date, invisible characters, or that of another row."""
    patient_id = row[column]
    expected, remedy = tr("a text that no other row has"), tr("give every patient an ID of its own")
    place = {"number": row.number, "column": column}
    if is_date:
        message, expected = tr("row {number}, column {column} is a date", **place), tr("a text")
        remedy = tr("format the column as text and type the ID again")
    elif not patient_id:
        message = tr("row {number}, column {column} is empty", **place)
    elif patient_id.startswith("#"):
        message = tr("row {number}, column {column} is an error value of the spreadsheet", **place)
    elif unseen := invisible_characters(patient_id):
        message = tr("row {number}, column {column} holds {characters}", **place, characters=unseen)
        expected, remedy = tr("characters that can be seen"), tr("type the ID again")
    elif patient_id in seen:
        message = _repeated(place, seen[patient_id], row)
    else:
        return None
    return Problem(
        "table",
        message,
        file=table,
        field=column,
        expected=expected,
        received=patient_id if is_date else f'"{shown_text(patient_id)}"',
        remedy=remedy,
    )


def _repeated(place: dict[str, int | str], first: Row, second: Row) -> str:
    one, other = (row.get("cohort", "") or tr("training") for row in (first, second))
    if one == other:
        return tr("row {number}, column {column} repeats row {first}", **place, first=first.number)
    return tr(
        "row {number}, column {column} repeats row {first}, so the patient is in {one} and in {other}",
        **place,
        first=first.number,
        one=one,
        other=other,
    )


def invisible_characters(patient_id: str) -> str:
    """The control characters and marks of text direction in an ID by code and name; "" without any."""
    found = dict.fromkeys(c for c in patient_id if unicodedata.category(c) in INVISIBLE)
    unnamed = tr("control character")
    return listed(f"U+{ord(c):04X} {unicodedata.name(c, unnamed)}" for c in found)


def _cells(path: Path, required: tuple[str, ...], encoding: str | None):
    """Every cell as text; where dates stand; and faults of what the file holds beside plain cells."""
    if not path.is_file():
        raise InputError(
            tr("there is no such table"), field="table", received=str(path), remedy=tr("check the path")
        )
    if path.stat().st_size > LARGEST_CSV_MB * 2**20:
        raise TableError(tr("the table is larger than a table can be"), file=path.name,
                         expected=tr("at most {most} MB", most=LARGEST_CSV_MB),
                         received=f"{path.stat().st_size / 2**20:.0f} MB")  # fmt: skip
    content = path.read_bytes()
    if content[:2] == b"PK":  # a spreadsheet, whatever its name says
        sheet = read_sheet(content, path.name, required)
        if sheet.cells:  # columns without a name are no fault: a note beside the table
            sheet.cells[0].extend([""] * (max(map(len, sheet.cells)) - len(sheet.cells[0])))
        return sheet.cells, sheet.dates, unseen_faults(sheet, path.name)
    if content[:4] == OLD_EXCEL:
        raise TableError(
            tr("the table is a spreadsheet of an old Excel"),
            file=path.name,
            expected=tr("CSV or .xlsx"),
            received=tr(".xls, the format of Excel 97 to 2003"),
            remedy=tr("save it as .xlsx"),
        )
    return _csv_cells(decode_table(content, path.name, encoding), path.name), frozenset(), []


def _csv_cells(text: str, table: str) -> list[list[str]]:
    if "\0" in text:
        raise _damaged(table, tr("a zero byte at {place}", place=text.index(chr(0))))
    first, _, rest = text.partition("\n")
    if re.fullmatch(r"sep=.", first.strip()):  # a hint for Excel, shown by no spreadsheet
        delimiter, text = first.strip()[-1], rest
    else:
        delimiter = max(",;\t", key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise _damaged(table, str(error)) from None


def _damaged(table: str, reason: str) -> TableError:
    return TableError(
        tr("the table is damaged"),
        file=table,
        expected=tr("a whole CSV or .xlsx file"),
        received=reason,
        remedy=tr("save the table again"),
    )
