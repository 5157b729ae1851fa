"""The verdict on similarity: right about held-out cases, quick to see another source."""

import json

import numpy as np
import pytest
from scipy.stats import binom
from TACEResponseLib.answer.similarity import FEATURES, NETWORK, Spread, TrainingSpread
from TACEResponseLib.messages.errors import BundleError

FEATURE_NAMES = tuple(f"feature_{n}" for n in range(14))


def cases(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Correlated, heavy-tailed measures as radiomics has them; shift and scale move another source away."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(14, 14))
    features = np.exp(rng.normal(size=(n, 14)) @ mixing / 4) * 10 ** np.arange(-4.0, 10.0)
    return {
        FEATURES: features * scale,
        NETWORK: rng.normal(size=(n, 24)) * 0.1 + shift,
        "diameter_mm": rng.gamma(6, 8, n),
        "tumour_hu": rng.normal(80 + 40 * shift, 12, n),
        "pixel_mm": rng.choice([0.68, 0.75, 0.82], n),
        "slice_mm": np.full(n, 2.5),
    }


def verdicts(training: TrainingSpread, measured: dict[str, np.ndarray]) -> list[str]:
    count = len(measured["diameter_mm"])
    return [
        training.compare({name: values[i] for name, values in measured.items()}, FEATURE_NAMES).verdict
        for i in range(count)
    ]


@pytest.mark.parametrize("n", [40, 120, 400])
def test_about_five_percent_of_held_out_cases_are_outside(n):
    found = [
        v for seed in range(5) for v in verdicts(TrainingSpread.of(cases(n, seed), 1), cases(200, 100 + seed))
    ]
    outside, edge = found.count("outside"), found.count("at the edge")
    # Five training sets: the share itself spreads with 1 / sqrt(5 n), as the held-out count does.
    spread = 3.3 * np.sqrt(0.05 * 0.95 * (1 / 1000 + 1 / (5 * n)))
    assert abs(outside / 1000 - 0.05) <= spread
    spread = 3.3 * np.sqrt(0.15 * 0.85 * (1 / 1000 + 1 / (5 * n)))
    assert abs((outside + edge) / 1000 - 0.15) <= spread


@pytest.mark.parametrize("other", [{"scale": 30.0}, {"shift": 1.0}])
def test_another_source_is_outside_nearly_always(other):
    training = TrainingSpread.of(cases(120, 1), 1)
    found = verdicts(training, cases(200, 2, **other))
    assert found.count("outside") >= binom.ppf(0.01, 200, 0.95)


def test_one_measure_far_away_is_enough_and_is_named():
    training = TrainingSpread.of(cases(120, 1), 1)
    typical = {name: np.median(values, axis=0) for name, values in cases(120, 1).items()}
    assert training.compare(typical, FEATURE_NAMES).verdict == "inside"
    thick = training.compare({**typical, "slice_mm": np.float64(5.0)}, FEATURE_NAMES)
    assert thick.verdict == "outside"
    assert thick.reasons == ("slice distance in mm 5, training 2.5 to 2.5",)
    large = training.compare({**typical, "diameter_mm": np.float64(260.0)}, FEATURE_NAMES)
    assert large.measures[0].name == "diameter_mm"
    assert large.distance == large.measures[0].ratio > 1
    assert "tumour diameter in mm 260" in large.sentence()
    features = typical[FEATURES] * np.where(np.arange(14) == 3, 1e6, 1)
    strange = training.compare({**typical, FEATURES: features}, FEATURE_NAMES)
    assert strange.verdict == "outside"
    assert strange.reasons[0].startswith("radiomics features: ")
    low, high = cases(120, 1)[FEATURES][:, 3].min(), cases(120, 1)[FEATURES][:, 3].max()
    assert strange.beyond_range == (f"feature_3 {features[3]:.4g}, training {low:.4g} to {high:.4g}",)


def test_a_phase_that_the_training_cases_do_not_have_is_not_inside():
    phases = ["arterial"] * 90 + [""] * 27 + ["portal venous"] * 3  # 3 of the 93 that tell: below 5 %
    training = TrainingSpread.of(cases(120, 1), 1, phases)
    typical = {name: np.median(values, axis=0) for name, values in cases(120, 1).items()}
    judge = lambda phase: training.compare(typical, FEATURE_NAMES, phase)
    assert judge("arterial").verdict == "inside"
    assert judge("portal venous").verdict == "at the edge"
    assert judge("native").verdict == "outside"
    assert judge("native").reasons == ("native phase, training arterial",)
    both = TrainingSpread.of(cases(120, 1), 1, ["arterial"] * 60 + ["portal venous"] * 60)
    assert both.compare(typical, FEATURE_NAMES, "portal venous").verdict == "inside"
    assert both.compare(typical, FEATURE_NAMES, "native").reasons == (
        "native phase, training arterial and portal venous",
    )
    unknown = TrainingSpread.of(cases(120, 1), 1)
    assert unknown.compare(typical, FEATURE_NAMES, "native").verdict == "inside"


def test_the_distance_is_mahalanobis_whatever_the_units():
    measured = cases(300, 3)[FEATURES]
    in_other_units = measured * 10 ** np.arange(14.0)
    ours, theirs = Spread.of(measured, 0.0), Spread.of(in_other_units, 0.0)
    assert ours.distance(measured) == pytest.approx(theirs.distance(in_other_units))
    standard = np.arcsinh((measured - ours.centre) / ours.scale)
    away = standard - standard.mean(axis=0)
    covariance = np.linalg.inv(ours.precision)
    slow = [float(np.sqrt(row @ np.linalg.solve(covariance, row))) for row in away]
    assert ours.distance(measured) == pytest.approx(slow)


def test_a_feature_that_never_varies_does_no_harm():
    constant = {FEATURES: np.column_stack([np.ones(50), np.random.default_rng(1).normal(size=50)])}
    training = TrainingSpread.of(constant, 1)
    assert training.compare({FEATURES: np.array([1.0, 0.0])}, ("a", "b")).verdict == "inside"
    assert training.compare({FEATURES: np.array([99.0, 0.0])}, ("a", "b")).verdict == "outside"


def test_what_was_not_measured_is_not_compared():
    training = TrainingSpread.of(cases(120, 1), 1)
    found = training.compare({"diameter_mm": np.float64(40.0)}, FEATURE_NAMES)
    assert found.verdict == "inside"
    assert [measure.name for measure in found.measures] == ["diameter_mm"]


def test_the_spread_survives_its_json():
    training = TrainingSpread.of(cases(60, 1), 1)
    kept = TrainingSpread.from_json(json.loads(json.dumps(training.to_json())))
    one = {name: values[0] for name, values in cases(5, 9).items()}
    assert kept.compare(one, FEATURE_NAMES) == training.compare(one, FEATURE_NAMES)


@pytest.mark.parametrize("damage", ["spreads", "limits", "edge", "foreign", "zero", "length"])
def test_a_damaged_spread_is_a_sentence(damage):
    content = TrainingSpread.of(cases(60, 1), 1).to_json()
    if damage == "foreign":
        content["spreads"]["weather"], content["limits"]["weather"] = content["spreads"]["slice_mm"], 1.0
    elif damage == "zero":
        content["limits"]["slice_mm"] = 0
    elif damage == "length":
        content["spreads"][NETWORK] = content["spreads"][FEATURES]
    else:
        del content[damage]
    with pytest.raises(BundleError):
        TrainingSpread.from_json(content).compare(
            {NETWORK: np.zeros(24), "slice_mm": np.float64(2.5)}, FEATURE_NAMES
        )
