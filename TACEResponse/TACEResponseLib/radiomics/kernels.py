"""The loops over voxels, compiled: grey-level bins, neighbours, runs, zones, mesh and diameters.

A grid of grey levels is a flat uint16 array: a box (k, j, i) with a margin of zeros, 1 to n inside
the tumour, 0 elsewhere, so that no neighbour needs a border check. `roi` lists the flat indices of
tumour voxels in raster order, `steps` flat distances to neighbours. All are unsigned: numba checks
signed indices for being negative, which doubles the time of these loops.
"""

import numpy as np

from TACEResponseLib.compiled import compiled


@compiled
def extremes_and_sum(values):
    """Smallest value, largest value and sum of whole numbers (n,), in one pass."""
    low, high, total = values[0], values[0], np.int64(0)
    for n in range(np.uint64(len(values))):
        value = values[n]
        if value < low:
            low = value
        if value > high:
            high = value
        total += value
    return low, high, total


@compiled
def bin_numbers(values, edges, out):
    """How many of the increasing, evenly spaced `edges` are at or below each value, as numpy.digitize."""
    first, last = edges[0], len(edges)
    scale = 1.0 / (edges[1] - edges[0])
    for n in range(len(values)):
        value = values[n]
        number = int((value - first) * scale) + 1
        number = max(0, min(last, number))
        while number > 0 and value < edges[number - 1]:
            number -= 1
        while number < last and value >= edges[number]:
            number += 1
        out[n] = number


@compiled
def neighbours(grid, roi, steps, levels, alpha):
    """Pairs (step, level, level), dependences (level, count) and grey-tone differences (level, 2).

    Level 0 is the outside. The differences are the number of voxels of a level, and the sum of
    their distances from the mean level of their neighbours.
    """
    count = len(steps)
    pairs = np.zeros((count, levels + 1, levels + 1), np.int32)
    dependences = np.zeros((levels + 1, 2 * count + 1), np.int64)
    differences = np.zeros((levels + 1, 2))
    for v in roi:
        level = grid[v]
        number, total, dependent = np.uint64(0), np.uint64(0), np.uint64(0)
        for a in range(count):
            ahead, behind = grid[v + steps[a]], grid[v - steps[a]]
            pairs[a, level, ahead] += 1
            number += np.uint64(ahead > 0) + np.uint64(behind > 0)
            total += ahead + behind
            dependent += np.uint64(ahead == level) + np.uint64(behind == level)
        if alpha > 0:
            dependent = _dependent(grid, v, steps, alpha)
        dependences[level, dependent] += 1
        differences[level, 0] += 1
        if number > 0:
            differences[level, 1] += abs(np.float64(level) - np.float64(total) / np.float64(number))
    return pairs, dependences, differences


@compiled
def _dependent(grid, v, steps, alpha):
    """How many neighbours of voxel v differ from it by at most alpha levels."""
    number = np.uint64(0)
    for step in steps:
        for w in (v + step, v - step):
            number += np.uint64(grid[w] > 0 and abs(np.int64(grid[w]) - np.int64(grid[v])) <= alpha)
    return number


@compiled
def _continue_runs(here, levels_here, behind, levels_behind):
    """Places in runs along a row, from those of the voxels behind; a loop that can be vectorised."""
    for n in range(len(here)):
        here[n] = behind[n] * np.uint16(levels_behind[n] == levels_here[n]) + np.uint16(1)


@compiled
def runs(grid, offsets, levels, longest):
    """Voxels (offset, level, place): how many stand at that place of a run, counted from 1.

    grid: as (k, j, i). The number of runs of length n is the number of voxels at place n less that
    at place n + 1. Only two planes of places are kept, which stay in the processor's cache.
    """
    planes, rows, columns = grid.shape
    counts = np.zeros((len(offsets), levels + 1, longest + 2), np.int32)
    places = np.zeros((len(offsets), 2, rows, columns), np.uint16)
    last = columns - 1
    for k in range(1, planes - 1):
        for j in range(1, rows - 1):
            row = grid[k, j]
            for a in range(len(offsets)):
                dk, dj, di = offsets[a]
                here, behind = places[a, k % 2, j], places[a, (k - dk) % 2, j - dj]
                levels_behind = grid[k - dk, j - dj]
                _continue_runs(
                    here[1:last], row[1:last], behind[1 - di : last - di], levels_behind[1 - di : last - di]
                )
            for i in range(1, last):
                level = row[i]
                if level > 0:
                    for a in range(len(offsets)):
                        counts[a, level, places[a, k % 2, j, i]] += 1
    return counts


@compiled
def _root(parents, v):
    while parents[v] != v:
        parents[v] = parents[parents[v]]
        v = parents[v]
    return v


@compiled
def zones(grid, roi, steps):
    """Level and size of every connected zone of one level.

    steps: to the neighbours behind in raster order; the first one of them touches all others, so a
    voxel that continues there has no other zone to join.
    """
    parents = np.empty(len(grid), np.uint32)
    for v in roi:
        level = grid[v]
        if grid[v - steps[0]] == level:
            parents[v] = parents[v - steps[0]]
            continue
        parents[v] = here = v
        for a in range(1, len(steps)):
            if grid[v - steps[a]] == level:
                there = _root(parents, v - steps[a])
                if there < here:
                    parents[here] = here = there
                else:
                    parents[there] = here
    sizes = np.zeros(len(grid), np.int32)
    number = 0
    for v in roi:
        root = _root(parents, v)
        number += sizes[root] == 0
        sizes[root] += 1
    zone_levels, zone_sizes = np.empty(number, np.int32), np.empty(number, np.int32)
    number = 0
    for v in roi:
        if sizes[v] > 0:
            zone_levels[number], zone_sizes[number] = grid[v], sizes[v]
            number += 1
    return zone_levels, zone_sizes


@compiled
def correlation_products(pairs, px, py, eps):
    """Matrices (step, i, j) whose second largest eigenvalue is the squared MCC.

    pairs: probabilities (step, i, k); px (step, i) and py (step, k) their margins. The sum over k
    runs in order and with `eps` in every divisor, as pyradiomics has it: the eigenvalues of rare
    levels feel the last digit.
    """
    steps, levels = pairs.shape[0], pairs.shape[1]
    products = np.zeros((steps, levels, levels))
    for a in range(steps):
        turned = pairs[a].T.copy()
        for i in range(levels):
            row = products[a, i]
            for k in range(levels):
                p = pairs[a, i, k]
                if p != 0:
                    divisor = px[a, i] * py[a, k] + eps
                    for j in range(levels):
                        row[j] += p * turned[k, j] / divisor
    return products


@compiled
def cube_counts(mask):
    """Counts and summed positions (256, 4) of the eight-voxel cubes by which corners are tumour.

    mask: boolean (k, j, i) with a margin of one voxel. A row is the number of cubes, and the sums
    of their k, j and i. Bit 4 dk + 2 dj + di of the row's number is the corner at (dk, dj, di).
    """
    sums = np.zeros((256, 4), np.int64)
    for k in range(mask.shape[0] - 1):
        for j in range(mask.shape[1] - 1):
            column = 0
            for dk in range(2):
                for dj in range(2):
                    column |= mask[k + dk, j + dj, 0] << (4 * dk + 2 * dj + 1)
            for i in range(mask.shape[2] - 1):
                column = (column >> 1) & 0x55
                for dk in range(2):
                    for dj in range(2):
                        column |= mask[k + dk, j + dj, i + 1] << (4 * dk + 2 * dj + 1)
                if column:
                    sums[column, 0] += 1
                    sums[column, 1] += k
                    sums[column, 2] += j
                    sums[column, 3] += i
    return sums


@compiled
def _turns_left(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0


@compiled
def _half_hull(points, order, hull):
    """Indices into `points` of one side of their convex hull, walked in `order`; returns how many."""
    size = 0
    for n in order:
        while size > 1 and not _turns_left(points[hull[size - 2]], points[hull[size - 1]], points[n]):
            size -= 1
        hull[size] = n
        size += 1
    return size


@compiled
def plane_corners(plane):
    """Corners (n, 2) of the convex hull of the set voxels of a boolean plane, as indices (row, column)."""
    rows, columns = plane.shape
    points = np.empty((2 * rows, 2), np.int64)
    number = 0
    for r in range(rows):
        first, last = -1, -1
        for c in range(columns):
            if plane[r, c]:
                if first < 0:
                    first = c
                last = c
        if first >= 0:
            points[number, 0], points[number, 1] = r, first
            number += 1
            if last > first:
                points[number, 0], points[number, 1] = r, last
                number += 1
    points = points[:number]
    hull = np.empty(number + 1, np.int64)
    kept = np.zeros(number, np.bool_)
    size = _half_hull(points, np.arange(number), hull)
    kept[hull[:size]] = True
    size = _half_hull(points, np.arange(number - 1, -1, -1), hull)
    kept[hull[:size]] = True
    return points[kept]


@compiled
def farthest(points, spacing, steps):
    """Largest squared distance between two points (n, d) of a grid with this spacing (d).

    steps: each point also stands for the points half of these (d) away along every axis; zeros for none.
    """
    axes = points.shape[1]
    largest = 0.0
    apart = np.empty(axes)
    for a in range(len(points)):
        for b in range(a + 1):
            distance, gain = 0.0, 0.0
            for d in range(axes):
                apart[d] = abs(points[a, d] - points[b, d]) * spacing[d]
                distance += apart[d] * apart[d]
                # Both half a step along this axis, or along another one each.
                gain = max(gain, 2 * apart[d] * steps[d] + steps[d] ** 2)
                for e in range(d):
                    both = apart[d] * steps[d] + apart[e] * steps[e]
                    gain = max(gain, both + (steps[d] ** 2 + steps[e] ** 2) / 4)
            largest = max(largest, distance + gain)
    return largest


@compiled
def farthest_in_planes(planes, spacing):
    """Largest squared distance between mesh vertices of one plane, and the planes' hull corners.

    planes: boolean (n, row, column), empty at both ends. Vertices lie in a plane of voxels, half a step
    from a voxel, and between two planes where they differ. The corners are 1 in an int8 (n, row, column).
    """
    largest, none = 0.0, np.zeros(len(spacing))
    corners = np.zeros(planes.shape, np.int8)
    for n in range(1, len(planes)):
        hull = plane_corners(planes[n])
        for place in hull:
            corners[n, place[0], place[1]] = 1
        if len(hull):
            largest = max(largest, farthest(hull, spacing, spacing))
        largest = max(largest, farthest(plane_corners(planes[n] ^ planes[n - 1]), spacing, none))
    return largest, corners
