"""Instability measures against a patient-by-patient twin and a simulated cohort; learning curves."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.statistics.logistic import fit_logistic
from TACEResponseLib.statistics.stability import instability, learning_curve


def test_every_measure_is_that_of_the_definition_patient_by_patient():
    random = np.random.default_rng(2023)
    original = random.random(12)
    bootstrap = np.clip(original + random.normal(0, 0.2, (50, 12)), 0, 1)
    ours = instability(bootstrap, original, 0.45, level=0.9)
    for i in range(12):
        column = bootstrap[:, i].tolist()
        assert ours.mape[i] == pytest.approx(sum(abs(p - original[i]) for p in column) / 50)
        other = sum((p > 0.45) != (original[i] > 0.45) for p in column)
        assert ours.changed_class[i] == pytest.approx(other / 50)
        # The percentile as the value that a share of the sorted list lies below, linear between.
        for bound, share in ((ours.low[i], 0.05), (ours.high[i], 0.95)):
            place = share * 49
            below, above = sorted(column)[int(place)], sorted(column)[int(place) + 1]
            assert bound == pytest.approx(below + (place % 1) * (above - below))
    assert ours.mean_mape == pytest.approx(np.mean(ours.mape))
    assert ours.mean_changed_class == pytest.approx(np.mean(ours.changed_class))
    assert (ours.models, ours.threshold, ours.level) == (50, 0.45, 0.9)


def test_equal_models_are_perfectly_stable_and_a_patient_on_the_threshold_is_no_responder():
    original = np.array([0.2, 0.5, 0.9])
    ours = instability(np.tile(original, (5, 1)), original, 0.5)
    assert ours.mape.tolist() == [0, 0, 0] and ours.changed_class.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(ours.low, ours.high)
    above = instability(np.tile([0.2, 0.5 + 1e-9, 0.9], (5, 1)), original, 0.5)
    assert above.changed_class.tolist() == [0, 1, 0]


def test_more_patients_make_a_logistic_model_more_stable():
    random = np.random.default_rng(65)
    mape = {}
    for n in (60, 600):
        design = np.column_stack([np.ones(n), random.normal(size=(n, 4))])
        labels = random.random(n) < expit(design[:, 1])
        probability = lambda rows, design=design, labels=labels: expit(
            design @ fit_logistic(design[rows], labels[rows]).coefficients
        )
        samples = random.integers(0, n, (100, n))
        bootstrap = np.array([probability(rows) for rows in samples])
        mape[n] = instability(bootstrap, probability(np.arange(n)), 0.5).mean_mape
    # The standard error of a coefficient falls with the root of n.
    assert mape[60] / mape[600] == pytest.approx(np.sqrt(10), rel=0.25)


@pytest.mark.parametrize(
    ("bootstrap", "original", "sentence"),
    [
        (np.ones((3, 4)), np.ones(5), r"do not belong together.*\(3, 4\) and \(5,\)"),
        (np.ones(4), np.ones(4), "do not belong together"),
        (np.ones((1, 4)), np.ones(4), "needs two bootstrap models"),
        (np.full((2, 3), 1.2), np.ones(3), "outside 0 to 1. Received 6 of 9"),
        (np.full((2, 3), np.nan), np.ones(3), "outside 0 to 1. Received 6 of 9"),
    ],
)
def test_what_is_no_set_of_probabilities_is_named(bootstrap, original, sentence):
    with pytest.raises(TrainingError, match=sentence):
        instability(bootstrap, original, 0.5)


# Learning curves


def test_a_planted_power_law_is_found_again_and_extrapolated():
    random = np.random.default_rng(12)
    sizes = np.array([120, 30, 45, 60, 90])
    truth = lambda n: 0.78 - 1.1 * n**-0.6
    values = truth(sizes)[:, None] + random.normal(0, 0.01, (5, 400))
    curve = learning_curve(sizes, values)
    assert curve.sizes.tolist() == [30, 45, 60, 90, 120]
    np.testing.assert_allclose(curve.mean, truth(curve.sizes), atol=0.002)
    np.testing.assert_allclose(curve.sd, 0.01, rtol=0.15)
    for n in (30, 120, 240):
        assert curve.at(n) == pytest.approx(truth(n), abs=0.01)


def test_the_curve_is_the_least_squares_of_a_general_optimiser():
    sizes = np.array([30, 45, 60, 90, 120, 200])
    mean = np.array([0.60, 0.66, 0.655, 0.69, 0.70, 0.715])
    curve = learning_curve(sizes, np.column_stack([mean - 0.01, mean + 0.01]))
    squares = lambda v: sizes @ (mean - v[0] + v[1] * sizes**-curve.exponent) ** 2
    theirs = minimize(squares, [0.7, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14})
    assert (curve.limit, curve.factor) == pytest.approx(tuple(theirs.x), abs=1e-5)
    for other in (curve.exponent - 0.05, curve.exponent + 0.05):
        near = minimize(lambda v, e=other: sizes @ (mean - v[0] + v[1] * sizes**-e) ** 2, theirs.x)
        assert near.fun >= theirs.fun - 1e-12


def test_a_curve_never_promises_more_than_the_highest_and_never_falls():
    sizes = np.array([20, 40, 80, 160])
    steep = learning_curve(sizes, np.add.outer([0.5, 0.7, 0.88, 0.99], [-0.01, 0.01]))
    assert steep.limit <= 1 and steep.at(10**9) <= 1
    falling = learning_curve(sizes, np.add.outer([0.8, 0.7, 0.65, 0.6], [-0.01, 0.01]))
    assert falling.factor == 0 and falling.at(20) == falling.at(2000)


def test_a_curve_that_is_held_at_the_highest_is_the_best_of_those_that_end_there():
    sizes, mean = np.array([20, 40, 80, 160]), np.array([0.5, 0.7, 0.88, 0.97])
    curve = learning_curve(sizes, np.add.outer(mean, [-0.01, 0.01]), highest=0.98)
    assert curve.limit == 0.98
    squares = lambda v: sizes @ (mean - 0.98 + v[0] * sizes ** -v[1]) ** 2
    best = minimize(squares, [curve.factor, curve.exponent], method="Nelder-Mead")
    assert squares([curve.factor, curve.exponent]) < 1.02 * best.fun
    only_factor = minimize(lambda v: squares([v[0], curve.exponent]), [1.0], tol=1e-12)
    assert curve.factor == pytest.approx(only_factor.x[0], rel=1e-5)


def test_three_sizes_give_means_and_no_curve():
    curve = learning_curve([30, 60, 90], [[0.6, 0.62], [0.65, 0.67], [0.7, 0.7]])
    assert curve.mean.tolist() == pytest.approx([0.61, 0.66, 0.70])
    assert (curve.limit, curve.at(200)) == (None, None)


def test_faults_of_a_learning_curve_are_named():
    with pytest.raises(TrainingError, match="do not belong together"):
        learning_curve([30, 60], [[0.6, 0.7]])
    with pytest.raises(TrainingError, match="different sizes with two repeats"):
        learning_curve([30, 30], [[0.6, 0.7], [0.6, 0.7]])
    with pytest.raises(TrainingError, match="different sizes with two repeats"):
        learning_curve([30, 60], [[0.6], [0.7]])
