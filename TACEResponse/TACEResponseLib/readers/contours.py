"""The contours that one structure has on one slice, as voxels. Points are (column, row) of voxel centres.

DICOM calls a contour CLOSED_PLANAR or CLOSEDPLANAR_XOR. The latter are combined by exclusive or,
as their name says. Of the former programs mean this, and it is what is done here: contours that
overlap are united; one that lies wholly inside another is its hole, and one inside the hole is an
island again; within one contour the even-odd rule holds, so that a keyhole is a hole too.

A voxel whose centre lies on a contour's line belongs to the structure, be the line an outer or an
inner one: programs that trace masks put all points on the centres of the outermost voxels, and a
structure of one row of voxels is all line.
"""

from dataclasses import dataclass

import numpy as np

#: A contour whose points all lie within this share of a voxel of centres was traced on them.
ON_CENTRE = 0.02
#: Two coordinates that differ by less are one, in voxels.
SAME = 1e-6
#: Rows and columns of a slice.
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Polygon:
    """One closed contour: its corners (n, 2), and whether it is combined by exclusive or."""

    points: np.ndarray
    xor: bool = False

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends (n, 2) and (n, 2) of its edges."""
        return self.points, np.roll(self.points, -1, axis=0)

    @property
    def signed_area(self) -> float:
        """Its area in voxels, below zero when it turns the other way."""
        (x0, y0), (x1, y1) = (end.T for end in self.edges)
        return float(np.sum(x0 * y1 - x1 * y0) / 2)


def is_on_centres(points: np.ndarray) -> bool:
    """Whether all points lie on voxel centres, but for rounding."""
    return bool(np.abs(points - np.round(points)).max() <= ON_CENTRE)


def snapped(points: np.ndarray) -> np.ndarray:
    """The points, exactly on the voxel centres where all of them were meant to be."""
    return np.round(points) if is_on_centres(points) else points


def fill_slice(polygons: list[Polygon], shape: tuple[int, int]) -> np.ndarray:
    """Voxels (j, i) of a structure on one slice of `shape` rows and columns."""
    united = [p for p in polygons if not p.xor]
    inside = np.zeros(shape, bool)
    levels = _levels(united)
    for number, polygon in enumerate(united):
        if levels[number][0] % 2 == 1:
            continue  # a hole
        deeper = levels[number][0] + 1
        holes = [
            p for p, place in zip(united, levels, strict=True) if place[0] == deeper and number in place[1]
        ]
        window = _window(polygon, shape)
        region = _interior(polygon, window)
        for hole in holes:
            _within(region, window, _window(hole, shape))[...] &= ~_interior(hole, _window(hole, shape))
        inside[window] |= region
    for polygon in polygons:
        if polygon.xor:
            inside[_window(polygon, shape)] ^= _interior(polygon, _window(polygon, shape))
    for polygon in polygons:
        _draw_line(inside, polygon)
    return inside


def is_same(one: Polygon, other: Polygon) -> bool:
    """Whether two contours are one drawn twice.

    Traced on centres, the same points the other way round are the outer and the inner line of a
    ring that is one voxel wide: two contours.
    """
    if one.points.shape != other.points.shape or one.xor != other.xor:
        return False
    first, second = (p.points[np.lexsort(p.points.T)] for p in (one, other))
    if np.abs(first - second).max() > SAME:
        return False
    turned = one.signed_area * other.signed_area < 0
    return not (turned and is_on_centres(one.points))


def _levels(polygons: list[Polygon]) -> list[tuple[int, set[int]]]:
    """Of every polygon, how deep it lies in others, and the numbers of those around it."""
    areas = [abs(p.signed_area) for p in polygons]
    order = sorted(range(len(polygons)), key=lambda n: -areas[n])
    levels: list[tuple[int, set[int]]] = [(0, set())] * len(polygons)
    for place, inner in enumerate(order):
        around = {outer for outer in order[:place] if _is_inside(polygons[inner], polygons[outer])}
        levels[inner] = (max((levels[outer][0] + 1 for outer in around), default=0), around)
    return levels


def _is_inside(inner: Polygon, outer: Polygon) -> bool:
    """Whether `inner` lies wholly in the closed region of `outer`: it may touch its line, not cross it."""
    low, high = inner.points.min(axis=0), inner.points.max(axis=0)
    if (low < outer.points.min(axis=0) - SAME).any() or (high > outer.points.max(axis=0) + SAME).any():
        return False
    starts, ends = inner.edges
    return bool(_contains(outer, np.concatenate([starts, (starts + ends) / 2])).all()) and not _cross(
        inner, outer
    )


def _contains(polygon: Polygon, points: np.ndarray) -> np.ndarray:
    """Which of the points (n, 2) lie in the polygon by the even-odd rule, or on its line."""
    a, b = polygon.edges
    x, y = points[:, :1], points[:, 1:]
    spans = (a[:, 1] <= y) != (b[:, 1] <= y)
    height = np.where(a[:, 1] == b[:, 1], 1.0, b[:, 1] - a[:, 1])
    crossing = a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / height
    inside = (spans & (crossing <= x)).sum(axis=1) % 2 == 1
    along = b - a
    length = np.maximum((along**2).sum(axis=1), SAME**2)
    share = np.clip(((x - a[:, 0]) * along[:, 0] + (y - a[:, 1]) * along[:, 1]) / length, 0, 1)
    away = np.hypot(x - a[:, 0] - share * along[:, 0], y - a[:, 1] - share * along[:, 1])
    return inside | (away.min(axis=1) <= SAME)


def _cross(one: Polygon, other: Polygon) -> bool:
    """Whether an edge of one passes through an edge of the other, away from their ends."""

    def side(a, b, p):
        value = (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
            p[..., 0] - a[..., 0]
        )
        return np.sign(np.where(np.abs(value) <= SAME, 0, value))

    a, b = (end[:, None] for end in one.edges)
    c, d = (end[None, :] for end in other.edges)
    return bool(((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).any())


def _window(polygon: Polygon, shape: tuple[int, int]) -> Window:
    """The rows and columns of a slice that the polygon reaches."""
    low = np.floor(polygon.points.min(axis=0)).astype(int)
    high = np.ceil(polygon.points.max(axis=0)).astype(int) + 1
    return tuple(
        slice(*np.clip((start, stop), 0, n))
        for start, stop, n in zip(low[::-1], high[::-1], shape, strict=True)
    )


def _within(region: np.ndarray, window: Window, part: Window) -> np.ndarray:
    """The part of `region`, which lies at `window`, that lies at `part`."""
    return region[
        tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, window, strict=True))
    ]


def _interior(polygon: Polygon, window: Window) -> np.ndarray:
    """Voxels (j, i) of a window from which a line to the left crosses the polygon an odd number of times.

    An edge owns the rows from its lower end up to, not including, its upper end, so that a corner
    on a row counts once.
    """
    rows, columns = window
    shape = rows.stop - rows.start, columns.stop - columns.start
    start, end = (ends - (columns.start, rows.start) for ends in polygon.edges)
    upward = (start[:, 1] <= end[:, 1])[:, None]
    (x0, y0), (x1, y1) = np.where(upward, start, end).T, np.where(upward, end, start).T
    first, stop = (np.clip(np.ceil(y), 0, shape[0]).astype(int) for y in (y0, y1))
    edge, row = _steps(first, stop)
    crossings = np.ceil(x0[edge] + (row - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])).astype(int)
    toggles = np.zeros((shape[0], shape[1] + 1), np.int32)
    np.add.at(toggles, (row, np.clip(crossings, 0, shape[1])), 1)
    return np.cumsum(toggles[:, :-1], axis=1) % 2 == 1


def _draw_line(layer: np.ndarray, polygon: Polygon) -> None:
    """Set the voxels of `layer` (j, i) whose centres lie on the polygon's line."""
    start, end = polygon.edges
    # Along its longer axis an edge meets every centre that it can meet.
    flat = (np.abs(end - start)[:, 1] <= np.abs(end - start)[:, 0])[:, None]
    (u0, v0), (u1, v1) = np.where(flat, start, start[:, ::-1]).T, np.where(flat, end, end[:, ::-1]).T
    first = np.ceil(np.minimum(u0, u1) - SAME).astype(int)
    stop = np.floor(np.maximum(u0, u1) + SAME).astype(int) + 1
    edge, u = _steps(first, stop)
    length = np.where(u1 == u0, 1.0, u1 - u0)
    v = v0[edge] + (u - u0[edge]) * ((v1 - v0) / length)[edge]
    on = np.abs(v - np.round(v)) <= SAME
    along, across, flat = u[on], np.round(v[on]).astype(int), flat[edge[on], 0]
    i, j = np.where(flat, along, across), np.where(flat, across, along)
    there = (i >= 0) & (j >= 0) & (j < layer.shape[0]) & (i < layer.shape[1])
    layer[j[there], i[there]] = True


def _steps(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every edge the whole numbers from `first` up to `stop`: numbers of the edges, and those."""
    counts = np.maximum(stop - first, 0)
    edge = np.repeat(np.arange(len(counts)), counts)
    return edge, first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
