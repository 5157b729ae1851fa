"""Spreadsheets hold more than they show: what is read is what a person sees, or an error names the place."""

import re
import zipfile

import pytest
from openpyxl import Workbook
from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.readers.tables import read_table

ROWS = [["patient_id", "center", "afp_ng_ml"], *([f"{n:04d}", "A", 10 * n] for n in range(1, 13))]


def a_book(*rows, book=None, title="patients"):
    """A workbook with one sheet of the rows, or one more sheet in `book`."""
    sheet = book.create_sheet() if book else (book := Workbook()).active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    return book


def saved(book, path):
    book.save(path)
    return path


def with_range(path, stated: str):
    """The file with another range written into its first sheet, as other programs leave it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = re.sub(rb'<dimension ref="[^"]*"', f'<dimension ref="{stated}"'.encode(), parts[name])
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return path


def ids(path):
    return [row["patient_id"] for row in read_table(path, ("patient_id",))]


@pytest.mark.parametrize("stated", ["A1:C5", "A1:A13", "A1", "A1:XFD1048576"])
def test_the_range_that_a_file_states_is_not_believed(tmp_path, stated):
    path = with_range(saved(a_book(*ROWS), tmp_path / "t.xlsx"), stated)
    rows = read_table(path, ("patient_id",))
    assert [row["patient_id"] for row in rows] == [f"{n:04d}" for n in range(1, 13)]
    assert rows[-1] == {"patient_id": "0012", "center": "A", "afp_ng_ml": "120"}


def test_a_hidden_first_sheet_is_passed_over_for_the_one_that_is_shown(tmp_path):
    book = a_book(["patient_id"], ["of last year"], title="old")
    a_book(*ROWS, book=book)
    book["old"].sheet_state = "hidden"
    book.active = 1
    assert ids(saved(book, tmp_path / "t.xlsx"))[0] == "0001"


def test_a_table_on_a_hidden_sheet_is_an_error_with_its_name(tmp_path):
    book = a_book(["notes"], ["read me"], title="notes")
    a_book(*ROWS, book=book, title="secret")
    book["secret"].sheet_state = "veryHidden"
    with pytest.raises(TableError) as caught:
        ids(saved(book, tmp_path / "t.xlsx"))
    assert str(caught.value) == (
        "t.xlsx: the table stands on a hidden sheet. Expected one visible sheet with the columns of the "
        'table; received sheet "secret". Show the sheet in its program.'
    )


def test_two_sheets_that_both_could_be_meant_are_named(tmp_path):
    book = a_book(*ROWS, title="2019")
    a_book(["patient_id"], ["P99"], book=book, title="2020")
    book.active = 1
    with pytest.raises(TableError, match='several tables.*received sheet "2019", sheet "2020"'):
        ids(saved(book, tmp_path / "t.xlsx"))


def test_a_sheet_of_notes_beside_the_table_does_not_matter(tmp_path):
    book = a_book(["legend"], ["afp: alpha-fetoprotein"], title="legend")
    a_book(*ROWS, book=book)
    assert len(ids(saved(book, tmp_path / "t.xlsx"))) == 12


def test_rows_that_a_filter_hides_are_named(tmp_path):
    book = a_book(*ROWS)
    book.active.auto_filter.ref = "A1:C13"
    for row in (3, 7):
        book.active.row_dimensions[row].hidden = True
    with pytest.raises(TableError) as caught:
        ids(saved(book, tmp_path / "t.xlsx"))
    assert str(caught.value) == (
        't.xlsx: rows are hidden on the sheet "patients". Expected plain cells that are all shown; '
        "received row 3, row 7. Clear the filter or show the rows, or delete them."
    )


def test_a_hidden_row_without_anything_in_it_is_no_fault(tmp_path):
    book = a_book(*ROWS)
    book.active.row_dimensions[40].hidden = True
    assert len(ids(saved(book, tmp_path / "t.xlsx"))) == 12


def test_formulas_without_a_stored_value_are_named_by_cell(tmp_path):
    book = a_book(*ROWS)
    book.active["C4"], book.active["A9"] = "=C3*2", '="P"&1'
    with pytest.raises(TableError, match="formulas without a stored value.*received C4, A9"):
        ids(saved(book, tmp_path / "t.xlsx"))


def test_a_formula_with_its_value_stored_is_read_as_the_value(tmp_path):
    book = a_book(*ROWS)
    book.active["C4"] = "=C3*2"
    path = saved(book, tmp_path / "t.xlsx")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    assert b"<f>C3*2</f>" in parts[name]
    parts[name] = re.sub(rb"<f>C3\*2</f><v ?/?>(</v>)?", b"<f>C3*2</f><v>40</v>", parts[name])
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    assert read_table(path, ("patient_id",))[2]["afp_ng_ml"] == "40"


@pytest.mark.parametrize("area", ["A1:C1", "B3:B6"])
def test_merged_cells_are_named(tmp_path, area):
    book = a_book(*ROWS)
    book.active.merge_cells(area)
    with pytest.raises(TableError, match=f"cells are merged|has no column|received {area}") as caught:
        read_table(saved(book, tmp_path / "t.xlsx"), ("patient_id", "center"))
    assert f"received {area}" in str(caught.value)


def test_merged_cells_below_the_table_are_no_fault(tmp_path):
    book = a_book(*ROWS)
    book.active.merge_cells("A30:C31")
    assert len(ids(saved(book, tmp_path / "t.xlsx"))) == 12


def test_a_cell_far_beyond_the_table_is_refused_before_it_fills_the_memory(tmp_path):
    book = a_book(*ROWS)
    book.active["XFD1000"] = "x"
    with pytest.raises(TableError, match="larger than a table can be.*1000 rows of 16384 cells"):
        ids(saved(book, tmp_path / "t.xlsx"))


def test_everything_unseen_and_every_bad_cell_is_said_at_once(tmp_path):
    book = a_book(*ROWS)
    book.active.row_dimensions[3].hidden = True
    book.active.merge_cells("B5:B6")
    book.active["C8"], book.active["A10"], book.active["A11"] = "=1+1", "0001", None
    with pytest.raises(TableError) as caught:
        ids(saved(book, tmp_path / "t.xlsx"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "t.xlsx: the table has 5 faults. Correct each of them."
    assert [p.received for p in caught.value.problems] == ["row 3", "B5:B6", "C8", '"0001"', '""']
    assert "row 10, column patient_id repeats row 2" in lines[4]
    assert "row 11, column patient_id is empty" in lines[5]
