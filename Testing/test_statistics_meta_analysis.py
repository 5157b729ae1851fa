"""Meta-analysis against R's metafor 3.8-1, a general optimiser, and simulated hospitals of known AUC."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.statistics.intervals import auc_variance
from TACEResponseLib.statistics.meta_analysis import pool, pool_auc, pool_observed_expected
from TACEResponseLib.statistics.prediction_interval import chance_above, next_hospital

# Thirteen trials of the BCG vaccine (Colditz 1994, metafor's dat.bcg): cases and others, vaccinated and not.
TRIALS = """
4 119 11 128  6 300 29 274  3 228 11 209  62 13536 248 12619  33 5036 47 5761  180 1361 372 1079
8 2537 10 619  505 87886 499 87892  29 7470 45 7232  17 1699 65 1600  186 50448 141 27197  5 2493 3 2338
27 16886 29 17825
"""
BCG = np.array(TRIALS.split(), dtype=float).reshape(13, 4)
A, B, C, D = BCG.T
LOG_RISK_RATIOS = np.log(A / (A + B)) - np.log(C / (C + D))
VARIANCES = 1 / A - 1 / (A + B) + 1 / C - 1 / (C + D)

# Ten studies of a drug against high blood pressure (Riley 2011, pimeta's sbp): effect, standard error.
SBP = np.array([0, 0.1, -0.4, -0.8, -0.63, 0.22, -0.34, -0.51, 0.03, -0.81])
SBP_ERRORS = np.array([0.42347717, 0.21939179, 0.02551067, 0.19898325, *[0.30102594] * 2, 0.07142988])
SBP_ERRORS = np.r_[SBP_ERRORS, 0.10204269, 0.12245123, 0.30102594]

# The five hospitals whose figures were given to metafor as well.
AUCS, RESPONDERS, OTHERS = [0.71, 0.66, 0.80, 0.58, 0.74], [60, 25, 110, 18, 40], [33, 20, 90, 12, 35]
EXPECTED = [55.2, 31, 101.7, 20.4, 44]


@pytest.mark.parametrize(
    ("method", "hartung_knapp", "tau2", "estimate", "error", "interval", "i2"),
    [
        ("REML", False, 0.313243, -0.714532, 0.179782, (-1.066898, -0.362167), 92.2214),
        ("REML", True, 0.313243, -0.714532, 0.180792, (-1.108444, -0.320621), 92.2214),
        ("DL", False, 0.308760, -0.714117, 0.178742, (-1.064445, -0.363789), 92.1173),
        ("DL", True, 0.308760, -0.714117, 0.180697, (-1.107821, -0.320413), 92.1173),
    ],
)
def test_the_vaccine_trials_give_the_published_values(
    method, hartung_knapp, tau2, estimate, error, interval, i2
):
    ours = pool(LOG_RISK_RATIOS, VARIANCES, method, hartung_knapp=hartung_knapp)
    assert (ours.tau2, ours.estimate, ours.error) == pytest.approx((tau2, estimate, error), abs=6e-7)
    assert (ours.ci_low, ours.ci_high) == pytest.approx(interval, abs=6e-7)
    assert (ours.q, 100 * ours.i2) == pytest.approx((152.233008, i2), abs=6e-5)
    assert ours.q_p == pytest.approx(1.99676459085e-26, rel=1e-6)


def test_the_blood_pressure_studies_give_the_values_that_pimeta_publishes():
    reml = pool(SBP, SBP_ERRORS**2)
    published = (0.0700, -0.3287, -0.5761, -0.0814)
    assert (reml.tau2, reml.estimate, reml.ci_low, reml.ci_high) == pytest.approx(published, abs=6e-5)
    old = pool(SBP, SBP_ERRORS**2, "DL", hartung_knapp=False)
    published = (0.0282, -0.3341, -0.7598, 0.0917, 0.705)
    ours = (old.tau2, old.estimate, old.prediction_low, old.prediction_high, old.i2)
    assert ours[:2] == pytest.approx(published[:2], abs=6e-5)
    assert ours[4] == pytest.approx(0.705, abs=6e-4)
    assert ours[2:4] == pytest.approx(published[2:4], abs=6e-5)


def test_the_prediction_interval_is_that_of_pimeta_within_its_own_scatter():
    # Nagashima's, by 50,000 random draws: -0.877 to 0.225; with other seeds -0.8807 to 0.2240.
    assert next_hospital(SBP, SBP_ERRORS**2, 0.95) == pytest.approx((-0.877, 0.225), abs=0.012)


def drawn_prediction(random, y, v, draws):
    """Nagashima's algorithm by simulation: variances by the distribution of Q, then t and normal draws."""
    w = 1 / v
    q = w @ (y - w @ y / w.sum()) ** 2
    normals = random.normal(size=(40_000, len(y)))
    grid = np.r_[0.0, np.geomspace(1e-4, 1e4, 160)]

    def chance(tau2):
        sample = normals * np.sqrt(v + tau2)
        return np.mean(sample**2 @ w - (sample @ w) ** 2 / w.sum() > q)

    tau2 = np.interp(random.random(draws), [chance(tau2) for tau2 in grid], grid, left=0.0)
    b = 1 / (v + tau2[:, None])
    mean = b @ y / b.sum(axis=1)
    error = np.sqrt((b * (y - mean[:, None]) ** 2).sum(axis=1) / ((len(y) - 1) * b.sum(axis=1)))
    figures = mean + random.normal(size=draws) * np.sqrt(tau2) - random.standard_t(len(y) - 1, draws) * error
    return np.quantile(figures, (0.025, 0.975))


def test_the_prediction_interval_is_that_of_random_draws():
    random = np.random.default_rng(1689)
    y, v = np.array([0.9, 0.4, 1.5, 0.2, 1.0, 0.7]), np.array([0.05, 0.12, 0.04, 0.2, 0.09, 0.06])
    drawn = drawn_prediction(random, y, v, 100_000)
    assert next_hospital(y, v, 0.95) == pytest.approx(tuple(drawn), abs=0.03)


def imhof(q, eigenvalues):
    """The exact chance that a quadratic form is above q (Imhof, Biometrika 1961;48:419)."""

    def integrand(u):
        angle = np.arctan(eigenvalues * u).sum() / 2 - q * u / 2
        return np.sin(angle) / (u * np.prod((1 + (eigenvalues * u) ** 2) ** 0.25))

    return 0.5 + quad(integrand, 0, 400, limit=2000, epsabs=1e-6)[0] / np.pi


@pytest.mark.parametrize("eigenvalues", [[1.0, 1, 1], [5, 0.5, 0.2, 0.1], [30, 1, 1, 1, 1, 2]])
def test_the_saddle_point_is_near_the_exact_chance(eigenvalues):
    eigenvalues = np.array(eigenvalues)
    for times in (0.1, 0.5, 0.999, 1.0, 2, 4):
        q = times * eigenvalues.sum()
        assert chance_above(q, eigenvalues[None])[0] == pytest.approx(imhof(q, eigenvalues), abs=0.012)
    assert chance_above(0.0, eigenvalues[None])[0] == 1


def test_five_hospitals_pool_as_in_metafor():
    auc = pool_auc(AUCS, RESPONDERS, OTHERS)
    assert (auc.tau2, auc.error) == pytest.approx((0.0655717773856, 0.1724738689539), abs=1e-8)
    assert (auc.estimate, auc.ci_low, auc.ci_high) == pytest.approx(
        (0.7246451593856, 0.6198136344415, 0.8094569956679), abs=1e-8
    )
    assert (auc.scale, auc.moved) == ("logit", ())
    np.testing.assert_allclose(auc.values, AUCS)
    ratio = pool_observed_expected(RESPONDERS, EXPECTED, np.add(RESPONDERS, OTHERS))
    assert (ratio.tau2, ratio.error) == pytest.approx((0.00689370522347, 0.05749165708307), abs=1e-8)
    assert (ratio.estimate, ratio.ci_low, ratio.ci_high) == pytest.approx(
        (0.98500436432646, 0.83968233026382, 1.15547697358041), abs=1e-8
    )


def test_the_variance_between_hospitals_maximises_the_restricted_likelihood():
    random = np.random.default_rng(261)
    # The last has two tops, at 0 and, higher, at 0.0445 (metafor finds that one, too).
    two_tops = np.array([0.423, 0.219, 0.026, 0.199, 0.301, 0.301, 0.071, 0.107, 0.301, 0.372]) ** 2
    assert pool(SBP, two_tops).tau2 == pytest.approx(0.04446576, abs=1e-5)
    for _ in range(30):
        k = random.integers(2, 12)
        v = random.uniform(0.02, 0.5, k)
        y = random.normal(0, np.sqrt(v + random.uniform(0, 0.4)))

        def minus_likelihood(tau2, y=y, v=v):
            w = 1 / (v + tau2)
            mean = w @ y / w.sum()
            return (np.log(v + tau2).sum() + np.log(w.sum()) + w @ (y - mean) ** 2) / 2

        best = minimize_scalar(minus_likelihood, bounds=(0, 10), method="bounded", options={"xatol": 1e-9})
        ours = pool(y, v)
        assert minus_likelihood(ours.tau2) <= best.fun + 1e-9
        w = 1 / (v + ours.tau2)
        np.testing.assert_allclose(ours.weights, w / w.sum())
        assert ours.estimate == pytest.approx(ours.weights @ y)


def test_hospitals_that_agree_have_no_variance_between_them_but_an_interval_with_a_width():
    ours = pool([0.5, 0.5, 0.5], [0.1, 0.2, 0.3])
    assert (ours.tau2, ours.q, ours.i2, ours.error) == pytest.approx((0, 0, 0, 0), abs=1e-12)
    plain = pool([0.5, 0.5, 0.5], [0.1, 0.2, 0.3], hartung_knapp=False)
    assert plain.error == pytest.approx((1 / 0.1 + 1 / 0.2 + 1 / 0.3) ** -0.5)
    assert (ours.ci_low, ours.ci_high) == (plain.ci_low, plain.ci_high)
    assert (ours.prediction_low, ours.prediction_high) == (plain.ci_low, plain.ci_high)


def simulated_auc(random, true, responders, others):
    positives = random.normal(np.sqrt(2) * stats.norm.ppf(true), 1, (responders, 1))
    return np.mean(positives > random.normal(0, 1, others))


def test_two_hospitals_of_known_auc_hold_it_in_95_percent():
    random = np.random.default_rng(6460)
    holds = []
    for _ in range(1500):
        found = [simulated_auc(random, 0.75, *sizes) for sizes in ((60, 33), (40, 30))]
        ours = pool_auc(found, [60, 40], [33, 30])
        holds.append(ours.ci_low <= 0.75 <= ours.ci_high)
        assert ours.prediction_low is None
    assert np.mean(holds) == pytest.approx(0.95, abs=0.015)


def test_hospitals_that_differ_keep_the_mean_and_the_next_hospital_in_the_intervals():
    random = np.random.default_rng(6461)
    mean, next_one = [], []
    for _ in range(400):
        truth = expit(random.normal(logit(0.75), 0.4, 6))
        found = [simulated_auc(random, true, 80, 50) for true in truth[:5]]
        ours = pool_auc(found, [80] * 5, [50] * 5)
        mean.append(ours.ci_low <= 0.75 <= ours.ci_high)
        next_one.append(ours.prediction_low <= truth[5] <= ours.prediction_high)
    assert 0.92 <= np.mean(mean) <= 0.98
    assert 0.92 <= np.mean(next_one) <= 0.98


def test_an_interval_at_least_normal_is_the_wider_of_the_two():
    agreeing, differing = ([0.80, 0.81], [0.1, 0.1]), ([0.1, 1.4], [0.1, 0.1])
    for data in (agreeing, differing):
        ours, plain = (pool(*data, at_least_normal=wide) for wide in (True, False))
        old = pool(*data, hartung_knapp=False)
        low = min(plain.ci_low, old.ci_low)
        assert (ours.ci_low, ours.error) == pytest.approx((low, plain.error))
    assert pool(*agreeing).ci_low > pool(*agreeing, hartung_knapp=False).ci_low
    assert pool(*differing).ci_low < pool(*differing, hartung_knapp=False).ci_low


def test_a_perfect_small_hospital_is_moved_inwards_and_named():
    ours = pool_auc([0.7, 1.0, 0.0], [50, 8, 6], [40, 7, 6], variances=[0.003, 0.0, 0.0])
    assert ours.moved == (1, 2)
    np.testing.assert_allclose(ours.values, [0.7, 56.5 / 57, 0.5 / 37])
    assert ours.weights[0] > ours.weights[1]
    inside = pool([logit(56.5 / 57)], [auc_variance(56.5 / 57, 8, 7) / (56.5 * 0.5 / 57**2) ** 2])
    alone = pool_auc([1.0], [8], [7])
    assert (alone.ci_low, alone.ci_high) == pytest.approx((expit(inside.ci_low), expit(inside.ci_high)))


def test_given_variances_are_used():
    ours = pool_auc([0.7, 0.8], [50, 40], [40, 30], variances=[0.004, 0.003])
    slow = pool([logit(0.7), logit(0.8)], [0.004 / 0.21**2, 0.003 / 0.16**2])
    assert ours.estimate == pytest.approx(expit(slow.estimate))
    assert (ours.error, ours.tau2) == pytest.approx((slow.error, slow.tau2))


def test_one_hospital_keeps_its_own_interval():
    ours = pool([0.3], [0.04])
    assert (ours.estimate, ours.error, ours.tau2, ours.q, ours.prediction_low) == (0.3, 0.2, None, None, None)
    assert (ours.ci_low, ours.ci_high) == pytest.approx((0.3 - 1.959964 * 0.2, 0.3 + 1.959964 * 0.2))
    assert ours.weights.tolist() == [1]


def test_what_cannot_be_pooled_is_named():
    for call in (
        lambda: pool([], []),
        lambda: pool([0.1, 0.2], [0.1]),
        lambda: pool([0.1], [0.0]),
        lambda: pool([np.nan], [0.1]),
        lambda: pool_auc([1.2], [5], [5]),
        lambda: pool_auc([0.7], [5], [0]),
        lambda: pool_observed_expected([0], [3.0], [10]),
        lambda: pool_observed_expected([10], [3.0], [10]),
    ):
        with pytest.raises(TrainingError, match="cannot be pooled|do not belong together"):
            call()
