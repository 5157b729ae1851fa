"""What the panel chooses before the user does: segmentation, its CT, the tumour's segments, the model."""

import re

import slicer
from TACEResponseLib.readers.phases import ARTERIAL, phase_of_description

from . import scene
from .model_section import DEMONSTRATION, PUBLIC_COHORT, SHIPPED
from .publish import KIND
from .sample_patient import is_sample

#: Names of segments that are tumour, in the languages of the readers; "peritumoral" and "non-tumour" are not.
_TUMOUR = re.compile(
    r"(?<![a-z])(?<!non[ _-])tumou?r(?!al)|(?<![a-z])(hcc|lesion|l\u00e4sion|mass|masses)(?![a-rt-z])"
    r"|\u80bf\u7624|\u75c5\u7076|\u80bf\u5757",
    re.IGNORECASE,
)
#: Names of segments that are something else, so that a liver that stands alone is not taken for a tumour.
_ORGAN = re.compile(
    r"liver|leber|foie|hepar|spleen|kidney|aorta|vein|vena|artery|vessel|body|lung|pancreas|stomach|\u809d",
    re.IGNORECASE,
)


class FirstChoice:
    """Chooses in a parameter node what nobody chose; what the user or a script chose stays."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        """Another scene."""
        self._followed = self._own_ct = self._modelled = None

    def complete(self, node) -> None:
        """Choose a segmentation where none is chosen, and a CT."""
        if node.segmentation:
            self._followed = node.segmentation.GetID()
        else:
            node.segmentation = likely_segmentation()
            self.follow(node)
        if not node.ctVolume:
            self._take_ct(node, reference_ct(node.segmentation) or likely_ct())

    def follow(self, node) -> None:
        """Another segmentation: tick its tumour, and take the CT on which it was drawn.

        Not where segments of it are ticked already, as in a scene that was loaded, and not in the place of
        a CT that the user chose.
        """
        chosen = node.segmentation.GetID() if node.segmentation else None
        if chosen == self._followed:
            return
        self._followed = chosen
        names = scene.segment_names(node.segmentation) if chosen else {}
        if not names or set(names) & set(node.segmentIds):
            return
        node.segmentIds = likely_tumour(names)
        if not node.ctVolume or node.ctVolume.GetID() == self._own_ct:
            self._take_ct(node, reference_ct(node.segmentation) or node.ctVolume)

    def follow_ct(self, node) -> None:
        """Another CT: the model of the public cohort, or the demonstration for the sample patient.

        A model that was opened by the user stays.
        """
        chosen = node.ctVolume.GetID() if node.ctVolume else None
        if chosen == self._modelled:
            return
        self._modelled = chosen
        if chosen and node.bundle in SHIPPED:
            node.bundle = DEMONSTRATION if is_sample(node.ctVolume) else PUBLIC_COHORT

    def _take_ct(self, node, volume) -> None:
        if volume is not None:
            self._own_ct = volume.GetID()
            node.ctVolume = volume


def ct_volumes() -> list:
    """The scalar volumes of the scene that can be a CT: no label maps, and no maps of ours."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [v for v in volumes if not v.IsA("vtkMRMLLabelMapVolumeNode") and not v.GetAttribute(KIND)]


def likely_ct():
    """The first CT whose name says that it is arterial, else the first; None without any."""
    volumes = ct_volumes()
    arterial = [v for v in volumes if phase_of_description(v.GetName() or "") == ARTERIAL]
    return next(iter(arterial or volumes), None)


def reference_ct(segmentation):
    """The volume on which a segmentation was drawn, as it says itself; None where it does not."""
    if segmentation is None:
        return None
    volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    return volume if volume in ct_volumes() else None


def likely_segmentation():
    """The first segmentation with a segment that is likely tumour, else the first; None without any."""
    segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    likely = [s for s in segmentations if likely_tumour(scene.segment_names(s))]
    return next(iter(likely or segmentations), None)


def likely_tumour(names: dict[str, str]) -> list[str]:
    """IDs of the segments to tick. names: ID -> name.

    The one that is named tumour, HCC, lesion or mass; several when their names differ in a number only,
    as those of two readers do not; or the only segment, unless it is named as an organ.
    """
    named = [identifier for identifier, name in names.items() if _TUMOUR.search(name)]
    if len({re.sub(r"[\s\d_.-]+$", "", names[identifier]).casefold() for identifier in named}) == 1:
        return named
    alone = list(names)
    return alone if len(alone) == 1 and not named and not _ORGAN.search(names[alone[0]]) else []
