"""Interval, conformal set, agreement and the choice of calibration, against slow twins and crepes."""

import importlib.util
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from TACEResponseLib.answer.certainty import (
    NO_RESPONSE,
    RESPONSE,
    Certainty,
    agreement,
    conformal_set,
    jackknife_interval,
)
from TACEResponseLib.errors import BundleError
from TACEResponseLib.models.combination import Combination, fit_combinations
from TACEResponseLib.models.fusion import fit_fusion, platt
from TACEResponseLib.models.isotonic import FEWEST, Isotonic, better_isotonic, fit_isotonic
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome


def a_cohort(n: int, seed: int, bend=lambda score: score) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    return score, (rng.uniform(size=n) < expit(bend(score))).astype(int)


def test_the_interval_is_that_of_the_delete_a_group_jackknife_worked_out_by_hand():
    # log-odds 0, 1, -1, 2, -2 have mean 0 and squares 10: error sqrt(4/5 * 10) = 2.828427,
    # times t(0.975, 4) = 2.776445 is 7.852974.
    of_folds = expit(np.array([0, 1, -1, 2, -2.0]))
    low, high = jackknife_interval(0.5, of_folds)
    assert logit([low, high]) == pytest.approx([-7.852974, 7.852974], abs=1e-5)


def test_models_that_agree_leave_no_interval_and_the_answer_lies_inside_always():
    assert jackknife_interval(0.7, np.full(5, 0.6)) == pytest.approx((0.7, 0.7))
    rng = np.random.default_rng(1)
    for _ in range(100):
        probability, of_folds = rng.uniform(), rng.uniform(size=5)
        low, high = jackknife_interval(probability, of_folds)
        assert 0 <= low <= probability <= high <= 1


def test_the_interval_holds_what_the_model_of_endless_patients_would_say():
    """Logistic models of 100 patients: 95 % of the intervals at x = 1 hold the true 1 + 0.5."""
    held, trials = 0, 300
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        x = rng.normal(size=100)
        y = (rng.uniform(size=100) < expit(0.5 + x)).astype(int)
        part = np.arange(100) % 5
        answer = lambda rows, x=x, y=y: platt(x[rows], y[rows]).probability(np.array([1.0]))[0]
        of_folds = np.array([answer(part != fold) for fold in range(5)])
        low, high = jackknife_interval(answer(part >= 0), of_folds)
        held += low <= expit(1.5) <= high
    # 99.9 % binomial limits around 0.95 of 300 trials, upwards open: t on 4 degrees is on the safe side.
    assert held / trials >= 0.95 - 3.3 * np.sqrt(0.95 * 0.05 / trials)


def slow_set(probability, scores, labels, coverage):
    kept = []
    for answer, label in ((RESPONSE, 1), (NO_RESPONSE, 0)):
        own = (1 - probability) if label else probability
        others = [(1 - s) if label else s for s, truth in zip(scores, labels, strict=True) if truth == label]
        larger = sum(other >= own for other in others)
        if Fraction(larger + 1, len(others) + 1) > 1 - Fraction(str(coverage)):
            kept.append(answer)
    return tuple(kept)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_the_conformal_set_is_that_of_its_slow_twin(coverage):
    rng = np.random.default_rng(4)
    for _ in range(200):
        scores, labels = rng.uniform(size=30).round(2), rng.integers(0, 2, 30)
        probability = float(rng.uniform().__round__(2))
        expected = slow_set(probability, scores, labels, coverage)
        assert conformal_set(probability, scores, labels, coverage) == expected


@pytest.mark.skipif(importlib.util.find_spec("crepes") is None, reason="crepes is not installed")
def test_the_conformal_sets_are_those_of_crepes():
    from crepes import ConformalClassifier

    score, labels = a_cohort(200, 5, lambda s: 2 * s)
    probabilities = expit(2 * score)
    strange = np.where(labels == 1, 1 - probabilities, probabilities)
    theirs = ConformalClassifier()
    theirs.fit(strange, bins=labels)
    new = np.linspace(0.01, 0.99, 50)
    by_class = np.column_stack([new, 1 - new])  # strangeness as no response, as response
    p_values = np.column_stack(
        [
            theirs.predict_p(by_class, bins=np.full(50, label), smoothing=False, all_classes=True)[:, label]
            for label in (0, 1)
        ]
    )
    for probability, (no_response, response) in zip(new, p_values, strict=True):
        expected = tuple(
            name for name, p in ((RESPONSE, response), (NO_RESPONSE, no_response)) if p > 1 - 0.9
        )
        assert conformal_set(probability, probabilities, labels, 0.9) == expected


def test_conformal_sets_hold_the_truth_as_often_as_they_say():
    """Coverage over 2000 new patients inside its 99.9 % binomial limits, in both classes."""
    score, labels = a_cohort(1000, 6, lambda s: 1.5 * s)
    new, truth = a_cohort(2000, 7, lambda s: 1.5 * s)
    names = {1: RESPONSE, 0: NO_RESPONSE}
    for label in (0, 1):
        probabilities = expit(1.5 * new[truth == label])
        held = np.mean(
            [names[label] in conformal_set(p, expit(1.5 * score), labels, 0.9) for p in probabilities]
        )
        spread = 3.3 * np.sqrt(0.09 * (1 / len(probabilities) + 1 / (labels == label).sum()))
        assert abs(held - 0.9) <= spread


def test_a_set_is_said_in_words():
    say = lambda *answers: Certainty(0.5, 0.8, answers, "").sentence()
    assert say(RESPONSE) == "Response is the only answer left at 90 % coverage"
    assert say(RESPONSE, NO_RESPONSE) == "Neither response nor no response can be excluded at 90 % coverage"
    assert say() == "Unlike patients of either kind at 90 % coverage"


def test_the_agreement_of_the_models_names_who_stands_on_the_other_side():
    probabilities = {"size": 0.6, "cnn": 0.7, "gbm": 0.31}
    thresholds = {"size": 0.5, "cnn": 0.5, "gbm": 0.5}
    text = agreement(probabilities, thresholds, True)
    assert text == ("2 of 3 models lie above their thresholds; on the other side: gradient boosting (31 %)")
    assert agreement({"size": 0.6, "cnn": 0.7}, thresholds, True) == "All 2 models agree"
    assert agreement({"cnn": 0.7}, thresholds, True) == "One model answers"


def test_isotonic_blocks_are_those_of_scikit_learn_at_their_centres():
    score, labels = a_cohort(150, 8)
    probabilities = expit(score)
    ours = fit_isotonic(probabilities, labels)
    theirs = IsotonicRegression().fit(probabilities, labels).predict(probabilities)
    for at, share in zip(ours.fitted, ours.observed, strict=True):
        block = theirs == theirs[np.argmin(np.abs(probabilities - at))]
        assert at == pytest.approx(probabilities[block].mean())
        assert share == pytest.approx(np.clip(theirs[block][0], 1 / 152, 1 - 1 / 152))


def test_isotonic_keeps_the_order_and_is_never_certain():
    score, labels = a_cohort(80, 9, lambda s: 4 * s)
    curve = fit_isotonic(expit(score), labels)
    values = curve(np.linspace(0, 1, 1001))
    assert (np.diff(values) >= 0).all()
    assert 0 < values[0] < values[-1] < 1


def test_isotonic_is_taken_where_the_outcome_bends_and_not_where_it_is_logistic():
    settings = TrainingSettings()
    bent = a_cohort(1500, 10, lambda s: np.where(s > 0, 3.0, np.where(s < -1, -3.0, 0.0)))
    straight = [a_cohort(300, seed, lambda s: 1.2 * s) for seed in range(20)]

    def curve(score, labels):
        return fit_combinations({"size": score}, Outcome(labels), settings.fusion, settings.seed)[
            "size"
        ].isotonic

    assert curve(*bent) is not None
    taken = [curve(score, labels) is not None for score, labels in straight]
    assert sum(taken) <= 2


def test_few_patients_are_never_calibrated_isotonically():
    score, labels = np.arange(60.0), (np.arange(60) >= 60 - FEWEST + 1).astype(int)
    assert better_isotonic(lambda rows: lambda others: expit(score[others]), labels, 1) is None


def test_a_combination_with_a_curve_survives_its_json_and_bends_the_fusion():
    score, labels = a_cohort(100, 11)
    fusion = fit_fusion(score[:, None], labels)
    curve = fit_isotonic(fusion.probability(score), labels)
    kept = Combination.from_json(Combination(("cnn",), fusion, curve).to_json())
    assert kept == Combination(("cnn",), fusion, curve)
    assert kept.probability({"cnn": score}) == pytest.approx(curve(fusion.probability(score)))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"fitted": [0.2, 0.1], "observed": [0.1, 0.2]},
        {"fitted": [0.1, 0.2], "observed": [0.3]},
        {"fitted": ["a"], "observed": [1]},
        {"fitted": [], "observed": []},
    ],
)
def test_a_damaged_curve_is_a_sentence(content):
    with pytest.raises(BundleError, match="calibration"):
        Isotonic.from_json(content)
