"""The patient part of the panel: segments to tick, what was found in them, and the sample patient."""

import contextlib

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin
from TACEResponseLib.messages.errors import Cancelled, TACEResponseError

from . import scene
from .answer_view import breakable, lines_html
from .background import BackgroundTask
from .panel import WIDGET_GONE
from .segment_editor import SegmentEditorSection
from .segment_summary import summarize
from .texts import tr as _

#: Quiet time after the last change before the chosen segments are measured again.
SETTLE_MS = 400
#: Segments that are listed without scrolling, at least and at most.
FEWEST_ROWS, MOST_ROWS = 2, 6


class PatientSection(VTKObservationMixin):
    """Shows the parameter node's patient; on_chosen(segment_ids), on_edited() and on_measured() report back.

    The segments are measured beside the panel, some time after the last change; only the latest
    measurement counts. summary: what it found, None while it is not known or cannot be. problem: why
    it cannot be.
    """

    def __init__(self, ui, on_chosen, on_edited, on_measured):
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._on_chosen, self._on_edited, self._on_measured = on_chosen, on_edited, on_measured
        self._node = None
        self._observed = (None, None)
        self._chosen = None
        self._measuring = None
        self._ids = []
        self._filling = False
        self.summary, self.problem = None, ""
        self.editor = SegmentEditorSection(ui.editorSection)
        self._settle = qt.QTimer(ui.segmentsList)  # it goes with the widgets that it writes into
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.connect("timeout()", self.measure)
        ui.segmentsList.connect("itemChanged(QListWidgetItem*)", self._on_ticked)
        ui.editorSection.connect("contentsCollapsed(bool)", self._on_editor_folded)
        ui.sampleLabel.text = _("Nothing is loaded yet.")
        self._show_summary(None, "")

    def show(self, node) -> None:
        """Follow a parameter node, or let go of everything when it is None."""
        self._node = node
        nodes = (node.ctVolume, node.segmentation) if node else (None, None)
        if nodes != self._observed:
            self._observe(*nodes)
        self._fill()
        chosen = (*nodes, *node.segmentIds) if node else None
        if chosen != self._chosen:
            self._chosen = chosen
            self._say(None, "")  # what was found is about something else
            if node:
                self._settle.start()
        if node:
            self.editor.show(*nodes)

    def release(self) -> None:
        """The scene closes."""
        self.editor.forget_scene()
        self.show(None)
        self._settle.stop()
        self._drop()

    def close(self) -> None:
        """The panel goes away, its widgets perhaps before it: nothing is written into them any more."""
        self.removeObservers()
        self._drop()
        for let_go in (self._settle.stop, self.editor.forget_scene):
            with contextlib.suppress(*WIDGET_GONE):
                let_go()

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
        """Measure the chosen segments beside the panel, or say what is wrong with them."""
        self._drop()
        node = self._node
        if not (node and node.ctVolume and node.segmentation and len(node.segmentIds)):
            self._say(None, "")
            return
        try:
            voxels = scene.voxels_of_nodes(node.ctVolume, node.segmentation, list(node.segmentIds))
        except TACEResponseError as error:
            self._say(None, str(error))
            return
        self._measuring = BackgroundTask(
            lambda report: summarize(voxels, report), lambda *step: None, self._on_summary
        )

    def waitForMeasurement(self, timeout_s: float = 60) -> bool:
        """Measure now and wait for what is found; False when time ran out. For tests and scripts."""
        self._settle.stop()
        self.measure()
        return self._measuring is None or self._measuring.waitForCompletion(timeout_s)

    def _drop(self) -> None:
        if self._measuring is not None:
            self._measuring.drop()
        self._measuring = None

    def _on_summary(self, summary, error) -> None:
        self._measuring = None
        if not isinstance(error, Cancelled):
            self._say(summary, str(error) if error is not None else "")

    def _say(self, summary, problem: str) -> None:
        self._show_summary(summary, problem)
        self._on_measured()

    def _show_summary(self, summary, problem: str) -> None:
        self.summary, self.problem = summary, problem
        notes = [problem] if problem else list(summary.notes) if summary else []
        self._ui.summaryLabel.text = breakable(summary.text) if summary else ""
        self._ui.noticeLabel.text = lines_html(notes)
        self._ui.summaryLabel.visible = bool(summary)
        self._ui.noticeLabel.visible = bool(notes)

    def _observe(self, volume, segmentation) -> None:
        self.removeObservers()
        self._observed = (volume, segmentation)
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        changed = slicer.vtkMRMLSegmentationNode.SegmentationChangedEvent
        inner = slicer.vtkSegmentation
        # The node passes its segmentation's events on, also when it is given another one.
        for node, event, handler in (
            (volume, vtk.vtkCommand.ModifiedEvent, self._on_moved),
            (volume, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, self._on_moved),
            (volume, moved, self._on_moved),
            (segmentation, moved, self._on_moved),
            (segmentation, changed, self._on_changed),
            (segmentation, inner.SegmentAdded, self._on_changed),
            (segmentation, inner.SegmentRemoved, self._on_changed),
            (segmentation, inner.SegmentModified, self._on_changed),
            (segmentation, inner.SourceRepresentationModified, self._on_drawn),
        ):
            if node is not None:
                self.addObserver(node, event, handler)

    def _on_moved(self, caller, event) -> None:
        """The CT, or where something lies: measured again when it is quiet."""
        self._settle.start()

    def _on_changed(self, caller, event) -> None:
        """The list of segments."""
        self._fill()
        self._settle.start()
        if self._node and set(self._node.segmentIds) - set(self._ids):
            self._on_chosen([identifier for identifier in self._node.segmentIds if identifier in self._ids])

    def _on_drawn(self, caller, event) -> None:
        """What is inside a segment."""
        self._settle.start()
        self._on_edited()

    def _fill(self) -> None:
        """List the segments, ticked as the parameter node says; nothing when nothing changed."""
        segmentation = self._observed[1]
        names = scene.segment_names(segmentation) if segmentation else {}
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
        self._fit_height()

    def _fit_height(self) -> None:
        """As high as its rows, so that the answer is not pushed out of sight."""
        segments = self._ui.segmentsList
        rows = min(max(segments.count, FEWEST_ROWS), MOST_ROWS)
        row_high = max(segments.sizeHintForRow(0), segments.fontMetrics().height() + 4)
        segments.setFixedHeight(rows * row_high + 2 * segments.frameWidth + 2)

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
