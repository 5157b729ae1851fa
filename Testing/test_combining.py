"""Hospitals put together: published figures, simulated hospitals of known AUC, refusals, page and forest."""

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit
from TACEResponseLib.__main__ import main
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.report.aggregates import FORMAT, _rounded, read_hospital
from TACEResponseLib.report.combined import benefit_table, hospitals_table, pooled_table
from TACEResponseLib.report.forest import draw_forest
from TACEResponseLib.report.hospitals import Combined, hospital_names, read_hospitals
from TACEResponseLib.statistics.aggregates import (
    Aggregates,
    AucFigure,
    aggregate,
    combine,
    stating,
)
from TACEResponseLib.statistics.intervals import auc_variance

# 23 validations of EuroSCORE II (Guida et al., J Thorac Cardiovasc Surg 2014;148:3049), the example of
# Debray et al., BMJ 2017: events, patients, c-index, and its standard error or 95 % CI where published.
EUROSCORE = """
232 5553 .8095 .782-.836  28 1027 .867 .798-.936  41 1090 .81 .74-.88  191 5576 .79 .01  746 23740 .808 .008
215 3798 .85 .01  34 428 .72 .051  547 15497 .818 .007  90 933 .67 -  226 11170 .72 .015  8 498 .72 -
76 2004 .84 -  14 216 .77 .067  45 1066 .72 .034  18 314 .77 .061  13 818 .642 .071  33 461 .7697 -
210 12201 .8 .015  125 1670 .82 .02  300 6191 .83 .012  9 250 .76 .056  21 503 .856 .033  1071 50588 .77 .01
"""
HEADER = {
    "format": FORMAT,
    "format_version": 1,
    "bundle_id": "public2026-0123456789ab",
    "demonstration": False,
    "model": "all",
    "outcome": "objective response (mRECIST CR or PR)",
    "estimate": "external",
}


def validations() -> list[Aggregates]:
    """EuroSCORE's hospitals as they would state their AUC."""
    found = []
    for line in re.split(r"\s{2,}|\n", EUROSCORE.strip()):
        events, patients, c, spread = line.split()
        m, n, c = int(events), int(patients), float(c)
        slope = c * (1 - c)
        if spread == "-":
            variance = auc_variance(c, m, n - m)
        elif "-" in spread:
            low, high = map(float, spread.split("-"))
            variance = ((logit(high) - logit(low)) / (2 * stats.norm.ppf(0.975)) * slope) ** 2
        else:
            variance = float(spread) ** 2
        auc = AucFigure(c, 0, 1, variance, logit(c), np.sqrt(variance) / slope)
        found.append(Aggregates(n, m, n - m, None, auc))
    return found


def test_the_example_of_debray_comes_out_as_metamisc_publishes_it():
    pooled = combine(validations())["auc"]
    assert len(pooled.values) == 23
    published = (0.7888603, 0.7648784, 0.8110005)
    assert (pooled.estimate, pooled.ci_low, pooled.ci_high) == pytest.approx(published, abs=2e-7)
    assert pooled.tau2 == pytest.approx(0.070, abs=5e-4)
    # The published prediction interval is Higgins'; ours is wider or narrower by Nagashima's method.
    margin = stats.t.ppf(0.975, 21) * np.sqrt(pooled.tau2 + pooled.error**2)
    higgins = expit(logit(pooled.estimate) + np.array([-margin, margin]))
    assert tuple(higgins) == pytest.approx((0.6792568, 0.8682736), abs=1e-6)
    assert (pooled.prediction_low, pooled.prediction_high) == pytest.approx(tuple(higgins), abs=0.01)


def hospital(seed: int, patients: int = 60, true_auc: float = 0.75, shift: float = 0.0):
    """Labels and probabilities of patients whose score has this AUC."""
    random = np.random.default_rng(seed)
    labels = (np.arange(patients) < 0.62 * patients).astype(int)
    distance = np.sqrt(2) * stats.norm.ppf(true_auc)
    scores = random.normal(size=patients) + distance * labels
    offset = np.log(0.62 / 0.38) - distance**2 / 2  # the probability of this very model
    return labels, expit(distance * scores + offset + shift)


def write(path, seed=1, patients=60, changes=None, **more):
    """An aggregates.json as a hospital sends it."""
    labels, probabilities = hospital(seed, patients, **more)
    figures = _rounded(asdict(aggregate(labels, probabilities, probabilities)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**HEADER, **figures, **(changes or {})}), encoding="utf-8")
    return path


def binomial_limits(tries: int, chance: float = 0.95) -> tuple[int, int]:
    """The fewest and the most hits that one in a thousand correct methods would leave on either side."""
    return int(stats.binom.ppf(0.001, tries, chance)), int(stats.binom.ppf(0.999, tries, chance))


def test_two_hospitals_hold_the_known_auc_in_95_percent(tmp_path):
    tries, together, alone = 400, 0, 0
    for k in range(tries):
        files = [write(tmp_path / f"{n}.json", 2 * k + n % 2, n) for n in (80, 55)]
        found = read_hospitals(files)
        pooled, own = found.pooled["auc"], found.figures[0].auc
        together += pooled.ci_low <= 0.75 <= pooled.ci_high
        alone += abs(own.logit - logit(0.75)) <= 1.96 * own.logit_error
        assert pooled.prediction_low is None
    low, high = binomial_limits(tries)
    assert low <= together <= high, together
    assert low <= alone, alone  # what one hospital states of its own error


def test_the_figures_of_a_file_are_those_of_the_patients_to_four_digits(tmp_path):
    labels, probabilities = hospital(5)
    found = aggregate(labels, probabilities, probabilities)
    read = read_hospital(write(tmp_path / "a.json", 5)).figures
    assert (read.patients, read.events, read.others, read.left_out) == (60, 38, 22, None)
    assert read.auc.auc == pytest.approx(found.auc.auc, abs=5e-5)
    assert read.auc.logit_error == pytest.approx(found.auc.logit_error, rel=5e-4)
    assert read.calibration.slope == pytest.approx(found.calibration.slope, rel=5e-4)
    assert read.observed_expected.log_error == pytest.approx(found.observed_expected.log_error, rel=5e-4)
    for ours, theirs in zip(read.net_benefit, found.net_benefit, strict=True):
        assert (ours.threshold, ours.true_positives) == (theirs.threshold, theirs.true_positives)


def test_calibration_and_ratio_are_pooled_from_their_errors(tmp_path):
    files = [write(tmp_path / f"{k}.json", k, 90, shift=0.3 * k) for k in range(4)]
    found = read_hospitals(files)
    for name in ("in_the_large", "slope"):
        values = np.array([getattr(f.calibration, name) for f in found.figures])
        variances = np.array([getattr(f.calibration, f"{name}_error") for f in found.figures]) ** 2
        pooled = found.pooled[name]
        weights = 1 / (variances + pooled.tau2)
        assert pooled.estimate == pytest.approx(weights @ values / weights.sum())
    pooled = found.pooled["observed_expected"]
    logs = np.array([f.observed_expected.log_ratio for f in found.figures])
    weights = 1 / (np.array([f.observed_expected.log_error for f in found.figures]) ** 2 + pooled.tau2)
    assert np.log(pooled.estimate) == pytest.approx(weights @ logs / weights.sum(), abs=2e-4)
    assert pooled.prediction_low < pooled.ci_low < 1 < pooled.estimate or pooled.estimate < 1


def test_a_hospital_without_a_figure_is_left_out_of_that_one_alone():
    large, other, small = (
        aggregate(*(hospital(k, n)[i] for i in (0, 1, 1))) for k, n in ((1, 60), (2, 60), (3, 10))
    )
    assert small.auc is None
    hospitals = [small, large, other]
    assert stating(hospitals, "auc") == [1, 2]
    assert combine(hospitals)["auc"].estimate == combine([large, other])["auc"].estimate
    assert combine([small, large]) == {}
    constant = replace(other, calibration=replace(other.calibration, slope=None, slope_error=None))
    assert set(combine([large, constant])) == {"auc", "observed_expected", "in_the_large"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"bundle_id": "peng2021-ba9876543210"},
            "b.json: the files are of different models. Expected public2026-",
        ),
        ({"model": "size"}, "b.json: the files are of different models. Expected all, as in the file of a"),
        ({"outcome": "LI-RADS nonviable"}, "b.json: the files are of different outcomes. Expected objective"),
        ({"estimate": "resubstitution"}, "patients that the model was trained on. Expected external"),
        (
            {"format_version": 2},
            "b.json: the file holds no aggregates of an evaluation. Expected tace-response",
        ),
        ({"format": "something"}, "the file holds no aggregates"),
        ({"events": 3}, "b.json: the aggregates are damaged"),
        (
            {"brier": "0.2"},
            "the aggregates are damaged. Expected the file as evaluate --aggregates-only wrote",
        ),
        ({"auc": {"auc": 0.7}}, "the aggregates are damaged"),
        ({"patients": None}, "the aggregates are damaged"),
        ({"net_benefit": 3}, "the aggregates are damaged"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, changes, sentence):
    files = [write(tmp_path / "a.json"), write(tmp_path / "b.json", 2, changes=changes)]
    with pytest.raises(InputError) as caught:
        read_hospitals(files)
    assert sentence in str(caught.value)


def test_one_hospital_twice_too_few_and_no_file_are_refused(tmp_path, capsys):
    a = write(tmp_path / "a.json")
    twin = tmp_path / "b.json"
    twin.write_bytes(a.read_bytes())
    out = ["--out", str(tmp_path / "out")]
    assert main(["combine", str(a), str(twin), *out]) == 2
    assert "b.json: a hospital is there twice" in capsys.readouterr().err
    assert main(["combine", str(a), *out]) == 2
    assert "One hospital cannot be combined" in capsys.readouterr().err
    assert main(["combine", str(a), str(tmp_path / "c.json"), *out]) == 2
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "d.json").write_text("[1]")
    assert main(["combine", str(a), str(tmp_path / "d.json"), *out]) == 2
    assert "d.json: the file holds no aggregates" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_hospitals_are_called_after_their_files_or_folders(tmp_path):
    paths = [tmp_path / "Warsaw" / "aggregates.json", tmp_path / "Kyoto.json", tmp_path / "x" / "Kyoto.json"]
    assert hospital_names(paths) == ["Warsaw", "Kyoto (2)", "Kyoto (3)"]


@pytest.fixture(scope="module")
def combined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("combined")
    sizes = {"Warsaw": 120, "Kyoto <b>": 60, "A hospital with a very long name": 45, "Lyon": 10}
    files = [write(folder / f"{name}.json", k, n) for k, (name, n) in enumerate(sizes.items())]
    assert main(["combine", *map(str, files), "--out", str(folder / "out")]) == 0
    return read_hospitals(files), folder / "out"


def test_the_folder_holds_page_forest_and_figures(combined, capsys):
    found, out = combined
    assert {p.name for p in out.iterdir()} == {"combined.html", "combined.json", "forest.png", "forest.svg"}
    content = json.loads((out / "combined.json").read_text())
    assert content["bundle_id"] == HEADER["bundle_id"]
    auc = content["pooled"]["auc"]
    assert auc["hospitals"] == ["Warsaw", "Kyoto <b>", "A hospital with a very long name"]
    assert auc["estimate"] == pytest.approx(found.pooled["auc"].estimate)
    assert sum(auc["weights"]) == pytest.approx(1)
    page = (out / "combined.html").read_text()
    assert f"<b>{found.pooled['auc'].estimate:.3f}</b>" in page
    assert "For research use only" in page
    assert "Kyoto &lt;b&gt;" in page and "<b>Kyoto" not in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)  # nothing is fetched from outside


def test_the_forest_shows_every_hospital_its_interval_the_mean_and_another_hospital(combined):
    found, _ = combined
    figure = draw_forest(found).figure
    panel, second = figure.axes
    labels = [text.get_text() for text in panel.get_yticklabels()]
    assert labels[0] == "Warsaw, n 120"
    assert labels[2] == "A hospital with a ver..., n 45"
    assert labels[3:] == ["Lyon, n 10", "mean", "another hospital"]
    of = found.figures[0].auc
    lines = [tuple(line.get_xdata()) for line in panel.lines]
    assert (of.ci_low, of.ci_high) in lines
    pooled = found.pooled["auc"]
    assert (pooled.prediction_low, pooled.prediction_high) in lines
    assert panel.patches[0].get_xy()[:4, 0].tolist() == [
        pooled.ci_low,
        pooled.estimate,
        pooled.ci_high,
        pooled.estimate,
    ]
    texts = [text.get_text() for text in second.texts]
    assert texts[0] == "not stated"  # the smallest hospital, lowest
    assert second.get_xscale() == "log"


def test_the_tables_hold_what_the_hospitals_state(combined):
    found, _ = combined
    rows = {row["hospital"]: row for row in hospitals_table(found).rows}
    assert (rows["Lyon"]["patients"], rows["Lyon"]["events"], rows["Lyon"]["auc"]) == (10, None, None)
    of = found.figures[0].observed_expected
    low, high = (np.exp(of.log_ratio + side * 1.959964 * of.log_error) for side in (-1, 1))
    assert rows["Warsaw"]["observed_over_expected_ci_low"] == pytest.approx(low)
    assert rows["Warsaw"]["observed_over_expected_ci_high"] == pytest.approx(high)
    assert [row["figure"] for row in pooled_table(found).rows][:2] == ["AUC", "observed over expected"]
    benefit = {row["hospital"]: row for row in benefit_table(found).rows}
    assert list(benefit["Lyon"]) == ["hospital", *(f"at 0.{k}" for k in range(2, 9))]
    stated = {b.threshold: b.net_benefit for b in found.figures[0].net_benefit}
    assert benefit["Warsaw"]["at 0.5"] == stated[0.5] is not None
    assert benefit["Lyon"]["at 0.5"] is None


def test_without_a_figure_of_two_hospitals_the_page_says_so(tmp_path):
    files = [write(tmp_path / "a.json"), write(tmp_path / "b.json", 2, 10)]
    found = read_hospitals(files)
    assert found.pooled == {}
    assert draw_forest(found).figure is None
    assert pooled_table(found).absent == "no figure is stated by two hospitals"
    assert main(["combine", *map(str, files), "--out", str(tmp_path / "out")]) == 0
    assert "stated by fewer than two hospitals" in (tmp_path / "out" / "combined.html").read_text()


def test_a_demonstration_is_marked(tmp_path):
    files = [write(tmp_path / f"{k}.json", k, changes={"demonstration": True}) for k in range(2)]
    assert "synthetic" in Combined(read_hospitals(files).hospitals).statement
