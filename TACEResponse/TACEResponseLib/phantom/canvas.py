"""The voxels of the phantom: a scan lattice, a canvas in HU, and shapes as distances in mm.

Positions are patient coordinates (LPS: x to the left, y to the back, z to the head) with the
origin in the middle of the abdomen, so that a picture of any field of view shows the same
patient. A shape is a function of broadcastable x, y, z that is negative inside and grows by about
one a millimetre. Edges are painted about one voxel wide, which is the partial volume effect.
Intensities are those of a late arterial phase. No real image went into any of it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import fft, ndimage

PORTAL_VEIN, CAVA = "portal vein", "inferior vena cava"  # not a text
#: Labels of the anatomy mask. The tumour itself is in the expert's mask, and is liver here.
ORGANS = {
    "liver": 1,
    "spleen": 2,
    "aorta": 3,
    PORTAL_VEIN: 4,
    CAVA: 5,
    "kidneys": 6,
    "spine": 7,
    "stomach": 8,
    "lungs": 9,
    "gallbladder": 10,
}
#: Width in mm over which an edge passes from one tissue to the next.
EDGE_MM = 1.3
#: Extent of the full scan in z, from the lower kidneys to the lung bases.
SCAN_MM = (-150.0, 125.0)

#: Slices and side in voxels of the block of correlated noise that is repeated over the scan.
TEXTURE_BLOCK = (16, 80)

Shape = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Grid:
    """A box of voxels on the patient's scan lattice; sizes and starts in (x, y, z) order.

    spacing_mm: voxel size. origin_mm: position of voxel (0, 0, 0) of the full scan. size: voxels.
    start: this grid's first voxel in the full scan, so that a crop has the values of the whole.
    """

    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    size: tuple[int, int, int]
    start: tuple[int, int, int] = (0, 0, 0)

    def axis(self, n: int) -> np.ndarray:
        """Positions in mm (float32) of the voxel centres along axis n (0 is x)."""
        return (self.origin_mm[n] + self.spacing_mm[n] * self.indices(n)).astype(np.float32)

    def indices(self, n: int) -> np.ndarray:
        """Voxel indices along axis n, counted in the full scan."""
        return self.start[n] + np.arange(self.size[n])

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z in mm, shaped to broadcast over arrays in (k, j, i) order."""
        x, y, z = (self.axis(n) for n in range(3))
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def part(self, low_mm, high_mm) -> "Grid | None":
        """The voxels of this grid between two corners in mm, None when there are none."""
        first, last = [], []
        for n in range(3):
            at = (np.array([low_mm[n], high_mm[n]]) - self.origin_mm[n]) / self.spacing_mm[n]
            first.append(max(self.start[n], int(np.floor(at[0]))))
            last.append(min(self.start[n] + self.size[n], int(np.ceil(at[1])) + 1))
        size = tuple(b - a for a, b in zip(first, last, strict=True))
        return Grid(self.spacing_mm, self.origin_mm, size, tuple(first)) if min(size) > 0 else None

    def within(self, outer: "Grid") -> tuple[slice, slice, slice]:
        """This grid as slices (k, j, i) of an array on the outer grid."""
        x, y, z = (
            slice(a - b, a - b + n) for a, b, n in zip(self.start, outer.start, self.size, strict=True)
        )
        return z, y, x

    def image(self, array: np.ndarray) -> sitk.Image:
        """An array (k, j, i) of this grid as an image in patient coordinates."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin((np.array(self.origin_mm) + np.array(self.spacing_mm) * self.start).tolist())
        return image


class Canvas:
    """HU (float32) and organ labels (uint8) of a grid while the patient is painted."""

    def __init__(self, grid: Grid):
        self.grid = grid
        self.hu = np.full(grid.size[::-1], -1000, np.float32)
        self.labels = np.zeros(grid.size[::-1], np.uint8)

    def paint(self, low_mm, high_mm, shape: Shape, hu, label: str = "", edge_mm: float = EDGE_MM) -> None:
        """Paint a shape inside the box low_mm to high_mm; `hu` is a number or a texture of a Grid."""
        part = self.grid.part(low_mm, high_mm)
        if part is None:
            return
        distance = shape(*part.axes())
        cover = np.clip(0.5 - distance / np.float32(edge_mm), 0, 1)
        where = part.within(self.grid)
        view = self.hu[where]
        view += cover * ((hu(part) if callable(hu) else np.float32(hu)) - view)
        if label:
            self.labels[where][distance < 0] = ORGANS[label]

    def tube(self, start, end, radius_mm: float, hu, label: str = "", end_radius_mm=None) -> None:
        """Paint a vessel: a straight tube with round ends that may taper."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        margin = radius_mm + 2
        self.paint(
            np.minimum(start, end) - margin,
            np.maximum(start, end) + margin,
            tube(start, end, radius_mm, end_radius_mm or radius_mm),
            hu,
            label,
        )

    def ball(self, centre, radii_mm, hu, label: str = "", squareness: float = 2.0, within=None) -> None:
        """Paint an ellipsoid, only where it lies `within` another shape when there is one."""
        centre, radii_mm = np.asarray(centre, float), np.asarray(radii_mm, float)
        shape = ellipsoid(centre, radii_mm, squareness)
        self.paint(
            centre - radii_mm - 2,
            centre + radii_mm + 2,
            shape if within is None else common(shape, within),
            hu,
            label,
        )


def point(x: float, y: float, z: float) -> np.ndarray:
    """A position or an offset in mm."""
    return np.array((x, y, z), float)


def common(*shapes: Shape) -> Shape:
    """The part that lies inside every shape."""
    return lambda x, y, z: functools.reduce(np.maximum, (shape(x, y, z) for shape in shapes))


def outside(shape: Shape) -> Shape:
    """Everything but the shape."""
    return lambda x, y, z: -shape(x, y, z)


def inset(shape: Shape, mm: float) -> Shape:
    """The shape made smaller by mm all around; larger when mm is negative."""
    return lambda x, y, z: shape(x, y, z) + np.float32(mm)


def ellipsoid(centre, radii_mm, squareness: float = 2.0) -> Shape:
    """Distance to an ellipsoid; squareness above 2 makes it boxier."""
    (cx, cy, cz), (rx, ry, rz) = np.float32(centre), np.float32(radii_mm)
    scale = np.float32(np.prod(np.float64(radii_mm)) ** (1 / 3))

    def distance(x, y, z):
        if squareness == 2.0:
            norm = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2)
        else:
            p = np.float32(squareness)
            total = np.abs((x - cx) / rx) ** p + np.abs((y - cy) / ry) ** p + np.abs((z - cz) / rz) ** p
            norm = total ** (1 / p)
        return (norm - 1) * scale

    return distance


def tube(start, end, radius_mm: float, end_radius_mm: float) -> Shape:
    """Distance to a straight tube with round ends, tapering from one radius to the other."""
    a, axis = np.float32(start), np.float32(end) - np.float32(start)
    length2 = np.float32(max(float(axis @ axis), 1e-6))

    def distance(x, y, z):
        px, py, pz = x - a[0], y - a[1], z - a[2]
        t = np.clip((px * axis[0] + py * axis[1] + pz * axis[2]) / length2, 0, 1)
        gap = np.sqrt((px - t * axis[0]) ** 2 + (py - t * axis[1]) ** 2 + (pz - t * axis[2]) ** 2)
        return gap - (radius_mm + t * (end_radius_mm - radius_mm))

    return distance


def smooth_union(first, second, blend_mm: float):
    """Union of two distances whose seam is rounded over blend_mm."""
    h = np.clip(0.5 + 0.5 * (second - first) / blend_mm, 0, 1)
    return second + h * (first - second) - blend_mm * h * (1 - h)


def texture(mean_hu: float, sd_hu: float, rng: np.random.Generator, sigma=(1.0, 2.2, 2.2)):
    """Intensities for `Canvas.paint`: mean_hu with smooth mottling of sd_hu, the same in any crop.

    sigma: smoothness in voxels (k, j, i). One block of noise is repeated over the scan.
    """
    depth, side = TEXTURE_BLOCK
    white = rng.standard_normal((depth, side, side), dtype=np.float32)
    block = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3)
    block = np.float32(mean_hu) + block * np.float32(sd_hu / block.std())

    def on(grid: Grid) -> np.ndarray:
        i, j, k = (grid.indices(n) for n in range(3))
        return block[np.ix_(k % depth, j % side, i % side)]

    return on


def as_scanned(canvas: Canvas, noise_hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The canvas with reconstruction noise, as int16 (k, j, i) from -1024 up.

    noise_hu: standard deviation (j, i). The noise of a slice is a block repeated in plane.
    """
    grid, side = canvas.grid, 256
    i, j, k = (grid.indices(n) for n in range(3))
    slice_seeds = rng.integers(0, 2**63, size=512)
    kernel = _noise_kernel(side, grid.spacing_mm[0])
    out = np.empty(canvas.hu.shape, np.int16)
    for layer, seed in enumerate(slice_seeds[k]):
        white = np.random.default_rng(seed).standard_normal((side, side), dtype=np.float32)
        noise = fft.irfft2(fft.rfft2(white) * kernel, s=(side, side))
        noise = noise[np.ix_(j % side, i % side)]
        out[layer] = np.maximum(np.rint(canvas.hu[layer] + noise_hu * noise), -1024)
    return out


@functools.lru_cache(maxsize=4)
def _noise_kernel(side: int, pixel_mm: float) -> np.ndarray:
    """Filter that gives white noise the spectrum of a soft-tissue kernel, standard deviation 1.

    The noise power of filtered back projection rises with frequency (the ramp) and is rolled off
    by the kernel; here it peaks near 0.25 line pairs a mm.
    """
    fy, fx = np.fft.fftfreq(side, pixel_mm)[:, None], np.fft.rfftfreq(side, pixel_mm)[None, :]
    frequency = np.hypot(fx, fy)
    kernel = np.sqrt((frequency + 0.02) * np.exp(-((frequency / 0.36) ** 2)))
    kernel[0, 0] = 0
    weight = np.full(kernel.shape, 2.0)
    weight[:, [0, -1]] = 1
    return (kernel / np.sqrt((weight * kernel**2).sum() / side**2)).astype(np.float32)
