"""The stationary wavelet transform on the tumour's box, with the rounding of PyWavelets.

PyWavelets transforms whole lines. Here only the places that are measured are computed, and
neighbouring lines together. Every place adds up its taps in the order that PyWavelets has, so no value
differs in its last bit: a band of a flat tumour is all rounding, and a grey level begins at 0.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pywt

from TACEResponseLib.compiled import compiled
from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import RadiomicsSettings

from .columns import wavelet_names

Box = tuple[slice, slice, slice]
#: Some work on an image; gives column name and values (k, j, i) on the box, image by image.
Piece = Callable[[], Iterable[tuple[str, np.ndarray]]]


def wavelets(image: np.ndarray, box: Box, settings: RadiomicsSettings) -> list[Piece]:
    """Pieces of work; each gives column name and band (k, j, i) on the box, one at a time.

    A single level comes in two pieces, low and high along the first axis; several need each other. Every
    level uses the undilated filters, as pyradiomics does.
    """
    try:
        wavelet = pywt.Wavelet(settings.wavelet)
    except ValueError:
        raise SettingsError(
            tr("there is no wavelet named {wavelet}", wavelet=settings.wavelet),
            field="wavelet",
            expected=tr("a name that PyWavelets lists, for example coif1"),
            received=settings.wavelet,
        ) from None
    axes = [axis for axis in (2, 1, 0) if not (settings.force_2d and axis == settings.force_2d_axis)]
    if settings.wavelet_start_level + settings.wavelet_levels == 1:
        return [lambda n=n: _half_a_level(image, box, wavelet, axes, settings, n) for n in (0, 1)]
    return [lambda: _levels(image, box, wavelet, axes, settings)]


def _half_a_level(image, box, wavelet, axes, settings, half: int) -> Iterator[tuple[str, np.ndarray]]:
    """The bands that are low (0) or high (1) along the first axis."""
    *details, approximation = wavelet_names(settings)
    names = np.array_split([approximation, *details], 2)[half]
    data, inner = _even_window(image, box, wavelet.dec_len)
    taps = _taps(wavelet, image.dtype)
    data, inner = _passed(data, taps[half], axes[0], inner)
    yield from zip(map(str, names), _bands(data, taps, axes[1:], inner), strict=True)


def _levels(image, box, wavelet, axes, settings) -> Iterator[tuple[str, np.ndarray]]:
    """The bands of several levels, each from the approximation before."""
    rounds = settings.wavelet_start_level + settings.wavelet_levels
    data, inner = _even_window(image, box, wavelet.dec_len * rounds)
    taps, names = _taps(wavelet, image.dtype), iter(wavelet_names(settings))
    for later in reversed(range(rounds)):
        # What another level will transform has to stay whole until then.
        kept = tuple(slice(0, n) for n in data.shape) if later else inner
        data, *details = _bands(data, taps, axes, kept)
        if later < settings.wavelet_levels:
            yield from ((next(names), band[inner] if later else band) for band in details)
    yield next(names), data


def _even_window(image: np.ndarray, box: Box, margin: int) -> tuple[np.ndarray, Box]:
    """The image around the box, even along every axis as the transform needs it, and the box in it.

    An axis on which the margin does not fit stays whole, because the transform wraps around its
    ends; an odd whole axis is lengthened by its first plane.
    """
    inner = []
    for axis, side in enumerate(box):
        start, stop, length = side.start - margin, side.stop + margin, image.shape[axis]
        stop += (stop - start) % 2
        if start < 0 or stop > length:
            start, stop = 0, length
        inner.append(slice(side.start - start, side.stop - start))
        image = image[(slice(None),) * axis + (slice(start, stop),)]
    if any(n % 2 for n in image.shape):
        image = np.pad(image, [(0, n % 2) for n in image.shape], "wrap")
    return image, tuple(inner)


def _taps(wavelet: pywt.Wavelet, voxel_type: np.dtype) -> np.ndarray:
    """Low and high pass (2, taps) in PyWavelets' precision for such voxels, read off an impulse.

    float32 stays float32, everything else becomes float64.
    """
    length = wavelet.dec_len
    impulse = np.zeros(2 * length, np.float32 if voxel_type == np.float32 else np.float64)
    impulse[length] = 1
    first = length - length // 2
    return np.array([half[first : first + length] for half in pywt.swt(impulse, wavelet, level=1)[0]])


def _bands(data: np.ndarray, taps: np.ndarray, axes: list[int], box: Box) -> Iterator[np.ndarray]:
    """The bands of one level on the box: axis after axis, each half cut before it is halved again."""
    if not axes:
        yield data[box]
        return
    for one in taps:  # a half at a time, which is half the memory
        half, cut = _passed(data, one, axes[0], box)
        yield from _bands(half, taps, axes[1:], cut)


def _passed(data: np.ndarray, taps: np.ndarray, axis: int, box: Box) -> tuple[np.ndarray, Box]:
    """`data` (k, j, i) after a pass along an axis, cut to the box there, and the box in it."""
    side, size = box[axis], list(data.shape)
    size[axis] = side.stop - side.start
    data, passed = np.ascontiguousarray(data), np.zeros(size, taps.dtype)
    lines = int(np.prod(data.shape[:axis]))
    if axis == 2:
        around = np.empty(size[axis] + len(taps) - 1, taps.dtype)
        _pass_rows(data.reshape(lines, -1), taps, side.start, around, passed.reshape(lines, -1))
    else:
        planes = data.reshape(lines, data.shape[axis], -1)
        _pass_planes(planes, taps, side.start, passed.reshape(lines, size[axis], -1))
    return passed, tuple(slice(0, size[axis]) if a == axis else s for a, s in enumerate(box))


@compiled
def _pass_planes(data, taps, start, passed):
    """Add to `passed` (n, places, width) a pass along the second axis of `data` (n, length, width).

    start: the place along that axis where `passed` begins. The ends are joined; a place whose taps
    reach over the far end takes those first, from the end on.
    """
    length, number = data.shape[1], len(taps)
    for n in range(len(data)):
        for place in range(passed.shape[1]):
            last, into = start + place + number // 2, passed[n, place]
            over = max(0, last - length + 1)
            for t in range(number):
                tap = over - 1 - t if t < over else t
                weight, line = taps[tap], data[n, (last - tap) % length]
                for w in range(np.uint64(len(line))):
                    into[w] += weight * line[w]


@compiled
def _pass_rows(data, taps, start, around, passed):
    """The same along the rows of `data` (n, length); `around` is room for what the taps of a row reach."""
    length, number, places = data.shape[1], len(taps), passed.shape[1]
    not_over = max(0, min(places, length - number // 2 - start))
    for n in range(len(data)):
        into = passed[n]
        for m in range(len(around)):
            around[m] = data[n, (start + number // 2 - number + 1 + m) % length]
        for tap in range(number):
            weight, shift = taps[tap], np.uint64(number - 1 - tap)
            for place in range(np.uint64(not_over)):
                into[place] += weight * around[place + shift]
        for place in range(not_over, places):
            over = start + place + number // 2 - length + 1
            for t in range(number):
                tap = over - 1 - t if t < over else t
                into[place] += taps[tap] * around[place + number - 1 - tap]
