"""A proposed outline in the scene: segments that wait for a person, and the proposal kept for the record.

All of it stands in attributes of the segmentation node and in tags of its segments, so that it is saved
and loaded with the scene. What a person draws beside the proposed segments is not part of the draft.
"""

import base64
import itertools
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from TACEResponseLib.cases import bounding_box
from TACEResponseLib.proposal.draft import DraftLesion

from . import publish
from .node_voxels import DraftVoxels, SegmentVoxels, ijk_to_ras_of_image, shift
from .texts import tr as _

#: Attributes of the node: what proposed it, the voxels that were proposed of each segment, whether a
#: person accepted them.
PROGRAM, PROPOSAL, CONFIRMED = (f"TACEResponse.{name}" for name in ("ProposedBy", "Proposal", "Confirmed"))
#: Tag of each segment that was proposed; in it the size that it had then.
PROPOSED = "TACEResponse.Proposed"
#: None of the colours of an answer, and not that of the liver; the CT is seen through it.
COLOUR, OPACITY = (0.95, 0.75, 0.1), 0.3


def in_boxes(lesions: Iterable[DraftLesion]) -> tuple[DraftLesion, ...]:
    """The same lesions, each mask cut down to its own box; on any thread, so that `fill` is quick."""
    return tuple(replace(lesion, mask=_cut_down(lesion.mask)) for lesion in lesions)


def make(volume):
    """An empty vtkMRMLSegmentationNode for a draft on `volume`, under the same transform."""
    name = _("Proposed outline, {ct}").format(ct=volume.GetName())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetOpacity2DFill(OPACITY)
    return node


def fill(node, lesions: Sequence[DraftLesion], program: str) -> list[str]:
    """Draw `lesions` from `in_boxes` as segments of a node without a draft; IDs of those to tick.

    Small ones are no part of what is proposed until a person ticks them.
    """
    taken = [lesion for lesion in lesions if not lesion.small] or list(lesions)
    drawn = {_draw(node, None, lesion): lesion for lesion in lesions}
    ticked = [identifier for identifier, lesion in drawn.items() if lesion in taken]
    _keep(node, {identifier: _packed(drawn[identifier].mask) for identifier in ticked}, program)
    return ticked


def put(node, lesion: DraftLesion, program: str, identifier: str | None = None) -> str:
    """Add one lesion from `in_boxes` to the draft in a node, or draw it in place of another; its ID.

    identifier: of the proposed segment whose place it takes; one that is gone counts as None. A draft that
    was confirmed waits for a person again.
    """
    there = identifier is not None and _is_proposed(node, identifier)
    drawn = _draw(node, identifier if there else None, lesion)
    _keep(node, _proposal_of(node) | {drawn: _packed(lesion.mask)}, program)
    return drawn


def lesion_at(node, ras_mm) -> str | None:
    """ID of the proposed segment that holds a position of the world in mm, the last one; else None."""
    local, labelmap = [0.0, 0.0, 0.0], slicer.vtkOrientedImageData()
    node.TransformPointFromWorld([float(value) for value in ras_mm], local)
    for identifier in reversed(_segment_ids(node)):
        drawn = _is_proposed(node, identifier) and node.GetBinaryLabelmapRepresentation(identifier, labelmap)
        if drawn and _holds(labelmap, local):
            return identifier
    return None


def confirm(node, segment_ids) -> None:
    """A person accepted the chosen segments as they are now: their names do not say proposed any more."""
    node.SetAttribute(CONFIRMED, "1")
    proposed = [identifier for identifier in segment_ids if _is_proposed(node, identifier)]
    for n, identifier in enumerate(proposed, start=1):
        node.GetSegmentation().GetSegment(identifier).SetName(_("Tumour {n}").format(n=n))


def is_draft(node, segment_ids) -> bool:
    """Whether one of these segments was proposed by a program, confirmed or not."""
    return bool(node and node.GetAttribute(PROGRAM) and any(_is_proposed(node, one) for one in segment_ids))


def is_confirmed(node) -> bool:
    """Whether a person accepted the draft in a node."""
    return bool(node.GetAttribute(CONFIRMED))


def program_of(node) -> str:
    """What proposed the draft in a node; empty where there is none."""
    return (node.GetAttribute(PROGRAM) or "") if node else ""


def sizes_of(node) -> list[tuple[float, float]]:
    """Volume in mL and diameter in mm that each proposed segment had when it was proposed."""
    sizes, text = [], vtk.mutable("")
    for identifier in _segment_ids(node):
        if node.GetSegmentation().GetSegment(identifier).GetTag(PROPOSED, text):
            volume_ml, diameter_mm = map(float, str(text).split())
            sizes.append((volume_ml, diameter_mm))
    return sizes


def voxels_of(node, segment_ids, to_world: np.ndarray | None) -> DraftVoxels | None:
    """What was proposed, taken hold of for `NodeVoxels`; None where none of the segments was proposed.

    to_world: 4 x 4 from the node's RAS to the world's in mm; None where that is no matrix.
    """
    if not is_draft(node, segment_ids):
        return None
    proposal = None
    if to_world is not None:
        labels, to_ras = _union([_unpacked(packed) for packed in _proposal_of(node).values()])
        proposal = SegmentVoxels(program_of(node), labels, 1, to_world @ to_ras)
    return DraftVoxels(program_of(node), is_confirmed(node), proposal)


def _segment_ids(node) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def _is_proposed(node, identifier: str) -> bool:
    segment = node.GetSegmentation().GetSegment(identifier)
    return segment is not None and segment.HasTag(PROPOSED)


def _cut_down(mask: sitk.Image) -> sitk.Image:
    box = bounding_box(sitk.GetArrayViewFromImage(mask) > 0)
    return mask[tuple(slice(side.start, side.stop) for side in reversed(box))]


def _holds(labelmap, ras_mm) -> bool:
    """Whether a position in the labelmap's own RAS lies in one of its voxels that is set."""
    to_index, extent = vtk.vtkMatrix4x4(), np.reshape(labelmap.GetExtent(), (3, 2))
    labelmap.GetWorldToImageMatrix(to_index)
    index = np.round(to_index.MultiplyPoint((*ras_mm, 1.0))[:3]).astype(int)
    if (index < extent[:, 0]).any() or (index > extent[:, 1]).any():
        return False
    return bool(labelmap.GetScalarComponentAsDouble(*index.tolist(), 0))


def _draw(node, identifier: str | None, lesion: DraftLesion) -> str:
    """Draw a lesion into the segment of this ID, or into a new one; its ID."""
    name = _name_for(node, identifier)
    inside = sitk.GetArrayViewFromImage(lesion.mask) > 0
    labelmap = publish.oriented_labelmap(inside, ijk_to_ras_of_image(lesion.mask))
    if identifier is None:
        identifier = node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, name, COLOUR)
    else:
        write = slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment
        write(labelmap, node, identifier, slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE)
    segment = node.GetSegmentation().GetSegment(identifier)
    segment.SetTag(PROPOSED, f"{lesion.volume_ml:.2f} {lesion.diameter_mm:.1f}")
    segment.SetName(name)
    return identifier


def _name_for(node, identifier: str | None) -> str:
    """The name of a proposed segment, or of a new one: its number among them, or the next that is free."""
    all_ids, segmentation = _segment_ids(node), node.GetSegmentation()
    proposed = [one for one in all_ids if _is_proposed(node, one)]
    taken = {segmentation.GetSegment(one).GetName() for one in all_ids if one != identifier}
    place = len(proposed) if identifier is None else proposed.index(identifier)
    numbers = itertools.count(place + 1)
    names = (_("Tumour (proposed) {n}").format(n=n) for n in numbers)
    return next(name for name in names if name not in taken)


def _keep(node, proposal: dict[str, dict], program: str) -> None:
    """Note in a node what was proposed, ID -> `_packed`, and that nobody has confirmed it."""
    node.SetAttribute(PROGRAM, program)
    node.RemoveAttribute(CONFIRMED)
    node.SetAttribute(PROPOSAL, json.dumps(proposal))


def _proposal_of(node) -> dict[str, dict]:
    """What `_keep` noted; {} where it did not. A segment that was removed since is still in it."""
    return json.loads(node.GetAttribute(PROPOSAL) or "{}")


def _packed(mask: sitk.Image) -> dict:
    """A mask as content of an attribute: some kilobytes for a tumour."""
    voxels = sitk.GetArrayViewFromImage(mask) > 0
    bits = base64.b64encode(zlib.compress(np.packbits(voxels).tobytes(), 9)).decode("ascii")
    return {"shape": voxels.shape, "to_ras": ijk_to_ras_of_image(mask).ravel().tolist(), "bits": bits}


def _unpacked(content: dict) -> tuple[np.ndarray, np.ndarray]:
    """The mask that `_packed` took as uint8 (k, j, i), and its 4 x 4 (i, j, k) to RAS matrix."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(content["bits"])), np.uint8)
    voxels = np.unpackbits(bits, count=int(np.prod(content["shape"])))
    return voxels.reshape(content["shape"]), np.reshape(content["to_ras"], (4, 4))


def _union(masks: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Masks (k, j, i) on parts of one grid, each with its matrix to RAS, as one mask with its matrix."""
    to_ras = masks[0][1]
    starts = np.array([np.linalg.solve(to_ras, own)[2::-1, 3] for _voxels, own in masks]).round().astype(int)
    beyond = (starts + [voxels.shape for voxels, _own in masks]).max(axis=0)
    first = starts.min(axis=0)
    union = np.zeros(beyond - first, np.uint8)
    for start, (voxels, _own) in zip(starts - first, masks, strict=True):
        union[tuple(slice(a, a + n) for a, n in zip(start, voxels.shape, strict=True))] |= voxels
    return union, to_ras @ shift(first)
