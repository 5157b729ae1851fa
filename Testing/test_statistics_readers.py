"""Agreement of readers against published tables, slow twins and the three readers of the public cohort."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.statistics.readers import (
    cohen_kappa,
    fleiss_kappa,
    majority_labels,
    reader_aucs,
    soft_labels,
)


def readings_of(table) -> np.ndarray:
    """The two columns of readings whose cross table (k, k) this is."""
    cells = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return np.array(cells, dtype=float)


@pytest.fixture(scope="module")
def codes(real_data):
    """mRECIST of three readers in the public cohort (105, 3): 1 CR, 2 PR, 3 SD, 4 PD, NaN where none."""
    table = pd.read_excel(real_data / "hcc-tace-seg" / "clinical.xlsx")
    return table[["1_mRECIST", "2_mRECIST", "3_mRECIST"]].to_numpy(dtype=float)


# Kappa


def test_kappa_of_a_two_by_two_table_by_hand():
    # 20 and 15 agreed, 5 and 10 not: 0.7 observed, 0.5 expected.
    answer = cohen_kappa(*readings_of([[20, 5], [10, 15]]).T)
    assert (answer.kappa, answer.observed, answer.expected) == pytest.approx((0.4, 0.7, 0.5))
    assert answer.patients == 50


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_kappa_equals_scikit_learn_and_its_error_the_delta_method(weights):
    random = np.random.default_rng(1969)
    truth = random.integers(0, 4, 300)
    first, second = (np.clip(truth + random.integers(-1, 2, 300), 0, 3) for _ in range(2))
    ours = cohen_kappa(first, second, weights)
    theirs = lambda sample: cohen_kappa_score(
        first, second, weights=None if weights == "none" else weights, sample_weight=sample
    )
    assert ours.kappa == pytest.approx(theirs(np.ones(300)), abs=1e-12)
    # The infinitesimal jackknife: the slope of kappa in the weight of each patient, by differences.
    slopes = []
    for k in range(300):
        more = np.ones(300)
        more[k] += 1e-5
        slopes.append((theirs(more) - ours.kappa) / 1e-5)
    assert ours.error == pytest.approx(np.sqrt(np.sum(np.square(slopes))), rel=1e-4)
    assert ours.ci_high - ours.kappa == pytest.approx(1.959964 * ours.error, rel=1e-6)


def test_the_interval_of_kappa_covers():
    random = np.random.default_rng(42)
    table = np.array([[0.45, 0.10], [0.12, 0.33]])
    true = cohen_kappa(*readings_of((table * 100).astype(int)).T).kappa
    holds = 0
    for _ in range(600):
        counts = random.multinomial(93, table.ravel()).reshape(2, 2)
        answer = cohen_kappa(*readings_of(counts).T)
        holds += answer.ci_low <= true <= answer.ci_high
    assert 0.92 <= holds / 600 <= 0.98


def test_fleiss_kappa_is_that_of_the_known_table_of_fourteen_raters():
    # Ten subjects, fourteen raters, five categories; printed in many texts: kappa 0.210.
    table = """0 0 0 0 14  0 2 6 4 2  0 0 3 5 6  0 3 9 2 0  2 2 8 1 1
               7 7 0 0 0  3 2 6 3 0  2 5 3 2 2  6 5 2 1 0  0 2 2 3 7"""
    counts = np.array(table.split(), dtype=int).reshape(10, 5)
    ours = fleiss_kappa([np.repeat(np.arange(5), row) for row in counts])
    assert (round(ours.observed, 3), round(ours.expected, 3), round(ours.kappa, 3)) == (0.378, 0.213, 0.210)


def test_fleiss_kappa_and_its_jackknife_equal_the_definition_pair_by_pair():
    random = np.random.default_rng(5)
    readings = (random.random((25, 1)) + random.normal(0, 0.4, (25, 3)) > 0.5).astype(float)

    def slow(rows):
        same = [a == b for row in rows for i, a in enumerate(row) for b in row[i + 1 :]]
        share = np.mean([v for row in rows for v in row])
        expected = share**2 + (1 - share) ** 2
        return (np.mean(same) - expected) / (1 - expected)

    rows = readings.tolist()
    ours = fleiss_kappa(readings)
    assert ours.kappa == pytest.approx(slow(rows))
    left = np.array([slow(rows[:k] + rows[k + 1 :]) for k in range(25)])
    assert ours.error == pytest.approx(np.sqrt(24 / 25 * ((left - left.mean()) ** 2).sum()))
    assert ours.patients == 25


def test_missing_readings_are_left_out_and_counted():
    nan = np.nan
    readings = np.array([[1, 1], [0, 0], [nan, 1], [1, 0], [0, nan], [1, 1]])
    complete = readings[[0, 1, 3, 5]]
    assert cohen_kappa(*readings.T) == cohen_kappa(*complete.T)
    assert fleiss_kappa(readings) == fleiss_kappa(complete)
    assert fleiss_kappa(readings).patients == 4


def test_readers_who_say_the_same_of_everybody_have_no_kappa():
    for answer in (cohen_kappa([1, 1, 1], [1, 1, 1]), fleiss_kappa(np.ones((4, 3)))):
        assert (answer.kappa, answer.error, answer.ci_low, answer.observed) == (None, None, None, 1)
    with pytest.raises(TrainingError, match="No patient has the readings"):
        cohen_kappa([1, np.nan], [np.nan, 0])
    with pytest.raises(TrainingError, match="needs two readers"):
        fleiss_kappa(np.ones((4, 1)))


# Labels of several readers


def test_the_majority_needs_all_readers_and_a_tie_has_none():
    nan = np.nan
    labels = np.array([[1, 1, 0], [0, 0, 1], [1, 1, nan], [1, 1, 1], [nan, nan, nan]])
    np.testing.assert_array_equal(majority_labels(labels), [1, 0, nan, 1, nan])
    np.testing.assert_array_equal(majority_labels([[1, 0], [1, 1], [0, 0]]), [nan, 1, 0])


def test_soft_labels_are_shares_of_the_readings_there_are():
    nan = np.nan
    labels = np.array([[1, 1, 0], [0, 0, 1], [1, nan, nan], [nan, nan, nan]])
    np.testing.assert_allclose(soft_labels(labels), [2 / 3, 1 / 3, 1, nan])


# One reader's label by the others


def test_each_reader_is_ranked_by_each_other_and_by_all_others():
    random = np.random.default_rng(8)
    truth = random.normal(size=(70, 1))
    grades = np.digitize(truth + random.normal(0, 0.7, (70, 3)), [-0.7, 0.2, 1.0]).astype(float)
    labels = (grades >= 2).astype(float)
    answers = {(a.reader, a.by): a.auc for a in reader_aucs(labels, grades)}
    assert list(answers)[:3] == [(0, (1,)), (0, (2,)), (0, (1, 2))] and len(answers) == 9
    for (reader, by), ours in answers.items():
        theirs = roc_auc_score(labels[:, reader], grades[:, by].mean(axis=1))
        assert ours.auc == pytest.approx(theirs, abs=1e-12)
        assert ours.ci_low < theirs < ours.ci_high
    pairs = reader_aucs(labels[:, :2], grades[:, :2])
    assert [(a.reader, a.by) for a in pairs] == [(0, (1,)), (1, (0,))]


def test_labels_and_grades_of_other_patients_are_named():
    with pytest.raises(TrainingError, match="do not belong together"):
        reader_aucs(np.ones((4, 2)), np.ones((5, 2)))


def test_the_three_readers_of_the_public_cohort_agree_as_published(codes):
    responder = np.where(np.isnan(codes), np.nan, codes <= 2)
    complete = responder[np.isfinite(responder).all(axis=1)]
    assert len(complete) == 93
    kappas = [cohen_kappa(complete[:, a], complete[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [round(k.kappa, 2) for k in kappas] == [0.29, 0.46, 0.47]
    assert fleiss_kappa(responder).patients == 93
    assert min(k.kappa for k in kappas) < fleiss_kappa(responder).kappa < max(k.kappa for k in kappas)


def test_the_majority_of_the_public_readers_is_the_released_label(codes, real_data):
    released = pd.read_csv(real_data / "hcc-tace-seg" / "labels_majority.csv").label
    ours = majority_labels(np.where(np.isnan(codes), np.nan, codes <= 2))
    assert ours[np.isfinite(ours)].tolist() == released.tolist()


def test_the_other_readers_rank_reader_1_s_label_with_the_known_auc(codes):
    labels = np.where(np.isnan(codes), np.nan, codes <= 2)
    votes, grades = (
        {(a.reader, a.by): a.auc for a in reader_aucs(labels, by)}[(0, (1, 2))] for by in (labels, 4 - codes)
    )
    # 0.749 is by the other two readers' votes; by the mean of their four grades it is more.
    assert (round(votes.auc, 3), round(grades.auc, 3)) == (0.749, 0.780)
    assert (votes.responders, votes.others) == (60, 33)
