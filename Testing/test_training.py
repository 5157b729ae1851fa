"""The honest protocol as a whole: planted effects are found, noise is not, nothing sees its own label."""

import csv
import json

import numpy as np
import pytest
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import load_bundle, read_card, read_manifest, save_bundle
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import TableError, TrainingError
from TACEResponseLib.messages.progress import silent
from TACEResponseLib.models.combination import combine, fit_combinations
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.crossvalidation import auc_interval
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.external import external_patients
from TACEResponseLib.training.fit import fit_models
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.out_of_fold import fold_seed, score_out_of_fold
from TACEResponseLib.training.run import train_on_features

QUICK = {
    "network": None,
    "folds": 3,
    "selection": {"sizes": [4, 8], "trees": 60, "folds": 3, "number": 4},
}


def a_table(patients: int, features: int, effect: float, seed: int) -> tuple[PatientTable, np.ndarray]:
    """Standard normal features; the first three shift the log-odds of response by `effect` each."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(patients, features))
    log_odds = effect * values[:, :3].sum(axis=1)
    labels = (rng.random(patients) < 1 / (1 + np.exp(-log_odds))).astype(int)
    names = tuple(f"original_test_{n:03d}" for n in range(features))
    ids = tuple(f"{n:04d}" for n in range(patients))
    return PatientTable(ids, names, values), labels


def latent_auc(inputs: PatientTable, labels: np.ndarray):
    """What the best possible model reaches on these very patients."""
    return auc_delong(labels, inputs.features[:, :3].sum(axis=1))


def write_tables(folder, inputs, labels, blank=()):
    with (folder / "features.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", "diagnostics_Image-original_Hash", *inputs.feature_names])
        for n, (patient_id, row) in enumerate(zip(inputs.patient_ids, inputs.features, strict=True)):
            table.writerow([patient_id, f"sha1 of {patient_id}", *([""] * len(row) if n in blank else row)])
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", "label", "cohort", "center"])
        for n, (patient_id, label) in enumerate(zip(inputs.patient_ids, labels, strict=True)):
            table.writerow([patient_id, label, "validation" if n % 3 == 2 else "training", "AB"[n % 2]])
    return folder / "features.csv", folder / "labels.csv"


def test_a_planted_effect_is_found_and_its_auc_lies_in_the_interval_of_the_best_possible():
    inputs, labels = a_table(240, 12, 1.5, seed=3)
    selection = {"sizes": [3], "trees": 200, "folds": 3, "number": 3}
    settings = preset("peng2021", **QUICK | {"selection": selection})
    model, record = fit_response_model(inputs, Outcome(labels), settings)
    assert set(inputs.feature_names[:3]) <= set(model.models.selected)
    best = latent_auc(inputs, labels)
    for name in ("linear", "logistic", "all"):
        out_of_fold = auc_interval(record.out_of_fold.aucs[name])
        assert best.ci_low < out_of_fold.auc <= best.ci_high, name
        assert out_of_fold.ci_low < best.auc < out_of_fold.ci_high, name


def test_noise_gives_one_half_out_of_fold_while_resubstitution_gives_almost_one():
    aucs, optimism = [], []
    for seed in range(4):
        inputs, labels = a_table(80, 200, 0.0, seed)
        _, record = fit_response_model(inputs, Outcome(labels), preset("peng2021", **QUICK))
        aucs.append(record.out_of_fold.aucs["random_forest"].auc)
        optimism.append(auc_delong(labels, record.resubstitution["random_forest"]).auc)
    # Four cohorts of 80: the standard error of their mean AUC is about 0.09 / 2, training counted.
    assert abs(np.mean(aucs) - 0.5) < 2 * 0.045
    assert np.mean(optimism) > 0.98


def test_aucs_come_from_a_model_s_own_scores_compared_within_a_fold():
    """The slow obvious twin: every pair of a responder and another in one fold, one after the other."""
    inputs, labels = a_table(60, 12, 1.0, seed=6)
    _, record = fit_response_model(inputs, Outcome(labels), preset("peng2021", **QUICK, repeats=2))
    held_out = record.out_of_fold
    for name, scores in (("svm", held_out.scores["svm"]), ("all", held_out.calibrated["all"])):
        aucs = []
        for repeat in range(2):
            for fold in range(3):
                here = np.flatnonzero(held_out.folds[repeat] == fold)
                won = [
                    (scores[repeat, a] > scores[repeat, b]) + 0.5 * (scores[repeat, a] == scores[repeat, b])
                    for a in here
                    for b in here
                    if labels[a] == 1 and labels[b] == 0
                ]
                aucs.append(np.mean(won))
        assert held_out.aucs[name].auc == pytest.approx(np.mean(aucs), abs=1e-12)


def test_every_patient_is_held_out_once_a_repeat_and_scores_are_complete():
    inputs, labels = a_table(60, 12, 1.0, seed=5)
    settings = preset("peng2021", **QUICK, repeats=2)
    _, record = fit_response_model(inputs, Outcome(labels), settings)
    out_of_fold = record.out_of_fold
    assert out_of_fold.folds.shape == (2, 60)
    for fold_of in out_of_fold.folds:
        assert sorted(np.bincount(fold_of)) == [20, 20, 20]
        responders = [labels[fold_of == f].sum() for f in range(3)]
        assert max(responders) - min(responders) <= 1
    assert all(np.isfinite(v).all() and v.shape == (2, 60) for v in out_of_fold.scores.values())
    assert len(record.fold_selected) == 6


def test_out_of_fold_scores_equal_those_of_models_fitted_without_the_held_out_patients():
    # The slow obvious twin: take the held-out patients away altogether, fit, then score them.
    inputs, labels = a_table(60, 12, 1.0, seed=6)
    settings, outcome = preset("peng2021", **QUICK), Outcome(labels)
    _, record = fit_response_model(inputs, outcome, settings)
    folds = record.out_of_fold.folds[0]
    held_out, rest = np.flatnonzero(folds == 1), np.flatnonzero(folds != 1)
    seed = fold_seed(settings, 0, (1,))
    fitted = fit_models(inputs.rows(rest), outcome.rows(rest), settings, seed, 1, silent)
    scores = fitted.scores(inputs.rows(held_out))
    for name, values in record.out_of_fold.scores.items():
        np.testing.assert_array_equal(values[0, held_out], scores[name], err_msg=name)
    # Its fusion is fitted on scores of an inner loop over the rest, by models without fold 1 either.
    inner = {name: np.full(60, np.nan) for name in record.out_of_fold.scores}
    for fold in (0, 2):
        both = np.isin(folds, (1, fold))
        pair = tuple(sorted((1, fold)))
        without = fit_models(
            inputs.rows(~both), outcome.rows(~both), settings, fold_seed(settings, 0, pair), 1, silent
        )
        own = folds == fold
        for name in inner:
            inner[name][own] = without.scores(inputs.rows(own))[name]
    combined = combine(
        fit_combinations(
            {name: values[rest] for name, values in inner.items()},
            outcome.rows(rest),
            settings.fusion,
            folds[rest],
        ),
        {name: scores[name] for name in inner},
    )
    for name, values in combined.items():
        np.testing.assert_allclose(record.out_of_fold.probabilities[name][held_out], values, rtol=1e-12)


def test_nothing_that_judges_a_fold_sees_one_of_its_labels():
    """Turn all labels of a fold around: what is fitted for that fold stays the same, bit by bit."""
    inputs, labels = a_table(60, 12, 1.0, seed=6)
    settings = preset("peng2021", **QUICK)
    folds = Outcome(labels).split(3, settings.seed)
    nonsense = np.where(folds == 1, 1 - labels, labels)

    honest, turned = (
        score_out_of_fold(inputs, Outcome(of), folds[None], settings, 1, silent) for of in (labels, nonsense)
    )
    here = folds == 1
    for name in honest[0].scores:
        np.testing.assert_array_equal(honest[0].scores[name][0, here], turned[0].scores[name][0, here])
        np.testing.assert_array_equal(honest[0].inner[name][0, 1], turned[0].inner[name][0, 1])
    assert honest[0].fold_combinations[1] == turned[0].fold_combinations[1]
    assert honest[0].fold_combinations[0] != turned[0].fold_combinations[0]
    for name in honest[0].calibrated:
        np.testing.assert_array_equal(
            honest[0].calibrated[name][0, here], turned[0].calibrated[name][0, here]
        )
        assert honest[0].thresholds[name].thresholds[1] == turned[0].thresholds[name].thresholds[1]
    assert honest[1][1].selected == turned[1][1].selected
    assert honest[1][0].selected != turned[1][0].selected or any(
        (honest[0].scores[n][0, folds == 0] != turned[0].scores[n][0, folds == 0]).any()
        for n in honest[0].scores
    )


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    inputs, labels = a_table(60, 12, 1.0, seed=7)
    runs = [
        fit_response_model(inputs, Outcome(labels), preset("peng2021", **QUICK, seed=seed), jobs=jobs)[1]
        for seed, jobs in ((1, 1), (1, 2), (2, 1))
    ]
    for name, values in runs[0].out_of_fold.probabilities.items():
        np.testing.assert_array_equal(values, runs[1].out_of_fold.probabilities[name], err_msg=name)
    assert not np.array_equal(*(r.out_of_fold.probabilities["all"] for r in (runs[0], runs[2])))


def test_too_few_of_one_class_is_said_before_anything_is_fitted():
    inputs, labels = a_table(60, 12, 1.0, seed=8)
    labels[:] = 0
    labels[:3] = 1
    with pytest.raises(TrainingError, match="received 3 responders, 57 non-responders"):
        fit_response_model(inputs, Outcome(labels), preset("peng2021", **QUICK))


def test_a_model_that_tells_nobody_apart_is_left_out_and_named():
    inputs, labels = a_table(45, 8, 1.0, seed=4)  # 30 training patients a fold: too few for boosting
    model, record = fit_response_model(inputs, Outcome(labels), preset("peng2021", **QUICK))
    assert record.out_of_fold.uninformative == ("gbm",)
    assert "gbm" not in model.models.models
    assert "gbm" not in model.combinations
    assert model.combinations["all"].models == ("linear", "logistic", "svm", "random_forest")


def test_a_feature_table_trains_a_bundle_that_loads_and_keeps_estimates_apart(tmp_path, capsys):
    inputs, labels = a_table(120, 20, 1.2, seed=9)
    features, label_table = write_tables(tmp_path, inputs, labels, blank=(0, 30))
    out = tmp_path / "Modell ä"
    code = main(
        [
            *("train", "--features", str(features), "--labels", str(label_table)),
            *("--out", str(out), "--folds", "3"),
        ]
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "Patient 0030: 20 of 20 features are empty. The patient was left out." in printed
    report = tmp_path / "Modell ä-report"
    assert printed.splitlines()[-3:] == [
        f"Bundle: {out}",
        f"Report: {report / 'report.html'}",
        f"For a manuscript: {report / 'paper'}",
    ]
    assert (report / "report.html").is_file() and (report / "paper" / "methods.md").is_file()
    model = load_bundle(out)
    assert not model.demonstration
    assert len(model.training.patient_ids) == 78
    assert read_card(out).startswith("For research use only; not a medical device.")
    rows = json.loads((tmp_path / "Modell ä-report" / "evaluation.json").read_text(encoding="utf-8"))
    keys = (
        "model estimate cohort center n responders auc ci_low ci_high threshold sensitivity specificity brier"
    )
    assert all(set(row) == set(keys.split()) for row in rows)
    seen = {(r["estimate"], r["cohort"], r["center"], r["n"]) for r in rows if r["model"] == "random_forest"}
    assert {s[:3] for s in seen} == {
        ("resubstitution", "training", ""),
        ("out_of_fold", "training", ""),
        ("external", "validation", ""),
        ("external", "validation", "A"),
        ("external", "validation", "B"),
    }
    thresholds = {r["threshold"] for r in rows if r["model"] == "random_forest"}
    assert len(thresholds) == 1  # fixed on training, carried over


def test_a_cell_that_is_no_number_names_row_and_column(tmp_path):
    inputs, labels = a_table(40, 5, 1.0, seed=1)
    features, label_table = write_tables(tmp_path, inputs, labels)
    text = features.read_text(encoding="utf-8").splitlines()
    cells = text[4].split(",")
    cells[3] = "12,100".replace(",", ";")
    text[4] = ",".join(cells)
    features.write_text("\n".join(text), encoding="utf-8")
    with pytest.raises(TableError, match="row 5, column original_test_001 is not a number"):
        train_on_features(features, label_table, preset("peng2021", **QUICK))


def test_evaluating_on_training_patients_is_refused_unless_asked_for(tmp_path):
    from TACEResponseLib.cohorts.table import Cohort, Patient

    inputs, labels = a_table(60, 12, 1.0, seed=2)
    model, _ = fit_response_model(inputs, Outcome(labels), preset("peng2021", **QUICK))
    patient = Patient("0003", tmp_path / "i", tmp_path / "m", label=1)
    with pytest.raises(TrainingError, match="1 patient of the cohort was used to train this model"):
        external_patients(model, Cohort(tmp_path, (patient,)))


def test_the_same_training_gives_the_same_name(tmp_path):
    inputs, labels = a_table(60, 12, 1.0, seed=11)
    names = []
    for place in ("one", "two"):
        model, _ = fit_response_model(inputs, Outcome(labels), preset("peng2021", **QUICK))
        names.append(read_manifest(save_bundle(tmp_path / place, model, None, "card\n")).id)
    assert names[0] == names[1]
