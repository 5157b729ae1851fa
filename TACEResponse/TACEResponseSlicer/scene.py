"""Nodes of the scene -> Case: the CT and the chosen segments, in world coordinates, copied.

Volumes and segmentations may stand under transforms, and a segment is stored on a grid of its own.
Linear transforms are applied to the geometry, so no voxel changes; under another transform a
hardened clone is measured. The user's nodes are never changed.

Nodes belong to the main thread. What is done here with a whole CT is therefore only to take hold of
its memory; `node_voxels` does the work, on whatever thread.
"""

import contextlib

import numpy as np
import slicer
import vtk
from TACEResponseLib.cases import Case
from TACEResponseLib.cases.outline import UNKNOWN, Outline
from TACEResponseLib.messages.errors import GeometryError, InputError, MaskError, Problem
from TACEResponseLib.readers.phases import vessel_segments
from vtk.util.numpy_support import vtk_to_numpy

from . import dicom_source, draft_node
from .node_voxels import NodeVoxels, SegmentVoxels
from .texts import listed
from .texts import tr as _


def case_from_nodes(
    volume_node, segmentation_node, segment_ids=None, patient_id: str = "", outline: Outline | None = None
) -> Case:
    """The Case of a CT and the union of segments, the same as from saved files.

    volume_node: vtkMRMLScalarVolumeNode in HU. segmentation_node: vtkMRMLSegmentationNode.
    segment_ids: IDs or names; None takes the only segment; "all" takes every one. patient_id: the
    volume's name when empty. outline: who made the segments; None where that
    is not known, or stands with the segments, because a program proposed them (`draft_node`).

    Raises InputError, GeometryError, MaskError or IntensityError. Main thread only.
    """
    return voxels_of_nodes(volume_node, segmentation_node, segment_ids, patient_id, outline).case()


def voxels_of_nodes(
    volume_node, segmentation_node, segment_ids=None, patient_id: str = "", outline: Outline | None = None
) -> NodeVoxels:
    """What `case_from_nodes` makes the Case of; takes milliseconds, `case()` of it the rest.

    A transform that is not linear, and a segment that is a surface only, are turned into voxels
    here, and that takes as long as it takes in Slicer. Main thread only.
    """
    check_volume_node(volume_node)
    chosen = chosen_segments(segmentation_node, segment_ids)
    notes = _frame_notes(volume_node)
    with _under_linear_transform(volume_node, notes, "CT") as volume:
        to_world = _matrix_to_world(volume) @ ijk_to_ras(volume)
        voxels = slicer.util.arrayFromVolume(volume)  # a view, which keeps the memory where it is
    with _measurable_segments(segmentation_node, chosen, volume_node, notes) as segmentation:
        segments = _segment_voxels(segmentation, chosen)
        vessels = _segment_voxels(segmentation, _vessels(segmentation))
    to_world_of_segments = _matrix_to_world(segmentation_node) if is_linear(segmentation_node) else None
    return NodeVoxels(
        patient_id=patient_id or volume_node.GetName(),
        image_name=volume_node.GetName(),
        mask_name=segmentation_node.GetName(),
        voxels=voxels,
        to_world=to_world,
        segments=segments,
        vessels=vessels,
        scan=dicom_source.scan_of(volume_node),
        notes=tuple(notes),
        outline=outline or UNKNOWN,
        draft=None if outline else draft_node.voxels_of(segmentation_node, chosen, to_world_of_segments),
    )


def check_volume_node(node) -> None:
    """Raise InputError or GeometryError unless `node` is one scalar volume with voxels."""
    if node is None:
        raise InputError(_("no CT volume is chosen"), field="image", remedy=_("choose the CT volume"))
    name = node.GetName()
    if node.IsA("vtkMRMLSequenceNode") or not node.IsA("vtkMRMLScalarVolumeNode"):
        raise GeometryError(
            _("{name} is not a volume").format(name=name),
            field="image",
            expected=_("a scalar volume"),
            received=node.GetNodeTagName(),
            remedy=_("choose one phase of the CT as a volume of its own"),
        )
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            _("{name} is a label map, not a CT").format(name=name),
            field="image",
            remedy=_("choose the CT volume in HU"),
        )
    if node.GetImageData() is None or node.GetImageData().GetNumberOfPoints() == 0:
        raise InputError(
            _("{name} holds no voxels").format(name=name), field="image", remedy=_("load the CT volume again")
        )
    components = node.GetImageData().GetNumberOfScalarComponents()
    if components != 1:
        raise GeometryError(
            _("{name} holds several values a voxel").format(name=name),
            field="image",
            expected=_("one value, in HU"),
            received=_("{components} values (a colour, vector or 4D volume)").format(components=components),
            remedy=_("choose one phase of the CT as a volume of its own"),
        )


def chosen_segments(node, segment_ids=None) -> dict[str, str]:
    """ID -> name of the segments that `segment_ids` (IDs, names, None or "all") means."""
    if node is None:
        raise InputError(
            _("no tumour segmentation is chosen"), field="mask", remedy=_("choose the tumour segmentation")
        )
    present = segment_names(node)
    names = listed(present.values()) or _("no segment")
    if not present:
        raise MaskError(
            _("{name} holds no segment").format(name=node.GetName()),
            field="mask",
            remedy=_("draw the tumour"),
        )
    if isinstance(segment_ids, str) and segment_ids == "all":
        return present
    if segment_ids is None:
        if len(present) > 1:
            raise MaskError(
                _("{name} holds several segments").format(name=node.GetName()),
                field="label",
                expected=_("one segment, or a choice"),
                received=names,
                remedy=_("choose the tumour's segments, or all"),
            )
        return present
    wanted = [segment_ids] if isinstance(segment_ids, str) else list(segment_ids)
    by_name = {name: identifier for identifier, name in reversed(present.items())}
    found = [w if w in present else by_name.get(w) for w in wanted]
    if not wanted or None in found:
        missing = listed(w for w, f in zip(wanted, found, strict=True) if f is None)
        raise MaskError(
            _("{name} has no segment {missing}").format(name=node.GetName(), missing=missing)
            if wanted
            else _("no segment is chosen"),
            field="label",
            expected=missing or _("at least one segment"),
            received=names,
            remedy=_("choose the tumour's segments"),
        )
    return {identifier: present[identifier] for identifier in found}


def segment_names(node) -> dict[str, str]:
    """ID -> name of every segment of a segmentation node, in its order."""
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return {identifier: segmentation.GetSegment(identifier).GetName() for identifier in ids}


def _vessels(node) -> dict[str, str]:
    """ID -> name of aorta and portal vein, ticked or not, where both are drawn as voxels; {} else."""
    labelmap = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation = node.GetSegmentation()
    drawn = {
        name: identifier
        for identifier, name in segment_names(node).items()
        if segmentation.GetSegment(identifier).GetRepresentation(labelmap)
    }
    return {drawn[name]: name for name in vessel_segments(list(drawn)) or ()}


def _frame_notes(volume_node) -> list[Problem]:
    """A warning when the volume is what a sequence browser shows right now."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        if browser.IsProxyNodeID(volume_node.GetID()):
            message = _("{name} is one frame of a sequence").format(name=volume_node.GetName())
            frame = browser.GetSelectedItemNumber() + 1
            remedy = _("frame {frame} was measured; check that it is the arterial one").format(frame=frame)
            return [Problem("geometry", message, field="image", remedy=remedy, severity="warning")]
    return []


def ijk_to_ras(volume_node) -> np.ndarray:
    """4 x 4 matrix in mm from (i, j, k) to the volume's own RAS, without its parent transform."""
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


def is_linear(node) -> bool:
    """Whether a node stands under no transform, or under one that is a matrix."""
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
    if is_linear(node):
        yield node
        return
    message = _("the {noun} stands under a transform that is not linear").format(noun=noun)
    remedy = _("a hardened copy was measured; look at its outline and intensities")
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
                    _("the surface of {names} cannot be turned into voxels").format(names=listed(surfaces)),
                    field="mask",
                    remedy=_("create the binary labelmap in the Segmentations module"),
                )
            message = _("{names} is stored as a surface only").format(names=listed(surfaces))
            remedy = _("it was turned into voxels on the CT's grid; look at the outline")
            notes.append(Problem("mask", message, field="mask", remedy=remedy, severity="warning"))
        yield clones.enter_context(_under_linear_transform(node, notes, "segmentation"))


def _segment_voxels(node, chosen: dict[str, str]) -> tuple[SegmentVoxels, ...]:
    """Copies of the label maps, because the user may go on drawing; one that is shared is copied once."""
    copies, segments = {}, []
    for identifier, name in chosen.items():
        labelmap = node.GetBinaryLabelmapInternalRepresentation(identifier)
        if labelmap not in copies:
            copies[labelmap] = _labels(labelmap)
        labels, to_ras = copies[labelmap]
        value = node.GetSegmentation().GetSegment(identifier).GetLabelValue()
        segments.append(SegmentVoxels(name, labels, value, _matrix_to_world(node) @ to_ras))
    return tuple(segments)


def _labels(labelmap) -> tuple[np.ndarray, np.ndarray]:
    """A label map as (k, j, i) array of its own, and its 4 x 4 index to RAS matrix."""
    extent, scalars = labelmap.GetExtent(), labelmap.GetPointData().GetScalars()
    shape = tuple(extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0))
    if scalars is None or min(shape) <= 0:
        return np.zeros((1, 1, 1), np.uint8), np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    first = np.eye(4)
    first[:3, 3] = extent[::2]  # the array starts where the extent starts
    labels = np.array(vtk_to_numpy(scalars).reshape(shape))
    return labels, slicer.util.arrayFromVTKMatrix(matrix) @ first
