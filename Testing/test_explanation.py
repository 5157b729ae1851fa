"""Maps and shares: they point at what decides, they add up, and they fail on a network of noise."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import SimpleITK as sitk
from backend_trial import COMMITTED
from planted_cue import SPOT_RADIUS_PX, planted_patches
from TACEResponseLib.answer.attribution import attention_map, linear_shapley_values, map_on_ct, shapley_values
from TACEResponseLib.cases import make_case
from TACEResponseLib.measuring.patch import Patch, largest_layer_patch
from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.models.network.inference import NumpyNetwork
from TACEResponseLib.models.network.keras_file import read_keras_file
from TACEResponseLib.settings import PatchSettings

METHODS = ("occlusion", "integrated_gradients")


@pytest.fixture(scope="module")
def network() -> NumpyNetwork:
    """The committed network, trained to see the bright spot of `planted_patches`."""
    return read_keras_file(COMMITTED.read_bytes())


def as_patch(pixels: np.ndarray) -> Patch:
    return Patch(pixels, 0, (0.0, 0.0, 0.0), 112.0, 1.0, 100.0)


def share_on_spot(values: np.ndarray, spot: np.ndarray) -> float:
    """Share of what speaks for response that lies within a spot's diameter of the spot's centre."""
    row, column = np.indices(values.shape)
    near = np.hypot(row - spot[0], column - spot[1]) <= 2 * SPOT_RADIUS_PX
    support = np.clip(values, 0, None)
    return float(support[near].sum() / support.sum())


def shuffled(network: NumpyNetwork, seed: int) -> NumpyNetwork:
    """The network with the weights of each layer in random order: same numbers, nothing learned."""
    rng = np.random.default_rng(seed)
    blocks = tuple(
        dataclasses.replace(b, kernel=rng.permutation(b.kernel.ravel()).reshape(b.kernel.shape))
        for b in network.blocks
    )
    weights = rng.permutation(network.weights.ravel()).reshape(network.weights.shape)
    return dataclasses.replace(network, blocks=blocks, weights=weights)


@pytest.fixture(scope="module")
def responders():
    """Unseen responders, with the places of their spots."""
    pixels, labels, spots = planted_patches(12, seed=11)
    return [(as_patch(p), s) for p, s in zip(pixels[labels == 1], spots[labels == 1], strict=True)]


@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_a_planted_cue_lies_on_the_cue(network, responders, method):
    shares = [share_on_spot(attention_map(network, patch, method), spot) for patch, spot in responders]
    by_chance = np.pi * (2 * SPOT_RADIUS_PX) ** 2 / 224**2
    assert np.mean(shares) > 4 * by_chance
    assert min(shares) > 2 * by_chance


@pytest.mark.parametrize("method", METHODS)
def test_random_weights_destroy_the_map(network, responders, method):
    learned = [attention_map(network, patch, method) for patch, _ in responders]
    noise = [attention_map(shuffled(network, 1), patch, method) for patch, _ in responders]
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(learned, noise, strict=True)]
    assert abs(np.mean(alike)) < 0.3
    on_spot = [
        np.mean([share_on_spot(m, spot) for m, (_, spot) in zip(maps, responders, strict=True)])
        for maps in (learned, noise)
    ]
    assert on_spot[0] > 1.5 * on_spot[1]


def test_integrated_gradients_sum_to_the_difference_of_the_answers(network, responders):
    """Against the answers themselves; the blurred picture is rebuilt here by hand."""
    from scipy import ndimage

    for patch, _ in responders[:3]:
        blurred = np.stack(
            [ndimage.gaussian_filter(patch.pixels[..., c], 16, mode="nearest") for c in range(3)], axis=-1
        )
        answers = network.log_odds(np.stack([patch.pixels, blurred]))
        total = attention_map(network, patch, "integrated_gradients").sum()
        assert abs(answers[0] - answers[1]) > 1
        assert total == pytest.approx(answers[0] - answers[1], rel=0.1)


def test_occlusion_says_by_how_much_the_answer_falls_when_the_place_is_hidden(network, responders):
    """The corner is hidden by one square only, so its value can be recomputed by hand."""
    patch, _ = responders[0]
    values = attention_map(network, patch)
    from scipy import ndimage

    hidden = patch.pixels.copy()
    blurred = ndimage.gaussian_filter(patch.pixels, (16, 16, 0), mode="nearest")
    hidden[:32, :32] = blurred[:32, :32]
    fall = network.log_odds(patch.pixels[None])[0] - network.log_odds(hidden[None])[0]
    assert values[0, 0] == pytest.approx(fall, abs=1e-5)
    assert values.dtype == np.float32 and np.isfinite(values).all()


# The way back to the CT


def ct(shape, spacing_mm, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1), largest=4):
    """A case with an off-centre tumour on three layers."""
    hu = np.random.default_rng(3).normal(60, 20, shape).astype(np.float32)
    mask = np.zeros(shape, np.uint8)
    mask[largest - 1 : largest + 2, 20:30, 22:40] = 1
    mask[largest, 18:34, 22:40] = 1
    volumes = []
    for values in (hu, mask):
        volume = sitk.GetImageFromArray(values)
        volume.SetSpacing(spacing_mm)
        volume.SetDirection(direction)
        volume.SetOrigin((-30.0, 12.0, 250.0))
        volumes.append(volume)
    return make_case("p", *volumes)


def test_a_map_lies_on_the_layer_and_the_tumour_it_was_made_for():
    """The patch's mask channel, sent back to the CT, is the tumour on that layer and nothing else."""
    case = ct((9, 60, 60), (0.8, 0.8, 2.5))
    patch = largest_layer_patch(case, PatchSettings(channels=("mask",) * 3))
    back = map_on_ct(patch.pixels[..., 0], patch, case.image)
    assert back.GetSize() == case.image.GetSize()
    assert (back.GetOrigin(), back.GetDirection()) == (case.image.GetOrigin(), case.image.GetDirection())
    shown, mask = sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(case.mask)
    assert shown.dtype == np.float32
    np.testing.assert_array_equal(shown[4] > 0.5, mask[4] > 0)
    assert (shown[[0, 1, 2, 3, 5, 6, 7, 8]] == 0).all()


def test_the_grey_channel_sent_back_is_the_ct():
    case = ct((9, 60, 60), (0.8, 0.8, 2.5))
    patch = largest_layer_patch(case, PatchSettings(margin_mm=3, channels=("surroundings",) * 3))
    back = sitk.GetArrayFromImage(map_on_ct(patch.pixels[..., 0], patch, case.image))[4]
    hu = np.clip((sitk.GetArrayFromImage(case.image)[4] + 110) / 300, 0, 1)
    inside = np.s_[19:33, 23:39]
    np.testing.assert_allclose(back[inside], hu[inside], atol=0.03)


@pytest.mark.parametrize("code", ["RAS", "LPI", "PSR", "RSA"])
def test_a_map_finds_its_place_on_a_ct_stored_in_another_order(code):
    axial = ct((9, 60, 60), (0.8, 0.8, 2.5))
    patch = largest_layer_patch(axial, PatchSettings(channels=("mask",) * 3))
    stored = sitk.DICOMOrient(axial.image, code)
    back = sitk.DICOMOrient(map_on_ct(patch.pixels[..., 0], patch, stored), "LPS")
    expected = map_on_ct(patch.pixels[..., 0], patch, axial.image)
    np.testing.assert_allclose(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(expected), atol=1e-5)


def test_a_map_on_an_oblique_ct_covers_the_slab_of_its_layer():
    angle = np.deg2rad(20)
    tilt = (1, 0, 0, 0, np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle))
    case = ct((40, 60, 60), (1.0, 1.0, 1.0), tilt, largest=20)
    patch = largest_layer_patch(case)
    back = sitk.GetArrayFromImage(map_on_ct(np.ones((224, 224)), patch, case.image))
    covered = np.argwhere(back > 0)
    z_mm = [case.image.TransformIndexToPhysicalPoint(tuple(map(int, c[::-1])))[2] for c in covered]
    assert np.abs(np.array(z_mm) - patch.centre_mm[2]).max() <= 0.5 + 1e-6
    in_plane = len(covered) / patch.box_mm**2  # voxels of 1 mm3 in a slab of 1 mm
    assert in_plane == pytest.approx(1, abs=0.1)


def test_a_map_beside_the_ct_is_an_empty_volume():
    case = ct((9, 60, 60), (0.8, 0.8, 2.5))
    far = Patch(np.zeros((224, 224, 3), np.float32), 0, (5000.0, 0.0, 0.0), 40.0, 2.5, 1.0)
    assert sitk.GetArrayFromImage(map_on_ct(np.ones((224, 224)), far, case.image)).max() == 0


# Shapley values


def brute_force(score, x, background):
    """The definition, feature by feature and coalition by coalition (Shapley 1953)."""
    p = len(x)

    def worth(members):
        rows = background.copy()
        rows[:, list(members)] = x[list(members)]
        return score(rows).mean()

    values = np.zeros(p)
    for feature in range(p):
        others = [f for f in range(p) if f != feature]
        for size in range(p):
            weight = math.factorial(size) * math.factorial(p - size - 1) / math.factorial(p)
            for members in itertools.combinations(others, size):
                values[feature] += weight * (worth((*members, feature)) - worth(members))
    return values


def bent(rows):
    """A score in which three features interact, with a step and a feature that does nothing (the fourth)."""
    return np.tanh(rows[:, 0] * rows[:, 1] + rows[:, 2]) + (rows[:, 2] > 0.3) * rows[:, 0] + 0.5 * rows[:, 4]


@pytest.fixture
def patients():
    rng = np.random.default_rng(6)
    return rng.normal(size=5), rng.normal(size=(30, 5))


def test_exact_values_are_the_definition(patients):
    x, background = patients
    shares = shapley_values(bent, x, background, seed=1)
    assert shares.method == "exact"
    np.testing.assert_allclose(shares.values, brute_force(bent, x, background), atol=1e-12)
    assert shares.values[3] == pytest.approx(0, abs=1e-12)
    assert (shares.standard_error == 0).all()


def test_sampled_values_are_the_definition_within_their_error(patients, monkeypatch):
    monkeypatch.setattr("TACEResponseLib.answer.attribution.LARGEST_EXACT_ROWS", 0)
    x, background = patients
    shares = shapley_values(bent, x, background, seed=1, rounds=40)
    expected = brute_force(bent, x, background)
    assert shares.method == "permutations"
    assert (shares.standard_error[:3] > 0).all() and shares.standard_error.max() < 0.02
    assert (np.abs(shares.values - expected) <= 4 * shares.standard_error + 1e-9).all()
    assert shares.values[3] == pytest.approx(0, abs=1e-12)


def test_the_standard_error_is_the_scatter_of_repeated_estimates(patients, monkeypatch):
    monkeypatch.setattr("TACEResponseLib.answer.attribution.LARGEST_EXACT_ROWS", 0)
    x, background = patients
    repeats = [shapley_values(bent, x, background, seed=seed, rounds=4) for seed in range(200)]
    scatter = np.std([r.values for r in repeats], axis=0)[:3]
    stated = np.sqrt(np.mean([r.standard_error**2 for r in repeats], axis=0))[:3]
    np.testing.assert_allclose(stated, scatter, rtol=0.2)


@pytest.mark.parametrize("largest", [0, 10**6])
def test_base_and_shares_sum_to_the_score(patients, monkeypatch, largest):
    monkeypatch.setattr("TACEResponseLib.answer.attribution.LARGEST_EXACT_ROWS", largest)
    x, background = patients
    shares = shapley_values(bent, x, background, seed=3)
    assert shares.base == pytest.approx(bent(background).mean())
    assert shares.score == pytest.approx(bent(x[None])[0])
    assert shares.base + shares.values.sum() == pytest.approx(shares.score, abs=1e-12)


def test_the_closed_form_of_a_linear_score_is_the_definition(patients):
    x, background = patients
    coefficients = np.array([0.5, -2, 0, 1, 3])
    shares = linear_shapley_values(coefficients, 0.7, x, background)
    expected = brute_force(lambda rows: 0.7 + rows @ coefficients, x, background)
    np.testing.assert_allclose(shares.values, expected, atol=1e-12)
    assert shares.score == pytest.approx(0.7 + x @ coefficients)
    assert shares.base == pytest.approx((0.7 + background @ coefficients).mean())


def test_a_forest_of_14_features_adds_up_and_blames_the_feature_that_decides():
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(8)
    features = rng.normal(size=(139, 14))
    labels = (features[:, 5] + 0.3 * rng.normal(size=139) > 0).astype(int)
    forest = RandomForestClassifier(100, random_state=0).fit(features, labels)
    calls = []

    def score(rows):
        calls.append(len(rows))
        return forest.predict_proba(rows)[:, 1]

    x = features[labels == 1][0]
    shares = shapley_values(score, x, features, seed=2)
    assert shares.method == "permutations"
    assert sum(calls) == 139 * 4 * 2 * 13 + 140 and len(calls) <= 3, "rows are asked for in few calls"
    assert shares.base + shares.values.sum() == pytest.approx(score(x[None])[0], abs=1e-9)
    assert shares.values.argmax() == 5
    again = shapley_values(score, x, features, seed=2)
    np.testing.assert_array_equal(shares.values, again.values)


def test_one_round_is_refused_because_its_error_is_unknown(patients):
    with pytest.raises(SettingsError, match="no standard error"):
        shapley_values(bent, *patients, seed=1, rounds=1)
