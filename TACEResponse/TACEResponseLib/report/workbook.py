"""All tables of a report in one `.xlsx`: a sheet a table, and a first one that lists them."""

import io
import re
import zipfile
from collections.abc import Sequence

from TACEResponseLib.messages.language import tr, width

from .table import Table, is_p

#: Letters that Excel allows in the name of a sheet, and of a column's width.
LONGEST_NAME, WIDEST = 31, 60
#: How numbers are shown; every digit stays in the cell.
NUMBER_FORMAT, P_FORMAT = "0.000", "0.0000"
#: The first day that a zip file knows.
NO_DATE = (1980, 1, 1, 0, 0, 0)


def workbook(tables: Sequence[Table]) -> bytes:
    """The workbook of the tables that have rows; the same tables give the same bytes."""
    from openpyxl import Workbook

    book, there = Workbook(), [table for table in tables if table.rows]
    columns = (tr("sheet"), tr("table"), tr("note"))
    listed = [
        dict(zip(columns, (table.name[:LONGEST_NAME], table.caption, table.note), strict=True))
        for table in there
    ]
    _fill(book.active, tr("contents"), listed)
    for table in there:
        _fill(book.create_sheet(), table.name[:LONGEST_NAME], table.rows)
    stream = io.BytesIO()
    book.save(stream)
    return _without_dates(stream.getvalue())


def _fill(sheet, name: str, rows: Sequence[dict]) -> None:
    """Write a row of bold headers and the rows; texts as texts, also those that look like formulas."""
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet.title, sheet.freeze_panes = name, "A2"
    for c, column in enumerate(rows[0] if rows else (), start=1):
        cells = [_put(sheet.cell(1, c), column)]
        cells[0].font = Font(bold=True)
        for r, row in enumerate(rows, start=2):
            cells.append(_put(sheet.cell(r, c), row[column]))
            if isinstance(row[column], float):
                cells[-1].number_format = P_FORMAT if is_p(column) else NUMBER_FORMAT
        widest = max(width(str(cell.value)) for cell in cells if cell.value is not None)
        sheet.column_dimensions[get_column_letter(c)].width = min(WIDEST, widest + 2)


def _put(cell, value: object):
    """The cell with a value; control characters, which no workbook may hold, are left out of texts."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if not isinstance(value, str):
        cell.value = value
    elif value:
        cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)
        cell.data_type = "s"
    return cell


def _without_dates(content: bytes) -> bytes:
    """The workbook without the times at which it was written."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as dated, zipfile.ZipFile(stream, "w") as packed:
        for name in dated.namelist():
            part = dated.read(name)
            if name == "docProps/core.xml":
                part = re.sub(rb"<dcterms:(created|modified)[^>]*>[^<]*</dcterms:\1>", b"", part)
            packed.writestr(zipfile.ZipInfo(name, NO_DATE), part, zipfile.ZIP_DEFLATED)
    return stream.getvalue()
