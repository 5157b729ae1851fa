"""The patient part of the panel: segments to tick, what was found in them, and the sample patient."""

import contextlib

import numpy as np
import qt
import SimpleITK as sitk
import slicer
from slicer.i18n import tr as _
from TACEResponseLib.errors import TACEResponseError
from TACEResponseLib.readers.phases import phase_of_description

from . import publish, scene
from .answer_view import found_text, lines_html
from .segment_editor import SegmentEditorSection

#: Quiet time after the last change before the chosen segments are measured again.
SETTLE_MS = 400
#: The sample patient: number and seed in the phantom population; three lesions of up to 46 mm.
SAMPLE_INDEX, SAMPLE_SEED = 21, 1
SAMPLE_NAME = "TACE sample patient"


def load_sample_patient(size: str = "small"):
    """CT volume and segmentation node of one synthetic patient, made on the spot, shown in the views.

    size: `small` (a crop, about a second) or `full` (512 x 512, some seconds). No download.
    """
    from TACEResponseLib.phantom import make_patient

    patient = make_patient(SAMPLE_INDEX, seed=SAMPLE_SEED, size=size)
    volume, segmentation = publish.patient_nodes(SAMPLE_NAME, patient.image, patient.mask)
    volume.SetDescription("Synthetic: computed from random numbers, no patient is in it.")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume, segmentation


def describe(volume_node, segmentation_node, segment_ids) -> tuple[str, list[str]]:
    """What is in the chosen segments, and what is to be looked at; raises what `Case` refuses.

    Only the tumour's surroundings are copied, so that it is quick enough while drawing.
    """
    from TACEResponseLib.clinical import measure_lesions

    case = scene.case_from_nodes(volume_node, segmentation_node, segment_ids, margin_voxels=2)
    image, mask = (sitk.GetArrayViewFromImage(volume) for volume in (case.image, case.mask))
    found = found_text(
        measure_lesions(case),
        case.spacing_mm,
        float(np.median(image[mask > 0])),
        phase_of_description(volume_node.GetName()),
    )
    return found, [str(note) for note in case.warnings]


class PatientSection:
    """Shows the parameter node's patient. on_chosen(segment_ids) and on_measured() report back.

    problem: why these segments cannot be measured, empty while they can.
    """

    def __init__(self, ui, on_chosen, on_measured):
        self._ui, self._on_chosen, self._on_measured = ui, on_chosen, on_measured
        self._node = None
        self._segmentation = None
        self._tags = []
        self._ids = []
        self._filling = False
        self.problem = ""
        self.editor = SegmentEditorSection(ui.editorSection)
        self._settle = qt.QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.connect("timeout()", self.measure)
        ui.segmentsList.connect("itemChanged(QListWidgetItem*)", self._on_ticked)
        ui.editorSection.connect("contentsCollapsed(bool)", self._on_editor_folded)
        ui.sampleLabel.text = _("Nothing is loaded yet.")
        self.measure()

    def show(self, node) -> None:
        """Follow a parameter node, or let go of everything when it is None."""
        self._node = node
        segmentation = node.segmentation if node else None
        if segmentation is not self._segmentation:
            self._observe(segmentation)
        self._fill()
        if node:
            self.editor.show(node.ctVolume, segmentation)
            self._settle.start()

    def release(self) -> None:
        """The panel goes away or its scene closes."""
        self._settle.stop()
        self.editor.forget_scene()
        self.show(None)

    def offer_sample(self) -> None:
        """Show the offer of the sample patient exactly while no CT is loaded."""
        volumes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        self._ui.sampleFrame.visible = volumes == 0

    def draw(self) -> None:
        """Open the Segment Editor on the chosen CT; a segmentation is made when there is none."""
        node = self._node
        if node.ctVolume and not node.segmentation:
            segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("Tumour outline"))
            segmentation.CreateDefaultDisplayNodes()
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node.ctVolume)
            segment = segmentation.GetSegmentation().AddEmptySegment("", _("Tumour"))
            node.segmentation = segmentation
            node.segmentIds = [segment]
        self.editor.open_on(node.ctVolume, node.segmentation)

    def measure(self) -> None:
        """Measure the chosen segments, or say what is wrong with them."""
        found, notes, self.problem = "", [], ""
        node = self._node
        if node and node.ctVolume and node.segmentation and len(node.segmentIds):
            try:
                found, notes = describe(node.ctVolume, node.segmentation, list(node.segmentIds))
            except TACEResponseError as error:
                self.problem = str(error)
                notes = [self.problem]
        self._ui.foundLabel.text = found
        self._ui.noticeLabel.text = lines_html(notes)
        self._ui.foundLabel.visible = bool(found)
        self._ui.noticeLabel.visible = bool(notes)
        self._on_measured()

    def _observe(self, segmentation) -> None:
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []
        self._segmentation = segmentation
        if segmentation is None:
            return
        inner = segmentation.GetSegmentation()
        for event in (
            inner.SegmentAdded,
            inner.SegmentRemoved,
            inner.SegmentModified,
            inner.SourceRepresentationModified,
        ):
            self._tags.append((inner, inner.AddObserver(event, self._on_edited)))

    def _on_edited(self, caller, event) -> None:
        self._fill()
        self._settle.start()
        if self._node and set(self._node.segmentIds) - set(self._ids):
            self._on_chosen([identifier for identifier in self._node.segmentIds if identifier in self._ids])

    def _fill(self) -> None:
        """List the segments, ticked as the parameter node says; nothing when nothing changed."""
        names = scene.segment_names(self._segmentation) if self._segmentation else {}
        ticked = set(self._node.segmentIds) if self._node else set()
        shown = [(self._ids[n], self._item(n).text(), self._is_ticked(n)) for n in self._rows()]
        if shown == [(identifier, name, identifier in ticked) for identifier, name in names.items()]:
            return
        with self._quietly():
            self._ui.segmentsList.clear()
            self._ids = list(names)
            for identifier, name in names.items():
                item = qt.QListWidgetItem(name)
                item.setFlags(item.flags() | qt.Qt.ItemIsUserCheckable)
                item.setCheckState(qt.Qt.Checked if identifier in ticked else qt.Qt.Unchecked)
                self._ui.segmentsList.addItem(item)

    def _rows(self):
        return range(self._ui.segmentsList.count)

    def _item(self, row: int):
        return self._ui.segmentsList.item(row)

    def _is_ticked(self, row: int) -> bool:
        return self._item(row).checkState() != qt.Qt.Unchecked

    @contextlib.contextmanager
    def _quietly(self):
        self._filling = True
        try:
            yield
        finally:
            self._filling = False

    def _on_ticked(self, item) -> None:
        if not self._filling:
            self._on_chosen([self._ids[row] for row in self._rows() if self._is_ticked(row)])

    def _on_editor_folded(self, folded: bool) -> None:
        if folded:
            self.editor.leave()
        elif self._node:
            self.editor.show(self._node.ctVolume, self._node.segmentation)
