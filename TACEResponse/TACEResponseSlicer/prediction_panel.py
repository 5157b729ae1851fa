"""The TACE Response panel: patient, model and answer are sections of their own; here they meet."""

import qt
import slicer
from slicer.i18n import tr as _
from TACEResponseLib.errors import Cancelled

from . import dependencies, patient_section, scene
from .answer_section import AnswerSection
from .found import fingerprint
from .model_section import ModelSection, remember
from .panel import Panel
from .patient_section import PatientSection
from .work import Work

#: What the packages of a prediction weigh as wheels, about.
DOWNLOAD_MB = 110


class PredictionPanel(Panel):
    """Base of the module's widget, which says what `makeLogic` is."""

    title = _("TACE Response")

    def __init__(self, parent=None):
        Panel.__init__(self, parent)
        self.work = None
        self._asked = None

    # Setup, and the comings and goings of module and scene

    def build(self):
        """The sections, and what follows the scene."""
        self.answer = AnswerSection(self.ui)
        self.model = ModelSection(self.ui, self._onModelChosen)
        self.patient = PatientSection(self.ui, self._onSegmentsChosen, self._onEdited, self._onMeasured)
        self.ui.runRow.visible = False
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.NodeAddedEvent, self._onNodesChanged)
        self.addObserver(mrml, mrml.NodeRemovedEvent, self._onNodesChanged)
        ui = self.ui
        self.connectButtons(
            {
                ui.samplePatientButton: self.onSamplePatient,
                ui.drawButton: self.onDraw,
                ui.openBundleButton: self.onOpenBundle,
                ui.cardButton: self.onCard,
                ui.predictButton: self.onPredict,
                ui.whyButton: self.onWhy,
                ui.mapButton: self.onMap,
                ui.largestLayerButton: self.onLargestLayer,
                ui.reportButton: self.onReport,
                ui.copyButton: self.onCopy,
            }
        )

    def leave(self):
        """End what runs, and the process that computes."""
        if self.work is not None:
            self.work.abandon()
        self.logic.endCompanion()
        self.patient.release()

    def exit(self):
        """Called each time another module is opened; a running prediction goes on."""
        self.patient.editor.leave()
        Panel.exit(self)

    def onSceneStartClose(self, caller, event):
        """The scene's nodes are about to go, and with them what was asked about them."""
        if self.work is not None:
            self.work.cancel()
        Panel.onSceneStartClose(self, caller, event)
        self.patient.release()
        self.answer.clear()

    def initializeParameterNode(self):
        """Make sure the parameter node exists and is observed; choose what there is to choose."""
        node = self.logic.getParameterNode()
        if not node.ctVolume:
            node.ctVolume = scene.first_ct_volume()
        if not node.segmentation:
            node.segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        self.setParameterNode(node)
        self.patient.offer_sample()

    # Following the user's choices

    def onParameters(self, node):
        """Show what is chosen; an answer about something else goes."""
        if node.segmentation and len(node.segmentIds):
            present = scene.segment_names(node.segmentation)
            kept = [identifier for identifier in node.segmentIds if identifier in present]
            if kept != list(node.segmentIds):
                node.segmentIds = kept  # calls this again, with what is left
                return
        if self.answer.prediction is not None and self._choice() != self._asked:
            self.answer.clear()  # it was about another patient, tumour or model
        self.patient.show(node)
        self.model.show(node.bundle)

    def _choice(self):
        node = self._parameterNode
        chosen = (node.ctVolume, node.segmentation)
        return (*(n.GetID() if n else "" for n in chosen), *node.segmentIds, node.bundle)

    def _onNodesChanged(self, caller, event):
        self.patient.offer_sample()

    def _onSegmentsChosen(self, segmentIds):
        if self._parameterNode:
            self._parameterNode.segmentIds = segmentIds

    def _onModelChosen(self, folder):
        if self._parameterNode:
            self._parameterNode.bundle = folder

    def _onEdited(self):
        """Something was drawn or moved: whether the answer still holds is known after measuring."""
        self.answer.mark_outdated(True)

    def _onMeasured(self):
        if self.patient.found is not None:
            self.answer.mark_outdated(self.patient.found.fingerprint != self.answer.fingerprint)
        self.checkCanApply()

    def _running(self):
        return self.work is not None and self.work.running

    def checkCanApply(self, caller=None, event=None):
        """Enable Predict, or say in its tooltip why it is not; while it runs it is Cancel."""
        reason = "" if self._running() else self._whyNot()
        button = self.ui.predictButton
        button.enabled = not reason
        self.ui.whyButton.enabled = not self._running()
        if self._running():
            button.text, button.toolTip = _("Cancel"), _("Stop what is being computed")
        else:
            button.text = _("Predict")
            button.toolTip = reason or _("Say how likely this tumour responds to the first TACE")

    def _whyNot(self):
        node = self._parameterNode
        if not node or not node.ctVolume:
            return _("Choose a CT volume")
        if not node.segmentation:
            return _("Choose the tumour segmentation, or draw one")
        if not len(node.segmentIds):
            return _("Tick the segments that are tumour")
        return self.patient.problem or self.model.chosen.problem

    # Buttons

    def onSamplePatient(self, _checked=False):
        """Load the synthetic patient and choose it."""
        with self.errorsShown(_("The sample patient was not made."), waitCursor=True):
            volume, segmentation = patient_section.load_sample_patient()
            self._parameterNode.ctVolume = volume
            self._parameterNode.segmentation = segmentation
            self._parameterNode.segmentIds = list(scene.segment_names(segmentation))

    def onDraw(self, _checked=False):
        """Open the Segment Editor on the chosen CT."""
        if self._parameterNode:
            self.patient.draw()

    def onOpenBundle(self, _checked=False):
        """Ask for the folder of a trained model and choose it."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a trained model"))
        if folder:
            with self.errorsShown(_("The model was not opened.")):
                self.openBundle(folder)

    def openBundle(self, folder):
        """Offer and choose the bundle in `folder`; BundleError when it is none."""
        remember(str(folder))
        self.model.fill(str(folder))
        self._parameterNode.bundle = str(folder)

    def onCard(self, _checked=False):
        """Show the card of the chosen model."""
        with self.errorsShown(_("The card was not read.")):
            self.model.show_card()

    def onLargestLayer(self, _checked=False):
        """Centre the slice views where the tumour is largest."""
        self.answer.go_to_largest_layer()

    def onReport(self, _checked=False):
        """Write the report into a folder that is asked for, and open it."""
        with self.errorsShown(_("The report was not written.")):
            self.answer.report()

    def onCopy(self, _checked=False):
        """Put the answer as text on the clipboard."""
        self.answer.copy()

    def onPredict(self, _checked=False):
        """Predict, or cancel the prediction that runs."""
        if self._running():
            self.work.cancel()
            return
        with self.errorsShown(_("No prediction was made.")):
            dependencies.ensure(
                [dependencies.PREDICTION],
                requester=_("TACE Response"),
                purpose=_("measure and classify the tumour"),
                megabytes=DOWNLOAD_MB,
            )
            node = self._parameterNode
            voxels = scene.voxels_of_nodes(node.ctVolume, node.segmentation, list(node.segmentIds))
            bundle = self.model.chosen.path
            self.answer.clear()
            self._asked = self._choice()
            self._start(lambda progress: self._predicted(voxels, bundle, progress), self._onFinished)

    def _predicted(self, voxels, bundle, progress):
        """Case, its fingerprint, Prediction; on the worker's thread."""
        self.logic.warmUp()
        case = voxels.case(progress=progress)
        return case, fingerprint(case), self.logic.run(case, bundle, progress)

    def onWhy(self, _checked=False):
        """Work out what speaks for and against response in the patient that was predicted."""
        case, bundle = self.answer.case, self.model.chosen.path
        self._start(lambda progress: self.logic.runExplanation(case, bundle, progress), self._onExplained)

    def onMap(self, _checked=False):
        """Lay the network's map over the CT, or take it away again."""
        self.answer.why.toggle_map(self._parameterNode.ctVolume, self.answer.prediction.statement())
        if self.answer.why.map_is_shown:
            self.answer.go_to_largest_layer()

    def _start(self, compute, onFinished):
        self._onProgress(_("starting"), 0, 0)
        self.work = Work(lambda progress: self._beside(compute, progress), self._onProgress, onFinished)
        self.checkCanApply()

    def _beside(self, compute, progress):
        """Compute on the worker's thread; a cancelled computation leaves no process behind."""
        try:
            return compute(progress)
        except Cancelled:
            self.logic.endCompanion()
            raise

    def _onProgress(self, stage, done, total):
        self.ui.runRow.visible = self.ui.predictProgress.visible = True
        self.ui.predictProgress.setRange(0, total)
        self.ui.predictProgress.setValue(done)
        self.ui.stageLabel.text = stage

    def _onFinished(self, outcome, error):
        self.ui.runRow.visible = False
        self.checkCanApply()
        with self.errorsShown(_("No prediction was made.")):
            if error is not None:
                raise error
            self.answer.show(*outcome)
            node = self.logic.getParameterNode()  # also while another module is open
            node.resultTable = self.logic.publish(self.answer.prediction, node.resultTable)
            self._onMeasured()  # the tumour may have been redrawn meanwhile

    def _onExplained(self, explanation, error):
        self.ui.runRow.visible = False
        self.checkCanApply()
        with self.errorsShown(_("The answer was not explained.")):
            if error is not None:
                raise error
            self.answer.why.show(explanation)
            self.logic.publishExplanation(explanation, self.answer.prediction.statement())
