"""Where an outline is from: the record in every output, and the warning when it is of another kind."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from answers import an_answer
from openpyxl import load_workbook
from scenes import a_scene, as_labelmap, write_dicom_series
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, load_bundle, public_cohort_bundle, save_bundle
from TACEResponseLib.cases import make_case
from TACEResponseLib.cases.fingerprint import case_fingerprint, tumour_fingerprint
from TACEResponseLib.cases.outline import SOURCES, UNKNOWN, Outline
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.commands.common_options import MASK_SOURCES
from TACEResponseLib.commands.predictions_table import prediction_row
from TACEResponseLib.dicom_export import write_dicom
from TACEResponseLib.measuring.case import measure
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import BundleError, InputError, TableError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.readers import read_case
from TACEResponseLib.report.outlines import about_outlines
from TACEResponseLib.report.patient_page import summary, write_patient_report
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.inputs import Labelled, measured_patients, tabled_patients
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.updating import update_response_model

PROGRAM = "TotalSegmentator 2.13.0"
#: Each outline with its history in words, its SegmentAlgorithmType, and name and version of the algorithm.
OUTLINES = {
    "unknown": (UNKNOWN, "", "MANUAL", None),
    "drawn": (Outline("drawn"), "drawn", "MANUAL", None),
    "proposed": (Outline("proposed"), "proposed, not confirmed", "AUTOMATIC", ("unknown", "unknown")),
    "confirmed": (
        Outline("confirmed", PROGRAM),
        "proposed, confirmed",
        "AUTOMATIC",
        ("TotalSegmentator", "2.13.0"),
    ),
    "edited": (
        Outline("edited", "a click", 0.8749),
        "proposed, edited (Dice 0.87 to the proposal)",
        "SEMIAUTOMATIC",
        ("a click", "unknown"),
    ),
}
every_outline = pytest.mark.parametrize(
    ("outline", "history", "made", "algorithm"), OUTLINES.values(), ids=OUTLINES
)


# --- the record ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("painted",), "no outline is 'painted'; expected one of drawn, proposed, confirmed, edited"),
        (("drawn", PROGRAM), "a program beside an outline that none proposed"),
        (("confirmed", PROGRAM, 0.9), "a Dice beside an outline that was not edited"),
        (("edited", PROGRAM, 1.01), "a Dice of 1.01; expected 0 to 1"),
        (("edited", PROGRAM, float("nan")), "a Dice of nan"),
    ],
)
def test_an_outline_that_cannot_be_is_refused(parts, said):
    with pytest.raises(ValueError, match=said):
        Outline(*parts)


def test_words_of_an_outline_in_both_languages():
    said = {name: outline.in_words() for name, (outline, *_) in OUTLINES.items()}
    assert said == {
        "unknown": "",
        "drawn": "Outline: drawn",
        "proposed": "Outline: proposed, not confirmed",
        "confirmed": "Outline: proposed, confirmed",
        "edited": "Outline: proposed, edited (Dice 0.87 to the proposal)",
    }
    assert Outline("edited", PROGRAM).history() == "proposed, edited"
    with in_language("zh"):
        assert OUTLINES["edited"][0].in_words() == "轮廓：建议轮廓，已修改（与建议轮廓的 Dice 为 0.87）"


def test_a_word_of_a_table_is_an_outline_or_an_error_that_says_what_is_expected():
    assert Outline.from_text(" Edited ") == Outline("edited")
    assert Outline.from_text("") == UNKNOWN
    with pytest.raises(InputError) as caught:
        Outline.from_text("automatic")
    problem = caught.value.problem
    assert (problem.field, problem.received) == ("mask_source", "automatic")
    assert problem.expected == "drawn, proposed, confirmed, edited"
    assert tuple(SOURCES) == MASK_SOURCES  # the help must not import the room of cases


def test_a_case_with_another_history_is_another_case_with_the_same_tumour(phantom_case):
    edited = replace(phantom_case, outline=Outline("edited"))
    assert case_fingerprint(edited) != case_fingerprint(phantom_case)
    assert tumour_fingerprint(edited) == tumour_fingerprint(phantom_case)
    assert edited.on_axial_grid().outline == Outline("edited")
    made = make_case("1", edited.image, edited.mask, outline=Outline("confirmed", PROGRAM))
    assert made.outline == Outline("confirmed", PROGRAM)


# --- in every output ----------------------------------------------------------------------------


@every_outline
def test_page_text_and_json_say_where_the_outline_is_from(
    outline, history, made, algorithm, phantom_case, tmp_path
):
    answer = an_answer(outline=outline)
    page = write_patient_report(answer, phantom_case, tmp_path).read_text(encoding="utf-8")
    found = dict(re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", page))
    assert found.get("Outline", "") == history
    assert found.get("Proposed by", "") == outline.program
    lines = summary(answer).splitlines()
    assert [line for line in lines if line.startswith("Outline")] == (
        [f"Outline: {history}"] if history else []
    )
    assert [line for line in lines if line.startswith("Proposed")] == (
        [f"Proposed by: {outline.program}"] if outline.program else []
    )
    written = json.loads((tmp_path / "prediction.json").read_text(encoding="utf-8"))["outline"]
    dice = None if outline.dice is None else 0.875
    assert written == {"source": outline.source, "program": outline.program, "dice": dice}
    in_notebook = answer._repr_html_()
    assert (f"Outline: {history}." in in_notebook) == bool(history)
    assert prediction_row(answer, "x")["mask_source"] == outline.source


@every_outline
def test_the_segmentation_and_the_report_for_the_archive_say_it(outline, history, made, algorithm, tmp_path):
    image, segments = a_scene()
    write_dicom_series(tmp_path / "ct", image)
    sitk.WriteImage(as_labelmap(image, {"Mass": segments["Mass"]}), str(tmp_path / "mask.nrrd"))
    case = read_case("0012", tmp_path / "ct", tmp_path / "mask.nrrd", outline=outline)
    answer = an_answer(patient_id="0012", outline=case.outline)
    report, segmentation = write_dicom(answer, case, tmp_path / "ct", tmp_path)
    (segment,) = pydicom.dcmread(segmentation).SegmentSequence
    assert segment.SegmentAlgorithmType == made
    if algorithm is None:
        assert "SegmentAlgorithmName" not in segment
    else:
        (identified,) = segment.SegmentationAlgorithmIdentificationSequence
        assert segment.SegmentAlgorithmName == identified.AlgorithmName == algorithm[0]
        assert identified.AlgorithmVersion == algorithm[1]
    said = {}
    for item in pydicom.dcmread(report).ContentSequence:
        for part in item.get("ContentSequence", []):
            if "TextValue" in part:
                said[part.ConceptNameCodeSequence[0].CodeMeaning] = part.TextValue
    assert "Statement on use" in said  # the texts were found
    assert said.get("Outline", "") == history
    assert said.get("Outline proposed by", "") == outline.program


# --- command line and tables --------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three phantom patients with a table: drawn, edited, nothing said."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = ["patient_id,image,mask,mask_source,label"]
    for number, source in enumerate(("drawn", "Edited", "")):
        patient = make_patient(number, seed=3, size="small")
        sitk.WriteImage(patient.image, str(folder / f"{number}.nrrd"))
        sitk.WriteImage(patient.mask, str(folder / f"{number}-mask.nrrd"))
        rows.append(f"P{number},{number}.nrrd,{number}-mask.nrrd,{source},{number % 2}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_a_source_is_an_option_for_one_patient(cohort, tmp_path, capsys):
    image, mask = (str(cohort / name) for name in ("0.nrrd", "0-mask.nrrd"))
    command = ["predict", "--image", image, "--mask", mask, "--out", str(tmp_path)]
    assert main([*command, "--mask-source", "confirmed"]) == 0
    assert "\nOutline: proposed, confirmed\n" in capsys.readouterr().out
    written = json.loads((tmp_path / "prediction.json").read_text(encoding="utf-8"))
    assert written["outline"] == {"source": "confirmed", "program": "", "dice": None}
    assert main(command) == 0
    assert "Outline" not in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([*command, "--mask-source", "painted"])
    assert ended.value.code == 2
    assert "painted" in capsys.readouterr().err


def test_a_table_says_it_for_each_patient_and_the_option_for_the_others(cohort, tmp_path):
    command = ["predict", "--cohort", str(cohort), "--out", str(tmp_path)]
    assert main([*command, "--mask-source", "proposed"]) == 0
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["mask_source"] for row in rows] == ["drawn", "edited", "proposed"]
    sheet = load_workbook(tmp_path / "predictions.xlsx").active
    names, *cells = sheet.iter_rows(values_only=True)
    assert [row[names.index("mask_source")] for row in cells] == ["drawn", "edited", "proposed"]
    page = (tmp_path / "P1" / "report.html").read_text(encoding="utf-8")
    assert "<dt>Outline</dt><dd>proposed, edited</dd>" in page
    assert main(command) == 0
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["mask_source"] for row in csv.DictReader(stream)] == ["drawn", "edited", ""]


def test_a_table_with_an_unknown_source_is_refused_with_its_row(cohort, tmp_path):
    table = (cohort / "cohort.csv").read_text(encoding="utf-8")
    (tmp_path / "cohort.csv").write_text(table.replace("Edited", "by hand"), encoding="utf-8")
    with pytest.raises(TableError) as caught:
        read_cohort(tmp_path)
    said = str(caught.value)
    assert "row 3, column mask_source: no outline has this source" in said
    assert "xpected drawn, proposed, confirmed, edited; received by hand" in said
    assert "P1" in said
    assert "choose one of those, or leave it empty" in said.casefold()


def test_a_source_is_no_clinical_value_and_not_the_second_readers(cohort):
    first, *_ = read_cohort(cohort).patients
    assert first.clinical == {}
    case = replace(first, mask_reader2=first.mask).read_case(reader=2)
    assert case.outline == UNKNOWN
    assert first.read_case().outline == Outline("drawn")


# --- models, and whether a new outline is of their kind --------------------------------------------


NAMES = tuple(f"original_firstorder_{name}" for name in ("Mean", "Median", "Minimum", "Maximum"))


def patients_of(number: int, seed: int, outlines: tuple[str, ...]) -> Labelled:
    random = np.random.default_rng(seed)
    features = random.normal(size=(number, 4))
    labels = (features.sum(axis=1) + random.normal(size=number) > 0).astype(int)
    ids = tuple(f"{seed}-{n}" for n in range(number))
    table = PatientTable(
        ids,
        NAMES,
        features,
        None,
        random.uniform(20, 90, number),
        outlines=outlines * (number // len(outlines)),
    )
    return Labelled(table, Outcome(labels))


def trained_on(*outlines: str):
    settings = preset(
        "peng2021",
        network=None,
        folds=3,
        selection={"sizes": [2], "trees": 20, "folds": 2, "number": 4, "bootstraps": 0},
    )
    known = patients_of(60, 1, outlines)
    return fit_response_model(known.table, known.outcome, settings)[0]


def test_a_bundle_keeps_the_sources_that_were_known_and_nothing_else(tmp_path):
    model = trained_on("drawn", "edited", "drawn", "")
    assert model.training.outlines == {"drawn": 30, "edited": 15}
    save_bundle(tmp_path / "known", model, None, "card")
    assert load_bundle(tmp_path / "known").training.outlines == {"drawn": 30, "edited": 15}
    silent = trained_on("")
    save_bundle(tmp_path / "silent", silent, None, "card")
    assert load_bundle(tmp_path / "silent").training.outlines == {}
    assert "training_outlines" not in json.loads((tmp_path / "silent" / "features.json").read_text("utf-8"))
    assert about_outlines(silent.training) == []
    assert about_outlines(model.training) == [
        "Outlines of the training patients: drawn (30); proposed, edited (15); not known (15)."
    ]
    updated = update_response_model(model, patients_of(40, 2, ("confirmed", "drawn")))
    assert updated.training.outlines == {"confirmed": 20, "drawn": 50, "edited": 15}


def test_a_bundle_with_a_source_that_does_not_exist_is_damaged(tmp_path):
    model = trained_on("drawn")
    painted = replace(model, training=replace(model.training, outlines={"painted": 60}))
    with pytest.raises(BundleError, match="the bundle is damaged"):
        save_bundle(tmp_path / "painted", painted, None, "card")


def test_the_shipped_models_know_nothing_of_their_outlines_and_keep_silent(phantom_case):
    for folder in (demonstration_bundle(), public_cohort_bundle()):
        assert load_bundle(folder).training.outlines == {}
    model = load_bundle(demonstration_bundle())
    answer = model.predict(replace(phantom_case, outline=Outline("confirmed")))
    assert not [text for text in answer.warnings if "outline" in text]
    assert answer.outline == Outline("confirmed")


HAND, BY_PROGRAM = {"drawn": 80, "edited": 10}, {"proposed": 4, "confirmed": 50}


@pytest.mark.parametrize(
    ("of_training", "source", "warns"),
    [
        (HAND, "drawn", False),
        (HAND, "edited", False),
        (HAND, "confirmed", True),
        (HAND, "proposed", True),
        (HAND, "", False),
        (BY_PROGRAM, "drawn", True),
        (BY_PROGRAM, "edited", True),
        (BY_PROGRAM, "confirmed", False),
        ({"drawn": 1, "proposed": 90}, "edited", False),
        ({}, "proposed", False),
    ],
)
def test_an_outline_of_another_kind_than_all_of_training_is_a_warning(
    of_training, source, warns, phantom_case, measured
):
    model, found = measured
    told = replace(model, training=replace(model.training, outlines=of_training))
    answer = told.predict(replace(phantom_case, outline=Outline(source)), measured=found)
    plain = model.predict(phantom_case, measured=found)
    said = [text for text in answer.warnings if "another kind" in text]
    assert len(said) == warns
    assert (answer.fused, answer.similarity) == (plain.fused, plain.similarity)
    if warns:
        drawn, proposed = (
            "an outline that a person drew or edited",
            "an outline that a program proposed and nobody changed",
        )
        expected, received = (drawn, proposed) if of_training is HAND else (proposed, drawn)
        assert f"xpected {expected}; received {received}." in said[0]


@pytest.fixture(scope="module")
def measured(phantom_case):
    model = load_bundle(demonstration_bundle())
    return model, model.measure(phantom_case)


def test_training_reads_the_sources_from_the_cohort(cohort):
    patients = read_cohort(cohort).patients
    settings = preset("peng2021").radiomics
    measured = {p.patient_id: measure(p.read_case(), settings, None, only=NAMES) for p in patients}
    found = measured_patients(patients, measured, NAMES)
    assert found.table.outlines == ("drawn", "edited", "")
    assert found.rows(np.array([1])).table.outlines == ("edited",)


def test_a_table_of_features_has_them_in_its_labels(tmp_path):
    features, labels = tmp_path / "features.csv", tmp_path / "labels.csv"
    features.write_text(f"patient_id,{NAMES[0]}\na,1\nb,2\nc,3\n", encoding="utf-8")
    labels.write_text("patient_id,label,mask_source\nc,1,confirmed\na,0,drawn\nb,1,\n", encoding="utf-8")
    found = tabled_patients(features, labels).training.table
    assert (found.patient_ids, found.outlines) == (("a", "b", "c"), ("drawn", "", "confirmed"))
    labels.write_text("patient_id,label,mask_source\na,0,painted\n", encoding="utf-8")
    with pytest.raises(TableError, match="row 2, column mask_source"):
        tabled_patients(features, labels)
