"""The audit: what counts, the figures against outside sources, and few patients said in words."""

import datetime
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from TACEResponseLib.follow_up.audit import Agreement, audit_register, period_of
from TACEResponseLib.follow_up.register import Recorded
from TACEResponseLib.messages.errors import RegisterError
from TACEResponseLib.report import audit_page, drawing
from TACEResponseLib.report.audit_page import as_text, write_audit
from TACEResponseLib.statistics.calibration import calibration
from TACEResponseLib.statistics.discrimination import auc_delong

SYNTHETIC = "This model was trained on synthetic images and is not for patients."
RESEARCH = "For research use only; not a medical device."


def one(number: int, probability: float, response: str | None, **changes) -> Recorded:
    """One prediction in the register, four days after the one before it."""
    day = datetime.date(2024, 1, 1) + datetime.timedelta(days=4 * number)
    base = Recorded(f"P{number}", "hospital-1", False, "all", probability, 0.5, day.isoformat(), "inside")
    return replace(base, response=response, **changes)


def a_register(n: int = 200, seed: int = 1, shift: float = 0.0) -> list[Recorded]:
    """Patients whose chance of response is their probability, moved by `shift`; a tenth still waits."""
    random = np.random.default_rng(seed)
    probabilities = np.round(random.beta(2, 2, n), 2)
    responds = random.random(n) < np.clip(probabilities + shift, 0, 1)
    verdicts = random.choice(["inside", "at the edge", "outside"], n, p=[0.8, 0.1, 0.1])
    return [
        one(k, float(p), None if k % 10 == 9 else "PR" if r else "SD", similarity=str(v))
        for k, (p, r, v) in enumerate(zip(probabilities, responds, verdicts, strict=True))
    ]


@pytest.fixture(autouse=True)
def coarse_figures(monkeypatch):
    monkeypatch.setattr(drawing, "DOTS_PER_INCH", 40)


# --- figures ------------------------------------------------------------------------------------------


def test_every_figure_is_that_of_an_outside_source():
    recorded = a_register()
    (audit,) = audit_register(recorded)
    known = [r for r in recorded if r.response]
    labels, p = np.array([r.label for r in known]), np.array([r.probability for r in known])
    found = audit.to_json()
    assert (found["n"], found["awaiting"], found["responders"]) == (180, 20, labels.sum())
    assert found["auc"]["estimate"] == pytest.approx(roc_auc_score(labels, p), abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, p), abs=1e-12)
    recalibrated = LogisticRegression(C=1e12, tol=1e-10, solver="newton-cholesky")
    recalibrated.fit(np.log(p / (1 - p))[:, None], labels)
    assert found["calibration"]["slope"] == pytest.approx(recalibrated.coef_[0, 0], abs=1e-6)
    assert found["calibration"]["intercept"] == pytest.approx(recalibrated.intercept_[0], abs=1e-6)
    wilson = binomtest(int(labels.sum()), len(labels)).proportion_ci(method="wilson")
    ratio = found["observed_to_expected"]
    assert found["expected"] == pytest.approx(p.sum())
    assert ratio["estimate"] == pytest.approx(labels.sum() / p.sum())
    assert ratio["ci_low"] == pytest.approx(wilson.low / p.mean())
    assert ratio["ci_high"] == pytest.approx(wilson.high / p.mean())
    assert found["sensitivity"] == pytest.approx((p[labels == 1] > 0.5).mean())
    assert found["specificity"] == pytest.approx((p[labels == 0] <= 0.5).mean())


def test_intervals_are_those_of_the_rooms_that_the_training_report_uses():
    recorded = a_register()
    (audit,) = audit_register(recorded)
    known = [r for r in recorded if r.response]
    labels, p = np.array([r.label for r in known]), np.array([r.probability for r in known])
    ours, theirs = audit.agreement.auc, auc_delong(labels, p)
    assert (ours.ci_low, ours.ci_high) == (theirs.ci_low, theirs.ci_high)
    assert audit.agreement.calibration.slope_ci == calibration(labels, p).slope_ci


def test_a_model_that_expects_too_many_responders_is_seen_in_the_large():
    (right,), (wrong,) = (audit_register(a_register(600, shift=shift)) for shift in (0, -0.25))
    assert right.agreement.observed_to_expected.ci_low < 1 < right.agreement.observed_to_expected.ci_high
    assert wrong.agreement.observed_to_expected.ci_high < 0.8
    assert wrong.agreement.calibration.in_the_large < -1


# --- what counts --------------------------------------------------------------------------------------


def test_what_was_known_before_or_is_awaited_or_repeated_is_counted_and_does_not_count():
    recorded = [
        one(0, 0.9, "CR"),
        one(1, 0.8, "PR", repeats=2),
        one(2, 0.2, "SD"),
        one(3, 0.1, "PD"),
        one(4, 0.1, "CR", known_before=True),
        one(5, 0.1, None, known_before=True),
        one(6, 0.1, None),
    ]
    (audit,) = audit_register(recorded)
    assert (audit.predictions, audit.agreement.n, audit.awaiting) == (7, 4, 1)
    assert (audit.known_before, audit.repeats) == (2, 2)
    assert audit.agreement.auc.auc == 1.0
    first, second, third, *_ = audit.cautions()
    assert first.startswith("1 of 7 patients has no response recorded.")
    assert second.startswith("2 of 7 patients have a response that was known before the prediction")
    assert third == "2 later predictions of the same patients do not count: the first one does."
    assert sum(p.predictions for p in audit.periods) == 5


def test_models_are_never_mixed_and_one_can_be_asked_for():
    recorded = [one(0, 0.9, "CR"), one(0, 0.2, "CR", bundle_id="other-2"), one(1, 0.3, "PD")]
    assert [(a.bundle_id, a.agreement.n) for a in audit_register(recorded)] == [
        ("hospital-1", 2),
        ("other-2", 1),
    ]
    assert [a.bundle_id for a in audit_register(recorded, bundle_id="other-2")] == ["other-2"]
    with pytest.raises(RegisterError, match="no prediction of this model. Expected hospital-1, other-2"):
        audit_register(recorded, bundle_id="no")
    with pytest.raises(RegisterError, match="The register holds no prediction. Expected patients predicted"):
        audit_register([])


def test_verdicts_of_similarity_part_the_patients_that_count():
    recorded = [*a_register(), one(500, 0.4, "PR", similarity="not assessed")]
    (audit,) = audit_register(recorded)
    assert list(audit.by_similarity) == ["inside", "at the edge", "outside", "not assessed"]
    assert sum(found.n for found in audit.by_similarity.values()) == audit.agreement.n
    known = [r for r in recorded if r.response and r.similarity == "outside"]
    assert audit.by_similarity["outside"].n == len(known)
    assert audit.by_similarity["outside"].responders == sum(r.label for r in known)


def test_periods_follow_the_calendar_and_run_up_to_the_whole():
    assert [period_of("2025-03-31", p) for p in ("month", "quarter", "year")] == [
        "2025-03",
        "2025 Q1",
        "2025",
    ]
    assert [period_of(f"2025-{m:02}-01", "quarter")[-1] for m in (1, 4, 6, 7, 10, 12)] == list("122344")
    recorded = a_register()
    for period in ("month", "quarter", "year"):
        (audit,) = audit_register(recorded[::-1], period=period)  # in whatever order they were recorded
        names = [p.name for p in audit.periods]
        assert names == sorted(names)
        assert sum(p.own.n for p in audit.periods) == audit.agreement.n
        assert audit.periods[-1].so_far.auc.auc == pytest.approx(audit.agreement.auc.auc)
        until = audit.periods[1].name
        known = [r for r in recorded if r.response and period_of(r.day, period) <= until]
        labels, p = [r.label for r in known], [r.probability for r in known]
        assert audit.periods[1].so_far.auc.auc == pytest.approx(roc_auc_score(labels, p))


# --- few patients -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patients", "sentence"),
    [
        ([], "No response counts yet"),
        ([(0.7, 1)], "There is no AUC: it needs two patients of each class, and there are 1 with response"),
        ([(0.7, 1), (0.6, 1), (0.2, 1)], "There is no calibration slope: it needs both classes"),
        ([(0.7, 1), (0.6, 1), (0.2, 0)], "There is no AUC: it needs two patients of each class"),
        ([(0.7, 1), (0.6, 1), (0.2, 0), (0.1, 0)], "The patients are ranked without an exception"),
        ([(0.7, 1), (0.6, 1), (0.2, 0), (0.1, 0)], "the classes are perfectly separated"),
        ([(0.5, 1), (0.5, 1), (0.5, 0), (0.5, 0)], "so the AUC of 0.5 says nothing"),
        ([(0.7, 1), (0.2, 1), (0.6, 0), (0.1, 0)], "These are few patients (2 with response and 2 without)"),
        ([(0.0, 0), (0.0, 0)], "There is no calibration slope"),
        ([(0.0, 1), (1.0, 0), (0.3, 1), (0.4, 0)], "These are few patients"),
    ],
)
def test_few_patients_are_said_in_words_and_never_as_nan(patients, sentence, tmp_path):
    recorded = [one(k, p, "PR" if label else "SD") for k, (p, label) in enumerate(patients)]
    (audit,) = audit_register(recorded or [one(0, 0.4, None)])
    assert any(sentence in caution for caution in audit.cautions())
    page = write_audit([audit], tmp_path).read_text(encoding="utf-8")
    words = re.sub(r"<style>.*?</style>|data:image/png;base64,[^\"]*", "", page, flags=re.S)
    assert sentence in words.replace("&#39;", "'")
    for text in (words, (tmp_path / "audit.json").read_text(encoding="utf-8"), as_text([audit])):
        assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b", text)


def test_enough_patients_need_no_caution():
    (audit,) = audit_register([r for r in a_register(400) if r.response])
    assert audit.cautions() == ()


def test_an_agreement_of_nobody_has_no_figure():
    nobody = Agreement.of([], 0.5).to_json()
    assert nobody["n"] == nobody["responders"] == nobody["expected"] == 0
    assert {nobody[k] for k in ("auc", "calibration", "brier", "observed_to_expected")} == {None}


# --- the page -----------------------------------------------------------------------------------------


def test_the_page_shows_the_figures_of_the_json_and_names_no_patient(tmp_path):
    (audit,) = audits = audit_register(a_register())
    page = write_audit(audits, tmp_path).read_text(encoding="utf-8")
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert content["format_version"] == 1
    (model,) = content["models"]
    assert model == audit.to_json()
    assert f"<b>{model['auc']['estimate']:.3f}</b>" in page
    assert f"<b>{model['responders']} of {model['n']}</b>" in page
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r"\bP\d+\b", re.sub(r"base64,[^\"]*", "", page))
    assert "P1" not in (tmp_path / "audit.json").read_text(encoding="utf-8")
    for period in model["periods"]:
        assert f"<td>{period['period']}</td>" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # nothing outside itself


def test_a_demonstration_model_is_marked_red_and_only_where_it_stands(tmp_path):
    real, synthetic = one(0, 0.9, "CR"), one(1, 0.2, "CR", bundle_id="demo", demonstration=True)
    both = write_audit(audit_register([real, synthetic]), tmp_path).read_text(encoding="utf-8")
    assert both.count(f'<div class="statement">{SYNTHETIC}</div>') == 1
    assert both.count(f'<div class="research">{RESEARCH}</div>') == 2
    alone = write_audit(audit_register([synthetic]), tmp_path).read_text(encoding="utf-8")
    assert alone.count(f'<div class="statement">{SYNTHETIC}</div>') == 3
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert content["statement"] == content["models"][0]["statement"] == SYNTHETIC
    assert as_text(audit_register([synthetic])).startswith(SYNTHETIC)


def test_a_bundle_id_cannot_become_part_of_the_page(tmp_path):
    audits = audit_register([one(0, 0.9, "CR", bundle_id="<script>alert(1)</script>")])
    assert "<script>" not in write_audit(audits, tmp_path).read_text(encoding="utf-8")


def test_the_figure_over_time_shows_the_areas_and_ratios_of_the_table():
    (audit,) = audit_register(a_register())
    left, right = audit_page.draw_over_time(audit).figure.axes
    rows = audit_page.periods_table(audit).rows
    for panel, name in ((left, "auc_so_far"), (right, "observed_to_expected_so_far")):
        drawn = panel.containers[0].lines[0].get_ydata()
        np.testing.assert_allclose(drawn, [row[name] for row in rows])
        assert panel.get_ylabel()
    assert [t.get_text().partition("\n")[0] for t in left.get_xticklabels()] == [
        row["period"] for row in rows[:: -(-len(rows) // 5)]
    ]


def test_many_periods_have_labels_that_fit():
    (audit,) = audit_register(a_register(), period="month")
    left, _ = audit_page.draw_over_time(audit).figure.axes
    assert len(audit.periods) == 27
    assert len(left.get_xticklabels()) <= 5
