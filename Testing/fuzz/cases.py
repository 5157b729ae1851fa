"""One case of the opponent: what was written, how it is read, and whether the answer is right."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from TACEResponseLib.messages.errors import TACEResponseError

#: Voxels whose places are compared, and how far they may lie apart.
SAMPLES, TOLERANCE_MM = 200, 0.01


class Outcome(enum.Enum):
    """What came of a case."""

    RIGHT = "right"
    NAMED = "named error"
    REFUSED = "right file refused"
    SILENT = "silent difference"
    TRACEBACK = "traceback"


@dataclass(frozen=True)
class Case:
    """A mutated file. read: gives a value or a named error. is_right: whether the value is the one written.

    must_read: the file is right, so that an error is too much.
    """

    mutation: str
    read: Callable[[], object]
    is_right: Callable[[object], bool]
    must_read: bool = False


Maker = Callable[[Path, np.random.Generator], Case]


def outcome_of(case: Case) -> tuple[Outcome, str]:
    """What reading the case gives, and a line about it."""
    try:
        value = case.read()
    except TACEResponseError as error:
        return (Outcome.REFUSED if case.must_read else Outcome.NAMED), str(error)
    except Exception as error:  # what the opponent looks for
        return Outcome.TRACEBACK, f"{type(error).__name__}: {error}"
    return (Outcome.RIGHT if case.is_right(value) else Outcome.SILENT), ""


def same_volume(found: sitk.Image, written: sitk.Image) -> bool:
    """Whether every sampled voxel has its value at its place in the body, and none is there twice."""
    if found.GetNumberOfPixels() != written.GetNumberOfPixels():
        return False
    values = sitk.GetArrayFromImage(written)
    read = sitk.GetArrayFromImage(found)
    if not np.array_equal(np.sort(read, axis=None), np.sort(values, axis=None)):
        return False
    rng = np.random.default_rng(0)
    for _ in range(SAMPLES):
        index = [int(rng.integers(n)) for n in written.GetSize()]
        place = written.TransformIndexToPhysicalPoint(index)
        there = np.array(found.TransformPhysicalPointToContinuousIndex(place))
        nearest = there.round()
        if np.abs((there - nearest) * found.GetSpacing()).max() > TOLERANCE_MM:
            return False
        if (nearest < 0).any() or (nearest >= found.GetSize()).any():
            return False
        if read[tuple(nearest.astype(int)[::-1])] != values[tuple(index[::-1])]:
            return False
    return True


def choose(rng: np.random.Generator, options):
    """One of the options."""
    options = list(options)
    return options[int(rng.integers(len(options)))]


def cut(content: bytes, rng: np.random.Generator, boundaries) -> tuple[bytes, str]:
    """The content up to a boundary of its structure, or a byte beside it, or somewhere."""
    places = [b + d for b in boundaries for d in (-1, 0, 1)] + [int(rng.integers(len(content)))]
    place = choose(rng, [p for p in places if 0 <= p < len(content)])
    return content[:place], f"cut at {place} of {len(content)}"


def flipped(content: bytes, rng: np.random.Generator, first: int = 0) -> tuple[bytes, str]:
    """The content with one byte changed from `first` on."""
    data, place = bytearray(content), int(rng.integers(first, len(content)))
    data[place] ^= int(rng.integers(1, 256))
    return bytes(data), f"byte {place} changed"
