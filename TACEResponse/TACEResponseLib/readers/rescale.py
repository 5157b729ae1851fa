"""What the stored numbers of DICOM slices mean: whether they are HU at all, and by which slope and intercept.

Each slice carries its own slope, intercept and sign. GDCM, given a whole series, decides the
type of all voxels by the first slice; where the slices differ they are read one by one here.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from TACEResponseLib.messages.errors import InputError, Problem
from TACEResponseLib.messages.language import listed, mark, tr

from .dicom_open import damaged, reading_dicom, syntax_of
from .gate import no_ct, require_ct
from .slices import Slice

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
#: What RescaleType may be where the numbers are HU; US is what writers put that do not know it.
HU_TYPES = ("", "HU", "US")
#: Photometric interpretations of one number a pixel: large numbers bright, or dark. The second changes
#: how a slice is shown and not its HU.
BRIGHT, DARK = "MONOCHROME2", "MONOCHROME1"
#: No two neighbouring slices of a body differ by more than this in the median of their pixels' differences.
LARGEST_JUMP_HU = 200
#: Which slices are meant: all by their places, or the first ones.
SLICES, MORE_SLICES = (
    mark("{what}: {n} slices, at {places} mm"),
    mark("{what}: {n} slices, at {places} mm and more"),
)
#: Words of an ImageType that name another quantity than attenuation (DICOM's multi-energy CT, and vendors').
NO_ATTENUATION = re.compile(
    r"IODINE|IODIN|JOD|WATER_|MAT_(SPECIFIC|REMOVED|FRACTIONAL|VALUE_BASED|MODIFIED)|MATERIAL|EFF_ATOMIC|Z_?EFF"
    r"|ELECTRON_DENSITY|PERFUSION|RHO_?Z|VNC|CALCIUM|URIC"
)


def require_ct_slices(slices: Sequence[Slice]) -> None:
    """Raise InputError naming the first slice that is no CT, or says that its numbers are no HU."""
    for each in slices:
        file = each.path.name
        require_ct(each.modality, file)
        if each.class_uid == PARAMETRIC_MAP:
            raise no_ct(tr("a parametric map"), file)
        words = next((w for w in each.image_type if NO_ATTENUATION.search(w)), "")
        if words:
            raise no_ct(tr("image type {words}", words=words), file)
        if each.rescale_type.strip().upper() not in HU_TYPES:
            raise no_ct(tr("values in {rescale_type}", rescale_type=each.rescale_type), file)
        if each.shown_as not in ("", BRIGHT, DARK):
            raise no_ct(tr("colours ({shown_as})", shown_as=each.shown_as), file)
    _require_scales(slices)
    dark = [each for each in slices if each.shown_as == DARK]
    if dark and len(dark) < len(slices):
        raise _unscaled(tr("{dark} among {bright}", dark=DARK, bright=BRIGHT), dark, len(slices))


def _require_scales(slices: Sequence[Slice]) -> None:
    """Raise InputError with positions where slope or intercept is missing on some slices, or is no number."""
    for name in ("slope", "intercept"):
        values = [getattr(each, name) for each in slices]
        without = [each for each, value in zip(slices, values, strict=True) if value is None]
        other = [s.slope if name == "intercept" else s.intercept for s in slices]
        if without and (len(without) < len(slices) or any(value is not None for value in other)):
            raise _unscaled(
                tr("slices without {attribute}", attribute=f"Rescale{name.title()}"), without, len(slices)
            )
    odd = [
        s
        for s in slices
        if s.slope is not None and not (np.isfinite([s.slope, s.intercept]).all() and s.slope > 0)
    ]
    if odd:
        raise _unscaled(
            tr(
                "a slope of {slope:g} and an intercept of {intercept:g}",
                slope=odd[0].slope,
                intercept=odd[0].intercept,
            ),
            odd,
            len(slices),
        )


def require_no_jump(slices: Sequence[Slice], values: np.ndarray) -> None:
    """Raise InputError with positions where the scale changes between neighbours and their HU jump with it.

    slices: in order. values: their HU (k, j, i). Then one of both scales is not that of its numbers.
    """
    scales = [(each.slope, each.intercept, each.stored_as) for each in slices]
    jumps = [
        slices[after]
        for after in range(1, len(slices))
        if scales[after - 1] != scales[after]
        and abs(np.median(values[after].astype(float) - values[after - 1])) > LARGEST_JUMP_HU
    ]
    if jumps:
        raise _unscaled(tr("HU that jump where slope or intercept change"), jumps, len(slices))


def _unscaled(what: str, odd: Sequence[Slice], total: int) -> InputError:
    places = listed(f"{depth:.2f}" for depth in sorted(each.depth_mm for each in odd)[:5])
    received = MORE_SLICES if len(odd) > 5 else SLICES
    return InputError(
        tr("it is not known how some of the slices become HU"),
        field="image",
        file=odd[0].path.name,
        expected=tr("RescaleSlope and RescaleIntercept that fit, on all {total} slices", total=total),
        received=tr(received, what=what, n=len(odd), places=places),
        remedy=tr("export the series again with these attributes"),
    )


def scale_notes(slices: Sequence[Slice]) -> list[Problem]:
    """A warning where no slice says how its numbers become HU."""
    if any(each.slope is not None for each in slices):
        return []
    return [
        Problem(
            "intensity",
            tr("no slice says how its numbers become HU; they were taken as HU"),
            field="image",
            expected=tr("RescaleSlope and RescaleIntercept"),
            received=tr("neither"),
            remedy=tr("check the HU of air and liver"),
            severity="warning",
        )
    ]


def is_uniform(slices: Sequence[Slice]) -> bool:
    """Whether one slope, intercept and kind of number hold for all slices, each in a file of its own.

    Not of slices that are shown dark on bright: GDCM turns their numbers round.
    """
    scales = {(s.slope, s.intercept, s.stored_as, s.shown_as) for s in slices}
    return len(scales) == 1 and slices[0].frame is None and slices[0].shown_as != DARK


def decode_each(slices: Sequence[Slice]) -> np.ndarray:
    """The HU (k, j, i) of the slices, each by its own slope and intercept; InputError when damaged.

    int16 or int32 where slopes and intercepts are whole, float32 else.
    """
    whole = all(float(v or 0).is_integer() for s in slices for v in (s.slope, s.intercept))
    scale = (np.array([(1.0, 0.0) if s.slope is None else (s.slope, s.intercept) for s in slices])).T
    small = whole and (np.abs(scale[0]) == 1).all() and (np.abs(scale[1]) < 2**14).all()
    values = np.empty((len(slices), *slices[0].rows_columns), np.int32 if whole else np.float32)
    by_file: dict[Path, list[int]] = defaultdict(list)
    for number, each in enumerate(slices):
        by_file[each.path].append(number)
    for path, numbers in by_file.items():
        for number, stored in zip(numbers, _stored(path, [slices[n].frame for n in numbers]), strict=True):
            slope, intercept = scale[:, number]
            if whole:
                values[number] = stored.astype(np.int32) * int(slope) + int(intercept)
            else:
                values[number] = stored * slope + intercept
    if small and values.min() >= -(2**15) and values.max() < 2**15:
        return values.astype(np.int16)
    return values


def _stored(path: Path, frames: Sequence[int | None]) -> Iterator[np.ndarray]:
    """The stored numbers (j, i) of the frames of one file, in the given order."""
    import pydicom
    from pydicom.pixels import iter_pixels

    with reading_dicom(path):
        data = pydicom.dcmread(path, force=True)
        if not data.file_meta.get("TransferSyntaxUID"):
            data.file_meta.TransferSyntaxUID = syntax_of(data)
        _require_decoder(syntax_of(data), path)
        if int(data.get("SamplesPerPixel") or 1) != 1:
            raise no_ct(tr("colours"), path.name)
        indices = None if list(frames) == [None] else [int(f) for f in frames]
        arrays = [np.asarray(array) for array in iter_pixels(data, raw=True, indices=indices)]
    if len(arrays) != len(frames):
        raise damaged(path)
    yield from arrays


def _require_decoder(syntax, path: Path) -> None:
    """Raise InputError where no installed package unpacks such pixels. syntax: pydicom's UID."""
    from pydicom.pixels import get_decoder

    if syntax.is_compressed and not syntax.is_deflated and not get_decoder(syntax).is_available:
        raise InputError(
            tr("the pixels are packed in a way that no package here unpacks"),
            field="image",
            file=path.name,
            expected=tr("pixels that are not packed, or packed as RLE or JPEG-LS"),
            received=syntax.name,
            remedy=tr("export the series without compression, or as single slices"),
        )
