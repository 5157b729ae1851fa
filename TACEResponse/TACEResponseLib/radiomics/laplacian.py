"""The Laplacian of Gaussian by recursion, many lines at once, with the rounding of ITK's filter.

Each second derivative is one recursive filter along its axis and two that smooth along the others, kept
as float32 in between. The recursions are of fourth order (Farnebäck & Westin, J Math Imaging
Vis 2006;26:293); beyond the ends of a line its last value goes on. ITK takes line by line. Here 16
neighbouring lines share the arithmetic, and lines that miss the tumour's box are left out as
soon as no other needs them. Rounding is decided by the order of operations, which is ITK's; where a
processor's ITK rounds otherwise, `rounds_as_itk` says so and ITK itself is used.
"""

from functools import cache
from math import cos, exp, sin

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.compiled import compiled

#: Decay and frequency of the two exponentials that stand for the Gaussian, by their sigma.
DECAYS, FREQUENCIES = (-1.3932, -1.3732), (0.6681, 2.0787)
#: Weights (a, b) of their cosine and sine, for the Gaussian and for its second derivative.
GAUSSIAN = ((1.3530, 1.8151), (-0.3531, 0.0902))
SECOND_DERIVATIVE = ((-1.3563, 5.2318), (0.3446, -2.2355))
#: Lines that are filtered side by side: two cache lines of float64.
LANES = 16


def _feedback(sigma: float) -> tuple[float, float, float, float]:
    """Weights of the four results before; sigma in voxels."""
    (e1, c1), (e2, c2) = ((exp(d / sigma), cos(w / sigma)) for d, w in zip(DECAYS, FREQUENCIES, strict=True))
    return (
        -2 * (e2 * c2 + e1 * c1),
        4 * c2 * c1 * e1 * e2 + (e1 * e1 + e2 * e2),
        -2 * c1 * e1 * e2 * e2 + -2 * c2 * e2 * e1 * e1,
        e1 * e1 * e2 * e2,
    )


def _feedforward(sigma: float, weights) -> tuple[float, float, float, float]:
    """Weights of a value and the three before it."""
    (a1, b1), (a2, b2) = weights
    (e1, c1, s1), (e2, c2, s2) = (
        (exp(d / sigma), cos(w / sigma), sin(w / sigma)) for d, w in zip(DECAYS, FREQUENCIES, strict=True)
    )
    n1 = e2 * (b2 * s2 - (a2 + 2 * a1) * c2) + e1 * (b1 * s1 - (a1 + 2 * a2) * c1)
    n2 = ((a1 + a2) * c2 * c1 - (b1 * c2 * s1 + b2 * c1 * s2)) * (2 * e1 * e2)
    n2 += a2 * e1 * e1 + a1 * e2 * e2
    n3 = e2 * e1 * e1 * (b2 * s2 - a2 * c2) + e1 * e2 * e2 * (b1 * s1 - a1 * c1)
    return (a1 + a2, n1, n2, n3)


def _moments(n) -> tuple[float, float, float]:
    """Sum, first and second moment of the weights of a value and the three before it."""
    return n[0] + n[1] + n[2] + n[3], n[1] + 2 * n[2] + 3 * n[3], n[1] + 4 * n[2] + 9 * n[3]


def coefficients(sigma_mm: float, spacing_mm: float, derivative: bool) -> np.ndarray:
    """The 20 numbers of a recursion: N0-3 and D1-4 forwards, M1-4 backwards, BN1-4 and BM1-4 at the ends.

    derivative: the second one, times sigma squared; else the Gaussian, whose weights sum to one.
    """
    sigma = sigma_mm / spacing_mm
    d1, d2, d3, d4 = d = _feedback(sigma)
    sd, dd, ed = 1.0 + d1 + d2 + d3 + d4, d1 + 2 * d2 + 3 * d3 + 4 * d4, d1 + 4 * d2 + 9 * d3 + 16 * d4
    n = smooth = _feedforward(sigma, GAUSSIAN)
    if derivative:
        curved = _feedforward(sigma, SECOND_DERIVATIVE)
        sn0, dn0, en0 = _moments(smooth)
        sn2, dn2, en2 = _moments(curved)
        beta = -(2 * sn2 - sd * curved[0]) / (2 * sn0 - sd * smooth[0])  # a constant has no curvature
        n = [c + beta * s for c, s in zip(curved, smooth, strict=True)]
        sn, dn, en = sn2 + beta * sn0, dn2 + beta * dn0, en2 + beta * en0
        alpha = en * sd * sd - ed * sn * sd - 2 * dn * dd * sd + 2 * dd * dd * sn
        scale = sigma_mm * sigma_mm / (alpha / (sd * sd * sd))
    else:
        scale = 1.0 / (2 * _moments(smooth)[0] / sd - smooth[0])
    n = [value * scale for value in n]
    m = [n[1] - d1 * n[0], n[2] - d2 * n[0], n[3] - d3 * n[0], -d4 * n[0]]
    ends = [value * sum_ / sd for sum_ in (_sum(n), _sum(m)) for value in d]
    return np.array([*n, *d, *m, *ends])


def _sum(four) -> float:
    return four[0] + four[1] + four[2] + four[3]


@compiled
def _forwards(data, c, out):
    """Each result from a value, the three before it and four results before, along `data` (length, LANES)."""
    for n in range(4):  # before the line begins, results are its first value times the weights of the ends
        for w in range(LANES):
            first = data[0, w]
            ahead = data[n, w] * c[0] + data[max(n - 1, 0), w] * c[1]
            ahead = ahead + data[max(n - 2, 0), w] * c[2] + data[max(n - 3, 0), w] * c[3]
            behind = out[n - 1, w] * c[4] if n > 0 else first * c[12]
            behind += out[n - 2, w] * c[5] if n > 1 else first * c[13]
            behind += out[n - 3, w] * c[6] if n > 2 else first * c[14]
            out[n, w] = ahead - (behind + first * c[15])
    for n in range(np.uint64(4), np.uint64(len(data))):
        one, two, three, four = n - np.uint64(1), n - np.uint64(2), n - np.uint64(3), n - np.uint64(4)
        for w in range(np.uint64(LANES)):
            ahead = data[n, w] * c[0] + data[one, w] * c[1] + data[two, w] * c[2] + data[three, w] * c[3]
            behind = out[one, w] * c[4] + out[two, w] * c[5] + out[three, w] * c[6] + out[four, w] * c[7]
            out[n, w] = ahead - behind


@compiled
def _add_backwards(data, c, back, out):
    """The same from the line's end, from the four values behind each; added to `out`."""
    last = len(data) - 1
    for n in range(last, last - 4, -1):
        for w in range(LANES):
            final = data[last, w]
            ahead = data[min(n + 1, last), w] * c[8] + data[min(n + 2, last), w] * c[9]
            ahead = ahead + data[min(n + 3, last), w] * c[10] + final * c[11]
            behind = back[n + 1, w] * c[4] if n < last else final * c[16]
            behind += back[n + 2, w] * c[5] if n < last - 1 else final * c[17]
            behind += back[n + 3, w] * c[6] if n < last - 2 else final * c[18]
            back[n, w] = ahead - (behind + final * c[19])
            out[n, w] += back[n, w]
    for m in range(np.uint64(4), np.uint64(len(data))):
        n = np.uint64(last) - m
        one, two, three, four = n + np.uint64(1), n + np.uint64(2), n + np.uint64(3), n + np.uint64(4)
        for w in range(np.uint64(LANES)):
            ahead = data[one, w] * c[8] + data[two, w] * c[9] + data[three, w] * c[10] + data[four, w] * c[11]
            behind = back[one, w] * c[4] + back[two, w] * c[5] + back[three, w] * c[6] + back[four, w] * c[7]
            back[n, w] = ahead - behind
            out[n, w] += back[n, w]


@compiled
def filter_lines(source, starts, widths, step, lane, c, data, out, back, target):
    """Filter lines of a flat array into the same places of `target`, float32.

    starts, widths: the first voxel of each group of up to LANES lines, and how many they are. step: how far
    apart voxels of a line are. lane: how far apart neighbouring lines are. data, out, back: room for
    a group, (length of a line, LANES), of zeros or what another group left.
    """
    length = len(data)
    for g in range(len(starts)):
        width = widths[g]
        for n in range(length):
            place = starts[g] + np.uint64(n) * step
            if width == LANES and lane == 1:  # so many and in a row that one instruction takes several
                for w in range(np.uint64(LANES)):
                    data[n, w] = source[place + w]
            else:
                for w in range(width):
                    data[n, w] = source[place + w * lane]
        _forwards(data, c, out)
        _add_backwards(data, c, back, out)
        for n in range(length):
            place = starts[g] + np.uint64(n) * step
            if width == LANES and lane == 1:
                for w in range(np.uint64(LANES)):
                    target[place + w] = out[n, w]
            else:
                for w in range(width):
                    target[place + w * lane] = out[n, w]


@compiled
def _add(total, part, weight):
    """Add a part (float32) times a weight (float64) to a float32 total."""
    for n in range(len(total)):
        total[n] = total[n] + part[n] * weight


def laplacian(
    image: np.ndarray,
    spacing_mm: tuple[float, float, float],
    box: tuple[slice, slice, slice],
    sigma_mm: float,
) -> np.ndarray:
    """The Laplacian (k, j, i) of a Gaussian on the box, normalised across scale, float32.

    image: (k, j, i), at least four voxels along each axis. spacing_mm: along (x, y, z).
    """
    total = np.zeros(image.size, np.float32)
    part = np.zeros(image.size, np.float32)
    whole = [slice(0, n) for n in image.shape]
    # One type for most CTs, so that the recursion is compiled once: float32 where it holds the values.
    image = np.ascontiguousarray(image, np.result_type(image, np.float32))
    for axis in (2, 1, 0):
        source, needed = image.ravel(), list(whole)
        for other in (axis, *(a for a in (2, 1, 0) if a != axis)):
            spacing = spacing_mm[2 - other]
            needed[other] = slice(0, 1)  # lines along this axis, wherever they are needed by the others
            _filter_axis(
                source, image.shape, needed, other, coefficients(sigma_mm, spacing, other == axis), part
            )
            source, needed[other] = part, box[other]
        _add(total, part, 1.0 / (spacing_mm[2 - axis] * spacing_mm[2 - axis]))
    return total.reshape(image.shape)[box]


@cache
def rounds_as_itk() -> bool:
    """Whether `laplacian` gives this machine's ITK's numbers to the last bit, tried on a small image."""
    voxels = np.random.default_rng(0).normal(60, 40, (9, 20, 21)).astype(np.int16)
    voxels[3:6, :9] = 70  # where nothing varies, only rounding is left
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.9, 1.0, 1.3))
    own = laplacian(voxels, image.GetSpacing(), tuple(slice(0, n) for n in voxels.shape), 1.5)
    return np.array_equal(own, sitk.GetArrayFromImage(itk_laplacian(image, 1.5)))


def itk_laplacian(image: sitk.Image, sigma_mm: float) -> sitk.Image:
    """The same on the whole image by ITK itself."""
    itk = sitk.LaplacianRecursiveGaussianImageFilter()
    itk.SetNumberOfThreads(1)
    itk.SetNormalizeAcrossScale(True)
    itk.SetSigma(sigma_mm)
    return itk.Execute(image)


def _filter_axis(source, shape, lines, axis: int, c: np.ndarray, target) -> None:
    """Filter the lines along an axis that begin at the places `lines` (slices k, j, i) of its first plane."""
    steps = (shape[1] * shape[2], shape[2], 1)
    along = 1 if axis == 2 else 2  # neighbouring lines lie along the rows, or else along the columns
    first = np.arange(lines[along].start, lines[along].stop, LANES)
    across = next(a for a in range(3) if a not in (axis, along))
    rows = np.arange(lines[across].start, lines[across].stop)
    starts = (rows[:, None] * steps[across] + first * steps[along]).ravel().astype(np.uint64)
    widths = np.tile(np.minimum(LANES, lines[along].stop - first), len(rows)).astype(np.uint64)
    step, lane = np.uint64(steps[axis]), np.uint64(steps[along])
    room = np.zeros((3, shape[axis], LANES))
    filter_lines(source, starts, widths, step, lane, c, *room, target)
