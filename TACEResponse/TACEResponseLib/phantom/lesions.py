"""The tumours of the phantom: lobulated HCC with rim, enhancement, necrosis and mottling.

Lesions are star-shaped: a radius that depends on the direction, so that scaling one scales its
longest axial diameter exactly. Inside, two smooth random fields decide what is necrotic and how
the viable rest varies. The second reader's outline is the first one moved by a smooth random
deviation with zero mean.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .anatomy import Body
from .canvas import EDGE_MM, ORGANS, Canvas, Grid

#: Spread in mm of the second reader's outline around the expert's, and how fast it varies.
READER_SD_MM = 1.2
READER_CORRELATION_MM = 7.0
#: Intensity of dead tumour: fluid with debris.
NECROSIS_HU = np.float32(34)


@dataclass(frozen=True)
class Look:
    """How the tumours of one patient look; HU and shares.

    necrosis: necrotic share of the volume. mottling_hu: standard deviation of the viable tissue.
    """

    viable_hu: float
    necrosis: float
    mottling_hu: float
    rim_hu: float
    rim_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, liver_hu: float, necrosis: float, mottling_hu: float) -> "Look":
        """Enhancement and rim by chance, necrosis and mottling as asked for."""
        viable_hu = liver_hu + rng.uniform(32, 56)
        rim_hu = viable_hu + 30 if rng.random() < 0.6 else liver_hu - 12
        return cls(viable_hu, necrosis, mottling_hu, rim_hu, rng.uniform(1.2, 2.2))


class Lesion:
    """One tumour: centre in mm, longest axial diameter in mm, and its lobes."""

    def __init__(self, centre_mm, diameter_mm: float, rng: np.random.Generator):
        self.centre_mm = np.asarray(centre_mm, float)
        lobes = rng.standard_normal((14, 3))
        self._lobes = (lobes / np.linalg.norm(lobes, axis=1)[:, None]).astype(np.float32)
        self._heights = (rng.uniform(0.03, 0.12, 14) * np.repeat((1.4, 0.7), 7)).astype(np.float32)
        self._widths = (rng.uniform(4, 12, 14) * np.repeat((1, 4), 7)).astype(np.float32)
        self._radii = np.array((1.0, rng.uniform(0.86, 1.0), rng.uniform(0.8, 0.95)), np.float32)
        self._radius_mm = 1.0
        self._radius_mm = np.float32(diameter_mm / self._unit_diameter())
        self.diameter_mm = diameter_mm

    def _surface(self, ux, uy, uz):
        """Radius in units of the lesion's own in the direction (ux, uy, uz), a unit vector."""
        bumps = np.float32(1)
        for (lx, ly, lz), height, width in zip(self._lobes, self._heights, self._widths, strict=True):
            bumps = bumps + height * np.exp(width * (ux * lx + uy * ly + uz * lz - 1))
        rx, ry, rz = self._radii
        return bumps / np.sqrt((ux / rx) ** 2 + (uy / ry) ** 2 + (uz / rz) ** 2)

    def _surface_points(self) -> np.ndarray:
        """Points (n, 3) spread evenly over the surface, relative to the centre, in mm."""
        n = 20_000
        z = 1 - (2 * np.arange(n) + 1) / n
        angle = np.pi * (1 + 5**0.5) * np.arange(n)  # golden spiral
        flat = np.sqrt(1 - z**2)
        directions = np.column_stack([flat * np.cos(angle), flat * np.sin(angle), z])
        return directions * (self._surface(*directions.T)[:, None] * self._radius_mm)

    def _unit_diameter(self) -> float:
        """Longest axial diameter at radius 1: the greatest width of any slab, over directions."""
        points = self._surface_points()
        slab = np.floor(points[:, 2] / 0.05).astype(int)
        order = np.argsort(slab, kind="stable")
        starts = np.flatnonzero(np.diff(slab[order], prepend=slab[order[0]] - 1))
        angles = np.arange(0, np.pi, np.pi / 60)
        along = points[order, :2] @ np.array([np.cos(angles), np.sin(angles)])
        widths = np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts)
        return float(widths.max())

    @property
    def reach_mm(self) -> np.ndarray:
        """Half sizes (x, y, z) in mm of a box around the centre that holds the lesion."""
        return np.abs(self._surface_points()).max(axis=0)

    def box(self, margin_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Corners in mm of the lesion's box with a margin."""
        half = self.reach_mm + margin_mm
        return self.centre_mm - half, self.centre_mm + half

    def distance(self, x, y, z):
        """Distance in mm to the surface, negative inside; and the depth from 0 (centre) to 1 (surface)."""
        px, py, pz = (p - np.float32(c) for p, c in zip((x, y, z), self.centre_mm, strict=True))
        length = np.sqrt(px**2 + py**2 + pz**2) + np.float32(1e-4)
        surface = self._radius_mm * self._surface(px / length, py / length, pz / length)
        return length - surface, length / surface


def smooth_field(shape, sigma, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random field of mean 0 and standard deviation 1 (float32), sigma in voxels an axis."""
    white = rng.standard_normal(shape, dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=2.5)
    return field / field.std()


def paint_lesion(
    canvas: Canvas, body: Body, lesion: Lesion, look: Look, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Paint one lesion; the expert's and the second reader's mask (uint8), and their grid."""
    part = canvas.grid.part(*lesion.box(6))
    where, spacing_mm = part.within(canvas.grid), np.array(part.spacing_mm)[::-1]
    x, y, z = part.axes()
    distance, depth = lesion.distance(x, y, z)
    view = canvas.hu[where]
    # A lesion that bulges out of the liver takes a thin layer of liver along.
    layer = _cover(np.maximum(distance - 4, body.cavity(x, y, z))) * (view < body.liver_hu - 30)
    view += layer * (body.liver_hu - view)
    tissue = _tissue(lesion, look, distance, depth, spacing_mm, rng)
    view += _cover(distance) * (tissue - view)
    canvas.labels[where][distance < 0] = ORGANS["liver"]
    moved = distance + READER_SD_MM * smooth_field(distance.shape, READER_CORRELATION_MM / spacing_mm, rng)
    return (distance < 0).astype(np.uint8), (moved < 0).astype(np.uint8), part


def _cover(distance, edge_mm: float = EDGE_MM):
    return np.clip(0.5 - distance / np.float32(edge_mm), 0, 1)


def _tissue(lesion: Lesion, look: Look, distance, depth, spacing_mm, rng) -> np.ndarray:
    """HU of the tumour: mottled viable tissue, necrotic core, and a rim that is not everywhere."""
    shape = distance.shape
    viable = look.viable_hu + look.mottling_hu * _mottling(shape, spacing_mm, rng)
    core = _necrosis(distance, depth, look.necrosis, spacing_mm, lesion.diameter_mm, rng)
    tissue = viable + core * (NECROSIS_HU + 7 * smooth_field(shape, 1.5 / spacing_mm, rng) - viable)
    present = np.clip(0.6 + 0.5 * smooth_field(shape, 9 / spacing_mm, rng), 0, 1)
    rim = _cover(np.abs(distance + look.rim_mm / 2) - look.rim_mm / 2, 1.0)
    return tissue + rim * present * (look.rim_hu - tissue)


def _mottling(shape, spacing_mm, rng) -> np.ndarray:
    """Tumour texture, mean 0 and standard deviation 1: nodules of a few mm, and washed-out patches."""
    fine, coarse = (smooth_field(shape, mm / spacing_mm, rng) for mm in (1.5, 4.0))
    washed_out = np.maximum(0, smooth_field(shape, 3.0 / spacing_mm, rng) - 0.6)
    field = 0.8 * fine + 0.6 * coarse - 0.9 * washed_out
    return (field - field.mean()) / field.std()


def _necrosis(distance, depth, share: float, spacing_mm, diameter_mm: float, rng) -> np.ndarray:
    """How necrotic (0 to 1) each voxel is: a ragged core holding `share` of the lesion."""
    lumps, frays = (smooth_field(distance.shape, mm / spacing_mm, rng) for mm in (0.08 * diameter_mm, 1.8))
    deadness = 0.24 * lumps + 0.10 * frays - depth
    threshold = np.quantile(deadness[distance < 0], 1 - share)
    return np.clip(0.5 + (deadness - threshold) * (diameter_mm / 2) / 8, 0, 1) * (depth < 1)
