"""The command line as a person meets it: what it prints, writes and returns."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from scenes import a_scene, as_labelmap
from TACEResponseLib.__main__ import main

STATEMENT = "This model was trained on synthetic images and is not for patients."


@pytest.fixture(scope="module")
def patient(tmp_path_factory, phantom_case):
    """Image and mask of the phantom patient in a folder with a space and letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("Bilder von Müller 肝")
    sitk.WriteImage(phantom_case.image, str(folder / "image.nrrd"))
    sitk.WriteImage(phantom_case.mask, str(folder / "mask.nrrd"))
    return folder


def run(*arguments):
    return main([str(a) for a in arguments])


def test_predict_prints_and_writes_one_answer(patient, capsys):
    out = patient / "Antwort ä"
    code = run("predict", "--image", patient / "image.nrrd", "--mask", patient / "mask.nrrd", "--out", out)
    printed = capsys.readouterr().out
    assert code == 0
    assert printed.startswith(STATEMENT)
    content = json.loads((out / "prediction.json").read_text(encoding="utf-8"))
    assert f"{content['reading']['headline']}.\n" in printed
    assert content["format_version"] == 1
    assert content["statement"] == STATEMENT
    assert content["demonstration"] is True
    models = {"size", "linear", "logistic", "svm", "gbm", "random_forest", "cnn", "cnn+random_forest"}
    assert models <= set(content["probabilities"])
    assert all(0 <= p <= 1 for p in content["probabilities"].values())
    assert content["fused"] == content["probabilities"]["cnn+random_forest"]
    assert content["responder"] == (content["fused"] > content["threshold"])
    assert set(content["lesions"]) == {"number", "largest_diameter_mm", "volume_ml"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count(STATEMENT) == 2
    assert page.count("data:image/png;base64,") == 2


@pytest.mark.parametrize("succeeds", [True, False])
def test_nothing_of_an_earlier_patient_stays_in_the_folder_of_the_answer(patient, tmp_path, succeeds):
    answer = ("report.html", "report.pdf", "prediction.json", "report-sr.dcm", "tumour-seg.dcm")
    for name in (*answer, "my notes.txt"):
        (tmp_path / name).write_text("of another patient")
    mask = patient / ("mask.nrrd" if succeeds else "image.nrrd")
    code = run("predict", "--image", patient / "image.nrrd", "--mask", mask, "--out", tmp_path)
    assert code == (0 if succeeds else 2)
    left = {"my notes.txt"} | ({"report.html", "prediction.json"} if succeeds else set())
    assert {file.name for file in tmp_path.iterdir()} == left
    assert "of another patient" not in (tmp_path / "report.html").read_text() if succeeds else True


def test_a_mask_that_an_earlier_answer_wrote_is_never_removed(tmp_path):
    mask = tmp_path / "tumour-seg.dcm"
    mask.write_bytes(b"drawn by hand since")
    (tmp_path / "report.html").write_text("of another patient")
    assert run("predict", "--image", tmp_path / "none", "--mask", mask, "--out", tmp_path) == 2
    assert mask.read_bytes() == b"drawn by hand since"
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("command", ["predict", "extract"])
def test_a_place_that_cannot_be_written_is_said_before_the_work(
    patient, tmp_path, capsys, monkeypatch, command
):
    for room in ("cohorts.table", "readers"):  # whoever reads an image fails; the one takes it from the other
        monkeypatch.setattr(f"TACEResponseLib.{room}.read_case", None)
    (tmp_path / "file").write_text("")
    if command == "predict":
        given = ["--image", patient / "image.nrrd", "--mask", patient / "mask.nrrd"]
    else:
        (tmp_path / "cohort.csv").write_text("patient_id,image,mask\n")
        given = ["--cohort", tmp_path]
    assert run(command, *given, "--out", tmp_path / "file" / "answer") == 2
    assert "the folder cannot be written. Received file is a file." in capsys.readouterr().err
    if command == "extract":
        assert run(command, *given, "--out", tmp_path) == 2
        assert "the table cannot be written over a folder" in capsys.readouterr().err


def test_one_patient_beside_a_cohort_is_refused(patient, capsys):
    given = ["--cohort", patient, "--image", patient / "image.nrrd", "--mask", patient / "mask.nrrd"]
    assert run("predict", *given, "--out", patient / "both") == 2
    assert "One patient beside a cohort" in capsys.readouterr().err


def test_the_same_patient_gives_the_same_answer_twice(patient):
    answers = []
    for name in ("one", "two"):
        image, mask = patient / "image.nrrd", patient / "mask.nrrd"
        run("predict", "--image", image, "--mask", mask, "--out", patient / name)
        answers.append((patient / name / "prediction.json").read_bytes())
    assert answers[0] == answers[1]


def test_json_events_end_with_done_and_the_prediction(patient, capsys):
    image, mask = patient / "image.nrrd", patient / "mask.nrrd"
    code = run("predict", "--image", image, "--mask", mask, "--out", patient / "events", "--json")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert {e["event"] for e in events[:-1]} == {"progress"}
    assert all(set(e) == {"event", "stage", "done", "total", "eta_s"} for e in events[:-1])
    assert events[-1]["event"] == "done"
    assert 0 <= events[-1]["prediction"]["fused"] <= 1


@pytest.fixture(scope="module")
def bad_masks(tmp_path_factory):
    """A CT with an empty mask, a mask of another grid, and a good mask with labels 1 and 2."""
    folder = tmp_path_factory.mktemp("bad")
    image, segments = a_scene()
    labels = as_labelmap(image, segments)
    sitk.WriteImage(image, str(folder / "image.nrrd"))
    sitk.WriteImage(labels, str(folder / "labels.nrrd"))
    sitk.WriteImage(labels * 0, str(folder / "empty.nrrd"))
    labels.SetSpacing((1.0, 1.0, 3.0))
    sitk.WriteImage(labels, str(folder / "elsewhere.nrrd"))
    return folder


@pytest.mark.parametrize(
    ("mask", "choice", "sentence"),
    [
        (
            "elsewhere.nrrd",
            ["--label", "2"],
            "Patient image, elsewhere.nrrd: the mask lies on another grid than the CT. Expected "
            "56 x 48 x 10 voxels of 0.75 x 0.75 x 2.5 mm at (-120.50, -60.25, 410.00); received "
            "56 x 48 x 10 voxels of 1 x 1 x 3 mm at (-120.50, -60.25, 410.00), 18.6 mm away. "
            "Export the mask on the CT's grid, or choose the CT on which it was drawn.\n",
        ),
        (
            "empty.nrrd",
            [],
            "Patient image, empty.nrrd: the mask is empty. Expected at least one voxel above 0; "
            "received 0 in every voxel. Draw the tumour, or choose another mask.\n",
        ),
        (
            "labels.nrrd",
            ["--label", "7"],
            "Patient image, labels.nrrd: label 7 is not in the mask. Expected label 7; received labels "
            "1, 2. Choose one of those labels, or all.\n",
        ),
    ],
    ids=["another grid", "empty", "no such label"],
)
def test_a_bad_mask_is_exit_2_one_sentence_and_nothing_written(bad_masks, capsys, mask, choice, sentence):
    out = bad_masks / "answer"
    code = run(
        "predict", "--image", bad_masks / "image.nrrd", "--mask", bad_masks / mask, "--out", out, *choice
    )
    assert code == 2
    assert capsys.readouterr().err == sentence
    assert not out.exists()


def test_an_error_is_the_last_json_event(bad_masks, capsys):
    image, mask = bad_masks / "image.nrrd", bad_masks / "empty.nrrd"
    assert run("predict", "--image", image, "--mask", mask, "--out", bad_masks / "answer", "--json") == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["kind"]) == ("error", "mask")


def test_a_cohort_goes_on_past_a_bad_patient(patient, bad_masks, tmp_path, capsys):
    rows = [
        f"P1,{patient}/image.nrrd,{patient}/mask.nrrd",
        f"P/2,{bad_masks}/image.nrrd,{bad_masks}/empty.nrrd",
        f"../P3,{patient}/image.nrrd,{patient}/mask.nrrd",
    ]
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["patient_id,image,mask", *rows]), encoding="utf-8")
    assert run("predict", "--cohort", table, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "2 of 3 patients predicted" in printed
    assert f"Pages: {tmp_path / 'out' / 'index.html'}" in printed
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert index.index("the mask is empty") < index.index('href="P1/report.html"')
    assert index.count("similar patients respond") + index.count("The model computes") == 2
    written = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8")
    assert written.count(STATEMENT) == 2
    assert "Patient P/2, empty.nrrd: the mask is empty" in written
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == ["P1", "_P3"]
    assert (tmp_path / "out" / "predictions.xlsx").is_file()


def test_check_lists_every_problem_as_one_json_line_a_patient(patient, bad_masks, tmp_path, capsys):
    rows = [
        f"P1,{patient}/image.nrrd,{patient}/mask.nrrd",
        f"P2,{bad_masks}/image.nrrd,{bad_masks}/empty.nrrd",
    ]
    (tmp_path / "cohort.csv").write_text("\n".join(["patient_id,image,mask", *rows]), encoding="utf-8")
    assert run("check", "--cohort", tmp_path, "--json") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    verdicts = {line["patient_id"]: line for line in lines if "verdict" in line}
    assert verdicts["P1"]["verdict"] == "ok"
    assert verdicts["P2"]["verdict"] == "error"
    problem = verdicts["P2"]["problems"][0]
    assert (problem["kind"], problem["field"]) == ("mask", "mask")
    assert problem["expected"] == "at least one voxel above 0"
    assert lines[-1] == {"event": "done", "ok": 1, "warning": 0, "error": 1}


def test_ctrl_c_is_exit_130_and_leaves_no_answer(patient, monkeypatch, capsys):
    from TACEResponseLib.answer.response_model import ResponseModel

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ResponseModel, "predict", interrupted)
    image, mask = patient / "image.nrrd", patient / "mask.nrrd"
    out = patient / "never"
    assert run("predict", "--image", image, "--mask", mask, "--out", out) == 130
    assert "Cancelled" in capsys.readouterr().err
    assert not out.exists()


def test_a_message_is_a_sentence_even_where_the_terminal_knows_no_umlauts(patient):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "TACEResponse"), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "TACEResponseLib", "predict", "--image", str(patient / "ä.nrrd")]
    command += ["--mask", str(patient / "mask.nrrd"), "--out", str(patient / "x")]
    result = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert result.returncode == 2
    assert b"Traceback" not in result.stderr
    assert result.stderr.startswith(b"Image not found: ")
    assert result.stderr.endswith(b"\\xe4.nrrd. Check the path.\n")


def test_demo_predicts_the_synthetic_patient(tmp_path, capsys):
    assert run("demo", "--out", tmp_path / "demo") == 0
    assert STATEMENT in capsys.readouterr().out
    assert (tmp_path / "demo" / "report.html").stat().st_size > 50_000


@pytest.mark.parametrize(
    ("image", "mask", "choice"),
    [
        ("pyradiomics/lung2_image_crop.nrrd", "pyradiomics/lung2_label_crop.nrrd", []),
        ("dcmqi-liver", "dcmqi-liver/liver.dcm", ["--segment", "Liver"]),
        ("totalsegmentator/ct_dicom", "totalsegmentator/example_seg_dicom.nii.gz", ["--label", "5"]),
    ],
    ids=["lung tumour", "DICOM SEG", "DICOM series"],
)
def test_real_input_gives_a_prediction_with_warnings(real_data, tmp_path, image, mask, choice):
    code = run(
        "predict", "--image", real_data / image, "--mask", real_data / mask, "--out", tmp_path, *choice
    )
    assert code == 0
    content = json.loads((tmp_path / "prediction.json").read_text(encoding="utf-8"))
    assert np.isfinite(content["fused"])
    assert content["similarity"]["verdict"] == "outside"
    assert any("lies outside what the model was trained on" in text for text in content["warnings"])
