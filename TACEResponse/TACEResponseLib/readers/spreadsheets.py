"""The table of an `.xlsx` as text, cell by cell: what a person sees, or an error that names the place.

A spreadsheet holds more than it shows: hidden sheets and rows, merged cells, formulas whose value was
never stored, a range that other programs wrote too small. The cells themselves are read, and what a
person may not have seen is an error with sheet and cell.
"""

import datetime
import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

from TACEResponseLib.messages.errors import Problem, TableError
from TACEResponseLib.messages.language import listed, mark, tr

#: All files of a spreadsheet unpacked; a table of a study is far smaller, a zip bomb is not.
LARGEST_SPREADSHEET_MB = 100
#: Cells from the first to the last one that is filled.
MOST_CELLS = 5_000_000
#: Places that one fault names.
MOST_PLACES = 10
#: What a person may not have seen on a sheet.
HIDDEN, MERGED, FORMULAS = (
    mark('rows are hidden on the sheet "{sheet}"'),
    mark('cells are merged on the sheet "{sheet}"'),
    mark('cells hold formulas without a stored value on the sheet "{sheet}"'),
)
WORKBOOK, RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
#: What openpyxl raises on a spreadsheet that is damaged.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,  # of its XML
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Unseen:
    """What a sheet holds beside plain cells; rows count from 1, ranges are written as in `A1:C1`."""

    hidden_rows: frozenset[int] = frozenset()
    merged: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()  # without a stored value


@dataclass(frozen=True)
class SheetTable:
    """One sheet. cells: rows of text. dates: (row, column) from 1 of cells that hold a date."""

    name: str
    cells: list[list[str]]
    dates: frozenset[tuple[int, int]]
    unseen: Unseen


def read_sheet(content: bytes, table: str, required: Sequence[str]) -> SheetTable:
    """The one visible sheet whose first row holds the `required` columns, or the only one.

    Raises TableError for a damaged file, and naming the sheets when it is not clear which is meant.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            size_mb = sum(entry.file_size for entry in archive.infolist()) / 2**20
            if size_mb > LARGEST_SPREADSHEET_MB:
                raise too_large(
                    table,
                    f"{size_mb:.0f} MB",
                    tr("at most {most} MB unpacked", most=LARGEST_SPREADSHEET_MB),
                )
            name, lines, dates = _chosen(content, table, required)
            return SheetTable(name, lines, dates, _unseen(archive, name))
    except _DAMAGE as error:
        raise TableError(
            tr("the table is damaged"),
            file=table,
            expected=tr("a whole CSV or .xlsx file"),
            received=f"{type(error).__name__}: {error}"[:200],
            remedy=tr("save the table again"),
        ) from None


def unseen_faults(sheet: SheetTable, table: str) -> list[Problem]:
    """A fault a kind of thing that a person who looks at the sheet may not have seen."""

    def holds_text(row: int) -> bool:
        return row <= len(sheet.cells) and any(sheet.cells[row - 1])

    hidden = [tr("row {number}", number=row) for row in sorted(sheet.unseen.hidden_rows) if holds_text(row)]
    merged = [area for area in sheet.unseen.merged if any(map(holds_text, _rows_of(area)))]
    kinds = (
        (hidden, HIDDEN, tr("clear the filter or show the rows, or delete them")),
        (merged, MERGED, tr("split the merged cells and fill each of them")),
        (
            list(sheet.unseen.formulas),
            FORMULAS,
            tr("open the table in a spreadsheet program and save it, or put values in their place"),
        ),
    )
    return [
        Problem(
            "table",
            tr(message, sheet=sheet.name),
            file=table,
            expected=tr("plain cells that are all shown"),
            received=_first(places),
            remedy=remedy,
        )
        for places, message, remedy in kinds
        if places
    ]


def _first(places: Sequence[str]) -> str:
    """The first places, and how many more there are."""
    named, more = listed(places[:MOST_PLACES]), len(places) - MOST_PLACES
    return tr("{places} and {n} more", places=named, n=more) if more > 0 else named


def too_large(table: str, received: str, expected: str) -> TableError:
    """The error for a spreadsheet that no study has."""
    return TableError(
        tr("the spreadsheet is larger than a table can be"),
        file=table,
        expected=expected,
        received=received,
        remedy=tr("save the one sheet that is needed, without cells beyond the table"),
    )


def _chosen(content: bytes, table: str, required: Sequence[str]):
    """Name, lines and dates of the sheet that is meant; TableError when that is not clear."""
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    sheets = {sheet.title: (sheet, _first_row(sheet)) for sheet in book.worksheets}
    visible = {name: first for name, (sheet, first) in sheets.items() if sheet.sheet_state == "visible"}
    fitting = [name for name, first in visible.items() if set(required) <= set(first)]
    filled = [name for name, first in visible.items() if first]
    hidden = [name for name in sheets if name not in visible and set(required) <= set(sheets[name][1])]
    if not fitting and hidden:
        raise _unclear(
            tr("the table stands on a hidden sheet"), table, hidden, tr("show the sheet in its program")
        )
    meant = fitting or filled[:1] or list(visible)[:1]
    if len(meant) != 1:
        raise _unclear(
            tr("the spreadsheet holds several tables"), table, meant, tr("save the one that is meant alone")
        )
    sheet = sheets[meant[0]][0]
    return meant[0], *_read(sheet, table)


def _unclear(message: str, table: str, sheets: Sequence[str], remedy: str) -> TableError:
    return TableError(
        message,
        file=table,
        expected=tr("one visible sheet with the columns of the table"),
        received=_first([tr('sheet "{name}"', name=name) for name in sheets]) or tr("none"),
        remedy=remedy,
    )


def _first_row(sheet) -> list[str]:
    """The header of a sheet, or [] when its first row is empty."""
    sheet.reset_dimensions()  # the range that the file states may be too small
    row = next(sheet.iter_rows(max_row=1), ())
    header = [_typed(cell).strip() for cell in row]
    return header if any(header) else []


def _read(sheet, table: str) -> tuple[list[list[str]], frozenset[tuple[int, int]]]:
    """Every cell as text up to the last that is filled, and where dates stand."""
    lines, dates, widest = [], set(), 0
    sheet.reset_dimensions()
    for number, row in enumerate(sheet.iter_rows(), start=1):
        line = [_typed(cell) for cell in row]
        while line and not line[-1]:
            line.pop()
        widest = max(widest, len(line))
        if widest * number > MOST_CELLS and line:
            raise too_large(
                table,
                tr("{rows} rows of {cells} cells", rows=number, cells=widest),
                tr("at most {most} cells", most=MOST_CELLS),
            )
        dates |= {
            (number, column)
            for column, cell in enumerate(row, start=1)
            if isinstance(cell.value, datetime.date | datetime.time)
        }
        lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return lines, frozenset(dates)


def _typed(cell) -> str:
    """A spreadsheet's value as a person would type it, with the zeros that its format shows."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float):
        value = int(value) if value.is_integer() else format(value, ".15g")
    shown = cell.number_format or ""
    if isinstance(value, int) and not isinstance(value, bool) and re.fullmatch("0{2,}", shown):
        return str(value).zfill(len(shown))
    return str(value)


def _unseen(archive: zipfile.ZipFile, name: str) -> Unseen:
    """Hidden rows, merged cells and formulas without a value, which openpyxl's quick reader leaves out."""
    hidden, merged, formulas = set(), [], []
    with archive.open(_part_of(archive, name)) as stream:
        for kind, element in _elements(stream, ("row", "mergeCell", "c")):
            if kind == "row":
                if element.get("hidden") in ("1", "true"):
                    hidden.add(int(element.get("r") or 0))
            elif kind == "mergeCell":
                merged.append(str(element.get("ref")))
            elif _is_formula_without_value(element):
                formulas.append(str(element.get("r")))
    return Unseen(frozenset(hidden), tuple(merged), tuple(formulas))


def _elements(stream, kinds: Sequence[str]) -> Iterator[tuple[str, ElementTree.Element]]:
    """The elements of these names one after the other; each is forgotten after its use."""
    for _, element in ElementTree.iterparse(stream, events=("end",)):
        kind = element.tag.rpartition("}")[2]
        if kind in kinds:
            yield kind, element
            element.clear()


def _is_formula_without_value(cell: ElementTree.Element) -> bool:
    parts = {child.tag.rpartition("}")[2]: child for child in cell}
    # An empty text is a value too, and is marked as text.
    return "f" in parts and not (parts.get("v") is not None and (parts["v"].text or cell.get("t") == "str"))


def _part_of(archive: zipfile.ZipFile, name: str) -> str:
    """The file inside the archive that holds a sheet."""
    places = {
        relation.get("Id"): relation.get("Target")
        for relation in ElementTree.fromstring(archive.read(RELATIONS)).iter()
        if relation.get("Target")
    }
    for sheet in ElementTree.fromstring(archive.read(WORKBOOK)).iter():
        if sheet.tag.rpartition("}")[2] == "sheet" and sheet.get("name") == name:
            identifier = next(value for key, value in sheet.attrib.items() if key.endswith("}id"))
            place = places[identifier]
            return place.lstrip("/") if place.startswith("/") else str(PurePosixPath("xl") / place)
    raise KeyError(name)


def _rows_of(area: str) -> range:
    """The rows of a range such as `A1:C3`."""
    rows = [int(number) for number in re.findall(r"\d+", area)]
    return range(min(rows), max(rows) + 1) if rows else range(0)
