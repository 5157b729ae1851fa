"""A bundle at another hospital: new probabilities, the old ranking, both models kept, nobody seen twice."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from TACEResponseLib.__main__ import main
from TACEResponseLib.answer.explanation import part_of_features
from TACEResponseLib.bundle import demonstration_bundle, load_bundle, read_card, read_manifest, save_bundle
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import BundleError, TrainingError
from TACEResponseLib.models.combination import Combination
from TACEResponseLib.report.updated_card import save_updated, updated_card
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.updating import Update
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.updating import original_of, update_response_model

NAMES = tuple(f"original_firstorder_{name}" for name in ("Mean", "Median", "Minimum", "Maximum"))


def patients_of(number: int, seed: int, prefix: str, baseline: float = 0.0, effect: float = 1.0) -> Labelled:
    """Patients whose log-odds of response are baseline + effect * the sum of four features."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(number, 4))
    labels = (random.random(number) < expit(baseline + effect * features.sum(axis=1))).astype(int)
    ids = tuple(f"{prefix}{n:03d}" for n in range(number))
    table = PatientTable(
        ids, NAMES, features, None, random.uniform(20, 90, number), centers=("Kyoto",) * number
    )
    return Labelled(table, Outcome(labels))


@pytest.fixture(scope="module")
def models():
    """Fusion method -> a model trained on 90 patients, saved and loaded."""
    known = patients_of(90, 1, "P")
    fitted = {}
    for method in ("average", "mean"):
        settings = preset(
            "peng2021",
            network=None,
            folds=3,
            fusion={"method": method},
            selection={"sizes": [2], "trees": 20, "folds": 2, "number": 4, "bootstraps": 0},
        )
        model, _ = fit_response_model(known.table, known.outcome, settings)
        fitted[method] = replace(model, identity=f"trained-{method}")
    return fitted


@pytest.fixture(scope="module")
def hospital():
    """80 patients of a hospital where fewer respond."""
    return patients_of(80, 2, "K", baseline=-1.5, effect=0.6)


@pytest.mark.parametrize("method", ["average", "mean"])
def test_probabilities_are_those_of_a_logistic_model_of_the_old_ones_drawn_back(models, hospital, method):
    model = models[method]
    updated = update_response_model(model, hospital)
    old, new = (of.probabilities(hospital.table) for of in (model, updated))
    assert set(old) == set(new)
    labels, methods = hospital.outcome.labels, set()
    for name, before in old.items():
        update, linear = updated.combinations[name].update, logit(np.clip(before, 1e-6, 1 - 1e-6))
        methods.add(update.method)
        if update.method == "slope":
            theirs = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
            theirs.fit(linear[:, None], labels)
            estimated = (theirs.intercept_[0], theirs.coef_[0, 0])
        else:
            assert update.method == "intercept"
            # The sum of probabilities is that of responders: found by halving, 60 times.
            low, high = -20.0, 20.0
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if expit(linear + middle).sum() < labels.sum() else (low, middle)
            estimated = (low, 1.0)
        deviance = lambda p: -2 * np.log(np.where(labels == 1, p, 1 - p)).sum()
        gain = deviance(expit(linear)) - deviance(expit(estimated[0] + estimated[1] * linear))
        shrinkage = (gain - {"intercept": 1, "slope": 2}[update.method]) / gain
        expected = expit(shrinkage * estimated[0] + (1 + shrinkage * (estimated[1] - 1)) * linear)
        np.testing.assert_allclose(new[name], expected, atol=1e-5, err_msg=name)
    assert methods == {"intercept", "slope"}  # both ways are looked at


@pytest.mark.parametrize("method", ["average", "mean"])
def test_ranking_and_answers_stay_and_probabilities_move(models, hospital, method):
    model = models[method]
    updated = update_response_model(model, hospital)
    others = patients_of(200, 3, "N").table
    old, new = (of.probabilities(others) for of in (model, updated))
    for name in old:
        np.testing.assert_array_equal(rankdata(old[name].round(12)), rankdata(new[name].round(12)))
        answers = [p[name] > of.thresholds[name] for p, of in ((old, model), (new, updated))]
        np.testing.assert_array_equal(*answers)
    assert abs(new[model.headline].mean() - old[model.headline].mean()) > 0.05
    moved = abs(new[model.headline].mean() - expit(-1.5 + 0.6 * others.features.sum(axis=1)).mean())
    assert moved < abs(old[model.headline].mean() - expit(-1.5 + 0.6 * others.features.sum(axis=1)).mean())


def test_the_folds_answers_move_with_the_headline(models, hospital):
    model = models["average"]
    updated = update_response_model(model, hospital)
    update = updated.combinations[model.headline].update
    before, after = (of.of_folds(hospital.table, model.headline) for of in (model, updated))
    assert before.shape == (3, 80)
    np.testing.assert_allclose(after, update(before))


def test_the_shares_of_features_sum_to_the_updated_log_odds(models, hospital):
    updated, name = update_response_model(models["average"], hospital), "logistic"
    combination = updated.combinations[name]
    combination = replace(combination, update=replace(combination.update, method="slope", slope=0.6))
    rows = hospital.table.columns(updated.models.models[name].features).features
    parts = part_of_features(updated, combination, (name,), rows)
    expected = logit(combination.probability(updated.models.scores(hospital.table)))
    np.testing.assert_allclose(parts - parts[0], expected - expected[0], atol=1e-5)


def test_the_updated_bundle_keeps_both_models_and_says_so(models, hospital, tmp_path):
    model = models["average"]
    card = "For research use only.\n\n# Model card\nOLD\n"
    original = save_bundle(tmp_path / "original", model, None, card)
    loaded = load_bundle(original)
    updated = update_response_model(loaded, hospital)
    again = load_bundle(save_updated(updated, original, tmp_path / "updated"))
    assert again.origin.bundle_id == loaded.identity != again.identity
    assert again.origin.centers == ("Kyoto",)
    others = patients_of(50, 4, "N").table
    for name, values in updated.probabilities(others).items():
        np.testing.assert_allclose(again.probabilities(others)[name], values, atol=1e-12)
    back = original_of(again)
    assert back.identity == loaded.identity
    assert back.thresholds == loaded.thresholds
    for name, values in loaded.probabilities(others).items():
        np.testing.assert_array_equal(back.probabilities(others)[name], values)
    card = read_card(tmp_path / "updated").splitlines()
    assert card[0] == "For research use only."
    sentence = f"Updated at Kyoto from bundle {loaded.identity} on 80 patients"
    assert sum(line.startswith(sentence) for line in card) == 1
    assert card[-1] == "OLD"


def test_patients_of_the_update_count_as_training_patients(models, hospital):
    updated = update_response_model(models["average"], hospital)
    assert updated.training.among(["K003", "P005", "N000"]) == ("K003", "P005")
    assert len(updated.training.outcome) == 170
    for values in (updated.training.out_of_fold, updated.training.conformal):
        assert {len(column) for column in values.values()} == {170}
    old = models["average"].probabilities(hospital.table)
    for name, column in updated.training.out_of_fold.items():
        np.testing.assert_array_equal(column[90:], old[name])
        update = updated.combinations[name].update
        np.testing.assert_allclose(updated.training.conformal[name][90:], update(old[name]))


def test_a_small_cohort_that_agrees_changes_nothing(models):
    updated = update_response_model(models["average"], patients_of(16, 5, "S"))
    update = updated.combinations[updated.headline].update
    assert (update.method, update.intercept, update.slope) == ("none", 0.0, 1.0)
    assert "nothing was estimated again" in updated_card(updated, "first\nrest")


def test_too_few_patients_and_a_second_update_are_refused(models, hospital):
    few = patients_of(40, 6, "F")
    responders, others = (np.flatnonzero(few.outcome.labels == label) for label in (1, 0))
    few = few.rows(np.r_[responders[:4], others])
    with pytest.raises(TrainingError, match="received 4 responders"):
        update_response_model(models["average"], few)
    updated = update_response_model(models["average"], hospital)
    with pytest.raises(TrainingError, match=r"updated before.*Update the bundle trained-average"):
        update_response_model(updated, few)


def test_an_update_that_would_turn_the_ranking_round_is_no_update(models, hospital):
    combination = update_response_model(models["average"], hospital).combinations["logistic"]
    content = json.loads(json.dumps(combination.to_json()))
    assert Combination.from_json(content) == combination
    for broken in ({"slope": -0.5}, {"slope": 0}, {"intercept": "nan"}, {"method": "more"}, {"tests": 3}):
        with pytest.raises(BundleError):
            Update.from_json({**content["update"], **broken})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """30 synthetic patients under names that the demonstration has not seen; ten for validation."""
    folder = tmp_path_factory.mktemp("hospital") / "cohort"
    assert main(["phantom", "--patients", "30", "--out", str(folder), "--seed", "77", "--jobs", "1"]) == 0
    with (folder / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for n, row in enumerate(rows):
        row |= {"patient_id": f"H{n:03d}", "cohort": "validation" if n % 3 == 2 else "training"}
    with (folder / "cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def test_the_command_updates_a_bundle_and_its_patients_are_refused_afterwards(cohort, tmp_path, capsys):
    new = tmp_path / "new"
    arguments = ["--cohort", str(cohort), "--jobs", "1", "--out"]
    update = ["update", "--bundle", str(demonstration_bundle()), *arguments, str(new)]
    assert main([*update, "--json"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert done["event"] == "done"
    assert done["original"] == read_manifest(demonstration_bundle()).id
    model = load_bundle(new)
    assert set(done["updates"]) == set(model.combinations)
    assert done["updates"][model.headline]["patients"] == 20
    assert done["left_out"] == 10
    assert read_card(new).startswith("This model was trained on synthetic images and is not for patients.")

    evaluate = ["evaluate", "--bundle", str(new), *arguments, str(tmp_path / "report")]
    assert main(evaluate) == 0  # the part for validation has not been seen
    with (cohort / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        text = stream.read().replace("validation", "training")
    (cohort / "all.csv").write_text(text, encoding="utf-8")
    evaluate[evaluate.index(str(cohort))] = str(cohort / "all.csv")
    assert main(evaluate) == 2
    assert "20 patients of the cohort were used to train this model" in capsys.readouterr().err

    again = ["update", "--bundle", str(new), *arguments, str(tmp_path / "newer")]
    assert main(again) == 2
    assert "updated before" in capsys.readouterr().err
    assert main([*update[:-1], str(demonstration_bundle())]) == 2
    assert "would overwrite the original" in capsys.readouterr().err
