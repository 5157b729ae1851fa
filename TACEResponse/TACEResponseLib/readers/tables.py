"""Tables as hospitals send them: CSV of any usual encoding and separator, or a spreadsheet.

Every cell becomes text as a person would type it, IDs above all: 0012 stays 0012. A fault names
row and column as a spreadsheet shows them (the header is row 1).
"""

import csv
import datetime
import io
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

from TACEResponseLib.errors import InputError, TableError

#: Cells of a spreadsheet unpacked; a table of a study is far smaller, a zip bomb is not.
LARGEST_SPREADSHEET_MB = 500
OLD_EXCEL = b"\xd0\xcf\x11\xe0"
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


class Row(dict[str, str]):
    """Column -> text of one row; `number` is the row's number in the spreadsheet."""

    def __init__(self, cells, number: int):
        super().__init__(cells)
        self.number = number


def read_table(path: Path, required: tuple[str, ...], id_column: str = "patient_id") -> list[Row]:
    """Rows of a CSV or `.xlsx`, every cell as text.

    CSV may be UTF-8, UTF-16, GB18030 or Windows-1252, with comma, semicolon or tab. `required`
    names columns that must be there, `id_column` among them; IDs must be filled and unique.
    Raises InputError when there is no such file, TableError naming row and column otherwise.
    """
    lines = _cells(path, id_column)
    header = [name.strip() for name in lines[0]] if lines else []
    _check_header(header, required, path.name)
    rows, seen = [], {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        if any(cell.strip() for cell in line[len(header) :]):
            raise TableError(
                f"row {number} has more cells than the header",
                file=path.name,
                expected=f"{len(header)} cells",
                received=f"{len(line)}",
                remedy="quote cells that contain the separator",
            )
        cells = [cell.strip() for cell in line] + [""] * len(header)
        row = Row(zip(header, cells, strict=False), number)
        _check_id(row, id_column, seen, path.name)
        seen[row[id_column]] = row
        rows.append(row)
    return rows


def _check_header(header: list[str], required: tuple[str, ...], table: str) -> None:
    if not any(header):
        raise TableError("the table is empty", file=table, expected="a header and a row a patient")
    missing = [name for name in required if name not in header]
    if missing:
        raise TableError(
            f"the table has no column {', '.join(missing)}",
            file=table,
            field=missing[0],
            expected=", ".join(required),
            received=", ".join(header[:20])[:500],
            remedy="rename or add the column",
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise TableError(
            f"the table has the column {twice[0]} more than once",
            file=table,
            field=twice[0],
            expected="every column once",
            received=f"{header.count(twice[0])} times",
            remedy="rename or remove one of them",
        )


def _check_id(row: Row, column: str, seen: dict[str, Row], table: str) -> None:
    """Raise TableError when the row's ID is empty, an error value, or that of another row."""
    patient_id = row[column]
    if patient_id and not patient_id.startswith("#") and patient_id not in seen:
        return
    what = "is empty" if not patient_id else "is an error value of the spreadsheet"
    if patient_id in seen:
        other = seen[patient_id]
        what = f"repeats row {other.number}"
        parts = [r.get("cohort", "") or "training" for r in (other, row)]
        if parts[0] != parts[1]:
            what += f", so the patient is in {parts[0]} and in {parts[1]}"
    raise TableError(
        f"row {row.number}, column {column} {what}",
        file=table,
        field=column,
        expected="a text that no other row has",
        received=f'"{patient_id}"',
        remedy="give every patient an ID of its own",
    )


def _cells(path: Path, id_column: str) -> list[list[str]]:
    """Every cell as text; numbers of a spreadsheet as a person would type them."""
    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such table", field="table", received=str(path), remedy="check the path")
    content = path.read_bytes()
    if content[:2] == b"PK":  # a spreadsheet, whatever its name says
        return _spreadsheet_cells(content, path.name, id_column)
    if content[:4] == OLD_EXCEL:
        raise TableError(
            "the table is a spreadsheet of an old Excel",
            file=path.name,
            expected="CSV or .xlsx",
            received=".xls, the format of Excel 97 to 2003",
            remedy="save it as .xlsx",
        )
    text = _decoded(content, path.name)
    first, _, rest = text.partition("\n")
    if re.fullmatch(r"sep=.", first.strip()):  # a hint for Excel, shown by no spreadsheet
        delimiter, text = first.strip()[-1], rest
    else:
        delimiter = max(",;\t", key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise _damaged(path.name, str(error)) from None


def _decoded(content: bytes, table: str) -> str:
    """The text of a CSV; TableError when its encoding cannot be told."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif _looks_western(content):
        encodings = ["utf-8-sig", "gb2312", "cp1252"]
    else:
        encodings = ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            failed = error
        else:
            if "\0" in text:
                raise _damaged(table, f"a zero byte at {text.index(chr(0))}")
            return text
    raise TableError(
        "the table's text encoding is unknown",
        file=table,
        expected="UTF-8 or GB18030",
        received=f"byte {content[failed.start]:#04x} at {failed.start}",
        remedy="save the table as CSV UTF-8",
    )


def _looks_western(content: bytes) -> bool:
    """Whether all bytes above ASCII are letters of Windows-1252, as in a German or French table.

    Chinese text in GB18030 nearly always holds bytes that are signs there (0xA1 to 0xBF).
    """
    return all(chr(byte).isalpha() for byte in set(content) if byte > 127)


def _spreadsheet_cells(content: bytes, table: str, id_column: str) -> list[list[str]]:
    """The first sheet of an `.xlsx`, cell by cell as text."""
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            size_mb = sum(entry.file_size for entry in archive.infolist()) / 2**20
            if size_mb > LARGEST_SPREADSHEET_MB:
                raise TableError(
                    "the spreadsheet is larger than a table can be",
                    file=table,
                    expected=f"at most {LARGEST_SPREADSHEET_MB} MB unpacked",
                    received=f"{size_mb:.0f} MB",
                    remedy="save the one sheet that is needed",
                )
            sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
            rows = [list(row) for row in sheet.iter_rows()]
    except _DAMAGE as error:
        raise _damaged(table, f"{type(error).__name__}: {error}"[:200]) from None
    lines = [[_typed(cell) for cell in row] for row in rows]
    ids = lines[0].index(id_column) if lines and id_column in lines[0] else None
    for number, row in enumerate(rows if ids is not None else [], start=1):
        if ids < len(row) and isinstance(row[ids].value, datetime.date | datetime.time):
            raise TableError(
                f"row {number}, column {id_column} is a date",
                file=table,
                field=id_column,
                expected="a text",
                received=lines[number - 1][ids],
                remedy="format the column as text and type the ID again",
            )
    return lines


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


def _damaged(table: str, reason: str) -> TableError:
    return TableError(
        "the table is damaged",
        file=table,
        expected="a whole CSV or .xlsx file",
        received=reason,
        remedy="save the table again",
    )
