"""For whom a model works: subgroups out of fold and external, and each centre held out in turn."""

import csv
import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from TACEResponseLib.__main__ import main
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.report.centers import POOLED, center_tables, draw_centers
from TACEResponseLib.report.study import Study
from TACEResponseLib.report.subgroups import subgroup_tables, variables
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.meta_analysis import pool_auc
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.centers import hold_out_centers
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.run import Trained
from test_report import patients, train

SIZE_ALONE = preset("peng2021", models=["size"], network=None, fusion={"headline": "size"}, folds=3)


@pytest.fixture(scope="module")
def run() -> Trained:
    return train(patients(80, seed=1), patients(70, seed=2, first=80, centers="BC"))


def rows_of(study: Study, estimate: str) -> dict:
    (table,) = subgroup_tables(study)
    return {(r["variable"], r["group"]): r for r in table.rows if r["estimate"] == estimate}


# Subgroups


def test_every_variable_parts_the_patients_as_the_paper_does(run):
    table = run.external.table
    found = variables(table)
    assert set(found) == {"sex", "age", "centre", "size"}
    years = [40 + k % 37 for k in range(70)]
    assert found["age"][0] == ["below 60 years" if y < 60 else "60 years or more" for y in years]
    assert found["size"][0] == ["up to 5 cm" if mm <= 50 else "above 5 cm" for mm in table.diameters_mm]
    assert set(found["sex"][0]) == {"male", "female"}


def test_a_value_on_the_cut_belongs_above_in_age_and_below_in_size(run):
    table = dataclasses.replace(
        run.external.table.rows(np.arange(3)),
        diameters_mm=np.array([50.0, 50.1, 49.9]),
        clinical=({"age": "60"}, {"age": "59.9"}, {"age": ""}),
    )
    assert variables(table)["size"][0] == ["up to 5 cm", "above 5 cm", "up to 5 cm"]
    assert variables(table)["age"][0] == ["60 years or more", "below 60 years", ""]


def test_the_phase_of_the_scan_is_a_variable_where_it_is_known(run):
    phases = tuple("arterial" if k % 2 else "portal venous" for k in range(70))
    table = dataclasses.replace(run.external.table, phases=phases)
    assert set(variables(table)["phase"][0]) == {"arterial", "portal venous"}


def test_an_external_group_has_the_figures_of_its_patients(run):
    rows = rows_of(Study.of_training(run), "external")
    labels, table = run.external.outcome.labels, run.external.table
    answer = run.model.probabilities(table)["all"]
    male = np.array([k % 3 != 1 for k in range(70)])
    row = rows["sex", "male"]
    assert (row["n"], row["responders"]) == (male.sum(), labels[male].sum())
    assert row["auc"] == pytest.approx(roc_auc_score(labels[male], answer[male]))
    assert row["auc_ci_low"] < row["auc"] < row["auc_ci_high"]
    assert row["observed_expected"] == pytest.approx(labels[male].sum() / answer[male].sum())
    assert row["in_the_large_ci_low"] < row["in_the_large"] < row["in_the_large_ci_high"]
    assert sum(rows["sex", sex]["n"] for sex in ("male", "female")) == 70


def test_out_of_fold_groups_use_nested_probabilities_and_intervals_that_count_the_training(run):
    study = Study.of_training(run)
    rows, group = rows_of(study, "out_of_fold"), study.scored[0]
    small = run.training.table.diameters_mm <= 50
    row = rows["size", "up to 5 cm"]
    nested = run.record.out_of_fold.probabilities["all"]
    labels = run.training.outcome.labels
    assert row["observed_expected"] == pytest.approx(labels[small].sum() / nested[small].sum())
    auc = group.auc("all", small)
    assert (row["auc"], row["auc_ci_low"], row["auc_ci_high"]) == (auc.auc, auc.ci_low, auc.ci_high)


def test_a_group_of_few_is_named_without_any_figure(run):
    table = run.external.table
    clinical = tuple({**row, "sex": "F" if k < 3 else "M"} for k, row in enumerate(table.clinical))
    external = dataclasses.replace(run.external, table=dataclasses.replace(table, clinical=clinical))
    row = rows_of(Study(run.model, external, {}), "external")["sex", "female"]
    shown = {name: value for name, value in row.items() if value not in (None, "")}
    assert shown == {
        "estimate": "external",
        "variable": "sex",
        "group": "female",
        "remark": "fewer than 5 of a class",
    }


def test_patients_without_a_value_are_a_group_of_their_own(run):
    table = run.external.table
    clinical = tuple({**row, "sex": "" if k < 30 else row["sex"]} for k, row in enumerate(table.clinical))
    external = dataclasses.replace(run.external, table=dataclasses.replace(table, clinical=clinical))
    rows = rows_of(Study(run.model, external, {}), "external")
    labels, answer = run.external.outcome.labels[:30], run.model.probabilities(table)["all"][:30]
    assert rows["sex", "missing"]["n"] == 30
    assert rows["sex", "missing"]["auc"] == pytest.approx(roc_auc_score(labels, answer))


def test_a_table_that_parts_nobody_says_so(run):
    table = dataclasses.replace(run.external.table, clinical=(), centers=(), phases=(), diameters_mm=None)
    table = dataclasses.replace(table, clinical=({},) * 70, centers=("A",) * 70)
    model = train(patients(40, seed=4)).model
    model = dataclasses.replace(
        model, models=model.models.without(["size"]), combinations={"linear": model.combinations["linear"]}
    )
    model = dataclasses.replace(model, headline="linear", thresholds={"linear": 0.5})
    (shown,) = subgroup_tables(Study(model, Labelled(table, run.external.outcome), {}))
    assert shown.absent == "the table parts the patients by nothing"


# Centres held out


@pytest.fixture(scope="module")
def three_centers() -> Labelled:
    return patients(120, seed=7, centers="ABC")


@pytest.fixture(scope="module")
def held_out(three_centers):
    return hold_out_centers(three_centers, SIZE_ALONE, 1, lambda *_: None)


def test_a_centre_is_scored_by_a_model_of_the_others_alone(three_centers, held_out):
    found, problems = held_out
    assert [c.center for c in found] == ["A", "B", "C"]
    assert problems == ()
    mine = np.array(three_centers.table.centers) == "B"
    others = three_centers.rows(~mine)
    model, _ = fit_response_model(others.table, others.outcome, SIZE_ALONE)
    np.testing.assert_array_equal(
        found[1].probabilities["size"], model.probabilities(three_centers.rows(mine).table)["size"]
    )
    assert found[1].trained_on == 80


def test_the_labels_of_a_centre_never_reach_the_model_that_is_tried_on_it(three_centers, held_out):
    mine = np.array(three_centers.table.centers) == "B"
    turned = np.where(mine, 1 - three_centers.outcome.labels, three_centers.outcome.labels)
    found, _ = hold_out_centers(
        Labelled(three_centers.table, Outcome(turned)), SIZE_ALONE, 1, lambda *_: None
    )
    np.testing.assert_array_equal(found[1].probabilities["size"], held_out[0][1].probabilities["size"])
    assert not np.array_equal(found[0].probabilities["size"], held_out[0][0].probabilities["size"])


def test_a_centre_of_few_and_one_whose_rest_is_too_small_are_named(three_centers):
    few = three_centers.rows(np.r_[np.flatnonzero(np.array(three_centers.table.centers) == "A"), 1, 4, 7])
    found, problems = hold_out_centers(few, SIZE_ALONE, 1, lambda *_: None)
    assert found == ()
    assert [p.message for p in problems] == [
        "the centre A was not held out",
        "the centre B was not held out",
    ]
    assert "responders of 3 patients" in problems[1].received


def test_one_centre_cannot_be_held_out(three_centers):
    one = dataclasses.replace(three_centers.table, centers=("A",) * 120)
    with pytest.raises(TrainingError, match="no centre can be held out|No centre can be held out"):
        hold_out_centers(Labelled(one, three_centers.outcome), SIZE_ALONE, 1, lambda *_: None)


def test_the_report_gives_each_centre_and_the_pooled_mean(three_centers, held_out):
    study = Study.of_training(
        dataclasses.replace(train(patients(40, seed=4)), by_center=held_out[0], external=None)
    )
    (table,) = center_tables(study)
    aucs, sizes = [], []
    for row, of in zip(table.rows, held_out[0], strict=False):
        labels, size = of.patients.outcome.labels, of.patients.table.diameters_mm
        assert row["auc"] == pytest.approx(roc_auc_score(labels, of.ranking["size"]))
        assert row["auc_of_tumour_size"] == pytest.approx(roc_auc_score(labels, -size))
        aucs.append(row["auc"])
        sizes.append((labels.sum(), (labels == 0).sum()))
    mean = table.rows[-1]
    pooled = pool_auc(aucs, *zip(*sizes, strict=True))
    assert mean["center"] == POOLED
    assert (mean["n"], mean["auc"]) == (120, pooled.estimate)
    assert mean["prediction"] == f"{pooled.prediction_low:.3f} to {pooled.prediction_high:.3f}"
    figure = draw_centers(study).figure
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()][-1].startswith(POOLED)


def test_without_the_option_the_report_says_how_to_ask(run):
    study = Study.of_training(run)
    assert center_tables(study)[0].absent == "not asked for (train --by-center)"
    assert draw_centers(study).figure is None


def test_the_option_holds_out_the_centres_of_a_feature_table(three_centers, tmp_path):
    table, labels = three_centers.table, three_centers.outcome.labels
    size = "original_shape_Maximum2DDiameterSlice"
    with (tmp_path / "features.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(
            [["patient_id", size], *zip(table.patient_ids, table.diameters_mm, strict=True)]
        )
    with (tmp_path / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = zip(table.patient_ids, labels, table.centers, strict=True)
        csv.writer(stream).writerows([["patient_id", "label", "center"], *rows])
    options = ["--features", str(tmp_path / "features.csv"), "--labels", str(tmp_path / "labels.csv")]
    options += ["--models", "size", "--folds", "3", "--no-cnn"]
    assert main(["train", *options, "--by-center", "--out", str(tmp_path / "model")]) == 0
    with (tmp_path / "model-report" / "centers_held_out.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["center"] for row in csv.DictReader(stream)][:3] == ["A", "B", "C"]
    assert main(["train", *options, "--out", str(tmp_path / "plain")]) == 0
    assert not (tmp_path / "plain-report" / "centers_held_out.csv").exists()
