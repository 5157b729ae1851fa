"""What is too good to be true is found, and nothing is found in honest tables."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from TACEResponseLib.statistics.suspicions import (
    copied_rows,
    outcome_columns,
    telling_columns,
    unusable_columns,
)


@pytest.fixture
def random():
    return np.random.default_rng(16)


def names_of(count: int) -> list[str]:
    return [f"f{k}" for k in range(count)]


def ids_of(count: int) -> list[str]:
    return [f"P{k}" for k in range(count)]


def found(problems) -> dict[str, str]:
    return {problem.field: problem.severity for problem in problems}


@pytest.fixture(scope="module")
def radiomics(real_data):
    """The public feature table: IDs, names, values, and the majority label of those who have one."""
    rows = pd.read_csv(real_data / "hcc-tace-seg" / "radiomics_tumour.csv", index_col="patient_id")
    columns = [name for name in rows if not name.startswith("diagnostics_")]
    labels = pd.read_csv(real_data / "hcc-tace-seg" / "labels_majority.csv", index_col="patient_id").label
    return rows[columns], labels


# Names


OUTCOMES = """
OS OS_weeks OSmonths TTP TTP14 ttp_days PFS Overall_Survival death vital_alive event progression recurrence
response responder RECIST 1_mRECIST label labels outcome follow_up follow-up FollowUpDays Interval_FU
Death_1_StillAliveorLostToFU_0 Censored_0_progressed_1
"""
OURS = """
original_glcm_Id original_shape_LeastAxisLength wavelet-HHL_firstorder_Range volume_ml close diagnosis
lbp-3D-k_glszm_ZoneEntropy original_glrlm_RunPercentage
"""


@pytest.mark.parametrize("name", OUTCOMES.split())
def test_a_column_named_like_an_outcome_is_refused(name):
    (problem,) = outcome_columns([name])
    assert (problem.kind, problem.field, problem.severity) == ("outcome_column", name, "error")
    assert "Remove the column" in str(problem)


@pytest.mark.parametrize("name", ["1_mRECIST_BL", "mrecist_baseline_reader1_mm", "2_RECIST_BL"])
def test_a_baseline_measurement_with_an_outcome_s_name_is_asked_about(name):
    assert found(outcome_columns([name])) == {name: "warning"}


@pytest.mark.parametrize("name", ["age", "Sex", "AFP", "child_pugh", "BCLC", "center", "AFP_group"])
def test_a_clinical_column_among_the_features_is_named(name):
    (problem,) = outcome_columns([name])
    assert (problem.kind, problem.severity) == ("clinical_column", "warning")


def test_no_feature_of_ours_has_a_suspicious_name():
    assert outcome_columns(OURS.split()) == ()


def test_no_name_of_the_public_radiomics_is_suspicious(radiomics):
    assert outcome_columns(list(radiomics[0])) == ()


def test_the_public_clinical_table_s_outcomes_are_refused_and_its_baseline_is_not(real_data):
    columns = list(pd.read_excel(real_data / "hcc-tace-seg" / "clinical.xlsx"))
    severity = found(outcome_columns(columns))
    outcomes = {"TTP", "OS", "Death_1_StillAliveorLostToFU_0", "Censored_0_progressed_1", "Interval_FU"}
    readings = {
        f"{reader}_{kind}RECIST{end}" for reader in "123" for kind in ("", "m") for end in ("", "_FU")
    }
    easl = {"1_EASL", "1_EASL_FU"}
    assert {name for name, s in severity.items() if s == "error"} == outcomes | readings | easl


# Values


def test_an_empty_column_and_a_value_beyond_float32_are_named():
    values = np.array([[np.nan, 1, 1e300, -np.inf, 3e38], [np.nan, np.nan, 2, 3, 4]])
    problems = unusable_columns(["empty", "gap", "huge", "minus", "large"], values)
    assert [(p.kind, p.field, p.severity) for p in problems] == [
        ("empty_column", "empty", "error"),
        ("magnitude", "huge", "error"),
        ("magnitude", "minus", "error"),
    ]
    assert "received 1e+300" in str(problems[1]) and "received -inf" in str(problems[2])
    assert np.isfinite(np.float32(3e38)) and not np.isinf(values[0, 4])


def test_a_column_that_ranks_every_patient_is_refused(random):
    labels = np.repeat([0, 1], [30, 40])
    values = random.normal(size=(70, 5))
    values[:, 1] = labels
    values[:, 3] = -labels * 2 - random.random(70)
    values[:, 4] = np.where(labels == 1, np.nan, values[:, 4])
    problems = telling_columns(names_of(5), values, labels)
    assert found(problems) == {"f1": "error", "f3": "error", "f4": "error"}
    assert [p.received for p in problems] == ["AUC 1.000", "AUC 0.000", ""]
    assert "filled for one class only" in problems[2].message


def test_a_column_that_ranks_nearly_every_patient_is_a_warning(random):
    labels = np.repeat([0, 1], [35, 35])
    values = random.normal(size=(70, 3))
    values[:, 2] += labels * np.sqrt(2) * norm.ppf(0.98)
    (problem,) = telling_columns(names_of(3), values, labels)
    assert (problem.field, problem.severity) == ("f2", "warning")
    assert 0.95 <= float(problem.received.removeprefix("AUC ")) < 1


def test_a_perfect_column_of_few_patients_may_be_chance(random):
    labels = np.repeat([0, 1], [5, 5])
    chance = telling_columns(names_of(2000), random.normal(size=(10, 2000)), labels)
    assert chance == ()
    # Two of 252 orders of five and five are perfect: with one column, too, that is no finding.
    assert telling_columns(["f"], np.arange(10.0)[:, None], labels) == ()
    more = np.repeat([0, 1], [9, 9])
    assert found(telling_columns(["f"], np.arange(18.0)[:, None], more)) == {"f": "error"}


def test_noise_has_no_telling_column(random):
    for n in (20, 60, 93):
        labels = (np.arange(n) % 3 > 0).astype(int)
        assert telling_columns(names_of(2000), random.normal(size=(n, 2000)), labels) == ()


def test_the_strongest_real_features_are_no_finding(radiomics):
    features, labels = radiomics
    values = features.loc[labels.index].to_numpy()
    assert telling_columns(list(features), values, labels.to_numpy()) == ()


# Copies


@pytest.mark.parametrize(
    ("rows", "columns"), [(20, 6), (30, 2), (93, 1), (93, 2), (93, 6), (93, 300), (200, 20)]
)
def test_random_rows_are_no_copies(random, rows, columns):
    for _ in range(40):
        values = np.exp(random.normal(size=(rows, columns)))
        assert copied_rows(ids_of(rows), values) == ()


def test_rounded_measurements_that_happen_to_be_equal_are_no_copies(random):
    for _ in range(40):
        diameters = random.normal(60, 25, (150, 2)).round()
        grades = random.integers(0, 4, (150, 6))
        assert copied_rows(ids_of(150), diameters) == ()
        assert copied_rows(ids_of(150), np.column_stack([grades, diameters])) == ()
        assert copied_rows(ids_of(150), grades) == ()


def test_the_public_radiomics_hold_no_copies(radiomics):
    features, _ = radiomics
    assert copied_rows(list(features.index), features.to_numpy()) == ()


def test_one_copied_patient_among_the_public_radiomics_is_found(radiomics):
    features, _ = radiomics
    values, ids = features.dropna().to_numpy(), list(features.dropna().index)
    values[40] = values[7]
    (problem,) = copied_rows(ids, values)
    assert (problem.severity, problem.received) == ("error", f"2 rows: {ids[7]} = {ids[40]}")
    values[40] += 0.01 * np.ptp(np.quantile(values, (0.25, 0.75), axis=0), axis=0)
    (problem,) = copied_rows(ids, values)
    assert (problem.severity, problem.received) == ("warning", f"2 rows: {ids[7]} = {ids[40]}")


@pytest.mark.parametrize(("times", "columns"), [(2, 6), (3, 6), (3, 300), (2, 4)])
def test_a_table_in_which_every_patient_is_copied_is_refused(random, times, columns):
    values = np.tile(random.normal(size=(31, columns)), (times, 1))
    (problem,) = copied_rows(ids_of(31 * times), values)
    assert (problem.kind, problem.severity) == ("copied_rows", "error")
    assert problem.received.startswith(f"{31 * times} rows: P0 = P31")
    assert problem.received.endswith("; and 26 more")


def test_several_rows_of_a_patient_are_near_copies_unless_they_are_a_group(random):
    patients = random.normal(size=(31, 40))
    values = np.repeat(patients, 3, axis=0) + 0.01 * random.normal(size=(93, 40))
    (problem,) = copied_rows(ids_of(93), values)
    assert (problem.severity, problem.received[:22]) == ("warning", "93 rows: P0 = P1 = P2;")
    assert "column `group`" in problem.remedy
    groups = np.repeat(np.arange(31), 3)
    assert copied_rows(ids_of(93), values, groups) == ()
    groups[3] = 99
    (problem,) = copied_rows(ids_of(93), values, groups)
    assert problem.received == "3 rows: P3 = P4 = P5"


def test_copies_are_found_whatever_the_unit_and_the_zero_of_a_column(random):
    values = random.normal(size=(60, 12)) * np.logspace(-3, 8, 12) + np.logspace(2, 12, 12)
    values[30] = values[20]
    values[41] = values[50] + 0.005 * np.logspace(-3, 8, 12)
    answers = {p.severity: p.received for p in copied_rows(ids_of(60), values)}
    assert answers == {"error": "2 rows: P20 = P30", "warning": "2 rows: P41 = P50"}


def test_missing_values_outliers_and_empty_rows_make_no_copies(random):
    values = random.normal(size=(60, 30))
    values[random.random(values.shape) < 0.1] = np.nan
    values[10:14] = np.nan
    values[:, 3] = np.nan
    values[5, 2] = 1e300
    values[6, 2] = np.inf
    assert copied_rows(ids_of(60), values) == ()
    values[30] = values[20]
    (problem,) = copied_rows(ids_of(60), values)
    assert problem.received == "2 rows: P20 = P30"


def test_tables_of_constants_or_few_rows_give_no_alarm_and_huge_ones_say_so():
    assert copied_rows(ids_of(30), np.ones((30, 4))) == ()
    assert copied_rows(ids_of(5), np.ones((5, 4))) == ()
    (problem,) = copied_rows(ids_of(6001), np.zeros((6001, 1)))
    assert (problem.severity, problem.received) == ("warning", "6001")
