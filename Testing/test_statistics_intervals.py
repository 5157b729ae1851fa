"""Intervals of the AUC and of observed over expected: twins, simulated coverage, and when there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.intervals import (
    auc_newcombe,
    auc_variance,
    newcombe_bounds,
    observed_expected,
)


def slow_bounds(auc: float, m: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The equation squared and multiplied out: real roots of a polynomial of degree four in 0 to 1."""
    t = np.polynomial.Polynomial([0, 1])
    z2, spread = stats.norm.ppf((1 + level) / 2) ** 2, (m + n) / 2 - 1
    both = (2 - t) * (1 + t)
    concordance = (1 - t) * (1 + t) + t * (2 - t)
    equation = m * n * (auc - t) ** 2 * both - z2 * t * (1 - t) * (both + spread * concordance)
    roots = np.array([r.real for r in equation.roots() if abs(r.imag) < 1e-7 and -1e-7 <= r.real <= 1 + 1e-7])
    return roots[roots <= auc + 1e-9].min(), roots[roots >= auc - 1e-9].max()


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1), st.integers(1, 400), st.integers(1, 400), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_bounds_are_the_roots_of_the_polynomial(auc, responders, others, level):
    ours = newcombe_bounds(auc, responders, others, level)
    assert ours == pytest.approx(slow_bounds(auc, responders, others, level), abs=2e-7)
    assert 0 <= ours[0] <= auc <= ours[1] <= 1


def test_the_variance_lies_between_those_of_hanley_and_mcneil_and_is_theirs_for_equal_classes():
    def theirs(auc, m, n):
        q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
        return (auc * (1 - auc) + (m - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)) / (m * n)

    assert auc_variance(0.8, 30, 30) == pytest.approx(theirs(0.8, 30, 30), rel=1e-12)
    first, second = sorted((theirs(0.8, 40, 20), theirs(0.8, 20, 40)))
    assert first < auc_variance(0.8, 40, 20) < second
    assert auc_variance(0.8, 40, 20) == pytest.approx((first + second) / 2, rel=1e-12)


@pytest.mark.parametrize(("responders", "others"), [(8, 7), (20, 10), (50, 40)])
@pytest.mark.parametrize("true", [0.5, 0.8, 0.9, 0.95])
def test_a_95_percent_interval_holds_the_true_auc_in_92_to_98_percent(responders, others, true):
    random = np.random.default_rng(559)
    simulations = 1500
    positives = random.normal(np.sqrt(2) * stats.norm.ppf(true), 1, (simulations, responders, 1))
    negatives = random.normal(0, 1, (simulations, 1, others))
    observed, times = np.unique((positives > negatives).mean(axis=(1, 2)), return_counts=True)
    bounds = np.array([newcombe_bounds(auc, responders, others) for auc in observed])
    holds = (bounds[:, 0] <= true) & (true <= bounds[:, 1])
    assert 0.92 <= holds @ times / simulations <= 0.98
    # DeLong's interval would have no width here; this one always has.
    assert (bounds[:, 1] - bounds[:, 0]).min() > 0.01


def test_the_auc_is_that_of_delong_with_ties_and_the_interval_belongs_to_it():
    random = np.random.default_rng(3)
    labels, scores = np.repeat([1, 0], [9, 14]), random.integers(0, 5, 23)
    ours = auc_newcombe(labels, scores)
    assert ours.auc == pytest.approx(auc_delong(labels, scores).auc, abs=1e-12)
    assert (ours.ci_low, ours.ci_high) == newcombe_bounds(ours.auc, 9, 14)
    assert (ours.responders, ours.others, ours.reason) == (9, 14, "")
    turned = auc_newcombe(labels, -scores)
    assert (turned.ci_low, turned.ci_high) == pytest.approx((1 - ours.ci_high, 1 - ours.ci_low), abs=1e-10)


def test_perfect_ranking_of_a_small_centre_has_an_interval_with_a_width():
    answer = auc_newcombe([0] * 7 + [1] * 8, np.arange(15.0))
    assert (answer.auc, answer.ci_high) == (1, 1)
    assert answer.ci_low == pytest.approx(slow_bounds(1.0, 8, 7)[0], abs=1e-7)
    assert 0.6 < answer.ci_low < 0.9


@pytest.mark.parametrize("responders", [0, 1, 4])
def test_below_five_of_a_class_there_is_no_auc_and_no_interval(responders):
    labels = np.repeat([1, 0], [responders, 20])
    for these in (labels, 1 - labels):
        answer = auc_newcombe(these, np.arange(len(labels)))
        assert (answer.auc, answer.ci_low, answer.ci_high) == (None, None, None)
        assert answer.reason == "fewer than 5 patients of a class"
        assert sorted((answer.responders, answer.others)) == [responders, 20]
    assert auc_newcombe(np.repeat([1, 0], [5, 5]), np.arange(10)).auc == 0


def test_a_constant_score_has_no_interval():
    answer = auc_newcombe([0, 1] * 6, np.full(12, 0.3))
    assert (answer.auc, answer.ci_low, answer.ci_high) == (0.5, None, None)
    assert "same score" in answer.reason


def test_an_auc_outside_its_range_and_bad_labels_are_named():
    with pytest.raises(TrainingError, match=r"AUC 1\.2, 8 responders, 7 others"):
        newcombe_bounds(1.2, 8, 7)
    with pytest.raises(TrainingError, match="neither 0 nor 1"):
        auc_newcombe([0, 2], [0.1, 0.2])


# Observed over expected


def test_observed_over_expected_by_hand():
    # Eight of twenty where ten were expected. Wilson's interval of 8 / 20 is 0.2188 to 0.6134.
    answer = observed_expected([1] * 8 + [0] * 12, np.full(20, 0.5))
    assert (answer.ratio, answer.observed, answer.expected, answer.patients) == (0.8, 8, 10.0, 20)
    assert (round(answer.ci_low, 3), round(answer.ci_high, 3)) == (0.438, 1.227)
    assert answer.log_error == pytest.approx(np.sqrt(0.6 / 8))


@pytest.mark.parametrize(("patients", "share"), [(20, 0.65), (40, 0.9), (93, 0.65)])
def test_the_interval_of_observed_over_expected_holds_1_for_a_calibrated_model(patients, share):
    random = np.random.default_rng(6460)
    answers = [
        observed_expected(random.random(patients) < share, np.full(patients, share)) for _ in range(2000)
    ]
    assert 0.92 <= np.mean([a.ci_low <= 1 <= a.ci_high for a in answers]) <= 0.98


def test_cohorts_without_responders_or_without_expectation_are_counted():
    none = observed_expected([0, 0, 0], [0.2, 0.3, 0.1])
    assert (none.ratio, none.log_error, none.ci_low) == (0, None, 0)
    nothing = observed_expected([0, 1], [0.0, 0.0])
    assert (nothing.ratio, nothing.ci_high, nothing.observed) == (None, None, 1)
    with pytest.raises(TrainingError, match="outside 0 to 1"):
        observed_expected([0, 1], [0.5, 1.2])
