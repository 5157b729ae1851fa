"""The loops over voxels, compiled: grey-level bins, neighbours, runs, zones, mesh and diameters.

A grid of grey levels is a flat uint16 array: a box (k, j, i) with a margin of zeros, 1 to n inside
the tumour, 0 elsewhere, so that no neighbour needs a border check. `roi` lists the flat indices of
tumour voxels in raster order, `steps` flat distances to neighbours. All are unsigned: numba checks
signed indices for being negative, which doubles the time of these loops. What a loop fills is made
around it by numpy: numba would compile the making of each kind of array, too.
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


def neighbours(grid, roi, steps, levels, alpha):
    """Pairs (step, level, level), dependences (level, count) and grey-tone differences (level, 2).

    Level 0 is the outside. The differences are the number of voxels of a level, and the sum of
    their distances from the mean level of their neighbours.
    """
    count = len(steps)
    pairs = np.zeros((count, levels + 1, levels + 1), np.int32)
    dependences = np.zeros((levels + 1, 2 * count + 1), np.int64)
    differences = np.zeros((levels + 1, 2))
    _count_neighbours(grid, roi, steps, alpha, pairs, dependences, differences)
    return pairs, dependences, differences


@compiled
def _count_neighbours(grid, roi, steps, alpha, pairs, dependences, differences):
    count = len(steps)
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


def runs(grid, offsets, levels, longest):
    """Voxels (offset, level, place): how many stand at that place of a run, counted from 1.

    grid: as (k, j, i). The number of runs of length n is the number of voxels at place n less that
    at place n + 1. Only two planes of places are kept, which stay in the processor's cache.
    """
    counts = np.zeros((len(offsets), levels + 1, longest + 2), np.int32)
    places = np.zeros((len(offsets), 2, *grid.shape[1:]), np.uint16)
    _count_places(grid, offsets, places, counts)
    return counts


@compiled
def _count_places(grid, offsets, places, counts):
    planes, rows, columns = grid.shape
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


@compiled
def _root(parents, v):
    while parents[v] != v:
        parents[v] = parents[parents[v]]
        v = parents[v]
    return v


def zones(grid, roi, steps):
    """Level and size of every connected zone of one level.

    steps: to the neighbours behind in raster order; the first one of them touches all others, so a
    voxel that continues there has no other zone to join.
    """
    parents, sizes = np.empty(len(grid), np.uint32), np.zeros(len(grid), np.int32)
    _join_zones(grid, roi, steps, parents, sizes)
    sizes = sizes[roi]
    roots = sizes > 0
    return grid[roi][roots].astype(np.int32), sizes[roots]


@compiled
def _join_zones(grid, roi, steps, parents, sizes):
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
    for v in roi:
        sizes[_root(parents, v)] += 1


def correlation_products(pairs, px, py, eps):
    """Matrices (step, i, j) whose second largest eigenvalue is the squared MCC.

    pairs: probabilities (step, i, k); px (step, i) and py (step, k) their margins. The sum over k
    runs in order and with `eps` in every divisor, as pyradiomics has it: the eigenvalues of rare
    levels feel the last digit.
    """
    products = np.zeros_like(pairs)
    _add_products(pairs, np.ascontiguousarray(np.swapaxes(pairs, 1, 2)), px, py, eps, products)
    return products


@compiled
def _add_products(pairs, turned, px, py, eps, products):
    levels = pairs.shape[1]
    for a in range(len(pairs)):
        for i in range(levels):
            row = products[a, i]
            for k in range(levels):
                p = pairs[a, i, k]
                if p != 0:
                    divisor = px[a, i] * py[a, k] + eps
                    for j in range(levels):
                        row[j] += p * turned[a, k, j] / divisor


@compiled
def hull_side(edges, present, hull, corners):
    """Mark in `corners` (n, rows), false before, where the lower side of a convex hull has a corner.

    edges: whole numbers (n, rows), for each plane the place of one point a row; present: which rows have
    one. hull: room for whole numbers (rows,).
    """
    for n in range(len(edges)):
        edge, size = edges[n], 0
        for row in range(len(edge)):
            if not present[n, row]:
                continue
            while size > 1:
                a, b = hull[size - 2], hull[size - 1]
                if (edge[b] - edge[a]) * (row - a) < (edge[row] - edge[a]) * (b - a):
                    break
                size -= 1
            hull[size] = row
            size += 1
        for h in range(size):
            corners[n, hull[h]] = True


@compiled
def farthest(points, ends, steps):
    """Largest squared distance between two points (n, 3) of one group.

    ends: where each group ends among the points. steps: each point also stands for the points half
    of these (3,) away along every axis; zeros for none.
    """
    largest, first = 0.0, 0
    sx, sy, sz = steps[0], steps[1], steps[2]
    for end in ends:
        for a in range(first, end):
            for b in range(first, a + 1):
                x, y, z = (
                    abs(points[a, 0] - points[b, 0]),
                    abs(points[a, 1] - points[b, 1]),
                    abs(points[a, 2] - points[b, 2]),
                )
                # Both half a step along one axis, or along another one each.
                px, py, pz = x * sx, y * sy, z * sz
                qx, qy, qz = sx * sx / 4, sy * sy / 4, sz * sz / 4
                gain = max(2 * px + 4 * qx, 2 * py + 4 * qy, 2 * pz + 4 * qz)
                gain = max(gain, px + py + qx + qy, px + pz + qx + qz, py + pz + qy + qz)
                largest = max(largest, x * x + y * y + z * z + gain)
        first = end
    return largest
