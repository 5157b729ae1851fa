"""Why a model said what it said: a map on the picture, and a share for each radiomics feature.

Maps say where in the patch the network's log-odds of response come from. Occlusion (Zeiler & Fergus,
ECCV 2014) hides one square after another behind a blurred copy of itself, so that hiding an even
area changes nothing; integrated gradients (Sundararajan et al., ICML 2017) add up the slopes on the
way from the blurred picture to the real one, and their pixels sum to the difference of the two
answers. Both fail openly on a network that has learned nothing (`Testing/test_explanation.py`,
after Adebayo et al., NeurIPS 2018).

Shapley values share a score among features: the mean change of the score when a feature's value
replaces a background patient's, over the orders in which features can be replaced (Lundberg & Lee,
NeurIPS 2017). The shares and the mean score of the background sum to the patient's score.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TACEResponseLib.measuring.patch import Patch
from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.models.network.inference import NumpyNetwork

#: Side of the hidden square and distance of two neighbours, as parts of the picture's side.
WINDOW, STEP = 1 / 7, 1 / 14
#: Blur of what is shown in place of the hidden, as part of the picture's side: texture and edges go.
BLUR = 1 / 14
#: Blur of the integrated gradients, as part of the picture's side: the network looks at every third
#: pixel only, so single pixels say nothing.
SMOOTHING = 1 / 56
#: Points on the way from the blurred to the real picture; the sum of the map is then right to 1 %.
GRADIENT_STEPS = 16
#: Rows of features that are scored in one call: enough for a forest to be fast, little memory.
ROWS_A_CALL = 20_000
#: Up to so many rows every combination of features is scored, instead of a sample of orders.
LARGEST_EXACT_ROWS = 60_000


def attention_map(
    network: NumpyNetwork,
    patch: Patch,
    method: Literal["occlusion", "integrated_gradients"] = "occlusion",
) -> np.ndarray:
    """float32 (size, size): what each place adds to the log-odds of response, negative against it.

    occlusion: the fall of the log-odds when the place is hidden, averaged over the squares that hide
    it. integrated_gradients: the place's share of the difference between the answers for the picture
    and for its blurred copy, summed over channels and smoothed; the map sums to that difference.
    """
    blurred = _blurred(patch.pixels)
    if method == "occlusion":
        return _occlusion_map(network, patch.pixels, blurred)
    shares = (np.arange(GRADIENT_STEPS) + 0.5) / GRADIENT_STEPS
    way = (blurred + share * (patch.pixels - blurred) for share in shares)
    slope = np.mean([network.gradient(pixels[None])[0] for pixels in way], axis=0)
    shares_of_pixels = (slope * (patch.pixels - blurred)).sum(axis=2)
    return ndimage.gaussian_filter(shares_of_pixels, SMOOTHING * len(shares_of_pixels)).astype(np.float32)


def _blurred(pixels: np.ndarray) -> np.ndarray:
    sigma = BLUR * len(pixels)
    return ndimage.gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest").astype(np.float32)


def _occlusion_map(network: NumpyNetwork, pixels: np.ndarray, blurred: np.ndarray) -> np.ndarray:
    size = len(pixels)
    window, step = round(WINDOW * size), round(STEP * size)
    starts = [*range(0, size - window, step), size - window]
    shown = network.log_odds(pixels[None])[0]
    total, times = np.zeros((size, size)), np.zeros((size, size))
    for row in starts:
        for column in starts:
            square = (slice(row, row + window), slice(column, column + window))
            hidden = pixels.copy()
            hidden[square] = blurred[square]
            total[square] += shown - network.log_odds(hidden[None])[0]
            times[square] += 1
    return (total / times).astype(np.float32)


def map_on_ct(values: np.ndarray, patch: Patch, image: sitk.Image) -> sitk.Image:
    """A map on the patch, (size, size), as a float32 volume on the grid of the CT; 0 off the layer.

    The patch is a slab as thick as one layer; voxels of `image` whose centres lie in it take the
    map's value, linearly between pixels. Works for any orientation, oblique grids included.
    """
    slab = sitk.GetImageFromArray(np.asarray(values, dtype=np.float32)[None])
    slab.SetSpacing((patch.pixel_spacing_mm, patch.pixel_spacing_mm, patch.layer_thickness_mm))
    slab.SetOrigin(patch.first_pixel_mm)
    volume = sitk.Image(image.GetSize(), sitk.sitkFloat32)
    volume.CopyInformation(image)
    low, high = _index_box(slab, image)
    if (high <= low).any():
        return volume
    size, start = [int(n) for n in high - low], [int(n) for n in low]
    part = sitk.Resample(slab, sitk.RegionOfInterest(volume, size, start), sitk.Transform(), sitk.sitkLinear)
    return sitk.Paste(volume, part, size, [0, 0, 0], start)


def _index_box(slab: sitk.Image, image: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last index (x, y, z) of the part of `image` that the slab can reach."""
    ends = [(-0.5, count - 0.5) for count in slab.GetSize()]
    corners = [
        image.TransformPhysicalPointToContinuousIndex(slab.TransformContinuousIndexToPhysicalPoint((x, y, z)))
        for x in ends[0]
        for y in ends[1]
        for z in ends[2]
    ]
    low = np.floor(np.min(corners, axis=0)).astype(int)
    high = np.ceil(np.max(corners, axis=0)).astype(int) + 1
    return np.clip(low, 0, image.GetSize()), np.clip(high, 0, image.GetSize())


@dataclass(frozen=True, eq=False)
class Attribution:
    """A score shared among features.

    values: (p,) share of each feature. base: mean score of the background. score: the patient's
    score, `base + values.sum()`. standard_error: (p,) of the values, 0 where they are exact.
    method: `linear`, `exact` or `permutations`.
    """

    values: np.ndarray
    base: float
    score: float
    standard_error: np.ndarray
    method: str


def linear_shapley_values(
    coefficients: np.ndarray, intercept: float, x: np.ndarray, background: np.ndarray
) -> Attribution:
    """Shapley values of `intercept + coefficients @ x`: each coefficient times the distance to the mean.

    coefficients, x: (p,). background: (m, p) patients to compare with.
    """
    coefficients, x, background = (np.asarray(a, dtype=float) for a in (coefficients, x, background))
    mean = background.mean(axis=0)
    values = coefficients * (x - mean)
    base = float(intercept + coefficients @ mean)
    return Attribution(values, base, base + float(values.sum()), np.zeros(len(x)), "linear")


def shapley_values(
    score: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    background: np.ndarray,
    *,
    seed: int,
    rounds: int = 4,
) -> Attribution:
    """Shapley values of any score, features absent from a coalition taken from the background.

    score: (n, p) -> (n,). x: (p,) the patient. background: (m, p). Exact when all 2^p coalitions
    times m rows are few; else each background patient is turned into x along `rounds` random orders
    of the features and their reverses, which costs 2 m rounds (p - 1) rows. The values sum to the
    difference from the background exactly, also when they are sampled.
    """
    if rounds < 2:
        raise SettingsError(tr("one round has no standard error"), field="rounds", expected=tr("2 or more"))
    x, background = np.asarray(x, dtype=float), np.asarray(background, dtype=float)
    if 2 ** len(x) * len(background) <= LARGEST_EXACT_ROWS:
        return _exact(score, x, background)
    return _permutations(score, x, background, np.random.default_rng(seed), rounds)


def _exact(score: Callable, x: np.ndarray, background: np.ndarray) -> Attribution:
    p = len(x)
    coalitions = (np.arange(2**p)[:, None] >> np.arange(p)) & 1 == 1
    rows = np.where(coalitions[:, None, :], x, background[None])
    worth = _scores(score, rows.reshape(-1, p)).reshape(2**p, -1).mean(axis=1)
    values = np.empty(p)
    for feature in range(p):
        without = np.flatnonzero(~coalitions[:, feature])
        members = coalitions[without].sum(axis=1)
        weights = np.array([1 / (p * comb(p - 1, int(n))) for n in members])
        values[feature] = weights @ (worth[without + (1 << feature)] - worth[without])
    return Attribution(values, float(worth[0]), float(worth[-1]), np.zeros(p), "exact")


def _permutations(
    score: Callable, x: np.ndarray, background: np.ndarray, rng: np.random.Generator, rounds: int
) -> Attribution:
    m, p = background.shape
    forward = rng.permuted(np.tile(np.arange(p), (rounds * m, 1)), axis=1)
    orders = np.stack([forward, forward[:, ::-1]], axis=1)  # (walks, 2, p): an order and its reverse
    ranks = orders.argsort(axis=2)
    starts = np.tile(background, (rounds, 1))[:, None, None, :]
    replaced = ranks[:, :, None, :] < np.arange(1, p)[:, None]  # step s has replaced s features
    between = _scores(score, np.where(replaced, x, starts).reshape(-1, p)).reshape(rounds * m, 2, p - 1)
    ends = _scores(score, np.vstack([background, x]))
    first = np.broadcast_to(np.tile(ends[:-1], rounds)[:, None, None], (rounds * m, 2, 1))
    last = np.broadcast_to(ends[-1], first.shape)
    steps = np.diff(np.concatenate([first, between, last], axis=2), axis=2)
    walks = np.take_along_axis(steps, ranks, axis=2).mean(axis=1)
    values = walks.mean(axis=0)
    # The background is given, not drawn: only the scatter over orders of one patient is error.
    scatter = walks.reshape(rounds, m, p).var(axis=0, ddof=1)
    standard_error = np.sqrt(scatter.mean(axis=0) / (rounds * m))
    return Attribution(values, float(ends[:-1].mean()), float(ends[-1]), standard_error, "permutations")


def _scores(score: Callable, rows: np.ndarray) -> np.ndarray:
    """The scores of all rows, asked for in large pieces."""
    starts = range(0, len(rows), ROWS_A_CALL)
    return np.concatenate([np.asarray(score(rows[s : s + ROWS_A_CALL]), dtype=float) for s in starts])
