"""ICC against R's psych, Shrout & Fleiss, the authors of an LIDC study, and a slow obvious twin."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import SettingsError, TableError
from TACEResponseLib.selection.reliability import FORMS, icc, reliable_features
from TACEResponseLib.settings import ReliabilitySettings

ORACLE = Path(__file__).parent / "data" / "r-oracle"
R_FORMS = dict(zip(("ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"), FORMS, strict=True))
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


@pytest.fixture(scope="module")
def r_models() -> dict:
    return json.loads((ORACLE / "models.json").read_text())


@pytest.mark.parametrize(
    ("form", "published"),
    list(zip(FORMS, (0.1657, 0.2898, 0.7148, 0.4428, 0.6201, 0.9093), strict=True)),
)
def test_shrout_and_fleiss_example_gives_their_coefficients(form, published):
    assert round(float(icc(SHROUT_FLEISS, form).estimate[0]), 4) == published


@pytest.mark.parametrize("cohort", ["four judges", "two readers"])
def test_all_six_forms_and_intervals_equal_psych(r_models, cohort):
    ratings = SHROUT_FLEISS if cohort == "four judges" else np.array(r_models["icc_two"]["data"])
    rows = r_models["icc_sf"] if cohort == "four judges" else r_models["icc_two"]["res"]
    assert len(rows) == 6
    for row in rows:
        ours = icc(ratings, R_FORMS[row["type"]])
        numbers = [ours.estimate[0], ours.ci_low[0], ours.ci_high[0]]
        assert numbers == pytest.approx([row["ICC"], row["lower bound"], row["upper bound"]], abs=1e-12)


def slow_icc(ratings: np.ndarray, form: str) -> tuple[float, float, float]:
    """The definitions one sum at a time, as Shrout & Fleiss print them (single-reader forms)."""
    n, k = ratings.shape
    grand = ratings.mean()
    between = sum(k * (ratings[i].mean() - grand) ** 2 for i in range(n)) / (n - 1)
    judges = sum(n * (ratings[:, j].mean() - grand) ** 2 for j in range(k)) / (k - 1)
    within = sum((ratings[i, j] - ratings[i].mean()) ** 2 for i in range(n) for j in range(k)) / (n * (k - 1))
    error = sum(
        (ratings[i, j] - ratings[i].mean() - ratings[:, j].mean() + grand) ** 2
        for i in range(n)
        for j in range(k)
    ) / ((n - 1) * (k - 1))
    quantile = lambda a, b: stats.f.ppf(0.975, a, b)
    if form in ("ICC(1,1)", "ICC(3,1)"):
        noise, df = (within, n * (k - 1)) if form == "ICC(1,1)" else (error, (n - 1) * (k - 1))
        low, high = between / noise / quantile(n - 1, df), between / noise * quantile(df, n - 1)
        return (
            (between - noise) / (between + (k - 1) * noise),
            (low - 1) / (low + k - 1),
            (high - 1) / (high + k - 1),
        )
    rho = (between - error) / (between + (k - 1) * error + k * (judges - error) / n)
    with np.errstate(all="ignore"):
        return (rho, *slow_agreement_interval(rho, between, judges, error, n, k))


def slow_agreement_interval(rho, between, judges, error, n, k) -> tuple[float, float]:
    quantile = lambda a, b: stats.f.ppf(0.975, a, b)
    fj = judges / error
    top = (k - 1) * (n - 1) * (k * rho * fj + n * (1 + (k - 1) * rho) - k * rho) ** 2
    v = top / ((n - 1) * k**2 * rho**2 * fj**2 + (n * (1 + (k - 1) * rho) - k * rho) ** 2)
    f1, f2 = quantile(n - 1, v), quantile(v, n - 1)
    common = k * judges + (k * n - k - n) * error
    return (
        n * (between - f1 * error) / (f1 * common + n * between),
        n * (f2 * between - error) / (common + n * f2 * between),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    subjects=st.integers(3, 12),
    readers=st.integers(2, 5),
    noise=st.floats(0.05, 3),
    offset=st.floats(-1e4, 1e4),
    form=st.sampled_from(["ICC(1,1)", "ICC(2,1)", "ICC(3,1)"]),
)
def test_many_features_at_once_equal_the_printed_sums(seed, subjects, readers, noise, offset, form):
    random = np.random.default_rng(seed)
    ratings = (
        offset + random.normal(size=(3, subjects, 1)) + noise * random.normal(size=(3, subjects, readers))
    )
    ours = icc(ratings, form)
    for feature in range(3):
        expected = slow_icc(ratings[feature], form)
        got = (ours.estimate[feature], ours.ci_low[feature], ours.ci_high[feature])
        if ours.status[feature] == "ok":
            assert got == pytest.approx(expected, rel=1e-6, abs=1e-6)
        else:
            assert ours.status[feature] == "no interval" and expected[0] < 0
            assert got[0] == pytest.approx(expected[0], rel=1e-6) and np.isnan(got[1:]).all()


def test_where_the_interval_s_formula_breaks_the_estimate_stays_and_the_status_says_so():
    random = np.random.default_rng(4096)
    ratings = random.normal(size=(3, 3, 1)) + 2 * random.normal(size=(3, 3, 3))
    answer = icc(ratings, "ICC(2,1)")
    broken = answer.status == "no interval"
    assert broken.any() and (answer.estimate[broken] < 0).all()
    assert np.isnan(answer.ci_low[broken]).all() and np.isfinite(answer.ci_low[~broken]).all()


def test_icc_1k_of_four_lidc_observers_equals_the_authors_to_three_decimals(real_data):
    db = pd.read_csv(real_data / "icc" / "feature_db.csv")
    published = pd.read_csv(real_data / "icc" / "stability_against_delineation.csv")
    published = dict(
        zip(published.feature_class + "/" + published.feature_name, published.ICC1k, strict=True)
    )
    db = db[(db.num_levels == 256) & (db.noise_scale == 0) & db.annotation_id.between(0, 3)]
    table = db.pivot_table(
        index=["feature_name", "patient_id", "nodule_id"], columns="annotation_id", values="value"
    ).dropna()
    compared = 0
    for feature, readings in table.groupby(level=0):
        if len(readings) == 6 and feature in published:
            got = float(icc(readings.to_numpy(), "ICC(1,k)").estimate[0])
            assert got == pytest.approx(published[feature], abs=0.00051), feature
            compared += 1
    assert compared == 65


def test_a_constant_feature_has_a_status_and_no_coefficient():
    answer = icc(np.stack([SHROUT_FLEISS, np.full((6, 4), 3.7)]))
    assert answer.status.tolist() == ["ok", "constant"]
    assert np.isnan(answer.estimate[1]) and np.isfinite(answer.estimate[0])


@pytest.mark.parametrize("form", FORMS)
def test_identical_readers_agree_exactly(form):
    subjects = np.arange(5.0)[:, None]
    answer = icc(np.repeat(subjects, 3, axis=1), form)
    assert answer.status[0] == "identical"
    assert (answer.estimate[0], answer.ci_low[0], answer.ci_high[0]) == (1, 1, 1)


def test_a_constant_offset_between_readers_lowers_agreement_and_not_consistency():
    subjects = np.arange(8.0)
    ratings = np.stack([subjects, subjects + 2], axis=1)
    agreement, consistency = icc(ratings, "ICC(2,1)"), icc(ratings, "ICC(3,1)")
    # MSB = 12, MSJ = 16, MSE = 0: 12 / (12 + 2 * 16 / 8) = 0.75.
    assert agreement.estimate[0] == pytest.approx(0.75, abs=1e-12)
    assert consistency.estimate[0] == pytest.approx(1, abs=1e-12)
    assert 0 <= agreement.ci_low[0] < 0.75 < agreement.ci_high[0] <= 1
    assert consistency.ci_low[0] == pytest.approx(1, abs=1e-9)


def test_readers_without_any_differing_subject_give_the_lowest_consistency():
    ratings = np.array([[1.0, -1.0], [-1.0, 1.0], [2.0, -2.0]])
    assert icc(ratings, "ICC(3,1)").estimate[0] == pytest.approx(-1)


def test_a_missing_value_is_a_status():
    ratings = np.stack([SHROUT_FLEISS, SHROUT_FLEISS])
    ratings[1, 2, 3] = np.nan
    answer = icc(ratings)
    assert answer.status.tolist() == ["ok", "not finite"]
    assert answer.estimate[0] == pytest.approx(0.2898, abs=5e-5)


def test_an_unknown_form_and_a_single_reader_are_named_errors():
    with pytest.raises(SettingsError, match=r"Expected ICC\(1,1\)"):
        icc(SHROUT_FLEISS, "ICC(4,1)")
    with pytest.raises(TableError, match="2 subjects x 2 readers"):
        icc(SHROUT_FLEISS[:, :1])


@pytest.fixture
def two_readings() -> tuple[pd.DataFrame, pd.DataFrame]:
    """20 patients: `steady` agrees, `shaky` does not, `flat` is constant, `broken` holds a NaN."""
    random = np.random.default_rng(5)
    ids = pd.Index([f"P{i:02}" for i in range(20)], name="patient_id")
    truth = random.normal(size=20)
    readings = [
        pd.DataFrame(
            {
                "steady": truth + 0.1 * random.normal(size=20),
                "shaky": random.normal(size=20),
                "flat": 1.0,
                "broken": truth,
            },
            index=ids,
        )
        for _ in range(2)
    ]
    readings[1].loc["P03", "broken"] = np.nan
    return readings[0], readings[1]


def as_table(frame: pd.DataFrame) -> PatientTable:
    return PatientTable(tuple(frame.index), tuple(frame.columns), frame.to_numpy(dtype=float))


def compared(first: pd.DataFrame, second: pd.DataFrame, settings: ReliabilitySettings | None = None):
    return reliable_features(as_table(first), as_table(second), settings or ReliabilitySettings())


def test_every_feature_is_listed_with_why_it_stays_or_goes(two_readings):
    table = compared(*two_readings)
    assert table.kept_features == ("steady",)
    assert dict(zip(table.features, table.reasons, strict=True)) == {
        "steady": "ICC above 0.75",
        "shaky": "ICC not above 0.75",
        "flat": "constant: no agreement can be measured",
        "broken": "a value is not a finite number",
    }
    frame = pd.DataFrame(table.rows())
    assert list(frame.columns) == ["feature", "form", "icc", "ci_low", "ci_high", "kept", "reason"]
    assert frame.form.unique().tolist() == ["ICC(2,1)"]
    expected = icc(np.column_stack([two_readings[0].steady, two_readings[1].steady])).estimate[0]
    assert frame.icc[0] == pytest.approx(expected)


def test_the_lower_bound_can_be_asked_to_exceed_the_threshold(two_readings):
    estimate = icc(np.column_stack([two_readings[0].steady, two_readings[1].steady]))
    between = float(estimate.ci_low[0] + estimate.estimate[0]) / 2
    by_estimate = compared(*two_readings, ReliabilitySettings(threshold=between))
    by_bound = compared(*two_readings, ReliabilitySettings(threshold=between, compare="ci_low"))
    assert by_estimate.kept_features == ("steady",)
    assert by_bound.kept_features == ()
    assert by_bound.reasons[0].startswith("lower confidence bound not above")


def test_patients_of_one_reader_are_left_out_by_name_and_order_does_not_matter(two_readings):
    first, second = two_readings
    whole = compared(first.iloc[:15], second.iloc[:15])
    ragged = compared(first.iloc[:15], second.iloc[::-1])
    assert ragged.one_reader_only == tuple(f"P{i}" for i in range(15, 20))
    assert ragged.patients == whole.patients
    np.testing.assert_allclose(ragged.icc.estimate[:2], whole.icc.estimate[:2], rtol=1e-12)


def test_copied_outlines_different_columns_and_too_few_patients_are_named_errors(two_readings):
    first, second = two_readings
    with pytest.raises(TableError, match="copies of the first reader's"):
        compared(first, first.copy())
    with pytest.raises(TableError, match="different features") as caught:
        compared(first, second.drop(columns="shaky"))
    assert caught.value.problem.field == "shaky"
    with pytest.raises(TableError, match=r"[Tt]oo few patients"):
        compared(first.iloc[:2], second)
