"""Local binary patterns in three dimensions (Banerjee et al., ACCV Workshops 2012), with pyradiomics' values.

Around each tumour voxel lie 42 points of a sphere, one voxel away: the corners of an icosahedron and
the middles of its edges. The pattern is which of them are at least as bright as the voxel.
Spherical harmonics of degree 0 and 1 make it independent of rotation (`m1`, `m2`); `k` is the kurtosis
of the points' own intensities. pyradiomics takes the points from the package trimesh; these are the
same to the last bit and in the same order: in flat tissue the last bit decides what is as bright, and
in float32 the order decides a sum.
"""

from functools import cache

import numpy as np

from .columns import PATTERN_NAMES

#: Voxels that are sampled at a time, so that a large tumour needs no more memory than a small one.
CHUNK_VOXELS = 1 << 12
#: The columns of the harmonics that belong to degree 0 and to degree 1.
DEGREES = slice(0, 1), slice(1, 4)


def binary_patterns(
    image: np.ndarray, box: tuple[slice, slice, slice], inside: np.ndarray
) -> dict[str, np.ndarray]:
    """Name -> values (k, j, i) on the box, NaN outside the tumour and where the points are all alike (`k`).

    image: (k, j, i). inside: the tumour on the box, boolean.
    """
    from scipy.ndimage import map_coordinates, spline_filter

    points, harmonics = _sphere()
    places = np.argwhere(inside) + [side.start for side in box]
    # As map_coordinates does it itself, but once for all voxels; between voxels whole numbers stay whole.
    coefficients = spline_filter(image, order=3, output=np.float64)
    found = np.empty((len(places), len(PATTERN_NAMES)))
    for first in range(0, len(places), CHUNK_VOXELS):
        some = places[first : first + CHUNK_VOXELS]
        around = map_coordinates(
            coefficients,
            (some[:, None] + points).transpose(2, 0, 1),
            output=image.dtype,
            order=3,
            prefilter=False,
        )
        brighter = around >= image[tuple(some.T)][:, None]
        # No matrix products: a BLAS adds up in an order of its own, and the last bit decides what lies
        # between two percentiles, as few patterns differ.
        sums = (brighter[:, :, None] * harmonics).sum(axis=1)
        parts = [(sums[:, None, degree] * harmonics[:, degree]).sum(axis=2) for degree in DEGREES]
        lengths = np.sqrt((np.stack(parts, axis=2) ** 2).sum(axis=1)).real
        found[first : first + len(some), :-1] = lengths
        found[first : first + len(some), -1] = _kurtosis(around)
    values = {name: np.full(inside.shape, np.nan) for name in PATTERN_NAMES}
    for name, column in zip(PATTERN_NAMES, found.T, strict=True):
        values[name][inside] = column
    return values


@cache
def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """The 42 points (42, 3), and their spherical harmonics (42, 4) of degree 0 and of degree 1."""
    golden = (1 + 5**0.5) / 2
    short, long = 1 / np.sqrt(1 + golden * golden), golden / np.sqrt(1 + golden * golden)
    corners = np.array(
        [np.roll((a, b, 0), turn) for turn in range(3) for b in (long, -long) for a in (-short, short)]
    )
    apart = np.linalg.norm(corners[:, None] - corners, axis=2)
    ends = np.nonzero(np.tril(np.isclose(apart, 2 * short)))
    middles = (corners[ends[0]] + corners[ends[1]]) / 2
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    points = np.concatenate([corners, middles])
    # pyradiomics hands the two angles to the harmonics in the other order, where SciPy takes the sine of a
    # negative one as positive; its values are kept.
    polar, azimuth = np.arctan2(points[:, 1], points[:, 0]), np.arccos(points[:, 2])
    sideways = np.sqrt(3 / (8 * np.pi)) * np.abs(np.sin(polar)) * np.exp(1j * azimuth)
    constant = np.full(len(points), 1 / np.sqrt(4 * np.pi))
    # Multiplied in the order that gives the bits of SciPy 1.15 and newer.
    upwards = np.sqrt(3) * np.cos(polar) * constant
    return points, np.column_stack([constant, sideways.conj(), upwards, -sideways])


def _kurtosis(samples: np.ndarray) -> np.ndarray:
    """Excess kurtosis along the last axis; NaN where the spread is within rounding, as in scipy."""
    mean = samples.mean(axis=-1, keepdims=True)
    squares = (samples - mean) ** 2
    variance = squares.mean(axis=-1)
    flat = variance <= (np.finfo(variance.dtype).eps * mean[..., 0]) ** 2
    return np.where(flat, np.nan, (squares**2).mean(axis=-1) / np.where(flat, 1, variance) ** 2 - 3)
