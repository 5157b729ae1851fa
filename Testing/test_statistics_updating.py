"""Updating at another hospital: a general optimiser's estimates, planted shifts, and small cohorts."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.updating import update_model


def hospital(random, patients, intercept=0.0, slope=1.0, spread=1.0):
    """Probabilities of a model and labels of a hospital where the truth is intercept + slope * logit."""
    linear = random.normal(0.4, spread, patients)
    labels = (random.random(patients) < expit(intercept + slope * linear)).astype(int)
    return expit(linear), labels


def log_loss(probabilities, labels):
    return -np.mean(np.log(np.where(labels == 1, probabilities, 1 - probabilities)))


def test_intercept_and_slope_are_those_of_scikit_learn_and_the_shrinkage_that_of_the_formula():
    probabilities, labels = hospital(np.random.default_rng(76), 120, -0.9, 0.5)
    update = update_model(probabilities, labels, "slope")
    linear = logit(probabilities)
    theirs = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(linear[:, None], labels)
    assert update.estimated_intercept == pytest.approx(theirs.intercept_[0], abs=1e-6)
    assert update.estimated_slope == pytest.approx(theirs.coef_[0, 0], abs=1e-6)
    fitted = theirs.predict_proba(linear[:, None])[:, 1]
    gain = 2 * 120 * (log_loss(probabilities, labels) - log_loss(fitted, labels))
    assert update.shrinkage == pytest.approx((gain - 2) / gain, abs=1e-6)
    assert update.slope == pytest.approx(1 + update.shrinkage * (theirs.coef_[0, 0] - 1), abs=1e-6)
    assert update.intercept == pytest.approx(update.shrinkage * theirs.intercept_[0], abs=1e-6)
    np.testing.assert_allclose(
        update(probabilities), expit(update.intercept + update.slope * linear), atol=1e-12
    )


def test_the_intercept_alone_is_that_of_a_general_optimiser():
    probabilities, labels = hospital(np.random.default_rng(77), 90, 1.0)
    update = update_model(probabilities, labels, "intercept")
    loss = lambda a: 90 * log_loss(expit(logit(probabilities) + a[0]), labels)
    best = minimize(loss, [0.0])
    assert update.estimated_intercept == pytest.approx(best.x[0], abs=1e-4)
    gain = 2 * (loss([0.0]) - best.fun)
    assert update.shrinkage == pytest.approx((gain - 1) / gain, abs=1e-5)
    assert (update.slope, update.estimated_slope, update.method) == (1, 1, "intercept")
    # By maximum likelihood as many are expected as were observed.
    assert expit(logit(probabilities) + update.estimated_intercept).sum() == pytest.approx(labels.sum())


def test_the_tests_are_likelihood_ratios_of_nested_models():
    probabilities, labels = hospital(np.random.default_rng(78), 150, -0.5, 0.7)
    first, second = update_model(probabilities, labels).tests
    linear = logit(probabilities)
    deviance = lambda a, b: 2 * 150 * log_loss(expit(a + b * linear), labels)
    both = minimize(lambda v: deviance(*v), [0.0, 1.0], tol=1e-10).fun
    one = minimize(lambda v: deviance(v[0], 1.0), [0.0], tol=1e-10).fun
    assert (first.simpler, first.fuller, first.degrees) == ("none", "slope", 2)
    assert (second.simpler, second.fuller, second.degrees) == ("intercept", "slope", 1)
    assert first.chi2 == pytest.approx(deviance(0, 1) - both, abs=1e-6)
    assert second.chi2 == pytest.approx(one - both, abs=1e-6)
    assert first.p == pytest.approx(stats.chi2.sf(first.chi2, 2))
    assert second.p == pytest.approx(stats.chi2.sf(second.chi2, 1))


@pytest.mark.parametrize(
    ("intercept", "slope", "method"),
    [(0.0, 1.0, "none"), (-1.0, 1.0, "intercept"), (-0.8, 0.6, "slope"), (0.5, 1.5, "slope")],
)
def test_a_planted_shift_is_found_and_recovered_from_many_patients(intercept, slope, method):
    update = update_model(*hospital(np.random.default_rng(79), 5000, intercept, slope))
    assert update.method == method
    assert update.intercept == pytest.approx(intercept, abs=0.12)
    assert update.slope == pytest.approx(slope, abs=0.12)
    assert update.shrinkage > 0.98


def test_a_model_that_is_right_is_changed_in_five_percent_of_hospitals():
    random = np.random.default_rng(80)
    changed = [update_model(*hospital(random, 150)).method != "none" for _ in range(500)]
    assert np.mean(changed) == pytest.approx(0.05, abs=0.025)


def test_shrinkage_makes_a_forced_update_of_small_hospitals_better_on_new_patients():
    random = np.random.default_rng(81)
    shrunk, plain = [], []
    for _ in range(300):
        update = update_model(*hospital(random, 40, -0.3, 0.9), "slope")
        new, outcome = hospital(random, 2000, -0.3, 0.9)
        shrunk.append(log_loss(update(new), outcome))
        full = expit(update.estimated_intercept + update.estimated_slope * logit(new))
        plain.append(log_loss(np.clip(full, 1e-12, 1 - 1e-12), outcome))
    gain = np.subtract(plain, shrunk)
    assert gain.mean() > 3 * gain.std() / np.sqrt(len(gain))


def test_the_ranking_of_patients_stays():
    probabilities, labels = hospital(np.random.default_rng(82), 300, -1.0, 0.5)
    update = update_model(probabilities, labels)
    assert update.method == "slope"
    assert auc_delong(labels, update(probabilities)).auc == auc_delong(labels, probabilities).auc
    everything = update(np.array([0.0, 0.3, 1.0]))
    assert (np.diff(everything) > 0).all() and everything[0] > 0 and everything[2] < 1


def test_a_model_that_ranks_the_wrong_way_keeps_its_slope_and_says_so():
    probabilities, labels = hospital(np.random.default_rng(83), 400, 0.4, -1.0)
    for method in ("closed", "slope"):
        update = update_model(probabilities, labels, method)
        assert update.method in ("none", "intercept") and update.slope == 1
        assert "would turn the ranking round" in update.reason
        assert {test.fuller for test in update.tests} == {"intercept"}


def test_equal_probabilities_can_only_have_their_intercept_changed():
    update = update_model(np.full(200, 0.5), np.repeat([1, 0], [160, 40]))
    assert update.method == "intercept"
    assert update.reason.startswith("equal probabilities have no slope; none is rejected against intercept")
    assert expit(update.estimated_intercept) == pytest.approx(0.8)


def test_probabilities_that_part_the_classes_have_no_slope():
    update = update_model(np.linspace(0.1, 0.9, 40), np.repeat([0, 1], 20), "slope")
    assert update.method != "slope" and "perfectly separated" in update.reason


def test_a_forced_update_without_evidence_changes_nothing():
    # Exactly as many as expected: the intercept has nothing to say.
    update = update_model(np.full(40, 0.5), np.repeat([0, 1], 20), "intercept")
    assert (update.method, update.shrinkage, update.intercept) == ("intercept", 0, 0)
    assert update.reason.endswith("intercept was asked for")


def test_too_few_of_a_class_leave_the_model_as_it_is():
    for others, responders in ((30, 4), (4, 30), (34, 0), (0, 34)):
        labels = np.repeat([0, 1], [others, responders])
        update = update_model(np.linspace(0.1, 0.9, 34), labels, "slope")
        assert (update.method, update.intercept, update.slope, update.tests) == ("none", 0, 1, ())
        assert (update.estimated_intercept, update.estimated_slope, update.shrinkage) == (0, 1, 1)
        assert update.reason == "fewer than 5 patients of a class"
        assert (update.patients, update.responders) == (34, responders)
    np.testing.assert_allclose(update(np.array([0.2, 0.7])), [0.2, 0.7], atol=1e-12)


def test_no_probabilities_are_named():
    with pytest.raises(TrainingError, match="outside 0 to 1"):
        update_model([0.1, 1.4], [0, 1])
    with pytest.raises(TrainingError, match="do not belong together"):
        update_model([0.1], [0, 1])
