"""The gate: every volume that is read passes here, beside what its own header claims of it.

The libraries that decode a file believe what they can and say little: they give zeros for voxels
that are not there, take one of two contradicting spacings, and call an MR a volume like any other.
So each reader hands over the decoded volume with its `Claims`, and here they are compared. What
cannot be right is an InputError, what can be read and should be known is a note beside the volume.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import GeometryError, InputError, Problem
from TACEResponseLib.messages.language import mark, tr

#: Two voxel sizes that differ by less than this share are one: headers are written in single precision.
SAME_SIZE = 1e-3
#: Two places in mm that are nearer than this are one.
SAME_PLACE_MM = 0.1
#: What a header may call the modality of a CT.
CT_WORDS = ("", "CT", "MET_MOD_CT", "MET_MOD_UNKNOWN", "MET_MOD_OTHER", "OT", "UNKNOWN")
#: What is said of a header with two geometries, by the part that the volume plays.
STATED_TWICE = {
    "image": mark("the CT's header states its geometry twice; the {said_by} was taken"),
    "mask": mark("the mask's header states its geometry twice; the {said_by} was taken"),
}


@dataclass(frozen=True)
class Placement:
    """One statement about where voxels lie, LPS in mm, and by which part of the header it is made.

    axes_mm (3, 3): columns are the steps to the next voxel along i, j, k. None where the statement
    is of sizes only. origin_mm (3,): the centre of the first voxel.
    """

    said_by: str
    voxel_mm: tuple[float, float, float]
    axes_mm: np.ndarray | None = None
    origin_mm: np.ndarray | None = None


@dataclass(frozen=True)
class Claims:
    """What a file's header says of its voxels, and how much of it arrived.

    size: voxels along i, j, k (and more, as it says). needed_bytes: of the voxels, unpacked, with what
    stands before them. present_bytes: those that are there. modality: a word, empty where there is none.
    placements: what it says about geometry, the one that decides last.
    """

    path: Path
    field: str
    size: tuple[int, ...]
    needed_bytes: int = 0
    present_bytes: int = 0
    modality: str = ""
    placements: tuple[Placement, ...] = ()


@dataclass(frozen=True)
class Admitted:
    """A volume that passed the gate, and what there is to say about it."""

    volume: sitk.Image
    notes: tuple[Problem, ...] = ()


def admit(volume: sitk.Image, claims: Claims) -> Admitted:
    """The volume where it is what its header claims, with notes; InputError or GeometryError else."""
    require_bytes(claims)
    if claims.field == "image":
        require_ct(claims.modality, claims.path.name)
    if tuple(volume.GetSize()) != claims.size:
        raise not_whole(
            claims,
            tr(
                "{found} voxels of {claimed} that its header claims",
                found=_times(volume.GetSize()),
                claimed=_times(claims.size),
            ),
        )
    if len(claims.placements) < 2 or volume.GetDimension() != 3:
        return Admitted(volume)
    return _placed(volume, claims)


def require_bytes(claims: Claims) -> None:
    """Raise InputError when fewer bytes are there than the voxels need, or about a row of voxels more.

    Of a header that claims too few columns or slices all voxels behind the first row would be
    elsewhere. A few bytes of litter at the end do no harm.
    """
    if claims.present_bytes < claims.needed_bytes:
        raise not_whole(claims, _of_bytes(claims))
    row_bytes = claims.needed_bytes / max(1, math.prod(claims.size[1:]))
    if claims.needed_bytes and claims.present_bytes - claims.needed_bytes >= row_bytes:
        size = _times(claims.size)
        raise not_whole(
            claims,
            tr(
                "{present_bytes} bytes for {size} voxels, which need {needed_bytes}",
                present_bytes=claims.present_bytes,
                size=size,
                needed_bytes=claims.needed_bytes,
            ),
        )


def require_ct(modality: str, file: str) -> None:
    """Raise InputError when the word says that the volume is something else than a CT."""
    if modality.strip().upper() not in CT_WORDS:
        raise no_ct(tr("modality {modality}", modality=modality.strip()), file)


def no_ct(received: str, file: str) -> InputError:
    """The error for a volume whose header says that it does not measure attenuation in HU."""
    return InputError(
        tr("the image is no CT in HU"),
        field="image",
        file=file,
        expected=tr("a CT, modality CT"),
        received=received,
        remedy=tr("choose the contrast-enhanced CT of the patient"),
    )


def not_whole(claims: Claims, received: str) -> InputError:
    """The error for a volume file that does not hold what it says."""
    return InputError(
        tr("the file cannot be read as a volume"),
        field=claims.field,
        file=claims.path.name,
        expected=tr("a whole NIfTI, NRRD or MetaImage file, or a folder of DICOM slices"),
        received=received,
        remedy=tr("export the volume again"),
    )


def _placed(volume: sitk.Image, claims: Claims) -> Admitted:
    """The volume where the last placement puts it, and a note when another one says otherwise."""
    decisive = claims.placements[-1]
    for other in claims.placements[:-1]:
        if not np.allclose(other.voxel_mm, decisive.voxel_mm, rtol=SAME_SIZE):
            volume = _moved(volume, decisive, claims)
            return Admitted(volume, (_twice(claims, decisive, _sizes(decisive), other, _sizes(other)),))
    for other in claims.placements[:-1]:
        apart_mm = _apart_mm(other, decisive, claims.size)
        if apart_mm > SAME_PLACE_MM:
            received = tr("a place {apart_mm:.1f} mm away", apart_mm=apart_mm)
            return Admitted(volume, (_twice(claims, decisive, tr("one place"), other, received),))
    return Admitted(volume)


def _moved(volume: sitk.Image, to: Placement, claims: Claims) -> sitk.Image:
    """The same voxels under another header."""
    voxel_mm = np.array(to.voxel_mm)
    directions = to.axes_mm / voxel_mm if (voxel_mm > 0).all() else np.zeros((3, 3))
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3:
        raise GeometryError(
            tr("the file's header places it nowhere"),
            field=claims.field,
            file=claims.path.name,
            expected=tr("three axes at right angles"),
            received=tr("a {said_by} with voxels of {sizes}", said_by=to.said_by, sizes=_sizes(to)),
            remedy=tr("export the volume again"),
        )
    moved = sitk.Image(volume)
    moved.SetSpacing(voxel_mm.tolist())
    moved.SetDirection(directions.ravel().tolist())
    moved.SetOrigin(to.origin_mm.tolist())
    return moved


def _apart_mm(one: Placement, other: Placement, size: Sequence[int]) -> float:
    """How far apart two placements put a corner of the volume at worst."""
    if one.axes_mm is None or other.axes_mm is None:
        return 0.0
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in size[:3]])).reshape(3, -1)
    first, second = (p.axes_mm @ ends + p.origin_mm[:, None] for p in (one, other))
    return float(np.linalg.norm(first - second, axis=0).max())


def _twice(claims: Claims, taken: Placement, expected: str, other: Placement, received: str) -> Problem:
    return Problem(
        "geometry",
        tr(STATED_TWICE[claims.field], said_by=taken.said_by),
        field=claims.field,
        file=claims.path.name,
        expected=tr(
            "{expected} by {said_by} and {other}",
            expected=expected,
            said_by=taken.said_by,
            other=other.said_by,
        ),
        received=tr("{received} by {said_by}", received=received, said_by=other.said_by),
        remedy=tr("look at the outline, or export the volume again"),
        severity="warning",
    )


def _of_bytes(claims: Claims) -> str:
    return tr("{present} of {needed} bytes", present=claims.present_bytes, needed=claims.needed_bytes)


def _sizes(placement: Placement) -> str:
    return f"{_times(round(v, 4) for v in placement.voxel_mm)} mm"


def _times(values) -> str:
    return " x ".join(f"{v:g}" for v in values)
