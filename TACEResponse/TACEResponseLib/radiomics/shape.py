"""Shape: surface, volume, diameters and axes of the tumour's mask.

The surface is the marching-cubes mesh at half height (Lorensen & Cline 1987) with pyradiomics'
choice in the ambiguous cases: tumour corners that touch only across a face are separated, and a
cube whose corner (1, 1, 0) is tumour is meshed as its complement. All of a cube's mesh depends
on which of its eight corners are tumour, so the mask is reduced to counts of 256 cubes.
"""

from itertools import pairwise

import numpy as np

from . import kernels

_CORNERS = [(n >> 2, n >> 1 & 1, n & 1) for n in range(8)]
#: The corner (k, j, i) = (1, 1, 0), by which a cube or its complement is meshed.
_DECIDING_CORNER = 6
#: Polygons are cut into triangles from their first vertex, but here from this one (cube: vertex of
#: each polygon). Found by comparing the area and volume of single cubes with pyradiomics'.
_FAN_STARTS = {
    **dict.fromkeys((169,), (0, 2)),
    **dict.fromkeys((7, 11, 14, 19, 21, 29, 39, 42, 49, 58, 143, 163, 173, 179, 184), (1,)),
    **dict.fromkeys((30, 57, 135, 147, 149), (1, 0)),
    **dict.fromkeys((13, 27, 46, 50, 53, 168, 171, 172), (2,)),
    **dict.fromkeys((45, 54), (2, 0)),
    **dict.fromkeys((155, 181), (3,)),
    **dict.fromkeys((157, 167), (4,)),
    **dict.fromkeys((188,), (5,)),
    **dict.fromkeys((185,), (6,)),
}


def _faces() -> list[list[int]]:
    """The four corners of each face of a cube, anticlockwise seen from outside."""
    faces = []
    for axis in range(3):
        u, v = (a for a in range(3) if a != axis)
        ring = [1 << 2 - u, (1 << 2 - u) + (1 << 2 - v), 1 << 2 - v]
        flat = [0, *ring] if axis != 1 else [0, *ring[::-1]]
        faces += [flat[::-1], [corner + (1 << 2 - axis) for corner in flat]]
    return faces


def _edge(a: int, b: int) -> tuple[int, int]:
    return (min(a, b), max(a, b))


def _polygons(cube: int) -> list[list[tuple[int, int]]]:
    """Polygons of cut edges (pairs of corners) around a cube's tumour corners, each from its first edge."""
    follows = {}
    for face in _faces():
        inside = [cube >> corner & 1 for corner in face]
        for first in range(4):
            if inside[first] and not inside[first - 1]:  # a run of tumour corners begins
                last = first
                while inside[(last + 1) % 4]:
                    last += 1
                leaving = _edge(face[last % 4], face[(last + 1) % 4])
                follows[leaving] = _edge(face[first - 1], face[first])
    polygons = []
    while follows:
        polygon = [min(follows)]
        while (edge := follows.pop(polygon[-1])) != polygon[0]:
            polygon.append(edge)
        polygons.append(polygon)
    return polygons


def _triangles(cube: int) -> np.ndarray:
    """Triangles (n, 3 vertices, 3 coordinates) of a cube's mesh in voxels, tumour behind them."""
    complement = bool(cube >> _DECIDING_CORNER & 1)
    if complement:
        cube ^= 255
    polygons = _polygons(cube)
    starts = _FAN_STARTS.get(cube, (0,) * len(polygons))
    triangles = []
    for polygon, start in zip(polygons, starts, strict=True):
        corners = [np.add(_CORNERS[a], _CORNERS[b]) / 2 for a, b in polygon[start:] + polygon[:start]]
        triangles += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
    triangles = np.array(triangles, dtype=float).reshape(-1, 3, 3)
    return triangles if complement else triangles[:, ::-1]


_BY_CUBE = [_triangles(cube) for cube in range(256)]
#: All triangles (n, 3, 3), and the cube of each.
_TRIANGLES = np.concatenate(_BY_CUBE)
_CUBE = np.repeat(np.arange(256), [len(triangles) for triangles in _BY_CUBE])


def surface_and_volume(mask: np.ndarray, spacing_mm: np.ndarray) -> tuple[float, float]:
    """Area in mm2 and enclosed volume in mm3 of the mesh around a boolean mask (k, j, i).

    mask: with an empty margin of one voxel. spacing_mm: along (k, j, i).
    """
    counts, places = _cubes(mask)
    number, place = counts[_CUBE], places[_CUBE] * spacing_mm
    a, b, c = np.moveaxis(_TRIANGLES * spacing_mm, 1, 0)
    area = number @ np.linalg.norm(np.cross(a - c, b - c), axis=1) / 2
    # det(p + a, p + b, p + c) = det(a, b, c) + p . (a x b + b x c + c x a), summed over places p
    ab = np.cross(a, b)
    normal = ab + np.cross(b, c) + np.cross(c, a)
    volume = (number @ (ab * c).sum(axis=1) + (place * normal).sum()) / 6
    return float(area), float(volume)


def _cubes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many eight-voxel cubes of `mask` have each of 256 sets of tumour corners, and their summed k, j, i.

    Bit 4 dk + 2 dj + di of a set's number is the corner at (dk, dj, di).
    """
    cubes = np.zeros([n - 1 for n in mask.shape], np.uint8)
    for bit, corner in enumerate(_CORNERS):
        side = tuple(slice(c, c + n) for c, n in zip(corner, cubes.shape, strict=True))
        cubes |= mask[side].view(np.uint8) << np.uint8(bit)
    cut = np.flatnonzero(cubes.ravel() + np.uint8(1) > 1)  # neither 0 nor 255: those have no mesh
    numbers = cubes.ravel()[cut]
    places = np.unravel_index(cut, cubes.shape)
    sums = [np.bincount(numbers, weights=place, minlength=256) for place in places]
    return np.bincount(numbers, minlength=256), np.column_stack(sums)


def diameters(mask: np.ndarray, spacing_mm: np.ndarray) -> dict[str, float]:
    """Largest distances in mm between mesh vertices around a boolean mask (k, j, i).

    `Slice`, `Column` and `Row` between vertices at one k, j and i; `3D` between any. Vertices lie
    half-way between a tumour voxel and one outside: in a plane of voxels half a step from a voxel
    of the plane, between two planes where they differ. Only corners of convex hulls can be farthest
    apart, and a corner of the whole hull is one in its planes along all three axes.
    """
    found, seen = {}, np.zeros(mask.shape, np.int8)
    for axis, name in enumerate(("Slice", "Column", "Row")):
        planes = np.moveaxis(mask, axis, 0)
        corners = _hull_corners(planes)
        steps = np.where(np.arange(3) == axis, 0, spacing_mm)
        within = _farthest_squared(corners, axis, spacing_mm, steps)
        between = _farthest_squared(_hull_corners(planes[1:] ^ planes[:-1]), axis, spacing_mm, np.zeros(3))
        found[f"Maximum2DDiameter{name}"] = np.sqrt(max(within, between))
        seen[tuple(np.insert(corners[1:], axis, corners[0], axis=0))] += 1
    points = np.argwhere(seen == 3) * spacing_mm
    found["Maximum3DDiameter"] = np.sqrt(kernels.farthest(points, np.array([len(points)]), spacing_mm))
    return found


def _hull_corners(planes: np.ndarray) -> np.ndarray:
    """Corners (3, n) of the convex hulls of the set voxels of boolean planes, as (plane, row, column)."""
    present, last_column = planes.any(axis=2), planes.shape[2] - 1
    first, last = planes.argmax(axis=2), last_column - planes[:, :, ::-1].argmax(axis=2)
    corners = np.zeros((2, *present.shape), np.bool_)
    hull = np.empty(present.shape[1], np.int64)
    kernels.hull_side(first, present, hull, corners[0])
    kernels.hull_side(-last, present, hull, corners[1])
    corners[1] &= ~(corners[0] & (first == last))  # one voxel is one corner
    plane, row, right = np.nonzero(np.moveaxis(corners, 0, 2))
    return np.array([plane, row, np.where(right, last[plane, row], first[plane, row])])


def _farthest_squared(corners: np.ndarray, axis: int, spacing_mm: np.ndarray, steps: np.ndarray) -> float:
    """Largest squared distance in mm2 of corners (3, n) of one plane; the planes lie along an axis."""
    points = corners[1:].T * np.delete(spacing_mm, axis)
    ends = np.flatnonzero(np.diff(corners[0], append=-1)) + 1
    return kernels.farthest(np.insert(points, axis, 0, axis=1), ends, steps)


def _principal_variances(mask: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Increasing variances in mm2 of voxel positions along the principal axes; rounding below 0 is 0."""
    positions = np.array(np.nonzero(mask)).T * spacing_mm
    positions -= positions.mean(axis=0)
    positions /= np.sqrt(len(positions))
    # Real, since the matrix is symmetric; numpy 2.5 and newer give them as complex all the same.
    variances = np.real(np.linalg.eigvals(np.dot(positions.T.copy(), positions)))
    variances[(variances < 0) & (variances > -1e-10)] = 0
    return np.sort(variances)


def shape_features(mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> dict[str, float]:
    """The features of the class `shape` for a boolean mask (k, j, i) with an empty margin of one voxel.

    spacing_mm: along (x, y, z). NaN where a feature is undefined.
    """
    spacing = np.array(spacing_mm[::-1])
    area, volume = surface_and_volume(mask, spacing)
    least, minor, major = _principal_variances(mask, spacing)
    ball = (36 * np.pi * volume**2) ** (1 / 3)  # surface of the ball with the same volume
    return {
        **diameters(mask, spacing),
        "Elongation": np.sqrt(minor / major),
        "Flatness": np.sqrt(least / major),
        "LeastAxisLength": np.sqrt(least) * 4,
        "MajorAxisLength": np.sqrt(major) * 4,
        "MinorAxisLength": np.sqrt(minor) * 4,
        "MeshVolume": volume,
        "VoxelVolume": np.count_nonzero(mask) * (spacing[0] * spacing[2] * spacing[1]),
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "Sphericity": ball / area,
        "SphericalDisproportion": area / ball,
        "Compactness1": volume / (area ** (3 / 2) * np.sqrt(np.pi)),
        "Compactness2": 36 * np.pi * volume**2 / area**3,
    }
