"""Cohort tables as hospitals send them: encodings, separators, IDs as text, complaints by row."""

import pytest
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import InputError, TableError

HEADER = "patient_id,image,mask,mask_reader2,response,cohort,center,afp_ng_ml"


def written(tmp_path, text: str, encoding: str = "utf-8", name: str = "cohort.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_a_table_becomes_patients_with_text_ids_and_paths_from_its_folder(tmp_path):
    path = written(
        tmp_path, f"{HEADER}\n0012,a/i.nrrd,a/m.nrrd,,PR,training,A,>1210\n12,b/i,b/m,b/r,SD,ext,B,\n"
    )
    cohort = read_cohort(path)
    first, second = cohort.patients
    assert (first.patient_id, second.patient_id) == ("0012", "12")
    assert first.image == tmp_path / "a/i.nrrd"
    assert (first.label, second.label) == (1, 0)
    assert first.mask_reader2 is None
    assert first.clinical == {"afp_ng_ml": ">1210"}
    assert [p.patient_id for p in cohort.part(training=True)] == ["0012"]
    assert [p.patient_id for p in cohort.part(training=False)] == ["12"]
    assert read_cohort(tmp_path) == cohort


@pytest.mark.parametrize(
    ("encoding", "separator"), [("utf-8-sig", ","), ("gb18030", ","), ("utf-8", ";"), ("utf-8", "\t")]
)
def test_encodings_and_separators_do_not_matter(tmp_path, encoding, separator):
    text = f"{HEADER}\n病人一,i,m,,CR,,北京,3\n".replace(",", separator)
    patient = read_cohort(written(tmp_path, text, encoding)).patients[0]
    assert (patient.patient_id, patient.center, patient.label) == ("病人一", "北京", 1)


def test_a_spreadsheet_is_read_whatever_its_name(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["patient_id", "image", "mask", "label"])
    book.active.append(["NA", "i.nrrd", "m.nrrd", 1])
    book.save(tmp_path / "cohort.xlsx")
    (tmp_path / "cohort.csv").write_bytes((tmp_path / "cohort.xlsx").read_bytes())
    for name in ("cohort.xlsx", "cohort.csv"):
        patient = read_cohort(tmp_path / name).patients[0]
        assert (patient.patient_id, patient.label) == ("NA", 1)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("P1,i,m,,XX,,,\n", "row 2, column response is not a response. Expected CR, PR, SD, PD"),
        ("P1,i,m,,CR,,,\nP1,i,m,,CR,,,\n", "row 3, column patient_id repeats row 2"),
        ("P1,i,m,,CR,,,\n,i,m,,CR,,,\n", "row 3, column patient_id is empty"),
        ("P1,i,,,CR,,,\n", "row 2, column mask is empty"),
        ("P1,i,m,,CR,,,,9,9\n", "row 2 has more cells than the header"),
    ],
)
def test_a_fault_names_row_and_column(tmp_path, rows, sentence):
    with pytest.raises(TableError) as caught:
        read_cohort(written(tmp_path, f"{HEADER}\n{rows}"))
    assert sentence in str(caught.value)
    assert "cohort.csv" in str(caught.value)


def test_a_contradiction_between_label_and_response_is_named(tmp_path):
    with pytest.raises(TableError, match="label and response contradict each other"):
        read_cohort(written(tmp_path, "patient_id,image,mask,label,response\nP1,i,m,0,CR\n"))


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    with pytest.raises(TableError, match="has no column mask. Expected patient_id, image, mask; received"):
        read_cohort(written(tmp_path, "patient_id,image\nP1,i\n"))


def test_a_folder_without_a_table_is_a_cohort_of_folders(tmp_path):
    for name, files in {
        "0007": ("image.nii.gz", "mask.nrrd", "mask_reader2.nrrd"),
        "notes": ("x.txt",),
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    (patient,) = read_cohort(tmp_path).patients
    assert patient.patient_id == "0007"
    assert patient.mask_reader2 == tmp_path / "0007" / "mask_reader2.nrrd"
    assert patient.label is None


def test_an_empty_folder_says_what_a_cohort_is(tmp_path):
    with pytest.raises(InputError, match="cohort.csv, cohort.xlsx, or a folder a patient"):
        read_cohort(tmp_path)
