"""TACE Response: how likely one patient responds to the first TACE, from a contrast CT.

The module file is a door. The science is in TACEResponseLib, nodes and widgets are served by
TACEResponseSlicer; here stand the module, its parameter node, the panel, the logic for the Python
console, and the module's own test.
"""

import contextlib
import sys
from pathlib import Path

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from TACEResponseLib.errors import Cancelled, TACEResponseError
from TACEResponseLib.progress import silent
from TACEResponseSlicer import dependencies, patient_section, publish, scene
from TACEResponseSlicer.answer_section import AnswerSection
from TACEResponseSlicer.model_section import ModelSection, remember
from TACEResponseSlicer.patient_section import PatientSection
from TACEResponseSlicer.work import Work

#: What the packages of a prediction weigh as wheels, about.
DOWNLOAD_MB = 110


class TACEResponse(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("TACE Response")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Segmentations", "SubjectHierarchy"]
        self.parent.contributors = ["TACEResponse contributors"]
        self.parent.helpText = _(
            "Says how likely a patient with hepatocellular carcinoma responds to the first transarterial"
            " chemoembolization (mRECIST CR or PR), from a contrast-enhanced CT and the tumour's segments."
            " For research use only; not a medical device."
        )
        self.parent.acknowledgementText = _(
            "Reproduces Peng et al., Frontiers in Oncology 2021;11:730282 (doi:10.3389/fonc.2021.730282)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Offer the synthetic sample patient in the Sample Data module."""
    import SampleData

    thumbnail = Path(__file__).parent / "Resources" / "Icons" / "TACEResponseSamplePatient.png"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="TACE Response",
        sampleName="TACEResponseSamplePatient",
        uris="",  # made on the spot, never downloaded
        fileNames="",
        nodeNames=patient_section.SAMPLE_NAME,
        thumbnailFileName=str(thumbnail),
        customDownloader=loadSamplePatient,
    )


def loadSamplePatient(source=None):
    """Make the sample patient and return its nodes, as the Sample Data module asks for them."""
    return list(patient_section.load_sample_patient())


@parameterNodeWrapper
class TACEResponseParameterNode:
    """What the user chose; saved and loaded with the scene.

    ctVolume: the CT in HU. segmentation, segmentIds: the tumour. bundle: folder of the model, empty
    for the demonstration. resultTable: the last answer.
    """

    ctVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    segmentIds: list[str]
    bundle: str = ""
    resultTable: vtkMRMLTableNode


class TACEResponseWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: patient, model and answer are sections of their own; here they meet."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.work = None
        self.lastError = ""
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    # Setup, and the comings and goings of module and scene

    def setup(self):
        """Build the panel; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/TACEResponse.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = TACEResponseLogic()
        self.answer = AnswerSection(self.ui)
        self.model = ModelSection(self.ui, self._onModelChosen)
        self.patient = PatientSection(self.ui, self._onSegmentsChosen, self._checkCanApply)
        self.ui.runRow.visible = False
        self._connect()
        self.initializeParameterNode()

    def _connect(self):
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(mrml, mrml.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(mrml, mrml.NodeAddedEvent, self._onNodesChanged)
        self.addObserver(mrml, mrml.NodeRemovedEvent, self._onNodesChanged)
        for button, handler in (
            (self.ui.samplePatientButton, self.onSamplePatient),
            (self.ui.drawButton, self.onDraw),
            (self.ui.openBundleButton, self.onOpenBundle),
            (self.ui.cardButton, self.onCard),
            (self.ui.predictButton, self.onPredict),
            (self.ui.largestLayerButton, self.onLargestLayer),
            (self.ui.reportButton, self.onReport),
            (self.ui.copyButton, self.onCopy),
        ):
            button.connect("clicked(bool)", handler)

    def cleanup(self):
        """Let go of everything: the application closes or the module is reloaded."""
        if self.work is not None:
            self.work.abandon()
        self.setParameterNode(None)
        self.patient.release()
        self.removeObservers()

    def enter(self):
        """Called each time the module is opened."""
        self.initializeParameterNode()

    def exit(self):
        """Called each time another module is opened; a running prediction goes on."""
        self.patient.editor.leave()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        """The scene's nodes are about to go, and with them what was asked about them."""
        if self.work is not None:
            self.work.cancel()
        self.setParameterNode(None)
        self.patient.release()
        self.answer.clear()

    def onSceneEndClose(self, caller, event):
        """The scene is empty now; start over when the panel is open."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onReload(self):
        """Reload the library and the shared rooms together with the module file."""
        for name in list(sys.modules):
            if name.partition(".")[0] in ("TACEResponseLib", "TACEResponseSlicer"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def initializeParameterNode(self):
        """Make sure the parameter node exists and is observed; choose what there is to choose."""
        node = self.logic.getParameterNode()
        if not node.ctVolume:
            node.ctVolume = scene.first_ct_volume()
        if not node.segmentation:
            node.segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        self.setParameterNode(node)
        self.patient.offer_sample()

    def setParameterNode(self, parameterNode):
        """Follow another parameter node, or none while a scene closes."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
            self._onParameters()
        self._checkCanApply()

    # Following the user's choices

    def _onParameters(self, caller=None, event=None):
        node = self._parameterNode
        if not node:
            return
        if node.segmentation and len(node.segmentIds):
            present = scene.segment_names(node.segmentation)
            kept = [identifier for identifier in node.segmentIds if identifier in present]
            if kept != list(node.segmentIds):
                node.segmentIds = kept  # calls this again, with what is left
                return
        self.patient.show(node)
        self.model.show(node.bundle)
        self._checkCanApply()

    def _onNodesChanged(self, caller, event):
        self.patient.offer_sample()

    def _onSegmentsChosen(self, segmentIds):
        if self._parameterNode:
            self._parameterNode.segmentIds = segmentIds

    def _onModelChosen(self, folder):
        if self._parameterNode:
            self._parameterNode.bundle = folder

    def _running(self):
        return self.work is not None and self.work.running

    def _checkCanApply(self, caller=None, event=None):
        """Enable Predict, or say in its tooltip why it is not; while it runs it is Cancel."""
        reason = "" if self._running() else self._whyNot()
        button = self.ui.predictButton
        button.enabled = not reason
        if self._running():
            button.text, button.toolTip = _("Cancel"), _("Stop the prediction")
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
        with self._errorsShown(_("The sample patient was not made."), waitCursor=True):
            volume, segmentation = patient_section.load_sample_patient()
            self._parameterNode.ctVolume = volume
            self._parameterNode.segmentation = segmentation
            self._parameterNode.segmentIds = list(scene.segment_names(segmentation))
            self.patient.measure()

    def onDraw(self, _checked=False):
        """Open the Segment Editor on the chosen CT."""
        if self._parameterNode:
            self.patient.draw()

    def onOpenBundle(self, _checked=False):
        """Ask for the folder of a trained model and choose it."""
        import qt

        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a trained model"))
        if folder:
            with self._errorsShown(_("The model was not opened.")):
                self.openBundle(folder)

    def openBundle(self, folder):
        """Offer and choose the bundle in `folder`; BundleError when it is none."""
        remember(str(folder))
        self.model.fill(str(folder))
        self._parameterNode.bundle = str(folder)

    def onCard(self, _checked=False):
        """Show the card of the chosen model."""
        with self._errorsShown(_("The card was not read.")):
            self.model.show_card()

    def onLargestLayer(self, _checked=False):
        """Centre the slice views where the tumour is largest."""
        self.answer.go_to_largest_layer()

    def onReport(self, _checked=False):
        """Write the report into a folder that is asked for, and open it."""
        with self._errorsShown(_("The report was not written.")):
            self.answer.report()

    def onCopy(self, _checked=False):
        """Put the answer as text on the clipboard."""
        self.answer.copy()

    def onPredict(self, _checked=False):
        """Predict, or cancel the prediction that runs."""
        if self._running():
            self.work.cancel()
            return
        with self._errorsShown(_("No prediction was made.")):
            dependencies.ensure(
                [dependencies.PREDICTION],
                requester=_("TACE Response"),
                purpose=_("measure and classify the tumour"),
                megabytes=DOWNLOAD_MB,
            )
            node = self._parameterNode
            case = self.logic.prepare(node.ctVolume, node.segmentation, list(node.segmentIds))
            bundle = self.model.chosen.path
            self.answer.clear()
            self._onProgress(_("loading the model"), 0, 0)
            self.work = Work(
                lambda progress: (case, self.logic.run(case, bundle, progress)),
                self._onProgress,
                self._onFinished,
            )
        self._checkCanApply()

    def _onProgress(self, stage, done, total):
        self.ui.runRow.visible = self.ui.predictProgress.visible = True
        self.ui.predictProgress.setRange(0, total)
        self.ui.predictProgress.setValue(done)
        self.ui.stageLabel.text = stage

    def _onFinished(self, outcome, error):
        self.ui.runRow.visible = False
        self._checkCanApply()
        with self._errorsShown(_("No prediction was made.")):
            if error is not None:
                raise error
            self.answer.show(*outcome)
            node = self.logic.getParameterNode()  # also while another module is open
            node.resultTable = self.logic.publish(outcome[1], node.resultTable)

    @contextlib.contextmanager
    def _errorsShown(self, title, waitCursor=False):
        """A named error becomes a sentence in a dialog; anything else shows its details, as everywhere."""
        self.lastError = ""
        with slicer.util.tryWithErrorDisplay(title, waitCursor=waitCursor):
            try:
                yield
            except Cancelled:
                slicer.util.showStatusMessage(_("Cancelled"), 3000)
            except TACEResponseError as error:
                self.lastError = str(error)
                slicer.util.errorDisplay(f"{title}\n\n{error}", windowTitle=_("TACE Response"))


class TACEResponseLogic(ScriptedLoadableModuleLogic):
    """Everything the panel does, for the Python console and for scripts; needs no window.

    Example: `TACEResponse.TACEResponseLogic().process(getNode("CT"), getNode("Segmentation"))`.
    """

    def getParameterNode(self):
        """The parameter node of the scene, typed."""
        return TACEResponseParameterNode(super().getParameterNode())

    def prepare(self, volumeNode, segmentationNode, segmentIds=None, patientId=""):
        """Nodes -> Case: every check happens here, on the main thread. See `scene.case_from_nodes`."""
        return scene.case_from_nodes(volumeNode, segmentationNode, segmentIds, patientId)

    def run(self, case, bundle=None, progress=silent):
        """Case -> Prediction, on any thread: no node and no widget is touched.

        bundle: folder of a trained model, None for the demonstration. Raises BundleError,
        FeatureError, DependencyError, or Cancelled when `progress` does.
        """
        dependencies.require([dependencies.PREDICTION])
        from TACEResponseLib.bundle import demonstration_bundle, load_bundle

        model = load_bundle(Path(bundle) if bundle else demonstration_bundle())
        return model.predict(case, progress=progress)

    def publish(self, prediction, tableNode=None):
        """Prediction -> vtkMRMLTableNode; the given node is filled again. Main thread."""
        return publish.prediction_table(prediction, tableNode)

    def process(self, volumeNode, segmentationNode, segmentIds=None, bundle=None, patientId="", publish=True):
        """The three phases in one call; returns the Prediction.

        volumeNode: CT in HU. segmentationNode: the tumour. segmentIds: IDs or names, None for the
        only segment, "all" for every one. bundle: folder of a trained model, None for the
        demonstration (synthetic, not for patients). patientId: the volume's name when empty.
        publish: also put a table into the scene.
        """
        case = self.prepare(volumeNode, segmentationNode, segmentIds, patientId)
        prediction = self.run(case, bundle)
        if publish:
            self.publish(prediction)
        return prediction


class TACEResponseTest(ScriptedLoadableModuleTest):
    """What must hold in every Slicer; the prediction itself where its packages are installed."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """All tests, each from an empty scene."""
        for test in (
            self.test_nodes_become_the_case_they_came_from,
            self.test_the_parameter_node_keeps_its_choices,
            self.test_the_panel_says_why_predict_is_disabled,
            self.test_the_sample_patient_is_predicted,
        ):
            self.setUp()
            self.delayDisplay(test.__name__.replace("_", " "))
            test()
        self.delayDisplay("Test passed")

    def test_nodes_become_the_case_they_came_from(self):
        """The sample patient's nodes give its voxels, its mask and its lesions back."""
        import numpy as np
        import SimpleITK as sitk
        from TACEResponseLib.phantom import make_patient

        patient = make_patient(0, seed=2, size="small")
        volume, segmentation = publish.patient_nodes("patient", patient.image, patient.mask)
        case = TACEResponseLogic().prepare(volume, segmentation, "all")
        for ours, theirs in ((case.image, patient.image), (case.mask, patient.mask)):
            self.assertTrue(np.array_equal(*map(sitk.GetArrayFromImage, (ours, theirs))))
            self.assertTrue(np.allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-6))
        with self.assertRaises(TACEResponseError):
            TACEResponseLogic().prepare(volume, segmentation, ["no such segment"])

    def test_the_parameter_node_keeps_its_choices(self):
        """What is chosen is read back by another wrapper of the same node."""
        volume, segmentation = patient_section.load_sample_patient()
        node = TACEResponseLogic().getParameterNode()
        segmentIds = list(scene.segment_names(segmentation))
        node.ctVolume, node.segmentation, node.segmentIds = volume, segmentation, segmentIds
        again = TACEResponseLogic().getParameterNode()
        self.assertEqual(again.ctVolume.GetID(), volume.GetID())
        self.assertEqual(again.segmentation.GetID(), segmentation.GetID())
        self.assertEqual(list(again.segmentIds), segmentIds)

    def test_the_panel_says_why_predict_is_disabled(self):
        """Step by step from an empty scene to an enabled button, or to the missing model."""
        slicer.util.selectModule("TACEResponse")
        panel = slicer.util.getModuleWidget("TACEResponse")
        self.assertFalse(panel.ui.predictButton.enabled)
        self.assertIn("CT", panel.ui.predictButton.toolTip)
        panel.onSamplePatient()
        if panel.model.chosen.problem:
            self.assertEqual(panel.ui.predictButton.toolTip, panel.model.chosen.problem)
        else:
            self.assertTrue(panel.ui.predictButton.enabled, panel.ui.predictButton.toolTip)
        panel._parameterNode.segmentIds = []
        self.assertFalse(panel.ui.predictButton.enabled)
        self.assertIn("segments", panel.ui.predictButton.toolTip)

    def test_the_sample_patient_is_predicted(self):
        """The panel's answer is the logic's answer."""
        try:
            dependencies.require([dependencies.PREDICTION])
        except TACEResponseError as error:
            self.delayDisplay(f"The prediction was not tested. {error}")
            return
        slicer.util.selectModule("TACEResponse")
        panel = slicer.util.getModuleWidget("TACEResponse")
        panel.onSamplePatient()
        panel.onPredict()
        self.assertTrue(panel.work.waitForCompletion(300))
        self.assertEqual(panel.lastError, "")
        node = panel._parameterNode
        again = TACEResponseLogic().process(node.ctVolume, node.segmentation, "all", publish=False)
        self.assertAlmostEqual(panel.answer.prediction.fused, again.fused, places=6)
        self.assertEqual(node.resultTable.GetTable().GetNumberOfRows(), len(again.probabilities) + 1)
