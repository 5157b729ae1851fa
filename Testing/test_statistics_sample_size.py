"""Sample sizes against pmsampsize, pmvalsampsize and sampsizeval, and against simulated studies.

The values of pmsampsize 1.1.3 and pmvalsampsize 0.2.1 were made by running them; those with a C
statistic or a linear predictor are simulated there (a million patients, seed 123456), here integrated.
"""

import math

import numpy as np
import pytest
from scipy.optimize import fsolve
from scipy.special import expit, logit
from scipy.stats import norm
from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.statistics.discrimination import auc_delong, paired_delong
from TACEResponseLib.statistics.intervals import auc_variance
from TACEResponseLib.statistics.logistic import fit_logistic
from TACEResponseLib.statistics.sample_size import (
    binormal_predictor,
    candidate_parameters,
    cox_snell_r2,
    detectable_difference,
    development_size,
    expected_shrinkage,
    largest_cox_snell_r2,
    normal_predictor,
    patients_for_difference,
    slope_variance,
    validation_size,
)


# The first row is the worked example of Riley 2019 and of pmsampsize's help page.
@pytest.mark.parametrize(
    ("r2", "parameters", "share", "by_criterion", "largest", "nagelkerke"),
    [
        (0.288, 24, 0.174, (623, 662, 221), 0.603, 0.477),
        (0.288, 36, 0.174, (934, 992, 221), 0.603, 0.477),
        (0.288, 24, 0.25, (623, 590, 289), 0.675, 0.427),
        (0.55, 24, 0.174, (255, 532, 221), 0.603, 0.912),
    ],
)
def test_a_given_r2_gives_the_patients_of_pmsampsize(
    r2, parameters, share, by_criterion, largest, nagelkerke
):
    answer = development_size(parameters, share, r2=r2)
    assert (answer.for_shrinkage, answer.for_optimism, answer.for_risk) == by_criterion
    assert answer.needed == max(by_criterion)
    assert answer.responders_needed == math.ceil(max(by_criterion) * share)
    assert (round(largest_cox_snell_r2(share), 3), round(answer.nagelkerke_r2, 3)) == (largest, nagelkerke)
    assert answer.expected_shrinkage is None


@pytest.mark.parametrize(
    ("c", "parameters", "share", "r2", "by_criterion"),
    [
        (0.89, 30, 0.05, 0.1192, (2112, 1704, 73)),
        (0.75, 14, 0.65, 0.1717, (662, 344, 350)),
        (0.70, 14, 0.65, 0.1116, (1058, 357, 350)),
        (0.75, 4, 0.65, 0.1717, (189, 99, 350)),
        (0.80, 10, 0.30, 0.2271, (344, 245, 323)),
    ],
)
def test_a_c_statistic_gives_the_patients_of_pmsampsize_within_one_percent(
    c, parameters, share, r2, by_criterion
):
    answer = development_size(parameters, share, c_statistic=c)
    assert answer.cox_snell_r2 == pytest.approx(r2, abs=7e-4)
    ours = (answer.for_shrinkage, answer.for_optimism, answer.for_risk)
    assert ours == pytest.approx(by_criterion, rel=0.01)
    assert answer.needed == max(ours)


def test_r2_of_a_c_statistic_equals_that_of_a_large_simulated_cohort():
    random = np.random.default_rng(859)
    for c, share in ((0.7, 0.65), (0.85, 0.2)):
        labels = (np.arange(200_000) < share * 200_000).astype(int)
        scores = random.normal(labels * math.sqrt(2) * norm.ppf(c), 1)
        ones = np.ones((len(labels), 1))
        model = fit_logistic(np.column_stack([ones, scores]), labels)
        gain = fit_logistic(ones, labels).deviance - model.deviance
        assert auc_delong(labels, scores).auc == pytest.approx(c, abs=0.004)
        assert cox_snell_r2(c, share) == pytest.approx(1 - math.exp(-gain / len(labels)), abs=0.004)


def test_the_binormal_predictor_has_the_prevalence_and_the_c_statistic_asked_for():
    predictor = binormal_predictor(0.72, 0.65)
    probability = expit(predictor.values)
    assert predictor.weights.sum() == pytest.approx(1, abs=1e-12)
    assert predictor.weights @ probability == pytest.approx(0.65, abs=1e-9)
    order = np.argsort(predictor.values)
    case = (predictor.weights * probability / 0.65)[order]
    control = (predictor.weights * (1 - probability) / 0.35)[order]
    assert case @ (np.cumsum(control) - control / 2) == pytest.approx(0.72, abs=0.002)


def test_the_expected_shrinkage_is_the_first_criterion_solved_for_it():
    needed = development_size(14, 0.65, c_statistic=0.75, patients=139)
    few, enough = (expected_shrinkage(14, needed.cox_snell_r2, n) for n in (139, needed.for_shrinkage))
    assert needed.expected_shrinkage == few
    assert enough == pytest.approx(0.9, abs=2e-4) and enough >= 0.9
    # The equation as Riley prints it: S = 1 + p / (n log(1 - R2 / S)).
    assert 1 + 14 / (139 * math.log(1 - needed.cox_snell_r2 / few)) == pytest.approx(few, abs=1e-9)
    assert few < enough < expected_shrinkage(14, needed.cox_snell_r2, 100_000) < 1


def test_a_model_of_few_patients_is_overfitted_as_the_expected_shrinkage_says():
    random = np.random.default_rng(7)
    parameters, patients, effect = 8, 150, 0.4
    slopes = []
    for _ in range(150):
        design, new = (np.column_stack([np.ones(n), random.normal(size=(n, 8))]) for n in (patients, 3000))
        labels, outcome = (
            random.random(len(d)) < expit(effect * d[:, 1:4].sum(axis=1)) for d in (design, new)
        )
        linear = new @ fit_logistic(design, labels).coefficients
        slopes.append(fit_logistic(np.column_stack([np.ones(3000), linear]), outcome).coefficients[1])
    probability = expit(normal_predictor(0, effect * math.sqrt(3)).values)
    weights = normal_predictor(0, 1).weights
    entropy = weights @ (probability * np.log(probability) + (1 - probability) * np.log(1 - probability))
    r2 = 1 - math.exp(-2 * (entropy + math.log(2)))
    assert np.mean(slopes) == pytest.approx(expected_shrinkage(parameters, r2, patients), abs=0.06)


def test_one_parameter_is_a_model_and_few_patients_have_hardly_any_shrinkage_left():
    assert development_size(1, 0.65, c_statistic=0.75).for_shrinkage == 48
    # Riley's equation has no solution below R2 itself.
    assert expected_shrinkage(1000, 0.2, 1) == pytest.approx(0.2, abs=1e-6)


def test_every_candidate_counts_and_a_category_by_its_levels():
    assert candidate_parameters(10, (2, 4)) == 10 + 1 + 3
    assert candidate_parameters(0) == 0


# External validation


def test_an_external_cohort_needs_the_patients_of_riley_s_worked_example():
    # Riley 2021 and pmvalsampsize: heart valves, prevalence 0.018, C 0.8, linear predictor N(-5, 2.5).
    answer = validation_size(0.8, 0.018, normal_predictor(-5, 2.5), observed_expected_error=0.2456)
    assert (answer.for_observed_expected, answer.for_auc) == (905, 4252)
    assert answer.for_slope == pytest.approx(4544, rel=0.005)
    assert (answer.needed, answer.responders_needed) == (answer.for_slope, 82)


def test_an_external_cohort_like_ours_needs_the_patients_of_pmvalsampsize():
    answer = validation_size(0.75, 0.65, normal_predictor(0.75, 1.0))
    assert (answer.for_observed_expected, answer.for_auc) == (208, 400)
    assert answer.for_slope == pytest.approx(2855, rel=0.005)
    by_c = validation_size(0.8, 0.018, observed_expected_error=0.2456)
    assert by_c.for_slope == pytest.approx(17080, rel=0.01)


@pytest.mark.parametrize(
    ("share", "c", "error", "published"), [(0.057, 0.77, 0.15, 934), (0.1, 0.75, 0.1, 1536)]
)
def test_the_calibration_slope_needs_the_patients_of_sampsizeval(share, c, error, published):
    # Pavlou 2021's package meets the C statistic to within 0.0025, which moves its answer by 2 %.
    def prevalence_and_c(parameters):
        x = np.linspace(-25, 20, 9001)
        density = norm.pdf(x, *parameters) / norm.pdf(x, *parameters).sum()
        case, control = density * expit(x), density * expit(-x)
        below = np.cumsum(control) - control / 2
        return case.sum(), case @ below / (case.sum() * control.sum())

    mean, sd = fsolve(lambda p: np.subtract(prevalence_and_c(p), (share, c)), [logit(share) - 0.5, 1])
    assert slope_variance(normal_predictor(mean, sd)) / error**2 == pytest.approx(published, rel=0.02)


def test_simulated_cohorts_of_that_size_have_the_stated_standard_errors():
    random = np.random.default_rng(4230)
    c, share = 0.75, 0.65
    needs = validation_size(c, share, auc_error=0.04, slope_error=0.2, observed_expected_error=0.1)
    aucs, slopes, ratios = [], [], []
    for _ in range(400):
        for n, kept in (
            (needs.for_auc, aucs),
            (needs.for_slope, slopes),
            (needs.for_observed_expected, ratios),
        ):
            labels = (random.random(n) < share).astype(int)
            distance = math.sqrt(2) * norm.ppf(c)
            linear = random.normal(logit(share) + (labels - 0.5) * distance**2, distance)
            if kept is aucs:
                kept.append(auc_delong(labels, linear).auc)
            elif kept is slopes:
                kept.append(fit_logistic(np.column_stack([np.ones(n), linear]), labels).coefficients[1])
            else:
                kept.append(math.log(labels.mean() / share))
    assert np.std(aucs) == pytest.approx(0.04, rel=0.12)
    assert np.std(slopes) == pytest.approx(0.2, rel=0.12)
    assert np.std(ratios) == pytest.approx(0.1, rel=0.12)


def test_the_patients_for_an_auc_are_the_fewest_with_that_error():
    needed = validation_size(0.75, 0.65, auc_error=0.03).for_auc
    errors = [math.sqrt(auc_variance(0.75, 0.65 * n, 0.35 * n)) for n in (needed - 1, needed)]
    assert errors[1] <= 0.03 < errors[0]


@pytest.mark.parametrize(("gain", "about"), [(0.10, 200), (0.08, 320), (0.05, 810)])
def test_the_patients_for_a_gain_over_the_volume_are_those_of_our_first_estimate(gain, about):
    # AUCs around 0.75 that correlate with 0.5, 65 % responders.
    needed = patients_for_difference(0.75 - gain / 2, 0.75 + gain / 2, 0.65, 0.5)
    assert needed == pytest.approx(about, rel=0.03)


def correlated_scores(random, labels, aucs, correlation):
    noise = random.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], len(labels))
    return [noise[:, k] + labels * math.sqrt(2) * norm.ppf(auc) for k, auc in enumerate(aucs)]


def test_a_simulated_study_of_that_size_shows_the_difference_in_80_percent():
    random = np.random.default_rng(80)
    aucs = (0.70, 0.80)
    labels = np.repeat([1, 0], [6500, 3500])
    first, second = correlated_scores(random, labels, aucs, 0.6)
    a, b = (auc_delong(labels, scores).variance for scores in (first, second))
    pair = paired_delong(labels, first, second)
    of_difference = ((pair.ci_high - pair.ci_low) / (2 * norm.ppf(0.975))) ** 2
    correlation = (a + b - of_difference) / (2 * math.sqrt(a * b))
    needed = patients_for_difference(*aucs, 0.65, correlation)
    labels = (np.arange(needed) < 0.65 * needed).astype(int)
    found = [
        paired_delong(labels, *correlated_scores(random, labels, aucs, 0.6)).p < 0.05 for _ in range(500)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_the_detectable_difference_turns_the_number_of_patients_round():
    gain = detectable_difference(0.70, 93, 0.65, 0.5)
    assert 0.13 < gain < 0.16
    assert patients_for_difference(0.70, 0.70 + gain, 0.65, 0.5) in (93, 94)
    assert detectable_difference(0.70, 5, 0.65, 0.5) is None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: development_size(14, 1.0, c_statistic=0.7), "The share of responders is outside its limits"),
        (lambda: development_size(14, 0.6, c_statistic=0.5), "The C statistic is outside .* received 0.5"),
        (lambda: development_size(0, 0.6, c_statistic=0.7), "The number of parameters"),
        (lambda: development_size(14, 0.6), "The strength of the model is needed once"),
        (
            lambda: development_size(14, 0.6, c_statistic=0.7, r2=0.1),
            "The strength of the model is needed once",
        ),
        (lambda: development_size(14, 0.174, r2=0.61), "R2 after Cox and Snell .* 0 to 0.603; received 0.61"),
        (lambda: expected_shrinkage(14, 0.2, 0), "The number of patients"),
        (lambda: validation_size(0.7, 0.6, slope_error=0.0), "A standard error"),
        (lambda: patients_for_difference(0.7, 0.7, 0.6, 0.5), "another than the first"),
        (lambda: patients_for_difference(0.7, 0.8, 0.6, 1.0), "The correlation of two AUCs"),
        (lambda: normal_predictor(0, 0), "The spread of a linear predictor"),
    ],
)
def test_a_value_outside_its_limits_is_named(call, sentence):
    with pytest.raises(SettingsError, match=sentence):
        call()
