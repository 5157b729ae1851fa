"""Tables as hospitals send them, and the numbers in their clinical columns."""

import datetime
import zipfile

import pytest
from openpyxl import Workbook
from TACEResponseLib.clinical.values import Measured, parse_clinical
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.readers.tables import read_table


def rows_of(path, content, encoding="utf-8"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return read_table(path, ("patient_id",))


def a_workbook(path, *rows, formats=()):
    book = Workbook()
    for row in rows:
        book.active.append(row)
    for cell, number_format in formats:
        book.active[cell].number_format = number_format
    book.save(path)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk", "gb2312"])
def test_chinese_ids_are_read_in_every_usual_encoding(tmp_path, encoding):
    (row,) = rows_of(tmp_path / "t.csv", "patient_id,center\n病人一,北京\n", encoding)
    assert row == {"patient_id": "病人一", "center": "北京"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_umlauts_are_read_and_never_become_chinese(tmp_path, encoding):
    (row,) = rows_of(
        tmp_path / "t.csv", "patient_id;center\nMüller;Universitätsklinik Köln, Straße\n", encoding
    )
    assert row == {"patient_id": "Müller", "center": "Universitätsklinik Köln, Straße"}


def test_0012_and_12_are_two_patients_and_na_is_one(tmp_path):
    rows = rows_of(tmp_path / "t.csv", "patient_id\n0012\n12\nNA\n")
    assert [row["patient_id"] for row in rows] == ["0012", "12", "NA"]


def test_excels_hint_for_the_separator_is_no_header(tmp_path):
    (row,) = rows_of(tmp_path / "t.csv", "sep=;\r\npatient_id;afp_ng_ml\r\nP1;12,5\r\n")
    assert row == {"patient_id": "P1", "afp_ng_ml": "12,5"}


def test_row_numbers_count_empty_rows_as_a_spreadsheet_does(tmp_path):
    rows = rows_of(tmp_path / "t.csv", "patient_id,x\nP1,1\n,\n\nP2,2\n")
    assert [(row["patient_id"], row.number) for row in rows] == [("P1", 2), ("P2", 5)]
    with pytest.raises(TableError, match="row 6, column patient_id repeats row 2"):
        rows_of(tmp_path / "t.csv", "patient_id,x\nP1,1\n,\n\nP2,2\nP1,3\n")


def test_a_patient_in_training_and_validation_is_said_so(tmp_path):
    with pytest.raises(TableError) as caught:
        rows_of(tmp_path / "t.csv", "patient_id,cohort\nP1,training\nP1,validation\n")
    assert caught.value.problem.message == (
        "row 3, column patient_id repeats row 2, so the patient is in training and in validation"
    )


def test_numbers_and_dates_of_a_spreadsheet_are_what_it_shows(tmp_path):
    path = a_workbook(
        tmp_path / "t.xlsx",
        ["patient_id", "a", "b", "c", "d"],
        [12, 0.1 + 0.2, 3.0, datetime.datetime(2020, 1, 31), True],
        [13, None, 1e-5, datetime.datetime(2020, 1, 31, 8, 30), "1,5"],
        formats=[("A2", "0000")],
    )
    first, second = read_table(path, ("patient_id",))
    assert list(first.values()) == ["0012", "0.3", "3", "2020-01-31", "True"]
    assert list(second.values()) == ["13", "", "1e-05", "2020-01-31T08:30:00", "1,5"]


def test_an_id_that_excel_made_a_date_is_an_error(tmp_path):
    path = a_workbook(tmp_path / "t.csv", ["patient_id"], ["P1"], [datetime.datetime(2024, 3, 5)])
    with pytest.raises(TableError) as caught:
        read_table(path, ("patient_id",))
    assert str(caught.value) == (
        "t.csv: row 3, column patient_id is a date. Expected a text; received 2024-03-05. "
        "Format the column as text and type the ID again."
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the table is empty"),
        (b"patient_id,patient_id\nP1,P2\n", "has the column patient_id more than once"),
        (b"patient_id\n#N/A\n", "row 2, column patient_id is an error value of the spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet of an old Excel"),
        (b"PK\x03\x04 not a spreadsheet", "the table is damaged"),
        (b"patient_id\nP\x001\n", "the table is damaged"),
        (b"patient_id\nP1\x81\xff\n", "text encoding is unknown"),
        (b"patient_id,x\n" + b'P1,"' + b"x" * 200_000 + b'"\n', "the table is damaged"),
    ],
    ids=["empty", "twice", "error value", "xls", "no zip", "zero byte", "encoding", "huge cell"],
)
def test_a_table_that_is_none_is_one_sentence(tmp_path, content, sentence):
    with pytest.raises(TableError, match=sentence):
        rows_of(tmp_path / "t.csv", content)


def test_a_spreadsheet_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("TACEResponseLib.readers.spreadsheets.LARGEST_SPREADSHEET_MB", 2)
    path = a_workbook(tmp_path / "t.xlsx", ["patient_id"], ["P1"])
    assert len(read_table(path, ("patient_id",))) == 1
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.xml", bytes(3 * 2**20))
    assert path.stat().st_size < 20_000
    with pytest.raises(TableError, match="larger than a table can be"):
        read_table(path, ("patient_id",))


def test_a_table_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no such table"):
        read_table(tmp_path / "t.csv", ("patient_id",))


def test_paths_written_on_windows_are_found(tmp_path):
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "image.nrrd").touch()
    (tmp_path / "cohort.csv").write_text("patient_id,image,mask\nP1,P1\\image.nrrd,P1/m\n")
    assert read_cohort(tmp_path).patients[0].image == tmp_path / "P1" / "image.nrrd"


def test_an_unknown_repair_names_row_and_column(tmp_path):
    (tmp_path / "cohort.csv").write_text("patient_id,image,mask,repair\nP1,i,m,union\nP2,i,m,glue\n")
    with pytest.raises(TableError) as caught:
        read_cohort(tmp_path)
    assert str(caught.value) == (
        "Patient P2, cohort.csv: row 3, column repair: no repair has this name. Expected copy-geometry, "
        "resample-mask, union; received glue. Choose one of those, or leave it empty."
    )


def test_a_folder_with_an_image_and_no_mask_is_a_patient_whose_mask_is_missing(tmp_path):
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "image.nrrd").touch()
    (patient,) = read_cohort(tmp_path).patients
    assert patient.mask == tmp_path / "P1" / "mask"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.5", Measured(12.5)),
        ("12,5", Measured(12.5)),
        ("0,900", Measured(0.9)),
        (">1210", Measured(1210, ">")),
        ("< 0,9", Measured(0.9, "<")),
        ("≥200", Measured(200, "≥")),
        (">= 200", Measured(200, "≥")),
        ("1.234,5", Measured(1234.5)),
        ("1,234.5", Measured(1234.5)),
        ("12 100", Measured(12100)),
        ("1.2e3", Measured(1200)),
        ("", None),
        ("NA", None),
        ("n/a", None),
    ],
)
def test_numbers_of_every_notation(text, value):
    assert parse_clinical(text, "afp_ng_ml") == value


@pytest.mark.parametrize(
    ("column", "text", "sentence"),
    [
        (
            "afp_ng_ml",
            "12,100",
            "row 7, column afp_ng_ml can be read in two ways. Expected a number, for example 12.5, <0.9 or "
            '>1210, or an empty cell; received "12,100". Write a decimal point and no thousands separator.',
        ),
        ("afp_ng_ml", "hoch", "row 7, column afp_ng_ml is not a number. Expected a number, for example 12.5"),
        ("inr", "2020-01-31", 'received "2020-01-31", a date'),
        (
            "albumin_g_l",
            "4.0",
            "row 7, column albumin_g_l cannot be g/l. Expected 10 to 70; received 4.0, which looks like "
            "g/dl. Rename the column to albumin_g_dl, or correct the cell.",
        ),
        ("bilirubin_umol_l", "0.88", "received 0.88, which looks like mg/dl"),
        ("albumin_g_dl", "38", "received 38, which looks like g/l"),
        ("tumour_size_cm", "47", "received 47, which looks like mm"),
        ("albumin_g_l", "900", "Expected 10 to 70; received 900. Correct the cell."),
        (
            "albumin",
            "38",
            "row 7, column albumin does not say its unit. Expected albumin_g_l or albumin_g_dl",
        ),
    ],
)
def test_a_number_that_cannot_be_names_row_column_and_what_it_looks_like(column, text, sentence):
    with pytest.raises(TableError) as caught:
        parse_clinical(text, column, row=7)
    assert sentence in str(caught.value).replace("Row 7", "row 7")


def test_units_are_converted():
    assert parse_clinical("4.0", "albumin_g_dl") == Measured(40)
    assert parse_clinical("0.88", "bilirubin_mg_dl").value == pytest.approx(15.05, abs=0.005)
    assert parse_clinical("47", "tumour_size_mm").value == pytest.approx(4.7)


def test_a_censored_value_decides_only_what_it_can():
    assert parse_clinical(">1210", "afp_ng_ml").exceeds(400) is True
    assert parse_clinical(">200", "afp_ng_ml").exceeds(400) is None
    assert parse_clinical("≥400", "afp_ng_ml").exceeds(400) is None
    assert parse_clinical("<0.9", "afp_ng_ml").exceeds(400) is False
    assert parse_clinical("401", "afp_ng_ml").exceeds(400) is True
    assert parse_clinical("400", "afp_ng_ml").exceeds(400) is False
