"""A proposed outline in the scene: segments that wait for a person, and the proposal kept for the record.

All of it stands in attributes of the segmentation node and in tags of its segments, so that it is saved
and loaded with the scene. What a person draws beside the proposed segments is not part of the draft.
"""

import base64
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

#: Attributes of the node: what proposed it, the voxels that were proposed, whether a person accepted them.
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
    """Make `lesions` from `in_boxes` the draft in a node; IDs of those to tick.

    Those that are there already are drawn again under the same IDs. Small ones are no part of what is
    proposed until a person ticks them.
    """
    segmentation = node.GetSegmentation()
    there = [identifier for identifier in _segment_ids(node) if _is_proposed(node, identifier)]
    for identifier in there[len(lesions) :]:
        segmentation.RemoveSegment(identifier)
    drawn = {}
    for n, lesion in enumerate(lesions):
        drawn[_draw(node, there[n] if n < len(there) else None, lesion, n + 1)] = lesion
    taken = {identifier: lesion for identifier, lesion in drawn.items() if not lesion.small}
    taken = taken or drawn
    node.SetAttribute(PROGRAM, program)
    node.RemoveAttribute(CONFIRMED)
    node.SetAttribute(PROPOSAL, _packed([lesion.mask for lesion in taken.values()]))
    return list(taken)


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
        labels, to_ras = _unpacked(node.GetAttribute(PROPOSAL))
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


def _draw(node, identifier: str | None, lesion, number: int) -> str:
    """Draw a lesion into the segment of this ID, or into a new one; its ID."""
    name = _("Tumour (proposed) {n}").format(n=number)
    inside = sitk.GetArrayViewFromImage(lesion.mask) > 0
    labelmap = publish.oriented_labelmap(inside, ijk_to_ras_of_image(lesion.mask))
    if identifier is None:
        identifier = node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, name, COLOUR)
    else:
        write = slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment
        write(labelmap, node, identifier, slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE)
    segment = node.GetSegmentation().GetSegment(identifier)
    segment.SetName(name)
    segment.SetTag(PROPOSED, f"{lesion.volume_ml:.2f} {lesion.diameter_mm:.1f}")
    return identifier


def _packed(masks: list[sitk.Image]) -> str:
    """The union of masks as text for an attribute: some kilobytes for a tumour."""
    voxels, to_ras = _union(masks)
    bits = base64.b64encode(zlib.compress(np.packbits(voxels).tobytes(), 9)).decode("ascii")
    return json.dumps({"shape": voxels.shape, "to_ras": to_ras.ravel().tolist(), "bits": bits})


def _union(masks: list[sitk.Image]) -> tuple[np.ndarray, np.ndarray]:
    """Masks on parts of one grid as one boolean (k, j, i), and its 4 x 4 (i, j, k) to RAS matrix in mm."""
    starts = np.array([masks[0].TransformPhysicalPointToIndex(mask.GetOrigin()) for mask in masks])
    first = starts.min(axis=0)
    beyond = (starts + [mask.GetSize() for mask in masks]).max(axis=0)
    voxels = np.zeros((beyond - first)[::-1], bool)
    for mask, start in zip(masks, starts - first, strict=True):
        where = tuple(slice(a, a + n) for a, n in zip(start[::-1], mask.GetSize()[::-1], strict=True))
        voxels[where] |= sitk.GetArrayViewFromImage(mask) > 0
    return voxels, ijk_to_ras_of_image(masks[0]) @ shift(first[::-1])


def _unpacked(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The mask that `_packed` wrote as uint8 (k, j, i), and its 4 x 4 (i, j, k) to RAS matrix in mm."""
    content = json.loads(text)
    bits = np.frombuffer(zlib.decompress(base64.b64decode(content["bits"])), np.uint8)
    voxels = np.unpackbits(bits, count=int(np.prod(content["shape"])))
    return voxels.reshape(content["shape"]), np.reshape(content["to_ras"], (4, 4))
