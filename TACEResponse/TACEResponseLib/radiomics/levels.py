"""Grey levels: the tumour's intensities in bins, on a small grid that the kernels walk over."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from TACEResponseLib.messages.errors import FeatureError
from TACEResponseLib.messages.language import tr

from . import kernels

#: Grey levels above which the matrices of one image type would fill the memory.
MOST_LEVELS = 2000


@dataclass(frozen=True)
class Levels:
    """The tumour's voxels after binning.

    grid, roi, shape: see `kernels`; shape is that of the grid with its margin. present: the levels
    that occur, increasing; counts: their voxels.
    """

    grid: np.ndarray
    roi: np.ndarray
    shape: tuple[int, int, int]
    present: np.ndarray
    counts: np.ndarray

    @property
    def highest(self) -> int:
        return int(self.present[-1])


def bin_edges(values: np.ndarray, width: float, count: int | None) -> np.ndarray:
    """Lower edges of the grey-level bins, by width from a multiple of it or by count; float64.

    values: in the image's own type, because the first edge of a float32 image is a float32 number.
    """
    if count is not None:
        edges = np.histogram_bin_edges(values, count)
        edges[-1] += 1  # the largest value belongs to the last bin
        return edges.astype(np.float64)
    number = np.float32 if values.dtype == np.float32 else np.float64
    low, high = number(values.min()), number(values.max())
    return np.arange(float(low - low % number(width)), float(high + number(2 * width)), width)


@dataclass(frozen=True)
class Places:
    """Where the tumour's voxels lie in a grid with a margin: flat indices in raster order, and its shape."""

    roi: np.ndarray
    shape: tuple[int, int, int]


def places_of(mask: np.ndarray, margin: int) -> Places:
    """Places of a boolean mask (k, j, i) in a grid with a margin of so many voxels around it."""
    inside = np.pad(mask, margin)
    return Places(np.flatnonzero(inside).astype(np.uint32), inside.shape)


def levels_of(values: np.ndarray, places: Places, width: float, count: int | None) -> Levels:
    """Bin the tumour's values (n,), in raster order, at their places.

    Raises FeatureError when there would be more levels than memory.
    """
    extent = float(values.max()) - float(values.min())
    number = count if count is not None else extent / width + 1
    if number > MOST_LEVELS:
        raise FeatureError(
            tr("the grey levels are too many for the texture matrices"),
            field="bin_width",
            expected=tr("at most {n} levels", n=MOST_LEVELS),
            received=tr(
                "{n:.0f} bins for values from {low:g} to {high:g}",
                n=number,
                low=values.min(),
                high=values.max(),
            ),
            remedy=tr("choose wider bins"),
        )
    numbers = np.empty(len(values), np.uint16)
    kernels.bin_numbers(values.astype(np.float64), bin_edges(values, width, count), numbers)
    grid = np.zeros(math.prod(places.shape), np.uint16)
    grid[places.roi] = numbers
    counts = np.bincount(numbers)
    present = np.flatnonzero(counts)
    return Levels(grid, places.roi, places.shape, present, counts[present])


def directions(extent: tuple[int, int, int], distances, without_axis: int | None) -> np.ndarray:
    """Neighbour offsets (n, 3) along (k, j, i), one of each opposite pair, first nonzero positive.

    extent: size of the tumour's box; an offset that reaches beyond it is none.
    """
    far = max(distances)
    ranges = [
        range(0, 1) if axis == without_axis else range(min(far, n - 1), -min(far, n - 1) - 1, -1)
        for axis, n in enumerate(extent)
    ]
    wanted = set(distances)
    offsets = [o for o in product(*ranges) if o > (0, 0, 0) and max(map(abs, o)) in wanted]
    return np.array(offsets, dtype=np.int64).reshape(-1, 3)


def steps_for_zones(offsets: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Flat steps to the neighbours behind, the straight one along the slowest axis first."""
    straight = np.flatnonzero(np.abs(offsets).sum(axis=1) == 1)[0]
    ordered = np.concatenate([offsets[[straight]], np.delete(offsets, straight, axis=0)])
    return flat_steps(ordered, shape)


def flat_steps(offsets: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Offsets (n, 3) or (3,) as distances in the flat grid."""
    return (offsets @ (shape[1] * shape[2], shape[2], 1)).astype(np.uint32)


def number_of_pieces(mask: np.ndarray) -> int:
    """How many pieces a boolean mask (k, j, i) has whose voxels touch by a face, an edge or a corner."""
    places = places_of(mask, 1)
    grid = np.zeros(math.prod(places.shape), np.uint16)
    grid[places.roi] = 1
    everywhere = directions((2, 2, 2), (1,), None)
    return len(kernels.zones(grid, places.roi, steps_for_zones(everywhere, places.shape))[0])
