"""Instability, conformal set and agreement, against slow twins and crepes."""

import importlib.util
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import expit
from TACEResponseLib.answer.certainty import (
    NO_RESPONSE,
    RESPONSE,
    Certainty,
    agreement,
    conformal_set,
)
from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.models.combination import Combination
from TACEResponseLib.models.isotonic import Isotonic
from TACEResponseLib.statistics.fusion import fit_calibration


def a_cohort(n: int, seed: int, bend=lambda score: score) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    return score, (rng.uniform(size=n) < expit(bend(score))).astype(int)


def test_the_instability_is_the_span_of_the_folds_answers_and_nothing_more():
    certainty = Certainty((0.4, 0.62, 0.5), (RESPONSE,), "")
    assert certainty.instability == (0.4, 0.62)
    assert certainty.to_json()["instability"] == [0.4, 0.62]
    assert certainty.to_json()["fold_answers"] == [0.4, 0.62, 0.5]
    assert Certainty((), (), "").instability is None
    assert Certainty((), (), "").to_json()["instability"] is None


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
    say = lambda *answers: Certainty((0.5, 0.8), answers, "").sentence()
    assert say(RESPONSE) == "Non-response is excluded (90 % conformal)"
    assert say(NO_RESPONSE) == "Response is excluded (90 % conformal)"
    assert say(RESPONSE, NO_RESPONSE) == "Undecided: both outcomes are plausible (90 % conformal)"
    assert say() == "Unlike patients of either kind (90 % conformal)"


def test_the_agreement_of_the_models_names_who_stands_on_the_other_side():
    probabilities = {"size": 0.6, "cnn": 0.7, "gbm": 0.31}
    thresholds = {"size": 0.5, "cnn": 0.5, "gbm": 0.5}
    text = agreement(probabilities, thresholds, True)
    assert text == ("2 of 3 models are above their cut-off; below it: gradient boosting (31 %)")
    assert agreement({"size": 0.6, "cnn": 0.7}, thresholds, True) == "Both single models agree"
    assert agreement({"cnn": 0.7}, thresholds, True) == "One model answers"


def test_a_combination_with_a_curve_survives_its_json_and_bends_the_fusion():
    score, labels = a_cohort(100, 11)
    fusion = fit_calibration(score, labels)
    curve = Isotonic((0.1, 0.5, 0.9), (0.2, 0.3, 0.8))
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
