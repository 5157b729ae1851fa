"""The table of a cohort's answers, as text and as a spreadsheet."""

import csv

import openpyxl
import pytest
from answers import a_full_answer, an_answer
from TACEResponseLib.commands.predictions_table import prediction_row, write_tables
from TACEResponseLib.readers.tables import read_table

FAILED = {"patient_id": "P3", "folder": "", "error": "Patient P3: the mask is empty."}


@pytest.fixture
def tables(tmp_path):
    """Both files of two answers and a patient who failed, and what was put in."""
    rows = [
        prediction_row(an_answer(patient_id="P1"), "P1"),
        prediction_row(a_full_answer(patient_id="=P2", warnings=("\x07 odd\nfile",)), "_=P2"),
        FAILED,
    ]
    return *write_tables(tmp_path / "out", rows), rows


def cells(file):
    """The rows of the spreadsheet as dictionaries, None left out."""
    header, *rows = openpyxl.load_workbook(file)["predictions"].iter_rows(values_only=True)
    named = (zip(header, row, strict=True) for row in rows)
    return [{key: cell for key, cell in row if cell is not None} for row in named]


def test_the_spreadsheet_says_what_the_text_says_with_numbers_as_numbers(tables):
    text, spreadsheet, rows = tables
    with text.open(encoding="utf-8", newline="") as stream:
        written = list(csv.DictReader(stream))
    found = cells(spreadsheet)
    assert (
        [row["patient_id"] for row in found] == [row["patient_id"] for row in written] == ["P1", "'=P2", "P3"]
    )
    assert (found[0]["fused"], found[0]["responder"], found[0]["largest_diameter_mm"]) == (0.72, 1, 47.2)
    assert found[1]["conformal_set"] == "response or no response"
    assert found[2] == {"patient_id": "P3", "error": FAILED["error"]}
    columns = list(dict.fromkeys(key for row in rows for key in row))
    assert list(written[0]) == columns
    for name in ("probability_cnn", "instability_low", "threshold"):
        assert [str(row.get(name, "")) for row in found] == [row[name] for row in written]


def test_a_text_that_a_spreadsheet_would_run_stays_text_and_is_read_back(tables):
    text, spreadsheet, _ = tables
    sheet = openpyxl.load_workbook(spreadsheet)["predictions"]
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}
    for file in (text, spreadsheet):
        assert [row["patient_id"] for row in read_table(file, ("patient_id", "folder"))][1] == "=P2"


def test_control_characters_do_not_stop_the_spreadsheet(tables):
    _, spreadsheet, _ = tables
    assert cells(spreadsheet)[1]["warnings"] == "\\u0007 odd\\u000afile"


def test_header_and_ids_stay_in_view_and_probabilities_have_three_decimals(tables):
    _, spreadsheet, _ = tables
    sheet = openpyxl.load_workbook(spreadsheet)["predictions"]
    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == sheet.dimensions
    assert all(cell.font.bold for cell in sheet[1])
    assert sheet["C2"].number_format == "0.000"
    assert max(dimension.width for dimension in sheet.column_dimensions.values()) <= 40
