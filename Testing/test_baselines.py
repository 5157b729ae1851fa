"""The clinical scores as baselines of a report: direction fixed beforehand, missing items counted."""

import csv
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from TACEResponseLib.clinical.scores import ClinicalValues, TumourBurden, clinical_scores
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.report import drawing as report_drawing
from TACEResponseLib.report import write_training_report
from TACEResponseLib.report.baselines import baseline_table, missing_items, patient_scores
from TACEResponseLib.report.study import Scored
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.run import train_on_features

#: Six patients, each there twice since an interval needs five of a class. AFP and diameter decide HAP
#: (albumin 40, bilirubin 10 give no point). The hand's HAP points, and response.
PATIENTS = [
    ("5", 3.0, 0, 1),
    ("5", 4.0, 0, 1),
    ("5", 8.0, 1, 1),
    ("500", 3.0, 1, 0),
    ("500", 9.0, 2, 0),
    ("500", 9.0, 2, 0),
] * 2


def a_group(patients=PATIENTS, scores=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4) * 2, **blank) -> Scored:
    labels = np.array([label for *_, label in patients])
    clinical = tuple(
        {"albumin_g_l": "40", "bilirubin_umol_l": "10", "afp_ng_ml": afp, **blank} for afp, *_ in patients
    )
    n = len(labels)
    burdens = tuple(TumourBurden(1, (d,)) for _, d, *_ in patients)
    ids = tuple(f"P{k}" for k in range(n))
    table = PatientTable(ids, (), np.empty((n, 0)), burdens=burdens, clinical=clinical)
    of_model = {"all": np.array(scores)}
    together = Labelled(table, Outcome(labels))
    return Scored("out_of_fold", "training", together, of_model, of_model)


def with_table(patients: Labelled, **changes) -> Labelled:
    """The patients with other fields in their table."""
    return dataclasses.replace(patients, table=dataclasses.replace(patients.table, **changes))


def table_of(*groups: Scored):
    study = SimpleNamespace(scored=groups, model=SimpleNamespace(headline="all"))
    table = baseline_table(study)
    return table, {(row["cohort"], row["score"]): row for row in table.rows}


def test_a_worse_group_counts_as_less_response():
    _, rows = table_of(a_group())
    hap = rows["training", "HAP"]
    # Pairs of a responder and another: points 0, 0, 1 against 1, 2, 2: one tie among nine.
    assert hap["auc"] == pytest.approx((8 + 0.5) / 9)
    assert hap["auc"] == pytest.approx(roc_auc_score([1, 1, 1, 0, 0, 0], [0, 0, -1, -1, -2, -2]))
    assert (hap["n"], hap["responders"], hap["missing_items"]) == (12, 6, "")
    assert hap["model_beside"] == 1.0


def test_scores_have_their_chinese_names():
    with in_language("zh"):
        table, _ = table_of(a_group())
    names = {row["score"] for row in table.rows}
    assert {"HAP", "肿瘤负荷评分", "米兰标准"} <= names
    assert {"Milan", "tumour burden score"} & names == set()
    assert "米兰标准：Mazzaferro" in table.note


def test_the_direction_is_not_turned_to_flatter_a_score():
    turned = [(afp, d, points, 1 - label) for afp, d, points, label in PATIENTS]
    _, rows = table_of(a_group(turned))
    assert rows["training", "HAP"]["auc"] == pytest.approx(0.5 / 9)


def test_patients_without_an_item_are_counted_and_left_out_of_that_score_alone():
    group = a_group()
    clinical = list(group.patients.table.clinical)
    clinical[0] = {**clinical[0], "albumin_g_l": ""}
    clinical[5] = {**clinical[5], "afp_ng_ml": ">200"}
    patients = with_table(group.patients, clinical=tuple(clinical))
    _, rows = table_of(dataclasses.replace(group, patients=patients))
    hap = rows["training", "HAP"]
    assert (hap["n"], hap["responders"]) == (10, 5)
    assert hap["missing_items"] == "albumin (1), AFP >200 decides nothing (1)"
    assert hap["auc"] == pytest.approx(
        roc_auc_score([1, 1, 0, 0, 1, 1, 1, 0, 0, 0], [0, -1, -1, -2, 0, 0, -1, -1, -2, -2])
    )
    assert hap["model_beside"] == 1.0
    assert rows["training", "six-and-twelve"]["n"] == 12
    assert rows["training", "Child-Pugh"]["n"] == 0
    assert (
        rows["training", "Child-Pugh"]["missing_items"]
        == "INR (12), ascites (12), encephalopathy (12), albumin (1)"
    )
    assert rows["training", "Child-Pugh"]["auc"] is None


def test_everybody_in_one_group_is_no_auc():
    _, rows = table_of(a_group())
    albi = rows["training", "ALBI"]
    assert (albi["n"], albi["auc"], albi["p"]) == (12, None, None)


def test_a_cell_that_cannot_be_read_is_a_missing_one():
    _, rows = table_of(a_group(albumin_g_l="4.0"))
    assert rows["training", "HAP"]["missing_items"] == "albumin (12)"


def test_cohorts_are_rows_of_their_own():
    external = dataclasses.replace(a_group(), estimate="external", cohort="validation")
    table, rows = table_of(a_group(), external)
    assert ("validation", "HAP") in rows
    assert "Nothing is fitted" in table.note
    assert "developed to predict survival" in table.note
    assert "Kadalayil" in table.note
    assert rows["training", "HAP"]["built_for"] == "survival"


def test_without_any_values_and_lesions_the_table_says_why_it_is_empty():
    group = a_group()
    bare = with_table(group.patients, clinical=(), burdens=())
    table, _ = table_of(dataclasses.replace(group, patients=bare))
    assert table.rows == []
    assert table.absent == "no patient has the values that a score needs"
    assert patient_scores(bare)[0] == clinical_scores(ClinicalValues(), None)


def test_items_are_counted_most_often_first():
    scores = [clinical_scores(ClinicalValues(albumin_g_l=a), None)[0] for a in (40, None)]
    assert missing_items(scores) == "bilirubin (2), AFP (2), lesions (2), albumin (1)"


def test_the_report_of_a_feature_table_holds_the_scores_of_its_clinical_columns(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    names = ["original_shape_Maximum2DDiameterSlice", *(f"original_test_{k}" for k in range(5))]
    features, labels = [["patient_id", *names]], [["patient_id", "label", "lesions", "albumin_g_l"]]
    for k in range(40):
        label = k % 2
        features.append([f"P{k}", 60 - 25 * (label or k == 0) + 5 * rng.random(), *rng.normal(label, 1, 5)])
        labels.append([f"P{k}", label, 1 + k % 3, "38"])
    for name, rows in (("features.csv", features), ("labels.csv", labels)):
        with (tmp_path / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
    quick = {"sizes": [2, 4], "trees": 25, "folds": 3, "number": 3, "bootstraps": 0}
    settings = preset("peng2021", network=None, folds=3, repeats=1, selection=quick)
    trained = train_on_features(tmp_path / "features.csv", tmp_path / "labels.csv", settings)
    assert trained.training.table.burdens[1].number == 2
    monkeypatch.setattr(report_drawing, "DOTS_PER_INCH", 30)
    report = write_training_report(trained, tmp_path / "report")
    with (report / "clinical_scores.csv").open(encoding="utf-8") as stream:
        found = {row["score"]: row for row in csv.DictReader(stream)}
    assert found["up-to-seven"]["n"] == "40"
    assert float(found["up-to-seven"]["auc"]) > 0.8
    assert found["HAP"]["missing_items"] == "bilirubin (40), AFP (40)"
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "Clinical scores as baselines: AUC for response" in page
    assert "Most were developed to predict survival" in page
