"""Several readers' responses: read, made into a label, shown as the ceiling; and the gain over size."""

import csv
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from TACEResponseLib.cohorts.table import Cohort, Patient, read_cohort
from TACEResponseLib.messages.errors import TableError, TrainingError
from TACEResponseLib.report.added_value import added_value_tables, known_values
from TACEResponseLib.report.reader_ceiling import agreement_table, ceiling_table
from TACEResponseLib.report.study import Study
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.added_value import added_value
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.inputs import tabled_patients
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.run import Trained, train_on_features
from test_report import patients, train

SIZE_ALONE = {"models": ["size"], "network": None, "fusion": {"headline": "size"}}


def write(path, header: str, *rows: str):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


# Reading


@pytest.fixture
def read_by_three(tmp_path) -> Cohort:
    return read_cohort(
        write(
            tmp_path / "cohort.csv",
            "patient_id,image,mask,response,response_reader2,label_reader3,afp_ng_ml",
            "P1,a.nrrd,m.nrrd,CR,SD,0,5",
            "P2,b.nrrd,m.nrrd,PD,PR,1,6",
            "P3,c.nrrd,m.nrrd,PR,,1,7",
            "P4,d.nrrd,m.nrrd,,CR,1,8",
        )
    )


def test_further_readers_are_read_and_are_no_clinical_values(read_by_three):
    assert [p.readings for p in read_by_three.patients] == [(1, 0, 0), (0, 1, 1), (1, None, 1), (None, 1, 1)]
    assert {name for p in read_by_three.patients for name in p.clinical} == {"afp_ng_ml"}


@pytest.mark.parametrize(
    ("source", "labels"),
    [("reader1", [1, 0, 1, None]), ("majority", [0, 1, None, None]), ("soft", [0, 1, None, None])],
)
def test_the_label_is_the_first_readers_or_that_of_most_of_all_readers(read_by_three, source, labels):
    assert [p.label for p in read_by_three.labelled_by(source).patients] == labels


def test_a_patient_without_a_majority_is_left_out_by_name(read_by_three):
    cohort = read_by_three.labelled_by("majority")
    assert str(cohort.unlabelled("majority")["P3"]) == (
        "Patient P3: the readers give no majority. Expected a response by every reader, and more of one "
        "kind than of the other; received labels 1, none, 1. The patient was left out."
    )
    assert "no response is known" in cohort.unlabelled()["P3"].message


def test_a_majority_of_one_reader_is_refused(tmp_path):
    table = write(tmp_path / "cohort.csv", "patient_id,image,mask,label", "P1,a.nrrd,m.nrrd,1")
    cohort = read_cohort(table)
    assert cohort.labelled_by("reader1") is cohort
    assert not cohort.has_several_readers
    with pytest.raises(TrainingError, match="response of several readers is asked for"):
        cohort.labelled_by("majority")


def test_a_wrong_cell_of_a_further_reader_names_row_and_column(tmp_path):
    header = "patient_id,image,mask,label,response_reader2,label_reader2"
    table = write(tmp_path / "cohort.csv", header, "P1,a.nrrd,m.nrrd,1,XX,", "P2,b.nrrd,m.nrrd,1,CR,0")
    with pytest.raises(TableError) as error:
        read_cohort(table)
    first, second = (str(problem) for problem in error.value.problems)
    assert "row 2, column response_reader2 is not a response" in first
    assert "row 3: label_reader2 and response_reader2 contradict each other" in second


# Training


def feature_files(folder, labelled, readings: np.ndarray):
    """A feature table and its labels with three readers, written as a user would."""
    table = labelled.table
    with (folder / "features.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["patient_id", *table.feature_names])
        rows.writerows([i, *values] for i, values in zip(table.patient_ids, table.features, strict=True))
    cells = [",".join("" if np.isnan(v) else str(int(v)) for v in row) for row in readings]
    write(
        folder / "labels.csv",
        "patient_id,label,label_reader2,label_reader3",
        *(f"{i},{row}" for i, row in zip(table.patient_ids, cells, strict=True)),
    )
    return folder / "features.csv", folder / "labels.csv"


@pytest.fixture(scope="module")
def read_files(tmp_path_factory):
    labelled = patients(60, seed=5)
    rng = np.random.default_rng(6)
    truth = labelled.outcome.labels
    readings = np.array([np.where(rng.random(60) < 0.8, truth, 1 - truth) for _ in range(3)], dtype=float).T
    readings[0, 1] = np.nan
    return labelled, readings, feature_files(tmp_path_factory.mktemp("readers"), labelled, readings)


@pytest.mark.parametrize("source", ["reader1", "majority", "soft"])
def test_the_outcome_of_a_feature_table_is_the_one_asked_for(read_files, source):
    _, readings, files = read_files
    found = tabled_patients(*files, source)
    used = slice(None) if source == "reader1" else slice(1, None)
    wanted = readings[:, 0] if source == "reader1" else (readings.sum(axis=1) >= 2)
    np.testing.assert_array_equal(found.training.outcome.labels, wanted[used])
    np.testing.assert_array_equal(found.training.outcome.readers, readings[used])
    soft = readings.mean(axis=1) if source == "soft" else wanted
    np.testing.assert_allclose(found.training.outcome.soft, soft[used].astype(float))
    assert len(found.left_out) == (source != "reader1")


def test_models_that_can_learn_from_the_share_of_readers_only_do_when_asked(read_files):
    _, _, files = read_files
    recipe = {
        **SIZE_ALONE,
        "models": ["extra_trees"],
        "fusion": {"headline": "extra_trees"},
        "extra_trees": {"trees": 20},
        "folds": 3,
    }
    scores = {
        source: train_on_features(*files, TrainingSettings.from_json({**recipe, "outcome": source}))
        for source in ("majority", "soft")
    }
    majority, soft = (run.record.out_of_fold for run in scores.values())
    np.testing.assert_array_equal(majority.folds, soft.folds)
    assert not np.array_equal(majority.scores["extra_trees"], soft.scores["extra_trees"])


def test_a_further_readers_column_among_the_features_is_refused(tmp_path):
    write(tmp_path / "features.csv", "patient_id,response_reader2,x", "P1,1,2")
    write(tmp_path / "labels.csv", "patient_id,label", "P1,1")
    with pytest.raises(TableError, match="holds columns that are no features"):
        tabled_patients(tmp_path / "features.csv", tmp_path / "labels.csv")


# The report


@pytest.fixture(scope="module")
def public(real_data, tmp_path_factory) -> Study:
    """The public cohort with its three readers, and reader 1's tumour size alone as the model."""
    folder = tmp_path_factory.mktemp("public")
    clinical = pd.read_excel(real_data / "hcc-tace-seg" / "clinical.xlsx")
    words = {1: "CR", 2: "PR", 3: "SD", 4: "PD"}
    columns = {"1_mRECIST": "response", "2_mRECIST": "response_reader2", "3_mRECIST": "response_reader3"}
    labels = clinical[list(columns)].rename(columns=columns).map(words.get)
    labels = labels.assign(patient_id=clinical.TCIA_ID, label="", age_years=clinical.age)
    labels[["patient_id", "label", "age_years", *columns.values()]].to_csv(folder / "labels.csv", index=False)
    # The readers' own largest diameter before treatment: the table of radiomics has fewer patients.
    size = "original_shape_Maximum2DDiameterSlice"
    features = clinical.rename(columns={"TCIA_ID": "patient_id", "1_mRECIST_BL": size})[["patient_id", size]]
    features.dropna().to_csv(folder / "features.csv", index=False)
    settings = TrainingSettings.from_json(SIZE_ALONE)
    return Study.of_training(train_on_features(folder / "features.csv", folder / "labels.csv", settings))


def test_the_public_readers_agree_with_the_known_kappas(public):
    rows = agreement_table(public).rows
    assert [round(row["kappa"], 2) for row in rows[:3]] == [0.29, 0.46, 0.47]
    assert [row["readers"] for row in rows][-1] == "all readers (Fleiss)"
    assert {row["n"] for row in rows} == {93}


def test_the_public_ceiling_is_the_known_auc_and_the_report_says_what_it_means(public):
    table = ceiling_table(public)
    votes = {(r["label"], r["ranked_by"]): r for r in table.rows}[
        "reader 1's label", "votes of readers 2 and 3"
    ]
    assert round(votes["auc"], 3) == 0.749
    assert "reader 1's label with an AUC of 0.749 (training, 93 patients)" in table.note
    assert "not to be expected above it" in table.note
    model = table.rows[-1]
    assert (model["ranked_by"], model["n"]) == ("the headline model, out of fold", 93)
    assert model["auc"] < votes["auc"]


@pytest.fixture(scope="module")
def run() -> Trained:
    return train(patients(60, seed=1), patients(40, seed=2, first=60, centers="BC"))


def test_one_reader_has_no_ceiling_and_the_report_says_why(run):
    study = Study.of_training(run)
    for table in (agreement_table(study), ceiling_table(study)):
        assert table.absent == "the table gives the response by one reader"


def test_readers_and_model_are_judged_on_the_same_patients(run):
    labels = run.external.outcome.labels
    rng = np.random.default_rng(3)
    other = np.where(rng.random(40) < 0.8, labels, 1 - labels).astype(float)
    other[:7] = np.nan
    external = dataclasses.replace(run.external, outcome=Outcome(labels, np.column_stack([labels, other])))
    rows = ceiling_table(Study(run.model, external, {})).rows
    assert {row["n"] for row in rows} == {33}
    answer = run.model.ranking(external.table)["all"]
    assert rows[-1]["auc"] == pytest.approx(roc_auc_score(labels[7:], answer[7:]))
    assert rows[0]["auc"] == pytest.approx(roc_auc_score(labels[7:], other[7:]))


# Gain over size and clinical values


def test_the_likelihood_ratio_is_that_of_scikit_learn():
    rng = np.random.default_rng(11)
    measures, log_odds = rng.normal(size=(150, 2)), rng.normal(size=150)
    labels = (rng.random(150) < 1 / (1 + np.exp(-0.8 * log_odds - 0.5 * measures[:, 0]))).astype(int)
    ours = added_value(labels, measures, log_odds, 0.5)

    def deviance(x):
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, labels)
        return 2 * log_loss(labels, model.predict_proba(x)[:, 1], normalize=False)

    both = np.column_stack([measures, log_odds])
    gained = deviance(measures) - deviance(both)
    assert ours.chi2 == pytest.approx(gained, rel=1e-5)
    assert ours.p == pytest.approx(chi2.sf(gained, 1) / 2, rel=1e-4)


def test_a_model_that_points_the_wrong_way_gains_nothing():
    rng = np.random.default_rng(12)
    log_odds = rng.normal(size=200)
    labels = (rng.random(200) < 1 / (1 + np.exp(1.2 * log_odds))).astype(int)
    found = added_value(labels, rng.normal(size=(200, 1)), log_odds, 0.5)
    assert found.coefficient < 0
    assert found.p > 0.99


def test_the_net_benefit_is_counted_patient_by_patient():
    rng = np.random.default_rng(13)
    n, threshold = 80, 0.4
    size, log_odds = rng.normal(size=n), rng.normal(size=n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int)
    found = added_value(labels, size[:, None], log_odds, threshold)

    def benefit(x):
        total = 0.0
        for k in range(n):
            rest = np.arange(n) != k
            model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[rest], labels[rest])
            treated = model.predict_proba(x[[k]])[0, 1] >= threshold
            total += treated * (1 if labels[k] else -threshold / (1 - threshold))
        return total / n

    gain = benefit(np.column_stack([size, log_odds])) - benefit(size[:, None])
    assert found.net_benefit == pytest.approx(gain)
    assert found.ci_low <= gain <= found.ci_high


def test_the_test_holds_its_size_and_finds_a_planted_gain():
    rng = np.random.default_rng(14)
    rejected = {0.0: 0, 1.0: 0}
    for effect in rejected:
        for _ in range(300):
            size, model = rng.normal(size=(2, 90))
            labels = (rng.random(90) < 1 / (1 + np.exp(-0.7 * size - effect * model))).astype(int)
            rejected[effect] += _p(labels, size, model) < 0.05
    # 15 of 300 are expected; 26 is three standard errors above.
    assert rejected[0.0] <= 26
    assert rejected[1.0] > 270


def _p(labels, size, model) -> float:
    with pytest.MonkeyPatch.context() as patch:
        # The leave-one-out fits of the net benefit take most of the time and are not looked at here.
        patch.setattr("TACEResponseLib.statistics.added_value._left_out", lambda labels, design: labels * 0.5)
        return added_value(labels, size[:, None], model, 0.5).p


def test_values_are_taken_in_a_fixed_order_and_as_many_as_the_patients_allow(run):
    study = Study.of_training(run)
    group = study.scored[0]
    assert list(known_values(group)) == ["size", "age"]  # AFP is unknown in one patient of six
    (table,) = added_value_tables(study)
    assert {row["beside"] for row in table.rows} == {"size", "size, age"}
    first = table.rows[0]
    assert (first["estimate"], first["n"]) == ("out_of_fold", 60)
    assert first["coefficient_ci_low"] < first["coefficient"] < first["coefficient_ci_high"]
    assert "Limits" in table.note


def test_without_size_and_clinical_values_there_is_no_gain_to_show():
    full = patients(40, seed=4)
    table = dataclasses.replace(full.table, diameters_mm=None, clinical=())
    bare = dataclasses.replace(full, table=table)
    settings = TrainingSettings.from_json(
        {**SIZE_ALONE, "models": ["logistic"], "fusion": {"headline": "logistic"}, "folds": 3}
        | {"selection": {"sizes": [2], "trees": 20, "folds": 3, "number": 2, "bootstraps": 0}}
    )
    run = Trained(*fit_response_model(table, bare.outcome, settings), None, bare, None, {})
    (shown,) = added_value_tables(Study.of_training(run))
    assert shown.absent == "no tumour size and no clinical value is known"


def test_the_outcome_stands_in_the_settings_of_the_bundle():
    settings = TrainingSettings.from_json({"outcome": "majority"})
    assert TrainingSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert Patient("P", "a", "b").readings == ()
