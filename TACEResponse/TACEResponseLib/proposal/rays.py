"""Rays from a centre outwards, and where on each of them the tissue that is unlike the liver ends."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

#: Rays: rows from the head to the feet, and rays around in each.
ROWS, AROUND = 18, 36
#: Length of the rays in mm, and the distance between two looks along them.
REACH_MM, STEP_MM = 90.0, 1.0
#: Voxels are put together to about this size before anything is looked at.
VOXEL_MM = 1.5
#: Standard deviation in mm of the smoothing that takes the noise away.
SMOOTH_MM = 1.0
#: The liver's intensity is looked for here, in HU.
LIVER_HU = (20, 220)
#: What is outside of these is fat, air, bone or metal, through which no ray goes on.
BARRIER_HU = (-20.0, 280.0)
#: Squared standard deviations from the liver's intensity at which a voxel is as much tumour as liver.
UNLIKE = 2.55
#: How far liver-like tissue is crossed, in mm, before the ray gives up.
CROSSED_MM = 4.0
#: Standard deviations over two steps that make a full edge, and what a full edge counts, in mm of evidence.
FULL_EDGE, EDGE_MM = 5.0, 3.0
#: Angles within which rays agree, coarse first; how strongly; and the radius in mm below which no more so.
COARSE_DEG, FINE_DEG, AGREEMENT, LEAST_RADIUS_MM = 25.0, 15.0, 2.0, 3.0
#: How often the rays are brought to agree.
ROUNDS = 8
#: How far the rays reach, in mm, one after another, until fewer than a share of them reach the end.
REACHES_MM, CLOSED = (8, 12, 18, 27, 40, 60, REACH_MM), 0.2
#: What is added to the evidence for tumour at each step of the extent, from the smallest to the largest.
LEVELS = np.linspace(-0.35, 0.35, 5)


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """The CT around a point.

    hu: (k, j, i) smoothed. to_index (3, 3), origin_mm: from LPS in mm to its i, j, k.
    liver_hu, spread_hu: the most frequent intensity and its standard deviation.
    """

    hu: np.ndarray
    to_index: np.ndarray
    origin_mm: np.ndarray
    liver_hu: float
    spread_hu: float

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """HU at points (..., 3), linearly between voxels; far below air outside."""
        index = (points_mm - self.origin_mm) @ self.to_index.T
        return ndimage.map_coordinates(
            self.hu, np.moveaxis(index[..., ::-1], -1, 0), order=1, mode="constant", cval=-1000
        )


def look_around(image: sitk.Image, seed_mm: tuple[float, float, float]) -> Neighbourhood:
    """The smoothed CT around the point, and the liver's intensity there."""
    spacing = np.array(image.GetSpacing())
    index = np.array(image.TransformPhysicalPointToIndex([float(x) for x in seed_mm]))
    half = np.ceil(REACH_MM / spacing).astype(int)
    first = np.maximum(index - half, 0)
    last = np.minimum(index + half + 1, image.GetSize())
    part = image[tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))]
    factors = [max(1, int(min(round(VOXEL_MM / s), n))) for s, n in zip(spacing, part.GetSize(), strict=True)]
    part = sitk.BinShrink(sitk.Clamp(part, sitk.sitkFloat32, -300, 400), factors)
    hu = sitk.GetArrayFromImage(part)
    hu = ndimage.gaussian_filter(hu, SMOOTH_MM / np.array(part.GetSpacing())[::-1], truncate=3)
    axes = np.array(part.GetDirection()).reshape(3, 3) * part.GetSpacing()
    around = Neighbourhood(hu, np.linalg.inv(axes), np.array(part.GetOrigin()), 0, 0)
    liver_hu, spread_hu = _liver(hu)
    return replace(around, liver_hu=liver_hu, spread_hu=spread_hu)


def _liver(hu: np.ndarray) -> tuple[float, float]:
    """The most frequent intensity, which is the liver's, and its standard deviation."""
    low, high = LIVER_HU
    counts, _ = np.histogram(hu, bins=high - low, range=LIVER_HU)
    counts = ndimage.gaussian_filter(counts.astype(float), 3)
    peak = int(counts.argmax())
    below = np.flatnonzero(counts[:peak] < counts[peak] / 2)
    above = np.flatnonzero(counts[peak:] < counts[peak] / 2)
    widths = [peak - below[-1] if below.size else high, above[0] if above.size else high]
    return low + peak + 0.5, max(3.0, min(widths) / 1.18)


def _directions() -> np.ndarray:
    """(ROWS * AROUND, 3) unit vectors."""
    polar = (np.arange(ROWS) + 0.5) * np.pi / ROWS
    around = (np.arange(AROUND) + 0.5) * 2 * np.pi / AROUND - np.pi
    polar, around = np.meshgrid(polar, around, indexing="ij")
    axes = [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)]
    return np.stack(axes, axis=-1).reshape(-1, 3)


RAYS = _directions()
#: What part of the sphere each ray stands for, up to a factor.
SHARES = np.sqrt(1 - RAYS[:, 2] ** 2)
STEPS_MM = np.arange(STEP_MM / 2, REACH_MM, STEP_MM)


def _agreement(degrees: float) -> np.ndarray:
    """(rays, rays) how much each ray listens to the others; rows have the sum 1."""
    weights = np.exp((RAYS @ RAYS.T - 1) / np.radians(degrees) ** 2) * SHARES
    return weights / weights.sum(axis=1, keepdims=True)


COARSE, FINE = _agreement(COARSE_DEG), _agreement(FINE_DEG)


def star_around(around: Neighbourhood, seed_mm: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The centre (LPS mm) and the radii (levels, ROWS, AROUND) in mm of the region around the point.

    A small tumour must be found before its neighbours are: the rays begin short, and grow longer until
    the region is closed. After each look the centre moves to the middle of what was found.
    """
    centre = np.array(seed_mm, float)
    for reach_mm in REACHES_MM:
        radii = _radii(_looked(around, centre, reach_mm), 0.0)
        centre = centre + (0.75 * SHARES * radii**4 / (SHARES * radii**3).sum()) @ RAYS
        if np.average(radii > reach_mm - 1.5 * STEP_MM, weights=SHARES) < CLOSED:
            break
    looked = _looked(around, centre, 1.25 * reach_mm)
    radii = np.stack([FINE @ _radii(looked, bias) for bias in LEVELS])
    return centre, np.maximum.accumulate(radii, axis=0).reshape(-1, ROWS, AROUND)


@dataclass(frozen=True, eq=False)
class _Looked:
    """What the rays meet, each (rays, steps).

    evidence: from -1, liver, to 1, unlike it. edge: from 0 to 1. ended: where the ray is at its end.
    """

    evidence: np.ndarray
    edge: np.ndarray
    ended: np.ndarray


def _looked(around: Neighbourhood, centre_mm: np.ndarray, reach_mm: float) -> _Looked:
    hu = around.at(centre_mm + RAYS[:, None] * STEPS_MM[None, :, None])
    away = (hu - around.liver_hu) / around.spread_hu
    ended = np.maximum.accumulate((hu < BARRIER_HU[0]) | (hu > BARRIER_HU[1]), axis=1)
    return _Looked(
        evidence=np.where(ended, -1, np.clip(away**2 / UNLIKE - 1, -1, 1)),
        edge=np.clip(np.abs(np.gradient(away, axis=1)) * 2 / FULL_EDGE, 0, 1),
        ended=ended | (reach_mm < STEPS_MM),
    )


def _radii(looked: _Looked, bias: float) -> np.ndarray:
    """Where on each ray the tumour ends, in mm; the rays agree with their neighbours."""
    radii = _ends(_sums(COARSE @ (looked.evidence + bias), looked.ended))
    sums = _sums(FINE @ (looked.evidence + bias), looked.ended) + EDGE_MM * (FINE @ looked.edge)
    for _ in range(ROUNDS):
        mean = np.maximum(FINE @ radii, LEAST_RADIUS_MM)[:, None]
        radii = _ends(sums - AGREEMENT * (STEPS_MM - mean) ** 2 / mean)
    return radii


def _ends(scores: np.ndarray) -> np.ndarray:
    """The end of the best step of each ray in mm."""
    return STEPS_MM[scores.argmax(axis=1)] + STEP_MM / 2


def _sums(evidence: np.ndarray, ended: np.ndarray) -> np.ndarray:
    """The evidence up to each step, as far as the ray goes."""
    sums = np.cumsum(evidence, axis=1) * STEP_MM
    best = np.maximum.accumulate(np.maximum(sums, 0), axis=1)
    return np.where(np.maximum.accumulate(best - sums > CROSSED_MM, axis=1) | ended, -1e9, sums)


def filled(image: sitk.Image, centre_mm: np.ndarray, radii_mm: np.ndarray) -> sitk.Image:
    """uint8 mask on the image's grid of the voxels that are nearer to the centre than the ray's radius.

    radii_mm: (ROWS, AROUND).
    """
    voxels = np.zeros(image.GetSize()[::-1], np.uint8)
    box, offsets = _box(image, centre_mm, radii_mm.max())
    distance = np.sqrt((offsets**2).sum(axis=0)) + 1e-6
    row = np.arccos(np.clip(offsets[2] / distance, -1, 1)) * ROWS / np.pi + 0.5
    around = (np.arctan2(offsets[1], offsets[0]) + np.pi) * AROUND / (2 * np.pi) + 0.5
    radius = ndimage.map_coordinates(_closed(radii_mm), [row, around], order=1, mode="nearest")
    voxels[box] = distance < radius
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(image)
    return mask


def _closed(radii: np.ndarray) -> np.ndarray:
    """The map of radii with a border that continues it over the poles and around."""
    wide = np.pad(radii, ((1, 1), (1, 1)), mode="wrap")
    wide[0], wide[-1] = (np.roll(wide[n], AROUND // 2) for n in (1, -2))
    return wide


def _box(image: sitk.Image, centre_mm: np.ndarray, radius_mm: float) -> tuple[tuple[slice, ...], np.ndarray]:
    """The (k, j, i) box around a ball, and the offsets (3, k, j, i) in mm of its voxels from the centre."""
    axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    middle = np.linalg.inv(axes) @ (centre_mm - image.GetOrigin())
    half = radius_mm / np.array(image.GetSpacing()) + 1
    first = np.maximum(np.floor(middle - half), 0).astype(int)
    last = np.minimum(np.ceil(middle + half) + 1, image.GetSize()).astype(int)
    index = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(first, last, strict=True)), indexing="ij"))
    offsets = np.tensordot(axes, index, 1) + (image.GetOrigin() - centre_mm)[:, None, None, None]
    box = tuple(slice(a, b) for a, b in zip(first[::-1], last[::-1], strict=True))
    return box, offsets.transpose(0, 3, 2, 1)
