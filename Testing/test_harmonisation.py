"""ComBat between training centres: equal to neuroCombat, inside the fold, and refused where it is blind."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import BundleError, FeatureError, TrainingError
from TACEResponseLib.selection.harmonisation import Harmonise
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.model import fit_response_model

#: Made by neuroCombat 0.2.12, iterated to 1e-13, of 24 made-up patients of three centres.
ORACLE = json.loads((Path(__file__).parent / "data" / "combat.json").read_text())


def a_table(features, centers) -> PatientTable:
    names = tuple(f"original_firstorder_{n}" for n in range(np.shape(features)[1]))
    ids = tuple(map(str, range(len(features))))
    return PatientTable(ids, names, np.array(features, dtype=float), centers=tuple(centers))


def harmonised(table: PatientTable):
    return Harmonise().fit(table, Outcome(np.arange(len(table)) % 2), 1)


@pytest.fixture(scope="module")
def oracle_table() -> PatientTable:
    return a_table(ORACLE["features"], ORACLE["centers"])


def test_harmonised_features_equal_neurocombat_s(oracle_table):
    fitted = harmonised(oracle_table)
    ours, theirs = fitted.transform(oracle_table).features, np.array(ORACLE["harmonised"])
    np.testing.assert_allclose(ours / theirs, 1, atol=1e-9)
    np.testing.assert_allclose(fitted.shift, ORACLE["gamma_star"], atol=1e-9)
    np.testing.assert_allclose(fitted.stretch**2, ORACLE["delta_star"], atol=1e-9)


def test_a_planted_shift_and_stretch_of_a_centre_are_taken_away():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(400, 30))
    centers = np.repeat(["A", "B"], 200)
    measured = np.where((centers == "B")[:, None], 2.0 * truth + 3.0, truth)
    table = a_table(measured, centers)
    after = harmonised(table).transform(table).features
    means = [after[centers == center].mean(axis=0) for center in "AB"]
    spreads = [after[centers == center].std(axis=0) for center in "AB"]
    # The centres' patients differ by chance, 1.5 * sqrt(2 / 200) = 0.15 in a feature; it was 3 in all.
    assert np.abs(means[0] - means[1]).max() < 3.5 * 0.15
    assert abs(np.mean(means[0] - means[1])) < 0.05
    assert np.abs(spreads[0] / spreads[1] - 1).max() < 0.1  # it was 0.5


def test_no_label_is_looked_at(oracle_table):
    n = len(oracle_table)
    one, other = (
        Harmonise().fit(oracle_table, Outcome(labels), 1)
        for labels in (np.arange(n) % 2, np.zeros(n, dtype=int))
    )
    np.testing.assert_array_equal(one.shift, other.shift)


def test_a_patient_of_a_known_centre_is_treated_as_in_the_fit_with_any_of_the_features(oracle_table):
    fitted = harmonised(oracle_table)
    names = oracle_table.feature_names
    few = fitted.transform(oracle_table.rows(np.array([12])).columns([names[4], names[1]]))
    whole = fitted.transform(oracle_table)
    np.testing.assert_array_equal(few.features[0], whole.features[12, [4, 1]])


@pytest.mark.parametrize(("center", "received"), [("D", "D"), ("", "no centre")])
def test_a_patient_of_another_centre_is_refused_by_name(oracle_table, center, received):
    patient = dataclasses.replace(oracle_table.rows(np.array([0])), centers=(center,))
    with pytest.raises(FeatureError, match="centre is not known to the model") as caught:
        harmonised(oracle_table).transform(patient)
    assert caught.value.problem.expected == "A, B, C"
    assert caught.value.problem.received == received


@pytest.mark.parametrize(
    "centers",
    [["A"] * 24, ["A"] * 23 + ["B"], ["A"] * 12 + [""] * 12],
    ids=["one", "single patient", "blank"],
)
def test_centres_that_cannot_be_compared_are_refused_with_their_numbers(oracle_table, centers):
    with pytest.raises(TrainingError, match="cannot be harmonised between these centres") as caught:
        harmonised(dataclasses.replace(oracle_table, centers=tuple(centers)))
    assert f"A: {centers.count('A')}" in caught.value.problem.received


def test_a_feature_that_does_not_vary_is_left_as_it_is(oracle_table):
    features = oracle_table.features.copy()
    features[:, 2] = 7.0
    table = dataclasses.replace(oracle_table, features=features)
    after = harmonised(table).transform(table)
    np.testing.assert_array_equal(after.features[:, 2], 7.0)
    assert np.isfinite(after.features).all()


def test_the_fit_survives_json_and_a_damaged_one_is_a_sentence(oracle_table):
    fitted = harmonised(oracle_table)
    content = json.loads(json.dumps(fitted.to_json()))
    again = Harmonise().from_json(content)
    np.testing.assert_array_equal(
        again.transform(oracle_table).features, fitted.transform(oracle_table).features
    )
    for damage in ({"stretch": [[0.0]]}, {"shift": "x"}, {"centers": None}):
        with pytest.raises(BundleError, match="harmonisation"):
            Harmonise().from_json({**content, **damage})


def test_in_training_it_is_fitted_in_every_fold_and_gives_back_what_centres_had_hidden():
    rng = np.random.default_rng(8)
    n = 160
    centers = np.array(["A", "B"])[np.arange(n) % 2]
    truth = rng.normal(size=(n, 6))
    labels = (rng.random(n) < 1 / (1 + np.exp(-2 * truth[:, 0]))).astype(int)
    table = a_table(truth + np.where(centers == "B", 6.0, 0.0)[:, None], centers)
    quick = {"network": None, "folds": 3, "models": ["linear"], "fusion": {"headline": "linear"}}
    quick["selection"] = {"sizes": [1], "trees": 40, "folds": 2, "number": 1, "bootstraps": 0}
    aucs = {}
    for how in ("none", "combat"):
        model, record = fit_response_model(
            table, Outcome(labels), preset("peng2021", **quick, harmonisation=how)
        )
        aucs[how] = record.out_of_fold.aucs["linear"].auc
    assert aucs["combat"] > aucs["none"] + 0.1
    steps = [fit.models.steps["harmonise"] for fit in model.fold_fits]
    assert len({step.mean.tobytes() for step in steps}) == 3
    held_in = record.out_of_fold.folds[0] != 0
    np.testing.assert_array_equal(
        steps[0].mean, Harmonise().fit(table.rows(held_in), Outcome(labels[held_in]), 1).mean
    )
