"""TACE Response: how likely one patient is to respond to the first TACE, from a contrast CT.

The science is in TACEResponseLib, nodes and widgets in TACEResponseSlicer; here stand the module, its
parameter node, the widget, the logic for the Python console, and the module's own test. Both are imported
where they are first used, so that registering the module loads nothing that a bare Slicer has not loaded.
"""

import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from TACEResponseSlicer.texts import tr as _


class TACEResponse(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("TACE Response")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Segmentations", "SubjectHierarchy"]
        self.parent.contributors = ["TACEResponse contributors"]  # not a text
        self.parent.helpText = _(
            "Estimates how likely a patient with hepatocellular carcinoma is to respond to the first"
            " transarterial chemoembolization (mRECIST CR or PR), from a contrast-enhanced CT and the"
            " tumour's segments. For research use only; not a medical device."
        )
        self.parent.acknowledgementText = _(
            "Reproduces Peng et al., Frontiers in Oncology 2021;11:730282 (doi:10.3389/fonc.2021.730282)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Offer the synthetic sample patient in the Sample Data module."""
    from TACEResponseSlicer import sample_patient

    sample_patient.register(loadSamplePatient)


def loadSamplePatient(source=None):
    """Make the sample patient and return its nodes, as the Sample Data module asks for them."""
    from TACEResponseSlicer import sample_patient

    return list(sample_patient.load())


@parameterNodeWrapper
class TACEResponseParameterNode:
    """What the user chose; saved and loaded with the scene. bundle: folder, empty for the demonstration.

    clinicalValues: name with unit -> text, as `clinical_section` reads them. resultTable: the last answer.
    """

    ctVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    segmentIds: list[str]
    clinicalValues: dict[str, str]
    bundle: str = ""
    resultTable: vtkMRMLTableNode


class TACEResponseWidget(ScriptedLoadableModuleWidget):
    """What Slicer opens. panel: its contents (`TACEResponseSlicer.prediction_panel`), once it was opened."""

    panel = None

    def setup(self):
        """Build the panel; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        from TACEResponseSlicer.prediction_panel import PredictionPanel
        from TACEResponseSlicer.python_process import service_process

        self.panel = PredictionPanel(self, TACEResponseLogic(service_process()))

    def enter(self):
        """Called each time the module is opened."""
        self.panel.enter()

    def exit(self):
        """Called each time another module is opened."""
        self.panel.exit()

    def cleanup(self):
        """The application closes or the module is reloaded."""
        if self.panel is not None:
            self.panel.cleanup()

    def onReload(self):
        """Reload the library, the shared rooms and both modules."""
        from TACEResponseSlicer.reloading import forget_and_reload_others

        forget_and_reload_others(self.moduleName)
        ScriptedLoadableModuleWidget.onReload(self)


class TACEResponseLogic(ScriptedLoadableModuleLogic):
    """Everything the panel does, for the Python console and for scripts; needs no window.

    Example: `TACEResponse.TACEResponseLogic().process(getNode("CT"), getNode("Segmentation"))`.

    service: the process that computes (`python_process`), so that the application stays alive; without
    one the caller's own process computes, and the call returns when it is done.
    """

    def __init__(self, service=None):
        ScriptedLoadableModuleLogic.__init__(self)
        self.service = service
        self._here = None

    def getParameterNode(self):
        """The parameter node of the scene, typed."""
        return TACEResponseParameterNode(super().getParameterNode())

    def prepare(self, volumeNode, segmentationNode, segmentIds=None, patientId="", outline=None):
        """Nodes -> Case, with every check, on the main thread. See `scene.case_from_nodes`."""
        from TACEResponseSlicer import scene

        return scene.case_from_nodes(volumeNode, segmentationNode, segmentIds, patientId, outline)

    def run(self, case, bundle=None, progress=None, **options):
        """Case -> Prediction, on any thread: no node and no widget is touched.

        bundle: folder of a trained model, None for the demonstration. options: clinical, lesions,
        diameter_mm as `service.PredictionService.predict` takes them. Raises BundleError, FeatureError,
        DependencyError, ChildError, or Cancelled when `progress` does.
        """
        return self._ask("predict", progress, case=case, bundle=bundle, **options)

    def runExplanation(self, case, bundle=None, progress=None):
        """Case -> Explanation (`answer.explanation`), on any thread; raises what `run` does."""
        return self._ask("explain", progress, case=case, bundle=bundle)

    def runSensitivity(self, case, bundle=None, progress=None):
        """Case -> ContourSensitivity (`answer.contour_sensitivity`), on any thread; raises as `run`."""
        return self._ask("sensitivity", progress, case=case, bundle=bundle)

    def writeReport(self, prediction, case, folder, bundle=None, progress=None, **options):
        """Write the report into a folder; the path of its page. options: sensitivity, named. Any thread."""
        options |= {"prediction": prediction, "case": case, "folder": folder, "bundle": bundle}
        return self._ask("report", progress, **options)

    def writeDicom(self, prediction, case, series, folder, progress=None):
        """Write a prediction as DICOM SR and SEG into a folder; their paths. On any thread.

        series: the files of the CT, as `dicom_source.source_files(volumeNode)` finds them.
        """
        return self._ask("dicom", progress, prediction=prediction, case=case, series=series, folder=folder)

    def keepInRegister(self, prediction, file, patientId, day=None):
        """Keep a prediction in the register `file` (`follow_up.register`); its path. On any thread.

        patientId: an ID or a pseudonym. day: of the scan, "2025-03-31", today when None. RegisterError.
        """
        return self._serviceHere().keep(prediction, file, patientId, day)

    @property
    def register(self):
        """Who waits for a response, recording one, the audit (`register_access`)."""
        from TACEResponseSlicer.register_access import RegisterAccess

        return RegisterAccess(self._ask)

    def canPredict(self):
        """Whether the packages of a prediction are there; nothing is installed and nothing imported."""
        from TACEResponseSlicer import dependencies

        return dependencies.are_there([dependencies.PREDICTION])

    def getReady(self, bundle=None, progress=None):
        """Have the service load the model and compile what the first prediction waits for. Any thread."""
        if self.service is not None:
            self._ask("warm_up", progress, bundle=bundle)

    def startService(self):
        """Let the service's process start before it is asked; without one nothing happens. Any thread."""
        from TACEResponseSlicer import python_process

        self.service = python_process.started(self.service)

    def endService(self):
        """End the service's process and remove its files; it starts again when it is needed."""
        if self.service is not None:
            self.service.close()

    def _ask(self, question, progress, **content):
        from TACEResponseLib.messages.progress import silent
        from TACEResponseSlicer import dependencies

        dependencies.require([dependencies.PREDICTION])
        if self.service is not None and not self.service.alive:
            self.startService()
        if self.service is not None:
            return self.service.ask(question, progress or silent, **content)
        return getattr(self._serviceHere(), question)(**content, progress=progress or silent)

    def _serviceHere(self):
        """The service in this process, which keeps its model and its last case."""
        from TACEResponseLib.service import PredictionService

        self._here = self._here or PredictionService()
        return self._here

    def publish(self, prediction, tableNode=None):
        """Prediction -> vtkMRMLTableNode; the given node is filled again. Main thread."""
        from TACEResponseSlicer import publish

        return publish.prediction_table(prediction, tableNode)

    def publishExplanation(self, explanation, sentence=""):
        """Explanation -> vtkMRMLPlotChartNode of the features' shares; None when there are none."""
        from TACEResponseSlicer import publish

        return publish.contribution_chart(explanation, sentence) if explanation.contributions else None

    def explain(self, volumeNode, segmentationNode, segmentIds=None, bundle=None, patientId="", publish=True):
        """Why the model answers what `process` returns: an Explanation; publish: a chart of it, too."""
        case = self.prepare(volumeNode, segmentationNode, segmentIds, patientId)
        explanation = self.runExplanation(case, bundle)
        if publish:
            self.publishExplanation(explanation)
        return explanation

    def process(
        self,
        volumeNode,
        segmentationNode,
        segmentIds=None,
        bundle=None,
        patientId="",
        publish=True,
        clinicalValues=None,
        outline=None,
    ):
        """The three phases in one call; returns the Prediction.

        volumeNode: CT in HU. segmentIds: IDs or names, None for the only segment, "all" for every one.
        bundle: folder of a trained model, None for the demonstration (synthetic, not for patients).
        patientId: the volume's name when empty. publish: also put a table into the scene. clinicalValues:
        known before TACE, `{"albumin_g_l": "38"}`. outline: who made the segments (`cases.outline.Outline`).
        """
        from TACEResponseSlicer import clinical_section

        case = self.prepare(volumeNode, segmentationNode, segmentIds, patientId, outline)
        prediction = self.run(case, bundle, **clinical_section.as_options(clinicalValues or {}))
        if publish:
            self.publish(prediction)
        return prediction


class TACEResponseTest(ScriptedLoadableModuleTest):
    """What must hold in every Slicer; the prediction itself where its packages are installed."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def openPanel(self):
        """The module's panel, also where there is no main window."""
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("TACEResponse")
        widget = slicer.util.getModuleWidget("TACEResponse")
        widget.enter()
        return widget.panel

    def loadSamplePatient(self, panel):
        """Press the panel's button and wait for the patient."""
        panel.onSamplePatient()
        self.assertTrue(panel.task.waitForCompletion(60))
        self.assertEqual(panel.lastError, "")

    def runTest(self):
        """All tests, each from an empty scene."""
        for test in (
            self.test_nodes_become_the_case_they_came_from,
            self.test_the_parameter_node_keeps_its_choices,
            self.test_the_panel_says_why_predict_is_disabled,
            self.test_a_click_on_the_tumour_is_a_draft,
            self.test_the_sample_patient_is_predicted,
        ):
            self.setUp()
            self.delayDisplay(test.__name__.replace("_", " "))
            test()
        self.delayDisplay(_("Test passed"))

    def test_nodes_become_the_case_they_came_from(self):
        """The sample patient's nodes give its voxels, its mask and its lesions back."""
        from TACEResponseSlicer import module_tests

        module_tests.nodes_become_their_case(self, TACEResponseLogic())

    def test_a_click_on_the_tumour_is_a_draft(self):
        """A click on the sample patient proposes an outline for which Predict waits."""
        from TACEResponseSlicer import module_tests

        panel = self.openPanel()
        self.loadSamplePatient(panel)
        module_tests.a_click_is_a_draft(self, panel, TACEResponseLogic())

    def test_the_parameter_node_keeps_its_choices(self):
        """What is chosen is read back by another wrapper of the same node."""
        from TACEResponseSlicer import sample_patient, scene

        volume, segmentation = sample_patient.load()
        node = TACEResponseLogic().getParameterNode()
        segmentIds = list(scene.segment_names(segmentation))
        node.ctVolume, node.segmentation, node.segmentIds = volume, segmentation, segmentIds
        again = TACEResponseLogic().getParameterNode()
        self.assertEqual(again.ctVolume.GetID(), volume.GetID())
        self.assertEqual(again.segmentation.GetID(), segmentation.GetID())
        self.assertEqual(list(again.segmentIds), segmentIds)

    def test_the_panel_says_why_predict_is_disabled(self):
        """Step by step from an empty scene to an enabled button, or to the missing model."""
        panel = self.openPanel()
        self.assertFalse(panel.ui.predictButton.enabled)
        self.assertIn("CT", panel.ui.predictButton.toolTip)
        self.loadSamplePatient(panel)
        if panel.model.chosen.problem:
            self.assertEqual(panel.ui.predictButton.toolTip, panel.model.chosen.problem)
        else:
            self.assertTrue(panel.ui.predictButton.enabled, panel.ui.predictButton.toolTip)
        panel._parameterNode.segmentIds = []
        self.assertFalse(panel.ui.predictButton.enabled)
        self.assertEqual(panel.ui.predictButton.toolTip, _("Tick the segments that are tumour"))

    def test_the_sample_patient_is_predicted(self):
        """The panel's answer is the logic's answer."""
        if not TACEResponseLogic().canPredict():
            self.delayDisplay(_("The prediction was not tested: its packages are not installed."))
            return
        panel = self.openPanel()
        self.loadSamplePatient(panel)
        panel.onPredict()
        self.assertTrue(panel.task.waitForCompletion(300))
        self.assertEqual(panel.lastError, "")
        node = panel._parameterNode
        again = TACEResponseLogic().process(node.ctVolume, node.segmentation, "all", publish=False)
        self.assertAlmostEqual(panel.answer.prediction.fused, again.fused, places=6)
        self.assertEqual(node.resultTable.GetTable().GetNumberOfRows(), len(again.probabilities) + 1)
