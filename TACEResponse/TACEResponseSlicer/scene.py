"""Nodes of the scene -> Case: the CT and the chosen segments, in world coordinates, copied.

Slicer keeps positions in RAS (x to the right, y to the front), SimpleITK in LPS; volumes and
segmentations may stand under transforms, and a segment is stored on a grid of its own. All of
that ends here. Linear transforms are applied to the geometry, so no voxel changes; under another
transform a hardened clone is measured. The user's nodes are never changed.
"""

import contextlib

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from scipy import ndimage
from TACEResponseLib.cases import Case, make_case
from TACEResponseLib.errors import GeometryError, InputError, MaskError, Problem
from TACEResponseLib.readers.phases import phase_warning
from vtk.util.numpy_support import vtk_to_numpy

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Voxel centres closer than this to those of the CT, in voxels, are those of the CT.
SAME_VOXEL = 0.05
#: Cosine between two axes of a volume above which it is sheared, not rounded.
SHEAR = 1e-3


def case_from_nodes(
    volume_node, segmentation_node, segment_ids=None, patient_id: str = "", margin_voxels: int | None = None
) -> Case:
    """The Case of a CT and the union of segments, the same as from saved files.

    volume_node: vtkMRMLScalarVolumeNode in HU. segmentation_node: vtkMRMLSegmentationNode.
    segment_ids: IDs or names; None takes the only segment; "all" takes every one. patient_id: the
    volume's name when empty. margin_voxels: keep only the tumour's box and this margin, which is
    enough to check and to count lesions while the user draws; None keeps the whole CT.

    Raises InputError, GeometryError, MaskError or IntensityError. Main thread only.
    """
    check_volume_node(volume_node)
    chosen = chosen_segments(segmentation_node, segment_ids)
    # The name is what Slicer makes of a DICOM series' description.
    notes = [*_frame_notes(volume_node), *phase_warning(None, volume_node.GetName())]
    with _under_linear_transform(volume_node, notes, "CT") as volume:
        to_world = _matrix_to_world(volume) @ _ijk_to_ras(volume)
        voxels = np.array(slicer.util.arrayFromVolume(volume))  # a copy: the node goes on living
    with _measurable_segments(segmentation_node, chosen, volume_node, notes) as segmentation:
        mask = _union_on_grid(segmentation, chosen, to_world, voxels.shape, notes)
    if margin_voxels is not None:
        voxels, mask, to_world = _around_tumour(voxels, mask, to_world, margin_voxels)
    return make_case(
        patient_id or volume_node.GetName(),
        image_from_array(voxels, to_world),
        image_from_array(mask, to_world),
        provenance={
            "source": "3D Slicer scene",
            "image": volume_node.GetName(),
            "mask": segmentation_node.GetName(),
            "segments": list(chosen.values()),
        },
        warnings=tuple(notes),
    )


def image_from_array(voxels: np.ndarray, ijk_to_ras: np.ndarray) -> sitk.Image:
    """SimpleITK image (LPS) of a (k, j, i) array and its 4 x 4 IJK to RAS matrix in mm."""
    ijk_to_lps = RAS_TO_LPS @ ijk_to_ras
    spacing_mm = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    directions = ijk_to_lps[:3, :3] / spacing_mm
    skew = np.abs(directions.T @ directions - np.eye(3)).max()
    if skew > SHEAR:
        raise GeometryError(
            "the CT stands under a transform that shears it",
            field="image",
            expected="axes at right angles",
            received=f"axes {np.degrees(np.arcsin(min(skew, 1.0))):.1f} degrees away from it",
            remedy="take the CT out of the transform, or resample it and take the copy",
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


def check_volume_node(node) -> None:
    """Raise InputError or GeometryError unless `node` is one scalar volume with voxels."""
    if node is None:
        raise InputError("no CT volume is chosen", field="image", remedy="choose the CT volume")
    name = node.GetName()
    if node.IsA("vtkMRMLSequenceNode") or not node.IsA("vtkMRMLScalarVolumeNode"):
        raise GeometryError(
            f"{name} is not a volume",
            field="image",
            expected="a scalar volume",
            received=node.GetNodeTagName(),
            remedy="choose one phase of the CT as a volume of its own",
        )
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            f"{name} is a label map, not a CT", field="image", remedy="choose the CT volume in HU"
        )
    if node.GetImageData() is None or node.GetImageData().GetNumberOfPoints() == 0:
        raise InputError(f"{name} holds no voxels", field="image", remedy="load the CT volume again")
    components = node.GetImageData().GetNumberOfScalarComponents()
    if components != 1:
        raise GeometryError(
            f"{name} holds several values a voxel",
            field="image",
            expected="one value, in HU",
            received=f"{components} values (a colour, vector or 4D volume)",
            remedy="choose one phase of the CT as a volume of its own",
        )


def first_ct_volume():
    """The first scalar volume of the scene that is no label map, or None."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((v for v in volumes if not v.IsA("vtkMRMLLabelMapVolumeNode")), None)


def chosen_segments(node, segment_ids=None) -> dict[str, str]:
    """ID -> name of the segments that `segment_ids` (IDs, names, None or "all") means."""
    if node is None:
        raise InputError(
            "no tumour segmentation is chosen", field="mask", remedy="choose the tumour segmentation"
        )
    present = segment_names(node)
    listed = ", ".join(present.values()) or "no segment"
    if not present:
        raise MaskError(f"{node.GetName()} holds no segment", field="mask", remedy="draw the tumour")
    if isinstance(segment_ids, str) and segment_ids == "all":
        return present
    if segment_ids is None:
        if len(present) > 1:
            raise MaskError(
                f"{node.GetName()} holds several segments",
                field="label",
                expected="one segment, or a choice",
                received=listed,
                remedy="choose the tumour's segments, or all",
            )
        return present
    wanted = [segment_ids] if isinstance(segment_ids, str) else list(segment_ids)
    by_name = {name: identifier for identifier, name in reversed(present.items())}
    found = [w if w in present else by_name.get(w) for w in wanted]
    if not wanted or None in found:
        missing = ", ".join(w for w, f in zip(wanted, found, strict=True) if f is None)
        raise MaskError(
            f"{node.GetName()} has no segment {missing}" if wanted else "no segment is chosen",
            field="label",
            expected=missing or "at least one segment",
            received=listed,
            remedy="choose the tumour's segments",
        )
    return {identifier: present[identifier] for identifier in found}


def segment_names(node) -> dict[str, str]:
    """ID -> name of every segment of a segmentation node, in its order."""
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return {identifier: segmentation.GetSegment(identifier).GetName() for identifier in ids}


def _frame_notes(volume_node) -> list[Problem]:
    """A warning when the volume is what a sequence browser shows right now."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        if browser.IsProxyNodeID(volume_node.GetID()):
            message = f"{volume_node.GetName()} is one frame of a sequence"
            frame = browser.GetSelectedItemNumber() + 1
            remedy = f"frame {frame} was measured; check that it is the arterial one"
            return [Problem("geometry", message, field="image", remedy=remedy, severity="warning")]
    return []


def _ijk_to_ras(volume_node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _matrix_to_world(node) -> np.ndarray:
    """4 x 4 matrix from the node's RAS to the world's; its parent transform is linear."""
    parent = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    if parent is not None:
        parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _is_linear(node) -> bool:
    parent = node.GetParentTransformNode()
    return parent is None or bool(parent.IsTransformToWorldLinear())


@contextlib.contextmanager
def _clone(node):
    """A hidden copy of `node` under the same transform, removed from the scene afterwards."""
    clone = slicer.mrmlScene.CreateNodeByClass(node.GetClassName())
    clone.UnRegister(None)  # the Python variable owns it now
    clone.SetHideFromEditors(True)
    clone.CopyContent(node)
    slicer.mrmlScene.AddNode(clone)
    clone.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    try:
        yield clone
    finally:
        slicer.mrmlScene.RemoveNode(clone)


@contextlib.contextmanager
def _under_linear_transform(node, notes: list[Problem], noun: str):
    """The node itself, or a hardened clone when its parent transform is not linear."""
    if _is_linear(node):
        yield node
        return
    message = f"the {noun} stands under a transform that is not linear"
    remedy = "a hardened copy was measured; look at its outline and intensities"
    notes.append(Problem("geometry", message, remedy=remedy, severity="warning"))
    with _clone(node) as clone:
        clone.HardenTransform()
        yield clone


@contextlib.contextmanager
def _measurable_segments(node, chosen: dict[str, str], volume_node, notes: list[Problem]):
    """The segmentation, or a clone of it in which every chosen segment is a label map."""
    labelmap = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    surfaces = [
        name
        for identifier, name in chosen.items()
        if not node.GetSegmentation().GetSegment(identifier).GetRepresentation(labelmap)
    ]
    with contextlib.ExitStack() as clones:
        if surfaces:
            node = clones.enter_context(_clone(node))
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
            if not node.GetSegmentation().CreateRepresentation(labelmap):
                raise MaskError(
                    f"the surface of {', '.join(surfaces)} cannot be turned into voxels",
                    field="mask",
                    remedy="create the binary labelmap in the Segmentations module",
                )
            message = f"{', '.join(surfaces)} is stored as a surface only"
            remedy = "it was turned into voxels on the CT's grid; look at the outline"
            notes.append(Problem("mask", message, field="mask", remedy=remedy, severity="warning"))
        yield clones.enter_context(_under_linear_transform(node, notes, "segmentation"))


def _union_on_grid(node, chosen: dict[str, str], to_world, shape, notes: list[Problem]) -> np.ndarray:
    """uint8 mask (k, j, i) of all chosen segments on the grid with the matrix `to_world`."""
    mask = np.zeros(shape, np.uint8)
    resampled = []
    for identifier, name in chosen.items():
        voxels, ijk_to_ras = _segment_voxels(node, identifier, name)
        to_index = np.linalg.inv(to_world) @ _matrix_to_world(node) @ ijk_to_ras
        if not _place(voxels, to_index, mask, name):
            resampled.append(name)
    if resampled:
        message = f"{', '.join(resampled)} was drawn on another grid than the CT's"
        remedy = "it was brought onto the CT's grid by nearest neighbour; look at the outline"
        notes.append(Problem("geometry", message, field="mask", remedy=remedy, severity="warning"))
    return mask


def _around_tumour(voxels, mask, to_world, margin_voxels: int):
    """The same three, cropped to the tumour's box and a margin."""
    box = ndimage.find_objects(mask)
    if not box:
        return voxels, mask, to_world
    first = np.maximum([side.start - margin_voxels for side in box[0]], 0)
    where = tuple(slice(a, side.stop + margin_voxels) for a, side in zip(first, box[0], strict=True))
    shift = np.eye(4)
    shift[:3, 3] = first[::-1]
    return voxels[where], mask[where], to_world @ shift


def _segment_voxels(node, identifier: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """One segment as (k, j, i) array of 0 and 1, and its 4 x 4 index to RAS matrix."""
    labelmap = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(identifier, labelmap)
    extent, scalars = labelmap.GetExtent(), labelmap.GetPointData().GetScalars()
    shape = tuple(extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0))
    voxels = vtk_to_numpy(scalars).reshape(shape) > 0 if scalars and min(shape) > 0 else np.zeros(1)
    if not voxels.any():
        raise MaskError(
            f"segment {name} is empty", field="mask", remedy="draw the tumour, or choose another segment"
        )
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    first = np.eye(4)
    first[:3, 3] = extent[::2]  # the array starts where the extent starts
    return voxels, to_ras @ first


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
            "part of the tumour lies outside the CT",
            field="mask",
            expected=f"{len(ijk)} voxels of {name} inside the CT",
            received=f"{len(ijk) - outside} inside",
            remedy="choose the CT on which the tumour was drawn",
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
