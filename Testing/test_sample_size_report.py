"""How many patients a recipe needs is said before the training and in the report, by Riley's criteria."""

import json

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from TACEResponseLib.__main__ import main
from TACEResponseLib.cohorts.preflight import CohortCheck
from TACEResponseLib.cohorts.preflight.sample_size import planned_size, size_json, size_text
from TACEResponseLib.cohorts.preflight.table import as_text
from TACEResponseLib.cohorts.table import Cohort, Patient
from TACEResponseLib.report.sample_size import sample_size_table
from TACEResponseLib.report.study import Study
from TACEResponseLib.settings import TrainingSettings, preset
from test_report import patients, train


def a_cohort(folder, responders: int, others: int, validation: int = 0) -> Cohort:
    labels = [1] * responders + [0] * others + [1] * validation
    return Cohort(
        folder,
        tuple(
            Patient(f"P{n}", folder / "ct.nrrd", folder / "mask.nrrd", label=label, cohort=part)
            for n, label in enumerate(labels)
            for part in ["validation" if n >= responders + others else "training"]
        ),
    )


def simulated_r2(c_statistic: float, share: float) -> float:
    """Cox and Snell's R2 by drawing 2 million patients, as Riley et al. 2021 do."""
    rng = np.random.default_rng(2021)
    labels = rng.random(2_000_000) < share
    predictor = rng.normal(labels * np.sqrt(2) * norm.ppf(c_statistic), 1)
    slope = np.sqrt(2) * norm.ppf(c_statistic)
    logit = np.log(share / (1 - share)) + slope * predictor - slope**2 / 2
    full = -np.logaddexp(0, np.where(labels, -logit, logit)).sum()
    null = len(labels) * (share * np.log(share) + (1 - share) * np.log(1 - share))
    return 1 - np.exp(-2 * (full - null) / len(labels))


def test_the_paper_needed_about_660_patients_and_had_139(tmp_path):
    size = planned_size(a_cohort(tmp_path, 90, 49, validation=171), preset("peng2021"))
    assert (size.parameters, size.patients) == (14, 139)
    r2 = simulated_r2(0.75, 90 / 139)
    by_hand = 14 / ((0.9 - 1) * np.log(1 - r2 / 0.9))
    assert size.needed == pytest.approx(by_hand, rel=0.01)
    assert 640 < size.needed < 690
    expected = brentq(lambda s: 14 / ((s - 1) * np.log(1 - r2 / s)) - 139, r2 + 1e-6, 1 - 1e-6)
    assert size.expected_shrinkage == pytest.approx(expected, abs=0.005)
    assert (
        f"need {size.needed} patients (Riley's criteria); there are 139. Expected shrinkage 0.66"
        in size_text(size)
    )


def test_fewer_features_to_keep_need_fewer_patients(tmp_path):
    cohort = a_cohort(tmp_path, 60, 33)
    few = TrainingSettings.from_json({"selection": {"number": 4}})
    sizes = [planned_size(cohort, recipe) for recipe in (few, TrainingSettings())]
    assert sizes[0].needed < sizes[1].needed
    assert sizes[0].expected_shrinkage > sizes[1].expected_shrinkage


def test_a_cohort_of_one_class_has_no_sample_size_and_no_line(tmp_path):
    assert planned_size(a_cohort(tmp_path, 12, 0), TrainingSettings()) is None
    assert planned_size(a_cohort(tmp_path, 0, 0), TrainingSettings()) is None
    assert "Sample size" not in as_text(CohortCheck((), ()))


def test_check_says_it_in_a_line_and_in_a_field(tmp_path, capsys):
    rows = [f"P{n},gone.nrrd,gone.nrrd,{n % 2}" for n in range(4)]
    (tmp_path / "cohort.csv").write_text("\n".join(["patient_id,image,mask,label", *rows]), encoding="utf-8")
    assert main(["check", "--cohort", str(tmp_path), "--jobs", "1"]) == 1
    size = planned_size(a_cohort(tmp_path, 2, 2), TrainingSettings())
    assert size_text(size) in capsys.readouterr().out
    assert main(["check", "--cohort", str(tmp_path), "--jobs", "1", "--json"]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (cohort,) = (e for e in events if e.get("event") == "cohort")
    assert cohort["sample_size"] == size_json(size)
    assert set(cohort["sample_size"]) == {
        "predictors",
        "anticipated_auc",
        "responder_share",
        "needed",
        "responders_needed",
        "patients",
        "expected_shrinkage",
    }


@pytest.fixture(scope="module")
def run():
    return train(patients(60, seed=1), patients(40, seed=2, first=60, centers="BC"))


def by_purpose(table) -> dict:
    return {row["purpose"]: row for row in table.rows}


def test_the_report_gives_each_criterion_the_selected_and_all_the_candidates(run):
    rows = by_purpose(sample_size_table(Study.of_training(run)))
    selected = len(run.model.models.selected)
    assert selected == 3
    every = rows["model of 3 predictors: all three"]
    criteria = [row["patients_needed"] for name, row in rows.items() if "model of 3" in name]
    assert every["patients_needed"] == max(criteria)
    assert every["patients_there"] == 60
    candidates = rows["all 8 candidate features: all three"]
    # Three and eight predictors: the overall risk asks for more patients than either.
    assert candidates["patients_needed"] == every["patients_needed"]
    assert candidates["expected_shrinkage"] < every["expected_shrinkage"] < 1


def test_an_external_cohort_is_told_how_many_show_it(run):
    rows = by_purpose(sample_size_table(Study.of_training(run)))
    gains = [
        rows[f"all models: gain of {gain} over tumour size"]["patients_needed"] for gain in ("0.050", "0.100")
    ]
    # Four times as many patients for half the difference, and somewhat more since the variance falls.
    assert 3.5 < gains[0] / gains[1] < 4.7
    share = run.training.outcome.responders / 60
    by_hand = (1 - share) / share / (np.arcsinh(0.1) / norm.ppf(0.975)) ** 2
    ratio = rows["observed over expected within 10 %"]
    assert ratio["patients_needed"] == np.ceil(by_hand)
    assert {row["patients_there"] for row in rows.values() if row["cohort"] == "external"} == {40}


def test_a_validation_report_speaks_of_the_external_cohort_alone(run):
    table = sample_size_table(Study(run.model, run.external, {}))
    assert {row["cohort"] for row in table.rows} == {"external"}
    one = run.external.rows(run.external.outcome.labels == 1)
    assert sample_size_table(Study(run.model, one, {})).absent == "the patients are all of one class"


def test_patients_that_were_fitted_are_no_external_cohort(run):
    table = sample_size_table(Study(run.model, run.training, {}))
    assert {row["patients_there"] for row in table.rows} == {0}
