"""One acquisition of a DICOM series to a volume in HU, with the geometry checked from the headers.

pydicom reads the headers, SimpleITK (GDCM) the pixels with slope and intercept applied. What the
libraries let pass - duplicate slices, gaps, a tilted gantry - is checked here and is a
GeometryError that lists positions; what the numbers mean is checked in `rescale`. Which
acquisition it is stands in `acquisitions`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import GeometryError, Problem
from TACEResponseLib.messages.language import listed, tr

from .dicom_open import SEGMENTATION, STRUCTURE_SET, damaged, dicom_files, is_dicom, reading_dicom
from .frames import read_slices
from .gate import Admitted, Claims, admit
from .rescale import decode_each, is_uniform, require_ct_slices, require_no_jump, scale_notes
from .slices import Slice, read_slice

__all__ = [
    "SEGMENTATION",
    "STRUCTURE_SET",
    "Slice",
    "damaged",
    "dicom_files",
    "in_order",
    "is_dicom",
    "open_stack",
    "read_slice",
    "read_slices",
    "reading_dicom",
]

#: Slices may be off their even spacing by this share of it (rounding in headers).
SPACING_TOLERANCE = 0.02
#: Positions that were rounded to a tenth of a millimetre are off by half of it, and a little for the fit.
ROUNDED_MM = 0.051
#: Sideways drift of a stack in mm above which its gantry was tilted.
LARGEST_DRIFT_MM = 0.5


def open_stack(slices: list[Slice], folder: Path) -> Admitted:
    """The volume of the slices in HU through the gate, after checking that they form one even stack.

    Raises InputError for what is no CT or damaged, GeometryError with positions.
    """
    require_ct_slices(slices)
    _require_every_part(slices, folder)
    slices = in_order(slices, folder)
    image = _decoded(slices)
    if len(slices) > 1:
        image.SetSpacing((*image.GetSpacing()[:2], _step_mm(slices)))
    rows, columns = slices[0].rows_columns
    admitted = admit(
        image, Claims(folder, "image", (columns, rows, len(slices)), modality=slices[0].modality)
    )
    notes = (*scale_notes(slices), *_place_notes(slices))
    return replace(admitted, notes=(*admitted.notes, *(replace(n, file=folder.name) for n in notes)))


def _decoded(slices: list[Slice]) -> sitk.Image:
    """The voxels of slices in order: by GDCM at once where all are scaled alike, else one by one."""
    if is_uniform(slices):
        try:
            return sitk.ReadImage([str(s.path) for s in slices])
        except RuntimeError:
            raise damaged(_first_unreadable(slices)) from None
    first = slices[0]
    values = decode_each(slices)
    require_no_jump(slices, values)
    image = sitk.GetImageFromArray(values)
    across, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    image.SetDirection(np.column_stack([across, down, np.cross(across, down)]).ravel().tolist())
    image.SetOrigin(first.position)
    image.SetSpacing((first.pixel_spacing[1], first.pixel_spacing[0], 1.0))
    return image


def _step_mm(slices: list[Slice]) -> float:
    """The distance between positions, not SliceThickness: slices may overlap or leave gaps."""
    return float(np.linalg.norm(np.subtract(slices[-1].position, slices[0].position)) / (len(slices) - 1))


def in_order(slices: list[Slice], folder: Path) -> list[Slice]:
    """The slices along their normal; GeometryError unless they are one even, untilted stack."""
    _require_one_shape(slices, folder)
    slices = sorted(slices, key=lambda s: s.depth_mm)
    if len(slices) < 2:
        return slices
    depth = np.array([s.depth_mm for s in slices])
    steps = np.diff(depth)
    spacing = float(np.median(steps))
    doubled = depth[1:][steps < 1e-3]
    if doubled.size:
        received = tr("{n} positions twice, the first at {first:.2f} mm", n=doubled.size, first=doubled[0])
        raise _uneven(folder, tr("the series holds slices twice"), tr("every position once"), received)
    odd = _odd_steps(depth)
    if odd.size and _off_even_mm(depth) > ROUNDED_MM:
        where = listed(
            tr("{step:.2f} mm after {depth:.2f} mm", step=steps[n], depth=depth[n]) for n in odd[:5]
        )
        raise _uneven(
            folder,
            tr("slices are missing or unevenly spaced"),
            tr("{spacing:.2f} mm everywhere", spacing=spacing),
            where,
        )
    orientation = np.array(slices[0].orientation)
    normal = np.cross(orientation[:3], orientation[3:])
    drift = np.subtract(slices[-1].position, slices[0].position)
    sideways_mm = float(np.linalg.norm(drift - (drift @ normal) * normal))
    if sideways_mm > LARGEST_DRIFT_MM:
        received = tr("slices move {sideways_mm:.1f} mm sideways over the stack", sideways_mm=sideways_mm)
        raise _uneven(folder, tr("the gantry was tilted"), tr("slices stacked along their normal"), received)
    return slices


def _require_one_shape(slices: list[Slice], folder: Path) -> None:
    """Raise GeometryError unless all slices have one orientation, one size and one pixel size."""
    if any(len(s.pixel_spacing) != 2 for s in slices):
        raise _uneven(
            folder, tr("its slices do not say how large their pixels are"), tr("a pixel size"), tr("none")
        )
    orientations = np.array([s.orientation for s in slices])
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise _uneven(
            folder, tr("its slices point in different directions"), tr("one orientation"), tr("several")
        )
    sizes = sorted({s.rows_columns for s in slices})
    if len(sizes) > 1:
        received = tr(" and ").join(f"{rows} x {columns}" for rows, columns in sizes[:3])
        raise _uneven(folder, tr("its slices have different numbers of pixels"), tr("one size"), received)
    spacings = sorted({s.pixel_spacing for s in slices})
    if not np.allclose(spacings, spacings[0], rtol=1e-4):
        received = tr(" and ").join(" x ".join(f"{v:g}" for v in pair) for pair in spacings[:3])
        raise _uneven(
            folder, tr("its slices have pixels of different sizes"), tr("one pixel size"), f"{received} mm"
        )


def _require_every_part(slices: list[Slice], folder: Path) -> None:
    """Raise GeometryError when a file of a concatenation is not there: its last slices would be missed."""
    parts = {s.part for s in slices if s.part is not None}
    there = {number for number, _ in parts}
    total = max([*(of for _, of in parts), *there], default=0)
    missing = [str(n) for n in range(1, total + 1) if n not in there]
    if missing:
        received = tr("part {numbers} of {total} is missing", numbers=listed(missing), total=total)
        raise _uneven(
            folder,
            tr("the series lacks files of its concatenation"),
            tr("all {total} parts", total=total),
            received,
        )


def _odd_steps(depth: np.ndarray) -> np.ndarray:
    """Numbers of the steps that are not like the others."""
    steps = np.diff(depth)
    spacing = float(np.median(steps))
    return np.flatnonzero(np.abs(steps - spacing) > SPACING_TOLERANCE * spacing)


def _off_even_mm(depth: np.ndarray) -> float:
    """How far, at worst, the positions are off the even grid that fits them best."""
    from scipy.optimize import minimize_scalar

    number = np.arange(len(depth))
    step = (depth[-1] - depth[0]) / (len(depth) - 1)
    reach = 0.2 / (len(depth) - 1)  # rounding moves neither end by more than a tenth of a millimetre
    fitted = minimize_scalar(
        lambda s: np.ptp(depth - s * number), bounds=(step - reach, step + reach), method="bounded"
    )
    return float(fitted.fun) / 2


def _place_notes(slices: list[Slice]) -> list[Problem]:
    """What the headers say of the places that is odd and does no harm."""
    depth = np.array([s.depth_mm for s in slices])
    notes = []
    if len(slices) > 1 and _odd_steps(depth).size:
        notes.append(
            (
                tr("the slices' positions were rounded to a tenth of a millimetre"),
                tr("even steps of {step_mm:.3f} mm were taken", step_mm=_step_mm(slices)),
            )
        )
    locations = [s.location_mm for s in slices]
    if len(slices) > 1 and None not in locations:
        by_location, by_position = float(np.median(np.abs(np.diff(locations)))), _step_mm(slices)
        if by_location and abs(by_location - by_position) > max(
            SPACING_TOLERANCE * by_position, 2 * ROUNDED_MM
        ):
            notes.append(
                (
                    tr(
                        "the slices are {by_position:.2f} mm apart by their positions and {by_location:.2f} "
                        "mm by their slice locations",
                        by_position=by_position,
                        by_location=by_location,
                    ),
                    tr("the positions were taken; compare the volume with another program's"),
                )
            )
    return [
        Problem("geometry", text, field="image", remedy=remedy, severity="warning") for text, remedy in notes
    ]


def _first_unreadable(slices: list[Slice]) -> Path:
    """The file that GDCM stumbles over, so that the message names the right one."""
    for each in slices:
        try:
            sitk.ReadImage(str(each.path))
        except RuntimeError:
            return each.path
    return slices[0].path


def _uneven(folder: Path, message: str, expected: str, received: str) -> GeometryError:
    return GeometryError(
        message,
        field="image",
        file=folder.name,
        expected=expected,
        received=received,
        remedy=tr("export one complete, untilted series"),
    )
