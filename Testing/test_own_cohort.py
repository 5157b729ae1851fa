"""What somebody meets with a first cohort of their own: each refusal says what is true and what to do."""

import argparse
import csv
import json
import re
from dataclasses import replace

import pytest
import SimpleITK as sitk
from conftest import ROOT
from scenes import a_scene, as_labelmap
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, load_bundle
from TACEResponseLib.clinical.findings import FLAGS
from TACEResponseLib.clinical.values import QUANTITIES
from TACEResponseLib.cohorts.enough import require_enough
from TACEResponseLib.cohorts.table import COLUMNS, read_cohort
from TACEResponseLib.commands.output import about_option
from TACEResponseLib.measuring.case import image_hash
from TACEResponseLib.messages.errors import LimitsError, TrainingError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.report.paper_kit import KINDS
from TACEResponseLib.settings import SelectionSettings
from TACEResponseLib.statistics.outcome import fewest_per_class
from TACEResponseLib.training.external import external_patients

IMAGE, SEGMENTS = a_scene()


@pytest.fixture
def folder(tmp_path):
    """A folder with a CT, another CT and a mask of both."""
    sitk.WriteImage(IMAGE, str(tmp_path / "ct.nrrd"))
    sitk.WriteImage(IMAGE + 1, str(tmp_path / "other.nrrd"))
    sitk.WriteImage(as_labelmap(IMAGE, {"Mass": SEGMENTS["Mass"]}), str(tmp_path / "mask.nrrd"))
    return tmp_path


def write_cohort(folder, rows, header="patient_id,image,mask,label,cohort"):
    with (folder / "cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(header.split(","))
        table.writerows(rows)
    return folder


def a_cohort(folder, labels, cohorts=()):
    """A patient a label, all with the same files; cohorts: of the last ones, the others train."""
    parts = [*[""] * (len(labels) - len(cohorts)), *cohorts]
    pairs = enumerate(zip(labels, parts, strict=True))
    return write_cohort(folder, [(f"A{n}", "ct.nrrd", "mask.nrrd", *cells) for n, cells in pairs])


# Equal IDs


def trained_with(folder, image: str):
    """The demonstration model as if P0003 had been trained on a CT of this folder."""
    model = load_bundle(demonstration_bundle())
    write_cohort(folder, [("P0003", image, "mask.nrrd", 1, "validation")])
    known = image_hash(read_cohort(folder).patients[0].read_case())
    hashes = (known, *model.training.image_hashes[1:])
    return replace(model, training=replace(model.training, image_hashes=hashes))


def refused(model, folder, *ids, **how) -> str:
    """What is said of patients with the CT of the folder, each of them for validation."""
    write_cohort(folder, [(name, "ct.nrrd", "mask.nrrd", 1, "validation") for name in ids])
    with pytest.raises(TrainingError) as caught:
        external_patients(model, read_cohort(folder), **how)
    return str(caught.value)


def test_an_equal_id_with_the_same_image_is_a_training_patient(folder):
    assert refused(trained_with(folder, "ct.nrrd"), folder, "P0003", allow_training_patients=False) == (
        "1 patient of the cohort was used to train this model. Expected patients that the model has not "
        "seen, whatever they are called; received P0003. Remove them, or allow training patients by name and "
        "read the result as optimism."
    )


def test_an_equal_id_with_another_image_is_refused_and_is_not_called_a_training_patient(folder):
    model = trained_with(folder, "other.nrrd")
    assert refused(model, folder, "P0003", "P0001", "B", allow_training_patients=False) == (
        "2 patients have the ID of a training patient, with other images. Expected patients that the model "
        "has not seen; received P0001, P0003. If they are other patients, give them other IDs or pass "
        "--allow-training-patients, with which the report counts them as training patients."
    )
    assert refused(model, folder, "P0003").endswith("If they are other patients, give them other IDs.")
    with in_language("zh"):
        assert refused(model, folder, "P0003", allow_training_patients=False) == (
            "有 1 名患者的编号与训练患者相同，但图像不同。应为 模型未见过的患者；实际为 P0003。"
            "如为其他患者，请改用其他编号，或使用 --allow-training-patients（报告会将其计为训练患者）。"
        )


@pytest.mark.parametrize("unknown", ["the model's images", "the patient's image"])
def test_where_the_images_cannot_be_compared_nobody_is_said_to_have_another_one(folder, unknown):
    model = trained_with(folder, "other.nrrd")
    if unknown == "the model's images":
        model = replace(model, training=replace(model.training, image_hashes=model.training.image_hashes[1:]))
    else:
        (folder / "mask.nrrd").unlink()
    said = refused(model, folder, "P0003", allow_training_patients=False)
    assert said.startswith("1 patient of the cohort was used to train this model.")


def test_ten_of_the_ids_are_named_and_the_others_counted(folder, capsys):
    ids = [f"P{n:04d}" for n in range(1, 25, 2)]
    write_cohort(folder, [(name, "ct.nrrd", "mask.nrrd", 1, "validation") for name in ids])
    evaluate = ["evaluate", "--bundle", str(demonstration_bundle()), "--cohort", str(folder)]
    assert main([*evaluate, "--out", str(folder / "report")]) == 2
    said = capsys.readouterr().err
    assert "12 patients have the ID of a training patient, with other images." in said
    assert f"received {', '.join(ids[:10])} and 2 more. If they are other patients" in said
    assert "pass --allow-training-patients" in said


# Too few patients, settings, the part for training


ENOUGH = "at least 10 responders and 10 non-responders to train on"
MORE = (
    "at least 15 responders and 15 non-responders to train on in 3 folds (fewer folds need more patients: a "
    "nested fit leaves two folds out)"
)
COUNTED = (
    "received 7 responders, 5 non-responders; 12 of 24 patients are for training (column cohort empty or "
    "training)"
)


@pytest.mark.parametrize(
    ("folds", "sentence"),
    [
        ("5", f"Expected {ENOUGH}; {COUNTED}. Add patients, or check the labels."),
        ("3", f"Expected {MORE}; {COUNTED}. Add patients, take more folds, or check the labels."),
    ],
)
def test_check_says_of_too_few_patients_what_train_says(folder, capsys, folds, sentence):
    a_cohort(folder, [1] * 7 + [0] * 5 + [0, 1] * 6, ["validation"] * 12)
    sentence = f"Too few patients of one class. {sentence}"
    planned = ["--cohort", str(folder), "--folds", folds, "--jobs", "1"]
    assert main(["check", *planned]) == 1
    assert f"Cohort: {sentence}\n" in capsys.readouterr().out
    assert main(["train", *planned, "--no-cnn", "--out", str(folder / "model")]) == 2
    assert capsys.readouterr().err.strip().endswith(sentence)


def test_why_patients_are_too_few_is_said_in_chinese(folder, capsys):
    a_cohort(folder, [1] * 7 + [0] * 5 + [0, 1] * 6, ["validation"] * 12)
    with in_language("zh"), pytest.raises(TrainingError) as caught:
        require_enough(read_cohort(folder), 3)
    assert str(caught.value) == (
        "某一类别的患者太少。应为 以 3 折训练时至少 15 名应答者和 15 名非应答者（折数越少所需患者越多："
        "嵌套拟合要留出两折）；"
        "实际为 7 名应答者、5 名非应答者；24 名患者中有 12 名用于训练（cohort 列为空或为 training）。"
        "请增加患者，增加折数，或检查标签。"
    )


@pytest.mark.parametrize(("folds", "fewest"), [(3, 15), (4, 10), (5, 10), (10, 10), (12, 12)])
def test_the_smallest_numbers_by_folds_are_those_of_the_page(folds, fewest):
    assert fewest_per_class(folds) == fewest
    page = (ROOT / "Docs" / "training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+|\d+ to \d+) \| (\d+) \|$", page, flags=re.MULTILINE))
    named = {3: "3", 4: "4 to 10", 5: "4 to 10", 10: "4 to 10", 12: "12"}
    assert int(rows[named[folds]]) == fewest


@pytest.mark.parametrize(
    ("command", "option", "value", "sentence"),
    [
        ("check", "--folds", "2", "Expected 3 to 50; nested fits leave two out; received 2."),
        ("train", "--folds", "2", "Expected 3 to 50; nested fits leave two out; received 2."),
        ("train", "--repeats", "0", "Expected 1 to 100; received 0."),
        ("train", "--seed", "-1", "Expected 0 to 2147483647; received -1."),
        ("train", "--epochs", "0", "Expected 1 to 10000; received 0."),
    ],
)
def test_a_setting_outside_its_limits_names_the_option(folder, capsys, command, option, value, sentence):
    a_cohort(folder, [1, 0])
    out = ["--out", str(folder / "out")]
    assert main([command, "--cohort", str(folder), *out, option, value]) == 2
    said = capsys.readouterr()
    assert said.err.strip() == f"Option {option} is outside its limits. {sentence}"
    assert "TrainingSettings" not in said.err + said.out


def test_a_setting_that_no_option_gave_keeps_its_name():
    with pytest.raises(LimitsError) as caught:
        SelectionSettings(folds=1)
    options = argparse.Namespace(folds=5)
    assert str(about_option(caught.value, options)) == str(caught.value)
    assert "SelectionSettings.folds" in str(caught.value)


def test_the_limits_of_the_folds_stand_in_the_help(capsys):
    for command in ("check", "train"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "folds, 3 to 50 (default: 5)." in " ".join(capsys.readouterr().out.split())


def test_phantom_says_how_many_are_for_training_and_how_many_are_held_out(tmp_path, capsys):
    place = str(tmp_path / "phantoms")
    assert main(["phantom", "--patients", "5", "--out", place, "--jobs", "1"]) == 0
    *_, training, validation = capsys.readouterr().out.strip().splitlines()
    labels = {True: [], False: []}
    with (tmp_path / "phantoms" / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            labels[row["cohort"] == "training"].append(int(row["label"]))
    assert [len(of) for of in labels.values()] == [3, 2]
    words = [
        f"{len(of)} ({sum(of)} responder{'s' * (sum(of) != 1)}, "
        f"{len(of) - sum(of)} non-responder{'s' * (len(of) - sum(of) != 1)})"
        for of in labels.values()
    ]
    assert training == f"For training: {words[0]}"
    assert validation == f"Held out for validation: {words[1]}"
    assert main(["phantom", "--patients", "5", "--out", place, "--jobs", "1", "--json"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert done["training"] == {"responders": sum(labels[True]), "non_responders": 3 - sum(labels[True])}
    assert done["validation"] == {"responders": sum(labels[False]), "non_responders": 2 - sum(labels[False])}
    with pytest.raises(SystemExit):
        main(["phantom", "--help"])
    assert "half of it is held out" in " ".join(capsys.readouterr().out.split())


# Missing files


def test_a_table_whose_only_fault_is_a_missing_file_still_has_a_page_with_every_patient(folder, capsys):
    rows = [("A", "ct.nrrd", "mask.nrrd", "1", ""), ("B", "ct.nrrd", "gone.nrrd", "0", "")]
    write_cohort(folder, rows)
    assert main(["check", "--cohort", str(folder), "--out", str(folder / "out"), "--jobs", "1"]) == 1
    assert "Patient B, gone.nrrd: mask not found" in capsys.readouterr().out
    assert (folder / "out" / "check.html").is_file()


# The page


def test_the_page_names_every_column_and_every_clinical_name_that_is_read_and_no_other_unit():
    page = (ROOT / "Docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named >= {*COLUMNS, *(name for columns in FLAGS.values() for name in columns)}
    with_units = {
        f"{name}_{unit}".rstrip("_")
        for name, quantity in QUANTITIES.items()
        for unit in quantity.factors
        if name != "tumor_size"  # read as well
    }
    assert named >= {*with_units, "ascites", "encephalopathy", "sex", "group", "phase"}
    beginnings = tuple(f"{name}_" for name in QUANTITIES)
    assert {name for name in named if name.startswith(beginnings)} <= with_units


def test_the_page_names_every_kind_of_file_of_the_paper_kit():
    page = (ROOT / "Docs" / "training.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`([\w*]+\.\w+)`", page)) >= set(KINDS)
