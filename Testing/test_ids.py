"""Patient IDs are free text: they become folders that never meet and cells that no spreadsheet runs."""

import csv
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from openpyxl import Workbook
from scenes import a_scene, as_labelmap
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, load_bundle, save_bundle
from TACEResponseLib.cohorts.preflight import check_cohort
from TACEResponseLib.cohorts.preflight.table import write_preflight
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.measuring.feature_table import write_feature_csv, write_problem_csv
from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.readers.tables import read_table
from TACEResponseLib.report.table import Table
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.storage import folder_names, quoted, require_short, unquoted

ALIKE = ["a/b", "a\\b", "a b", "a_b", "A_B", "a:b", "a?b."]
FORMULAS = ["=1+1", "+49 123", "@sum", "-2+3", "=cmd|' /C calc'!A0"]


def of_hash(patient_id: str, digits: int = 8) -> str:
    return hashlib.sha256(patient_id.encode()).hexdigest()[:digits]


def run(*arguments):
    return main([str(a) for a in arguments])


def test_ids_that_meet_get_a_suffix_of_their_hash_and_others_keep_their_name():
    names = folder_names([*ALIKE, "P1", "Zoë"])
    assert names["a/b"] == f"a_b-{of_hash('a/b')}"
    assert names["A_B"] == f"A_B-{of_hash('A_B')}"
    assert (names["a b"], names["P1"], names["Zoë"]) == ("a b", "P1", "Zoë")
    assert len({name.casefold() for name in names.values()}) == len(names)


def test_an_id_that_is_the_name_with_the_suffix_of_another_does_not_meet_it_either():
    ids = ["a/b", "a_b", f"a_b-{of_hash('a/b')}", f"A_B-{of_hash('a/b')}"]
    names = folder_names(ids)
    assert len({name.casefold() for name in names.values()}) == 4


@pytest.mark.parametrize("taken", ["CON", "nul", "Com1", "LPT9.txt", "aux.tar.gz", "con.", "COM²", "CONIN$"])
def test_a_name_that_windows_keeps_for_itself_is_changed(taken):
    (name,) = folder_names([taken]).values()
    stem = name.partition(".")[0].casefold()
    assert stem not in ("con", "nul", "com1", "lpt9", "aux", "com²", "conin$")
    assert not name.endswith((".", " "))


@pytest.mark.parametrize("patient_id", ["..", ".", " ", "a.", "a ", "...b", "\ud800", "", "/", "e\u0301"])
def test_every_id_becomes_a_name_that_every_system_holds(patient_id, tmp_path):
    name = folder_names([patient_id, "é"])[patient_id]
    assert name and name not in (".", "..") and "/" not in name and not name.endswith((".", " "))
    (tmp_path / name).mkdir()
    assert (tmp_path / name).parent == tmp_path


def test_two_ways_to_write_one_letter_are_two_folders():
    names = folder_names(["é", "e\u0301"])
    assert len(set(names.values())) == 2


def test_names_that_the_answers_themselves_need_are_not_taken():
    assert folder_names(["Predictions.csv"], ["predictions.csv"])["Predictions.csv"] != "Predictions.csv"


def test_an_id_that_no_file_system_holds_is_named():
    require_short("肝" * 70, "肝" * 70)
    with pytest.raises(InputError, match="too long for the name of a folder.*received 300 bytes"):
        require_short("P" * 300, "P" * 300)


@pytest.mark.parametrize("patient_id", [*FORMULAS, "'=1+1", "''@x", "'quoted'", "P1", "-5", "-1.5e-7", ""])
def test_an_id_is_the_same_after_writing_and_reading(patient_id):
    cell = quoted(patient_id)
    assert unquoted(cell) == patient_id
    assert not cell.startswith(("=", "+", "@"))


def test_a_feature_table_holds_no_formula_and_gives_the_ids_back(tmp_path):
    ids = [*FORMULAS, "P1"]
    write_feature_csv(tmp_path / "f.csv", {patient_id: {"x": -1.5} for patient_id in ids})
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as stream:
        cells = [row[0] for row in csv.reader(stream)][1:]
    assert cells == ["'=1+1", "'+49 123", "'@sum", "'-2+3", "'=cmd|' /C calc'!A0", "P1"]
    rows = read_table(tmp_path / "f.csv", ("patient_id",))
    assert [row["patient_id"] for row in rows] == ids
    assert rows[0]["x"] == "-1.5"


def test_a_spreadsheet_with_such_ids_is_read_as_it_shows_them(tmp_path):
    book = Workbook()
    book.active.append(["patient_id"])
    book.active.append(["x"])
    book.active["A2"].value = "=1+1"
    book.active["A2"].data_type = "s"  # text, as Excel keeps what was typed after an apostrophe
    book.save(tmp_path / "t.xlsx")
    assert read_table(tmp_path / "t.xlsx", ("patient_id",))[0]["patient_id"] == "=1+1"


def test_what_a_table_says_of_a_problem_is_no_formula_either(tmp_path):
    with pytest.raises(TableError) as caught:
        read_table(written(tmp_path / "t.csv", "patient_id\n=1+1\n=1+1\n"), ("patient_id",))
    problem = caught.value.about(patient_id="=1+1").problem
    write_problem_csv(tmp_path / "p.csv", [problem])
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as stream:
        assert not [cell for row in csv.reader(stream) for cell in row if cell.startswith(("=", "+", "@"))]


def unsafe_cells(text: str) -> list[str]:
    """Cells that a spreadsheet would run."""
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    return [cell for cell in cells if cell[:1] in ("=", "+", "@") or re.match(r"-\D|-\d+[+-]", cell)]


def test_the_table_of_the_preflight_is_safe_and_gives_ids_and_centres_back(patient, tmp_path):
    ids = [*FORMULAS, "P1", "-5"]
    rows = [f"{quoted(i)},{patient}/image.nrrd,{patient}/mask.nrrd,=c" for i in ids]
    table = written(tmp_path / "cohort.csv", "\n".join(["patient_id,image,mask,center", *rows]))
    write_preflight(check_cohort(read_cohort(table)), tmp_path / "check")
    path = tmp_path / "check" / "check.csv"
    text = path.read_text(encoding="utf-8")
    assert unsafe_cells(text) == []
    with path.open(encoding="utf-8", newline="") as stream:
        found = [row for row in csv.DictReader(stream) if row["patient_id"]]
    assert list(dict.fromkeys(unquoted(row["patient_id"]) for row in found)) == ids
    assert {unquoted(row["center"]) for row in found} == {"=c"}


def test_the_tables_of_a_report_are_safe_and_give_ids_back(tmp_path):
    ids = [*FORMULAS, "P1", "-5"]
    rows = [{"patient_id": i, "fused": -0.25, "center": "@c", "none": None} for i in ids]
    path = written(tmp_path / "t.csv", Table("t", "Patients", rows).to_csv())
    assert unsafe_cells(path.read_text()) == []
    found = read_table(path, ("patient_id",))
    assert [row["patient_id"] for row in found] == ids
    assert {(row["fused"], unquoted(row["center"]), row["none"]) for row in found} == {("-0.25", "@c", "")}


def test_the_scores_in_a_bundle_are_safe_and_give_ids_back(tmp_path):
    ids = (*FORMULAS, "P1", "-5")
    model = load_bundle(demonstration_bundle())
    scores = {name: np.linspace(0.1, 0.9, len(ids)) for name in model.training.out_of_fold}
    training = replace(
        model.training,
        patient_ids=ids,
        outcome=Outcome(np.arange(len(ids)) % 2),
        out_of_fold=scores,
        conformal=scores,
        image_hashes=(),
        folds=None,
    )
    save_bundle(tmp_path / "new", replace(model, training=training), None, "a card")
    assert unsafe_cells((tmp_path / "new" / "scores.csv").read_text(encoding="utf-8")) == []
    assert load_bundle(tmp_path / "new").training.patient_ids == ids


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u200f", "U+200F RIGHT-TO-LEFT MARK"),
        ("\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\x07", "U+0007 control character"),
        ("\x1b", "U+001B control character"),
        ("\x85", "U+0085 control character"),
        ("\n", "U+000A control character"),
    ],
)
def test_characters_that_cannot_be_seen_in_an_id_are_named_with_their_row(tmp_path, character, name):
    path = written(tmp_path / "t.csv", f'patient_id\nP1\n"P{character}2"\n')
    with pytest.raises(TableError) as caught:
        read_table(path, ("patient_id",))
    sentence = str(caught.value)
    assert f"row 3, column patient_id holds {name}. Expected characters that can be seen" in sentence
    assert f'received "P\\u{ord(character):04x}2"' in sentence
    assert character not in sentence


def test_they_are_named_in_a_folder_and_on_the_command_line_too(tmp_path, capsys):
    (tmp_path / "P\u202e1").mkdir()
    (tmp_path / "P\u202e1" / "image.nrrd").touch()
    with pytest.raises(InputError, match="U\\+202E RIGHT-TO-LEFT OVERRIDE"):
        read_cohort(tmp_path)
    arguments = ["--image", tmp_path / "i", "--mask", tmp_path / "m", "--patient", "P\x1b[31m"]
    assert run("predict", *arguments, "--out", tmp_path / "o") == 2
    assert "U+001B control character" in capsys.readouterr().err


def test_all_faults_of_a_cohort_are_said_in_one_run(tmp_path, capsys):
    table = (
        "patient_id,image,mask,label,response,repair\n"
        "P1,i,m,2,,\nP2,,m,1,,\nP3,i,,0,CR,glue\nP1,i,m,1,,\nP4,i,m,1,,\n,i,m,1,,\nP5,i,m,1,,,,9\n"
    )
    written(tmp_path / "cohort.csv", table)
    with pytest.raises(TableError) as caught:
        read_cohort(tmp_path)
    said = [problem.message for problem in caught.value.problems]
    assert sorted(said) == [
        "row 2, column label is not a label",
        "row 3, column image is empty",
        "row 4, column mask is empty",
        "row 4, column repair: no repair has this name",
        "row 4: label and response contradict each other",
        "row 5, column patient_id repeats row 2",
        "row 7, column patient_id is empty",
        "row 8 has more cells than the header",
    ]
    assert run("check", "--cohort", tmp_path, "--json") == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["kind"]) == ("error", "table")
    assert [problem["message"] for problem in last["problems"]] == said
    assert run("check", "--cohort", tmp_path) == 2
    assert len(capsys.readouterr().err.splitlines()) == 9


def test_an_error_of_many_faults_lists_fifty_and_crosses_processes(tmp_path):
    import pickle

    rows = "".join(f"P{n},i,m,7\n" for n in range(80))
    with pytest.raises(TableError) as caught:
        read_cohort(written(tmp_path / "cohort.csv", f"patient_id,image,mask,label\n{rows}"))
    assert str(caught.value).splitlines()[-1] == "... and 30 more"
    assert len(caught.value.problems) == 80
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == (str(caught.value), caught.value.problems)


def test_two_tables_of_one_cohort_are_an_error(tmp_path):
    for name in ("cohort.csv", "cohort.xlsx"):
        written(tmp_path / name, "patient_id,image,mask\nP1,i,m\n")
    with pytest.raises(TableError, match="two tables of the cohort. Expected cohort.csv or cohort.xlsx"):
        read_cohort(tmp_path)
    assert len(read_cohort(tmp_path / "cohort.csv").patients) == 1


@pytest.fixture(scope="module")
def patient(tmp_path_factory, phantom_case):
    folder = tmp_path_factory.mktemp("patient")
    sitk.WriteImage(phantom_case.image, str(folder / "image.nrrd"))
    sitk.WriteImage(phantom_case.mask, str(folder / "mask.nrrd"))
    image, segments = a_scene()
    sitk.WriteImage(as_labelmap(image, segments) * 0, str(folder / "empty.nrrd"))
    return folder


def test_six_ids_that_meet_are_six_answers_and_the_table_says_whose_each_folder_is(patient, tmp_path, capsys):
    ids = [*ALIKE[:6], "P" * 300, "=1+1", "CON"]
    rows = "".join(f'"{patient_id}",{patient}/image.nrrd,{patient}/mask.nrrd\n' for patient_id in ids)
    table = written(tmp_path / "cohort.csv", f"patient_id,image,mask\n{rows}")
    assert run("predict", "--cohort", table, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "the patient's ID is too long for the name of a folder" in printed
    assert "IDs begin as formulas do, and a spreadsheet would run them" in printed
    assert "8 of 9 patients predicted" in printed
    answers = read_table(tmp_path / "out" / "predictions.csv", ("patient_id", "folder"))
    assert [row["patient_id"] for row in answers] == ids
    for row in answers:
        if row["folder"]:
            content = json.loads((tmp_path / "out" / row["folder"] / "prediction.json").read_text("utf-8"))
            assert content["patient_id"] == row["patient_id"]
            of_folds = [float(row[f"instability_{end}"]) for end in ("low", "high")]
            assert of_folds == content["certainty"]["instability"]
    folders = [row["folder"] for row in answers if row["folder"]]
    assert len({folder.casefold() for folder in folders}) == 8
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == sorted(folders)


def test_check_warns_of_ids_that_a_spreadsheet_would_run(patient, tmp_path, capsys):
    rows = f"=1+1,{patient}/image.nrrd,{patient}/mask.nrrd\n"
    table = written(tmp_path / "cohort.csv", f"patient_id,image,mask\n{rows}")
    assert run("check", "--cohort", table, "--jobs", "1") == 0
    assert 'received "=1+1"' in capsys.readouterr().out


def test_a_path_that_the_system_refuses_is_that_patients_problem_and_the_rest_go_on(
    patient, tmp_path, capsys
):
    (tmp_path / "loop.nrrd").symlink_to(tmp_path / "loop.nrrd")
    rows = [
        f"P1,{'x' * 300}.nrrd,{patient}/mask.nrrd",
        f"P2,{tmp_path}/loop.nrrd,{patient}/mask.nrrd",
        f"P3,{patient}/image.nrrd,{patient}/mask.nrrd",
    ]
    table = written(tmp_path / "cohort.csv", "\n".join(["patient_id,image,mask", *rows]))
    assert run("predict", "--cohort", table, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "1 of 3 patients predicted" in printed
    assert "Patient P1" in printed and "Patient P2" in printed


def test_a_link_to_itself_is_a_sentence_and_no_fault(patient, tmp_path, capsys):
    loop = tmp_path / "loop.nrrd"
    loop.symlink_to(loop)
    for image, mask in ((loop, patient / "mask.nrrd"), (patient / "image.nrrd", loop)):
        assert run("predict", "--image", image, "--mask", mask, "--out", tmp_path / "o") == 2
        assert "fault" not in capsys.readouterr().err.lower()
