"""The observed response: mRECIST from masks before and after, and the commands around the register."""

import json
import sqlite3

import numpy as np
import pytest
import SimpleITK as sitk
from answers import an_answer
from TACEResponseLib.__main__ import main
from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.follow_up.mrecist import observed_response
from TACEResponseLib.follow_up.register import Register
from TACEResponseLib.messages.errors import InputError


def lesions(*diameters_mm: float) -> Lesions:
    """Lesions of these diameters, largest first."""
    ordered = tuple(sorted(diameters_mm, reverse=True))
    return Lesions(ordered, (1.0,) * len(ordered), 0)


@pytest.mark.parametrize(
    ("before", "after", "response", "sums"),
    [
        ((40,), None, "CR", (40, 0)),
        ((33,), (23.1,), "PR", (33, 23.1)),  # exactly 30 %, which plain floats miss
        ((40,), (28.1,), "SD", (40, 28.1)),
        ((40,), (47.9,), "SD", (40, 47.9)),
        ((40,), (48,), "PD", (40, 48)),
        ((50, 30, 20), (30, 20, 20), "PR", (80, 50)),  # two targets at most
        ((50, 9), (50, 9), "SD", (50, 50)),  # below 10 mm is no target
        ((10,), (7,), "PR", (10, 7)),
    ],
)
def test_the_response_follows_mrecist_on_at_most_two_targets(before, after, response, sums):
    left = None if after is None else lesions(*after)
    found = observed_response(lesions(*before), left, viable_arterial=True)
    assert (found.response, found.baseline_mm, found.follow_up_mm) == (response, *sums)


def test_a_new_lesion_is_pd_however_much_the_others_shrank():
    found = observed_response(lesions(40), lesions(10, 5), viable_arterial=True, new_lesion=True)
    assert found.response == "PD"
    with pytest.raises(InputError, match="A new lesion is viable tumour"):
        observed_response(lesions(40), None, viable_arterial=True, new_lesion=True)


def test_more_parts_than_before_are_pointed_out_and_not_decided():
    found = observed_response(lesions(40), lesions(12, 10), viable_arterial=True)
    assert found.response == "PR"
    assert found.sentence() == "Viable tumour 40.0 mm before, 12.0 mm after (-70 %): PR"
    assert found.notes == (
        "2 viable parts after, 1 before: a new lesion is PD (--new-lesion), pieces of a treated one are not",
        "of 2 viable parts after, the largest 1 stand for the targets",
    )


def test_masks_need_the_word_that_they_are_viable_tumour_and_a_lesion_that_can_be_measured():
    with pytest.raises(InputError, match="viable tumour, which mRECIST measures.*say so with --viable"):
        observed_response(lesions(40), lesions(20), viable_arterial=False)
    with pytest.raises(InputError, match="No lesion before TACE is large enough.*received 9.9 mm"):
        observed_response(lesions(9.9), lesions(5), viable_arterial=True)


# --- the commands -------------------------------------------------------------------------------------


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


def scan(folder, name: str, *lengths_mm: int):
    """A CT and a mask with bars of these lengths, 1 mm voxels; paths of both."""
    voxels = np.zeros((6, 12 * max(len(lengths_mm), 1) + 10, 70), np.uint8)
    for n, length in enumerate(lengths_mm):
        voxels[1:5, 5 + 12 * n, 5 : 5 + length] = 1
    mask = sitk.GetImageFromArray(voxels)
    image = sitk.GetImageFromArray((40 + 60 * voxels + np.arange(70) % 7).astype(np.int16))
    paths = folder / f"{name}.nrrd", folder / f"{name}-mask.nrrd"
    for part, path in zip((image, mask), paths, strict=True):
        sitk.WriteImage(part, str(path))
    return paths


@pytest.fixture
def register(tmp_path):
    """A register that holds one prediction of P1: response likely."""
    file = tmp_path / "register.sqlite"
    with Register(file, create=True) as opened:
        opened.keep(an_answer(patient_id="P1", fused=0.72, threshold=0.55))
    return file


def follow_up(register, *arguments) -> int:
    return run("follow-up", "--register", register, "--patient", "P1", *arguments)


def masks(before, after) -> list:
    given = ["--baseline-image", before[0], "--baseline-mask", before[1]]
    return given + (["--image", after[0], "--mask", after[1]] if after else ["--none-viable"])


@pytest.mark.parametrize(
    ("lengths_mm", "extra", "response"),
    [
        ((), [], "CR"),
        ((30, 10), [], "PR"),  # 60 -> 40 mm
        ((40, 18), [], "SD"),
        ((44, 30), [], "PD"),
        ((12,), ["--new-lesion"], "PD"),
    ],
)
def test_the_response_is_measured_in_masks_and_recorded(
    register, tmp_path, capsys, lengths_mm, extra, response
):
    before = scan(tmp_path, "before", 40, 20)
    after = scan(tmp_path, "after", *lengths_mm) if lengths_mm else None
    assert follow_up(register, *masks(before, after), "--viable-arterial", *extra) == 0
    printed = capsys.readouterr().out
    with Register(register) as opened:
        (found,) = opened.recorded()
    assert (found.response, found.baseline_mm, found.follow_up_mm) == (response, 60, sum(lengths_mm))
    assert printed.startswith(f"Viable tumour 60.0 mm before, {sum(lengths_mm):.1f} mm after")
    met = "as predicted" if response in ("CR", "PR") else "against the prediction"
    assert f"observed {response}" in printed
    assert (
        f"predicted responder (72 % by CNN + random forest, cut-off 55 %): {met}. Model "
        "peng2021-0123456789ab. This model was trained on synthetic images and is not for patients."
    ) in printed


def test_a_response_as_read_is_recorded_and_corrected_on_request(register, capsys):
    assert follow_up(register, "--response", "pd", "--json") == 0
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (event["event"], event["response"]) == ("done", "PD")
    (prediction,) = event["predictions"]
    assert (prediction["responder"], prediction["observed_responder"]) == (True, False)
    assert follow_up(register, "--response", "CR") == 2
    assert "recorded already. Received PD, recorded before." in capsys.readouterr().err
    assert follow_up(register, "--response", "CR", "--replace") == 0


def test_an_empty_mask_after_tace_asks_for_the_word_that_nothing_is_left(register, tmp_path, capsys):
    before, after = scan(tmp_path, "before", 40), scan(tmp_path, "after")
    assert follow_up(register, *masks(before, after), "--viable-arterial") == 2
    assert capsys.readouterr().err.endswith("; where nothing viable is left, use --none-viable.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "No response to record."),
        (["--baseline-image", "a.nrrd", "--baseline-mask", "b.nrrd"], "No response to record."),
        (["--response", "CR", "--mask", "b.nrrd"], "The response is given twice."),
        (["--response", "CR", "--new-lesion"], "The response is given twice."),
        ([*masks("ab", "cd"), "--none-viable"], "No response to record."),
    ],
)
def test_half_a_response_or_two_are_refused(register, capsys, arguments, sentence):
    assert follow_up(register, *arguments) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_an_unknown_patient_is_refused_before_anything_is_measured(register, capsys):
    absent = masks(("no.nrrd", "such.nrrd"), ("file.nrrd", "here.nrrd"))
    assert run("follow-up", "--register", register, "--patient", "P2", *absent, "--viable-arterial") == 2
    assert "Patient P2: the register holds no prediction of this patient." in capsys.readouterr().err


def test_a_register_that_is_not_there_is_exit_2_and_one_sentence(tmp_path, capsys):
    for command in (["follow-up", "--patient", "P1", "--response", "CR"], ["audit", "--out", tmp_path / "a"]):
        assert run(*command, "--register", tmp_path / "no.sqlite") == 2
        assert capsys.readouterr().err.startswith("There is no such register.")
    assert list(tmp_path.iterdir()) == []


# --- from prediction to audit -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patient(tmp_path_factory, phantom_case):
    """Image and mask of the phantom patient."""
    folder = tmp_path_factory.mktemp("patient")
    sitk.WriteImage(phantom_case.image, str(folder / "image.nrrd"))
    sitk.WriteImage(phantom_case.mask, str(folder / "mask.nrrd"))
    return folder


def single(patient) -> list:
    return ["predict", "--image", patient / "image.nrrd", "--mask", patient / "mask.nrrd"]


def test_a_prediction_is_kept_only_when_asked_for_and_only_under_an_id_that_was_given(
    patient, tmp_path, capsys
):
    register, out = tmp_path / "register.sqlite", tmp_path / "out"
    asked = [*single(patient), "--out", out]
    assert run(*asked, "--register", register) == 2
    assert capsys.readouterr().err.startswith("The register needs an ID of the patient.")
    assert run(*asked, "--date", "2025-03-31") == 2
    assert "A date is for the register." in capsys.readouterr().err
    assert run(*asked, "--register", register, "--patient", "P1", "--date", "31.3.2025") == 2
    assert "The date is none." in capsys.readouterr().err
    assert not register.exists()
    assert not out.exists()
    register.write_text("something else", encoding="utf-8")
    assert run(*asked, "--register", register, "--patient", "P1") == 2
    assert "the register is damaged, or is no register" in capsys.readouterr().err
    assert not out.exists()


def test_what_was_predicted_is_audited_against_what_was_observed(patient, tmp_path, capsys):
    register, out = tmp_path / "kept" / "register.sqlite", tmp_path / "out"
    asked = [*single(patient), "--out", out, "--register", register]
    assert run(*asked, "--patient", "alone", "--date", "2024-11-02") == 0
    assert f"Register: {register}" in capsys.readouterr().out
    rows = [f"P{n},{patient}/image.nrrd,{patient}/mask.nrrd,2025-0{n}-15," for n in (1, 2)]
    rows += [f"known,{patient}/image.nrrd,{patient}/mask.nrrd,,PR"]
    rows += [f"bad,{patient}/image.nrrd,{patient}/no.nrrd,,"]
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["patient_id,image,mask,date,response", *rows]), encoding="utf-8")
    cohort = ["predict", "--cohort", table, "--out", out, "--register", register, "--date", "2025-03-01"]
    assert run(*cohort) == 1  # the bad one is reported, the rest go on
    with Register(register) as opened:
        found = {one.patient_id: one for one in opened.recorded()}
    days = {"alone": "2024-11-02", "P1": "2025-01-15", "P2": "2025-02-15", "known": "2025-03-01"}
    assert {name: one.day for name, one in found.items()} == days
    answer = json.loads((out / "P1" / "prediction.json").read_text(encoding="utf-8"))
    assert {one.probability for one in found.values()} == {answer["fused"]}
    assert found["P1"].similarity == answer["similarity"]["verdict"]
    for name, response in {"alone": "CR", "P1": "PD", "known": "PR"}.items():
        assert run("follow-up", "--register", register, "--patient", name, "--response", response) == 0
    capsys.readouterr()
    assert run("audit", "--register", register, "--out", tmp_path / "audit", "--period", "year") == 0
    printed = capsys.readouterr().out
    assert "4 patients predicted, 2024-11-02 to 2025-03-01; 2 counted" in printed
    assert "1 of 4 patients has no response recorded." in printed
    assert "1 of 4 patients has a response that was known before the prediction" in printed
    (model,) = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))["models"]
    assert (model["n"], model["responders"], model["awaiting"], model["known_before"]) == (2, 1, 1, 1)
    assert [(p["period"], p["predictions"], p["own"]["n"]) for p in model["periods"]] == [
        ("2024", 1, 1),
        ("2025", 2, 1),
    ]


def test_a_bad_date_in_a_cohort_names_row_and_column_before_anything_is_predicted(patient, tmp_path, capsys):
    row = f"P1,{patient}/image.nrrd,{patient}/mask.nrrd,15/1/2025"
    (tmp_path / "cohort.csv").write_text(f"patient_id,image,mask,date\n{row}\n", encoding="utf-8")
    register = tmp_path / "register.sqlite"
    assert run("predict", "--cohort", tmp_path, "--out", tmp_path / "out", "--register", register) == 2
    assert capsys.readouterr().err.startswith("Patient P1: row 2, column date: the date is none.")
    connection = sqlite3.connect(register)
    assert connection.execute("SELECT count(*) FROM predictions").fetchone() == (0,)
    connection.close()


def test_the_scan_before_given_as_the_one_after_is_refused(register, tmp_path, capsys):
    before, after = scan(tmp_path, "before", 40), scan(tmp_path, "after", 20)
    for slip in (before, (after[0], before[1])):
        assert follow_up(register, *masks(before, slip), "--viable-arterial") == 2
        assert "the mask after TACE is the one before it" in capsys.readouterr().err
    copied = tmp_path / "copied.nrrd"
    copied.write_bytes(before[1].read_bytes())
    assert follow_up(register, *masks(before, (after[0], copied)), "--viable-arterial") == 2
    with Register(register) as opened:
        assert opened.recorded()[0].response is None
