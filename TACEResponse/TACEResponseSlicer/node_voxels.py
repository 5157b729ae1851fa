"""Voxels and matrices that were taken from nodes -> Case; runs on any thread, knows no node.

The main thread only takes hold of what is needed (`scene.voxels_of_nodes`); copying a whole CT,
finding the tumour in it and checking both takes long enough to be felt, and happens here.

Slicer keeps positions in RAS (x to the right, y to the front), SimpleITK in LPS; that ends here too.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from TACEResponseLib.cases import Case, bounding_box, make_case
from TACEResponseLib.cases.outline import UNKNOWN, Outline
from TACEResponseLib.messages.errors import GeometryError, MaskError, Problem
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.proposal.draft import outline_of
from TACEResponseLib.readers.phases import (
    VesselEnhancement,
    measure_vessels,
    phase_warning,
    provenance_of_phase,
)

from .texts import listed
from .texts import tr as _

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Voxel centres closer than this to those of the CT, in voxels, are those of the CT.
SAME_VOXEL = 0.05
#: Cosine between two axes of a volume above which it is sheared, not rounded.
SHEAR = 1e-3


@dataclass(frozen=True, eq=False)
class SegmentVoxels:
    """One segment: it is where `labels` (k, j, i) equal `value`; to_world: (i, j, k) to RAS in mm."""

    name: str
    labels: np.ndarray
    value: int
    to_world: np.ndarray


@dataclass(frozen=True, eq=False)
class DraftVoxels:
    """What a program proposed, before anybody changed it. confirmed: whether a person accepted an outline.

    proposal: None where it cannot be compared, because the segments were bent by a transform.
    """

    program: str
    confirmed: bool
    proposal: SegmentVoxels | None


@dataclass(frozen=True, eq=False)
class NodeVoxels:
    """What a CT and chosen segments hold.

    voxels: (k, j, i) in HU, the node's own memory, so `case` is to be called soon. to_world: 4 x 4
    from (i, j, k) to RAS in mm. vessels: aorta and portal vein where the segmentation names both, by
    which the phase of contrast is measured. scan: day and series, where DICOM says them. notes: what was
    found out on the way. outline: who made the mask. draft: what it is compared with instead, where a
    program proposed a segment of it.
    """

    patient_id: str
    image_name: str
    mask_name: str
    voxels: np.ndarray
    to_world: np.ndarray
    segments: tuple[SegmentVoxels, ...]
    vessels: tuple[SegmentVoxels, ...] = ()
    scan: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    outline: Outline = UNKNOWN
    draft: DraftVoxels | None = None

    def case(self, margin_voxels: int | None = None, progress: Progress = silent) -> Case:
        """The checked Case, a copy. margin_voxels: only the tumour's box and this margin, None for all.

        Raises GeometryError, MaskError or IntensityError, and what `progress` does.
        """
        progress(_("checking the images"), 0, 3)
        vessels = measure_phase(self)
        phase = provenance_of_phase(vessels, self.image_name)
        notes = [*self.notes, *phase_warning(vessels, self.image_name)]
        mask = _union_on_grid(self.segments, self.to_world, self.voxels.shape, notes)
        progress(_("checking the images"), 1, 3)
        voxels, to_world = self.voxels, self.to_world
        if margin_voxels is not None:
            voxels, mask, to_world = _around_tumour(voxels, mask, to_world, margin_voxels)
        image, mask = image_from_array(voxels, to_world), image_from_array(mask, to_world)
        progress(_("checking the images"), 2, 3)
        return make_case(
            self.patient_id,
            image,
            mask,
            provenance={
                "source": "3D Slicer scene",  # not a text
                "image": {"name": self.image_name, **self.scan, **phase},
                "mask": self.mask_name,
                "segments": [segment.name for segment in self.segments],
            },
            warnings=tuple(notes),
            outline=self._outline(mask),
        )

    def _outline(self, mask: sitk.Image) -> Outline:
        """Who made the mask, which lies on the CT's grid or on a part of it."""
        draft = self.draft
        if draft is None:
            return self.outline
        if not draft.confirmed:
            return Outline("proposed", draft.program)
        if draft.proposal is None:
            return Outline("edited", draft.program)
        return outline_of(_on_grid_of(mask, draft.proposal), mask, draft.program)


def measure_phase(voxels: NodeVoxels) -> VesselEnhancement | None:
    """HU of aorta and portal vein, as from files; None where they are not drawn or lie outside the CT.

    Only the part of the CT around the vessels is copied.
    """
    drawn = [v for v in voxels.vessels if (v.labels == v.value).any()]
    if len(drawn) < 2:
        return None
    boxes = [_box_of(vessel) for vessel in drawn]
    first, beyond = _reach(boxes, np.linalg.inv(voxels.to_world), voxels.voxels.shape)
    if (beyond <= first).any():
        return None
    part = voxels.voxels[tuple(slice(a, b) for a, b in zip(first[::-1], beyond[::-1], strict=True))]
    masks = (image_from_array(inside.astype(np.uint8), to_world) for inside, to_world in boxes)
    return measure_vessels(image_from_array(part, voxels.to_world @ shift(first[::-1])), *masks)


def _reach(boxes, from_world: np.ndarray, shape) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last (i, j, k) of the part of a grid of `shape` (k, j, i) that boxes reach."""
    corners = []
    for inside, to_world in boxes:
        ends = [(-1, size) for size in inside.shape[::-1]]
        corners += [from_world @ to_world @ (*corner, 1) for corner in itertools.product(*ends)]
    corners = np.array(corners)[:, :3]
    size = np.array(shape[::-1])
    first = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, size)
    return first, np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, size)


def image_from_array(voxels: np.ndarray, ijk_to_ras: np.ndarray) -> sitk.Image:
    """SimpleITK image (LPS) of a (k, j, i) array and its 4 x 4 IJK to RAS matrix in mm."""
    ijk_to_lps = RAS_TO_LPS @ ijk_to_ras
    spacing_mm = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    directions = ijk_to_lps[:3, :3] / spacing_mm
    skew = np.abs(directions.T @ directions - np.eye(3)).max()
    if skew > SHEAR:
        raise GeometryError(
            _("the CT stands under a transform that shears it"),
            field="image",
            expected=_("axes at right angles"),
            received=_("axes {angle:.1f} degrees away from it").format(
                angle=np.degrees(np.arcsin(min(skew, 1.0)))
            ),
            remedy=_("take the CT out of the transform, or resample it and take the copy"),
        )
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_mm.tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    image.SetDirection(directions.ravel().tolist())
    return image


def ijk_to_ras_of_image(image: sitk.Image) -> np.ndarray:
    """4 x 4 IJK to RAS matrix in mm of a SimpleITK image (LPS)."""
    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    ijk_to_lps[:3, 3] = image.GetOrigin()
    return RAS_TO_LPS @ ijk_to_lps


def _union_on_grid(segments, to_world, shape, notes: list[Problem]) -> np.ndarray:
    """uint8 mask (k, j, i) of all segments on the grid with the matrix `to_world`."""
    mask = np.zeros(shape, np.uint8)
    resampled = []
    for segment in segments:
        inside, to_ras = _box_of(segment)
        if not _place(inside, np.linalg.inv(to_world) @ to_ras, mask, segment.name):
            resampled.append(segment.name)
    if resampled:
        message = _("{names} was drawn on another grid than the CT's").format(names=listed(resampled))
        remedy = _("it was brought onto the CT's grid by nearest neighbour; look at the outline")
        notes.append(Problem("geometry", message, field="mask", remedy=remedy, severity="warning"))
    return mask


def _on_grid_of(mask: sitk.Image, segment: SegmentVoxels) -> sitk.Image:
    """A segment as uint8 image on the mask's grid; what lies outside of that is left out."""
    box, to_world = _box_of(segment)
    moving = image_from_array(box.astype(np.uint8), to_world)
    return sitk.Resample(moving, mask, sitk.Transform(), sitk.sitkNearestNeighbor, 0)


def _box_of(segment: SegmentVoxels) -> tuple[np.ndarray, np.ndarray]:
    """The segment as boolean (k, j, i) on its smallest box, and the box's (i, j, k) to RAS matrix."""
    inside = segment.labels == segment.value
    if not inside.any():
        raise MaskError(
            _("segment {name} is empty").format(name=segment.name),
            field="mask",
            remedy=_("draw the tumour, or choose another segment"),
        )
    box = bounding_box(inside)
    return inside[box], segment.to_world @ shift([side.start for side in box])


def shift(first_kji) -> np.ndarray:
    """4 x 4 matrix from a box's (i, j, k) to those of the array it is cut from."""
    shift = np.eye(4)
    shift[:3, 3] = first_kji[::-1]
    return shift


def _around_tumour(voxels, mask, to_world, margin_voxels: int):
    """The same three, cropped to the tumour's box and a margin."""
    box = bounding_box(mask)
    first = [max(side.start - margin_voxels, 0) for side in box]
    where = tuple(slice(a, side.stop + margin_voxels) for a, side in zip(first, box, strict=True))
    return voxels[where], mask[where], to_world @ shift(first)


def _place(voxels: np.ndarray, to_index: np.ndarray, mask: np.ndarray, name: str) -> bool:
    """Set `mask` where the segment is; False when it had to be resampled.

    to_index: 4 x 4 matrix from the segment's (i, j, k) to the mask's.
    Raises GeometryError when part of the segment lies outside.
    """
    ijk = np.argwhere(voxels)[:, ::-1]
    centres = ijk @ to_index[:3, :3].T + to_index[:3, 3]
    nearest = np.round(centres).astype(int)
    outside = int(((nearest < 0) | (nearest >= mask.shape[::-1])).any(axis=1).sum())
    if outside:
        raise GeometryError(
            _("part of the tumour lies outside the CT"),
            field="mask",
            expected=_("{count} voxels of {name} inside the CT").format(count=len(ijk), name=name),
            received=_("{count} inside").format(count=len(ijk) - outside),
            remedy=_("choose the CT on which the tumour was drawn"),
        )
    same_voxels = np.isclose(np.abs(np.linalg.det(to_index[:3, :3])), 1, atol=1e-2)
    if same_voxels and np.abs(centres - nearest).max() < SAME_VOXEL:
        mask[tuple(nearest[:, ::-1].T)] = 1
        return True
    _resample(voxels, to_index, mask, nearest.min(axis=0) - 1, nearest.max(axis=0) + 2)
    return False


def _resample(voxels: np.ndarray, to_index: np.ndarray, mask: np.ndarray, first, beyond) -> None:
    """Set `mask` where its voxel centre lies in a segment voxel, between two (i, j, k) corners."""
    first = np.maximum(first, 0)
    beyond = np.minimum(beyond, mask.shape[::-1])
    back = np.linalg.inv(to_index)
    # scipy counts (k, j, i): turn the matrix round along both axes.
    offset = back[:3, :3] @ first + back[:3, 3]
    box = ndimage.affine_transform(
        voxels.astype(np.uint8),
        back[2::-1, 2::-1],
        offset[::-1],
        output_shape=tuple(beyond - first)[::-1],
        order=0,
        mode="grid-constant",
    )
    where = tuple(slice(a, b) for a, b in zip(first[::-1], beyond[::-1], strict=True))
    mask[where] |= box
