"""The model goes to the data: what leaves the hospital is right, and says nothing about few patients."""

import contextlib
import csv
import io
import json
import re
from dataclasses import fields

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, load_bundle
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.statistics.aggregates import FEWEST, THRESHOLDS, BenefitFigure, aggregate, stated
from TACEResponseLib.statistics.intervals import auc_variance
from TACEResponseLib.statistics.outcome import OBJECTIVE_RESPONSE

COUNTS = [field.name for field in fields(BenefitFigure)][2:]


def patients(seed: int, n: int = 70, effect: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities, some of them equal."""
    random = np.random.default_rng(seed)
    linear = np.round(random.normal(0.4, effect, n), 1)
    return (random.random(n) < expit(linear)).astype(int), expit(0.8 * linear + 0.1)


def minus_log_likelihood(beta, labels, linear):
    slope = beta[1] if len(beta) > 1 else 1.0
    p = expit(beta[0] + slope * linear)
    return -np.sum(labels * np.log(p) + (1 - labels) * np.log(1 - p))


def errors_by_differences(function, best, *arguments, step=1e-4):
    """Standard errors from the numerical curvature of a minus log likelihood."""
    k = len(best)
    curvature, e = np.zeros((k, k)), np.eye(k) * step
    for i in range(k):
        for j in range(k):
            four = [
                function(best + a * e[i] + b * e[j], *arguments)
                for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ]
            curvature[i, j] = (four[0] - four[1] - four[2] + four[3]) / (4 * step**2)
    return np.sqrt(np.diag(np.linalg.inv(curvature)))


def test_every_figure_is_that_of_a_slow_obvious_twin():
    labels, probabilities = patients(3)
    found = aggregate(labels, probabilities, probabilities, left_out=7)
    positives, negatives = probabilities[labels == 1], probabilities[labels == 0]
    m, n = len(positives), len(negatives)
    assert (found.patients, found.events, found.others, found.left_out) == (70, m, n, 7)
    auc = sum((p > q) + 0.5 * (p == q) for p in positives for q in negatives) / (m * n)
    assert found.auc.auc == pytest.approx(auc)
    assert found.auc.variance == pytest.approx(auc_variance(auc, m, n))
    assert found.auc.logit == pytest.approx(np.log(auc / (1 - auc)))
    assert found.auc.logit_error == pytest.approx(np.sqrt(found.auc.variance) / (auc * (1 - auc)))
    linear = logit(probabilities)
    for start, names in (((0.0, 1.0), ("intercept", "slope")), ((0.0,), ("in_the_large",))):
        best = minimize(minus_log_likelihood, start, (labels, linear), tol=1e-12).x
        errors = errors_by_differences(minus_log_likelihood, best, labels, linear)
        for name, value, error in zip(names, best, errors, strict=True):
            assert getattr(found.calibration, name) == pytest.approx(value, abs=1e-5)
            assert getattr(found.calibration, f"{name}_error") == pytest.approx(error, rel=1e-4)
    expected = sum(probabilities)
    assert found.observed_expected.ratio == pytest.approx(m / expected)
    assert found.observed_expected.log_ratio == pytest.approx(np.log(m) - np.log(expected))
    assert found.observed_expected.log_error == pytest.approx(np.sqrt((1 - m / 70) / m))
    assert found.brier == pytest.approx(
        sum((p - y) ** 2 for p, y in zip(probabilities, labels, strict=True)) / 70
    )


def test_the_net_benefit_is_that_of_its_counts_and_thresholds_rise():
    labels, probabilities = patients(4, 400)
    found = aggregate(labels, probabilities, probabilities).net_benefit
    assert [b.threshold for b in found] == sorted(THRESHOLDS)
    shown = [b for b in found if b.net_benefit is not None]
    assert len(shown) >= 5
    for b in shown:
        acts = probabilities >= b.threshold
        assert b.true_positives == sum(acts & (labels == 1))
        assert b.false_positives == sum(acts & (labels == 0))
        assert b.true_negatives == sum(~acts & (labels == 0))
        assert b.false_negatives == sum(~acts & (labels == 1))
        odds = b.threshold / (1 - b.threshold)
        assert b.net_benefit == pytest.approx((b.true_positives - odds * b.false_positives) / 400)


def test_no_count_below_five_is_stated_or_had_by_subtraction():
    hidden = 0
    for seed in range(300):
        n = 12 + seed % 150
        labels, probabilities = patients(seed, n, effect=0.3 + 0.01 * (seed % 200))
        found = aggregate(labels, probabilities, probabilities, left_out=seed % 9)
        counts = [found.patients, found.events, found.others, found.left_out]
        shown = [b for b in found.net_benefit if b.net_benefit is not None]
        hidden += len(found.net_benefit) - len(shown)
        for b in found.net_benefit:
            cells = [getattr(b, name) for name in COUNTS]
            assert (b.net_benefit is None) == (None in cells) == all(cell is None for cell in cells)
            counts += cells
        for lower in shown:  # each pair: the patients between two thresholds, in each class
            for higher in shown:
                if lower.threshold < higher.threshold:
                    counts.append(lower.true_positives - higher.true_positives)
                    counts.append(lower.false_positives - higher.false_positives)
        assert all(count is None or count >= FEWEST for count in counts), seed
        if found.events is None:
            assert found.auc is found.calibration is found.observed_expected is found.brier is None
            assert found.net_benefit == ()
    assert hidden > 100  # the rule had something to do


def test_a_threshold_that_is_hidden_would_have_shown_a_small_group():
    labels = np.repeat([1, 0], [30, 30])
    probabilities = np.r_[np.full(4, 0.25), np.full(26, 0.9), np.full(26, 0.1), np.full(4, 0.5)]
    found = {b.threshold: b for b in aggregate(labels, probabilities, probabilities).net_benefit}
    # At 0.5 four responders are missed and four others are treated: hidden, as is every other one.
    assert all(b.net_benefit is None for b in found.values())
    probabilities[4] = 0.25
    probabilities[29 + 1 + 25] = 0.5  # at a threshold one acts
    found = {b.threshold: b for b in aggregate(labels, probabilities, probabilities).net_benefit}
    assert (found[0.5].false_negatives, found[0.5].false_positives) == (5, 5)
    assert found[0.4].net_benefit is None  # between 0.4 and 0.5 lies nobody: nought is below five
    assert stated(4) is None and stated(5) == 5 and stated(0) is None


def test_a_small_class_leaves_the_number_of_patients_alone():
    labels, probabilities = np.repeat([1, 0], [4, 30]), np.linspace(0.1, 0.9, 34)
    found = aggregate(labels, probabilities, probabilities)
    assert (found.patients, found.events, found.others, found.auc) == (34, None, None, None)
    assert aggregate(labels[:4], probabilities[:4], probabilities[:4]).patients is None


def test_perfect_and_constant_probabilities_state_what_exists():
    labels = np.repeat([1, 0], [10, 12])
    perfect = aggregate(labels, np.where(labels, 0.9, 0.2), labels)
    assert perfect.auc.auc == 1 and perfect.auc.variance > 0 and np.isfinite(perfect.auc.logit)
    assert perfect.calibration.slope is None and perfect.calibration.slope_error is None
    assert np.isfinite(perfect.calibration.in_the_large_error)
    constant = aggregate(labels, np.full(22, 0.4), np.full(22, 0.4))
    assert constant.auc is None and constant.calibration.slope is None
    assert constant.observed_expected.ratio == pytest.approx(10 / 8.8)


# --- the command --------------------------------------------------------------------------------

DATES = ("2019-03-17", "17.03.2019", "20190317")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Sixteen synthetic patients under names, dates and paths that must not be found again."""
    folder = tmp_path_factory.mktemp("Krankenhaus") / "Leberzentrum"
    assert main(["phantom", "--patients", "16", "--out", str(folder), "--seed", "78", "--jobs", "1"]) == 0
    with (folder / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for n, row in enumerate(rows):
        row |= {"patient_id": f"Müller-{4170 + n}", "cohort": "validation", "center": "Chirurgie"}
        row |= {"scan_date": DATES[n % 3], "age_years": str(40 + n)}
        row |= {"label_meaning": "nonviable after TACE", "response": ""}
    next(row for row in rows if row["label"] == "1")["mask"] = "fehlt.nrrd"
    with (folder / "cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder, rows


@pytest.fixture(scope="module")
def evaluated(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "figures"
    arguments = ["--bundle", str(demonstration_bundle()), "--cohort", str(cohort[0]), "--jobs", "1"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["evaluate", *arguments, "--out", str(out), "--aggregates-only"])
    return code, out, arguments, said.getvalue()


def test_one_file_is_written_that_holds_no_id_no_date_and_no_path(cohort, evaluated):
    folder, rows = cohort
    code, out, *_ = evaluated
    assert code == 1  # the patient without a mask
    assert [path.name for path in out.iterdir()] == ["aggregates.json"]
    raw = (out / "aggregates.json").read_text(encoding="utf-8")
    text = raw.casefold() + json.dumps(json.loads(raw), ensure_ascii=False).casefold()
    forbidden = [row["patient_id"] for row in rows] + [str(4170 + n) for n in range(len(rows))] + list(DATES)
    for path in (folder, out, *(folder / row[name] for row in rows for name in ("image", "mask"))):
        forbidden += [part for part in path.parts if len(part) > 2]
    forbidden += ["Müller", "Chirurgie", "scan_date", "age_years", "fehlt", ".nrrd", str(folder)]
    found = [word for word in forbidden if word.casefold() in text]
    assert found == []
    assert not re.search(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}|[/\\]\w", raw)


def test_the_file_says_what_it_is_and_holds_the_figures_of_the_model(cohort, evaluated):
    _, rows = cohort
    model = load_bundle(demonstration_bundle())
    content = json.loads((evaluated[1] / "aggregates.json").read_text(encoding="utf-8"))
    assert content["bundle_id"] == model.identity
    assert (content["model"], content["estimate"], content["demonstration"]) == (
        model.headline,
        "external",
        True,
    )
    assert content["outcome"] == "nonviable after TACE"
    assert content["versions"]["tace-response"]
    assert "no ID, no date, no path" in content["about"][0]
    events = sum(int(row["label"]) for row in rows) - 1
    assert (content["patients"], content["events"], content["others"]) == (15, events, 15 - events)
    assert content["left_out"] is None  # one patient
    assert 0 < content["auc"]["ci_low"] < content["auc"]["auc"] <= 1
    numbers = re.findall(
        r"\d+\.\d+(?:e-?\d+)?", json.dumps({k: v for k, v in content.items() if k != "versions"})
    )
    assert all(float(n) == float(f"{float(n):.4g}") for n in numbers)


def test_the_terminal_names_no_patient_either(evaluated):
    said = evaluated[3]
    assert "aggregates.json" in said and re.search(r"AUC [01]\.\d{3} \(0\.\d{3} to", said)
    assert "1 patient was not evaluated" in said
    assert "Müller" not in said and "fehlt" not in said


def test_a_folder_with_a_report_is_refused_before_the_work(evaluated, tmp_path, capsys):
    (tmp_path / "scores_validation.csv").write_text("patient")
    arguments = ["evaluate", *evaluated[2], "--aggregates-only", "--out"]
    assert main([*arguments, str(tmp_path)]) == 2
    assert "the folder for the aggregates holds other files" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "scores_validation.csv")]) == 2
    assert "the folder is a file" in capsys.readouterr().err


# --- another outcome ----------------------------------------------------------------------------


def a_table(folder, meanings):
    lines = ["patient_id,image,mask,label,label_meaning"]
    lines += [f"P{n},i.nrrd,m.nrrd,{n % 2},{meaning}" for n, meaning in enumerate(meanings)]
    (folder / "cohort.csv").write_text("\n".join(lines))
    return folder


def test_a_table_says_what_its_labels_mean_and_holds_one_meaning(tmp_path):
    assert read_cohort(a_table(tmp_path, ["", ""])).outcome == OBJECTIVE_RESPONSE
    cohort = read_cohort(a_table(tmp_path, ["nonviable"] * 3))
    assert cohort.outcome == "nonviable"
    assert cohort.patients[0].clinical == {}
    with pytest.raises(TableError, match="labels of the table have different meanings"):
        read_cohort(a_table(tmp_path, ["nonviable", ""]))
    table = a_table(tmp_path, ["nonviable"]) / "cohort.csv"
    filled = table.read_text().replace("label_meaning", "label_meaning,response") + ",PD"
    table.write_text(filled)
    with pytest.raises(TableError, match="the label means another outcome"):
        read_cohort(table)


@pytest.mark.parametrize("command", ["train", "update"])
def test_no_model_is_trained_or_updated_on_another_outcome(tmp_path, command, capsys):
    arguments = [
        command,
        "--cohort",
        str(a_table(tmp_path, ["nonviable"] * 4)),
        "--out",
        str(tmp_path / "new"),
    ]
    if command == "update":
        arguments += ["--bundle", str(demonstration_bundle())]
    assert main(arguments) == 2
    assert "another outcome than response" in capsys.readouterr().err
