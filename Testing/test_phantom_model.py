"""The demonstration model against what the phantom allows, on patients that it has never seen."""

import importlib.util

import numpy as np
import pytest
from TACEResponseLib.bundle import demonstration_bundle, load_bundle
from TACEResponseLib.cases import make_case
from TACEResponseLib.evaluation import auc_delong
from TACEResponseLib.measurements import measure, stack
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.phantom.response import auc_interval, best_auc
from TACEResponseLib.radiomics import feature_names
from TACEResponseLib.response_model import ResponseModel
from TACEResponseLib.settings import TrainingSettings, preset

PATIENTS, SEED = 40, 77  # the demonstration model was trained on another seed


@pytest.fixture(scope="module")
def fresh_cohort():
    """Forty synthetic patients, all 1130 features measured, with patch and label."""
    settings = TrainingSettings()
    measured, labels = [], []
    for index in range(1, PATIENTS + 1):
        patient = make_patient(index, SEED)
        case = make_case(patient.patient_id, patient.image, patient.mask)
        measured.append(measure(case, settings.radiomics, settings.patch))
        labels.append(int(patient.truth.responder))
    return stack(measured, feature_names(settings.radiomics)), np.array(labels)


def test_on_fresh_patients_the_demonstration_model_reaches_what_the_phantom_allows(fresh_cohort):
    inputs, labels = fresh_cohort
    model = load_bundle(demonstration_bundle())
    low, high = auc_interval(best_auc(), int(labels.sum()), int((1 - labels).sum()))
    auc = auc_delong(labels, model.probabilities(inputs)[model.headline]).auc
    assert low <= auc <= high, f"AUC {auc:.3f}, the phantom allows {low:.3f} to {high:.3f}"


def test_the_held_out_half_of_the_demonstration_cohort_lies_in_the_interval_of_the_best_possible():
    import json

    truth = json.loads((demonstration_bundle() / "features.json").read_text(encoding="utf-8"))
    assert truth["engine"] == "fast"
    card = (demonstration_bundle() / "model_card.md").read_text(encoding="utf-8")
    line = next(row for row in card.splitlines() if "external" in row and "CNN + random forest" in row)
    patients, auc = int(line.split("|")[3]), float(line.split("|")[4].split()[0])
    assert patients == 120
    low, high = auc_interval(best_auc(), 72, 48)
    assert low <= auc <= high, f"AUC {auc:.3f}, the phantom allows {low:.3f} to {high:.3f}"


QUICK = {"folds": 2, "selection": {"sizes": [14], "trees": 100, "folds": 3, "bootstraps": 0}}


def test_shuffled_labels_give_one_half(fresh_cohort):
    inputs, labels = fresh_cohort
    names, shuffles = ("size", "linear", "logistic", "svm", "random_forest", "all"), 6
    aucs = {name: [] for name in names}
    for seed in range(shuffles):
        shuffled = np.random.default_rng(seed).permutation(labels)
        _, record = ResponseModel.fit(inputs, shuffled, preset("peng2021", network=None, seed=seed, **QUICK))
        for name in names:
            aucs[name].append(auc_delong(shuffled, record.out_of_fold.probabilities[name]).auc)
    responders = shuffles * int(labels.sum())
    # Six models are asked at once, so each may leave its interval in 0.05 / 6 of all cases.
    low, high = auc_interval(0.5, responders, shuffles * len(labels) - responders, level=1 - 0.05 / 6)
    for name, values in aucs.items():
        mean = np.mean(values)
        assert low <= mean <= high, f"{name}: {mean:.3f}, chance allows {low:.3f} to {high:.3f}"


def test_shuffled_labels_give_the_network_one_half(fresh_cohort):
    if not any(importlib.util.find_spec(name) for name in ("tensorflow", "torch", "jax")):
        pytest.skip("no framework to train the network with is installed")
    inputs, labels = fresh_cohort
    shuffled = np.random.default_rng(1).permutation(labels)
    settings = preset("peng2021", network={"epochs": 2, "patience": 0}, **QUICK)
    _, record = ResponseModel.fit(inputs, shuffled, settings)
    low, high = auc_interval(0.5, int(labels.sum()), int((1 - labels).sum()))
    auc = auc_delong(shuffled, record.out_of_fold.probabilities["cnn"]).auc
    assert low <= auc <= high, f"AUC {auc:.3f}, chance allows {low:.3f} to {high:.3f}"
