"""TACE Response Training: from a cohort of CTs to a model, its honest evaluation and its report.

The module file is a door. The command line of TACEResponseLib does the work in a child process
(TACEResponseSlicer.background); here stand the module, its parameter node, the panel, the logic for
the Python console, and the module's own test.
"""

import contextlib
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if importlib.util.find_spec("TACEResponseLib") is None:
    # In a checkout the library lies beside the other module, whose folder Slicer may not know yet.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "TACEResponse"))

from TACEResponseLib.errors import Cancelled, InputError, TACEResponseError
from TACEResponseSlicer import dependencies, publish, training_results
from TACEResponseSlicer.answer_view import fill_table
from TACEResponseSlicer.background import ChildProcess

RESOURCES = Path(__file__).parent / "Resources"
REQUIREMENTS = "TACEResponseTrainingRequirements.txt"
#: Packages that only the network needs, and what all packages and those alone weigh, about.
FRAMEWORK = ("keras", "tensorflow")
DOWNLOAD_MB, FRAMEWORK_MB = 180, 420
PRESETS = ["peng2021", "recommended"]


class TACEResponseTraining(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("TACE Response Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["TACEResponse"]
        self.parent.contributors = ["TACEResponse contributors"]
        self.parent.helpText = _(
            "Trains and evaluates a model of the response to the first TACE on a cohort of contrast CTs with"
            " tumour masks: radiomics, two-reader agreement, selection, five classical models, a CNN, fusion."
            " For research use only; not a medical device."
        )
        self.parent.acknowledgementText = _(
            "Reproduces Peng et al., Frontiers in Oncology 2021;11:730282 (doi:10.3389/fonc.2021.730282)."
        )


@parameterNodeWrapper
class TACEResponseTrainingParameterNode:
    """What the user chose; saved and loaded with the scene.

    cohort: folder or table. output: folder of the bundle. preset, folds, seed, cnn: the recipe.
    trained: folder of the last bundle; report: of its report.
    """

    cohort: str = ""
    output: str = ""
    preset: Annotated[str, Choice(PRESETS)] = PRESETS[0]
    folds: Annotated[int, WithinRange(2, 50)] = 5
    seed: Annotated[int, WithinRange(0, 2147483647)] = 1
    cnn: bool = True
    trained: str = ""
    report: str = ""


class TACEResponseTrainingWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: a cohort in, a child process beside it, a model and its figures out."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.child = None
        self.lastError = ""
        self._verdicts = []
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        """Build the panel; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/TACEResponseTraining.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = TACEResponseTrainingLogic()
        self.ui.trainRow.visible = False
        self.ui.cohortTable.visible = self.ui.cohortSummaryLabel.visible = False
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(mrml, mrml.EndCloseEvent, self.onSceneEndClose)
        for button, handler in (
            (self.ui.checkButton, self.onCheck),
            (self.ui.trainButton, self.onTrain),
            (self.ui.openReportButton, self.onOpenReport),
            (self.ui.useButton, self.onUse),
        ):
            button.connect("clicked(bool)", handler)
        self.ui.cohortPathEdit.connect("currentPathChanged(QString)", self._onPaths)
        self.ui.bundlePathEdit.connect("currentPathChanged(QString)", self._onPaths)
        self.ui.cohortTable.connect("cellDoubleClicked(int,int)", self.onOpenPatient)
        self.initializeParameterNode()

    def cleanup(self):
        """Let go of everything; a child that still runs is ended with all it started."""
        if self.child is not None:
            self.child.abandon()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        """Called each time the module is opened."""
        self.initializeParameterNode()

    def exit(self):
        """Called each time another module is opened; a running training goes on."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        """The parameter node is about to go; a running training does not depend on the scene."""
        self.setParameterNode(None)

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
        """Make sure the parameter node exists and is observed."""
        self.setParameterNode(self.logic.getParameterNode())

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
            self._showResult()
        self._checkCanApply()

    # Following the user's choices

    def _onParameters(self, caller=None, event=None):
        node = self._parameterNode
        if not node:
            return
        for edit, path in ((self.ui.cohortPathEdit, node.cohort), (self.ui.bundlePathEdit, node.output)):
            if edit.currentPath != path:
                edit.currentPath = path
        self._checkCanApply()

    def _onPaths(self, _path=""):
        node = self._parameterNode
        if node:
            cohort, output = self.ui.cohortPathEdit.currentPath, self.ui.bundlePathEdit.currentPath
            if (cohort, output) != (node.cohort, node.output):
                node.cohort, node.output = cohort, output

    def _running(self):
        return self.child is not None and self.child.running

    def _checkCanApply(self, caller=None, event=None):
        """Enable Check and Train, or say in their tooltips why they are not."""
        running, noCohort = self._running(), self._whyNoCheck()
        noTraining = noCohort or self._whyNoTraining()
        self.ui.checkButton.enabled = not running and not noCohort
        self.ui.checkButton.toolTip = noCohort or _(
            "Read every patient and list every problem; nothing is computed"
        )
        self.ui.trainButton.enabled = running or not noTraining
        if running:
            self.ui.trainButton.text, self.ui.trainButton.toolTip = (
                _("Cancel"),
                _("Stop; what is done is kept"),
            )
        else:
            resume = bool(self._parameterNode) and self.logic.workFolder(self._parameterNode.output).exists()
            self.ui.trainButton.text = _("Resume") if resume else _("Train")
            self.ui.trainButton.toolTip = noTraining or _("Train the model and evaluate it honestly")

    def _whyNoCheck(self):
        node = self._parameterNode
        if not node or not node.cohort:
            return _("Choose the cohort: a folder, cohort.csv or an .xlsx table")
        return "" if Path(node.cohort).exists() else _("The cohort does not exist")

    def _whyNoTraining(self):
        return "" if self._parameterNode.output else _("Choose a folder to write the model to")

    # Check and train

    def onCheck(self, _checked=False):
        """Run the preflight and list what it finds."""
        self._verdicts = []
        with self._errorsShown(_("The cohort was not checked.")):
            self._start(self.logic.checkArguments(self._parameterNode.cohort), self._onChecked)

    def onTrain(self, _checked=False):
        """Train, or cancel what runs."""
        if self._running():
            self.child.cancel()
            return
        node = self._parameterNode
        with self._errorsShown(_("The training was not started.")):
            arguments = self.logic.prepare(
                node.cohort, node.output, preset=node.preset, folds=node.folds, seed=node.seed, cnn=node.cnn
            )
            dependencies.ensure(
                requirementsPaths(),
                requester=_("TACE Response Training"),
                purpose=_("measure the cohort and train the models"),
                megabytes=DOWNLOAD_MB + (FRAMEWORK_MB if node.cnn else 0),
                without=() if node.cnn else FRAMEWORK,
            )
            self._start(arguments, self._onTrained)

    def _start(self, arguments, onFinished):
        self.ui.trainingLog.clear()
        self.child = self.logic.run(arguments, self._onEvent, self.ui.trainingLog.appendPlainText, onFinished)
        self.ui.trainRow.visible = self.ui.trainProgress.visible = True
        self.ui.trainProgress.setRange(0, 0)
        self.ui.trainStageLabel.text = _("starting")
        self._checkCanApply()

    def _onEvent(self, event):
        if "verdict" in event:
            self._verdicts.append(event)
        elif event.get("event") == "progress":
            self.ui.trainProgress.setRange(0, event["total"])
            self.ui.trainProgress.setValue(event["done"])
            left = event.get("eta_s")
            stage = f"{event['stage']} {event['done']}/{event['total']}"
            self.ui.trainStageLabel.text = stage if left is None else f"{stage}, {_timeLeft(left)}"

    def _onChecked(self, done, error):
        with self._finishing(error, _("The cohort was not checked.")):
            counts = _("{ok} ok, {warning} with warnings, {error} with errors").format(**done)
            total = done["ok"] + done["warning"] + done["error"]
            self.ui.cohortSummaryLabel.text = _("{total} patients: {counts}").format(
                total=total, counts=counts
            )
            rows = [(v["patient_id"], v["verdict"], _problems(v)) for v in self._verdicts]
            fill_table(self.ui.cohortTable, (_("patient"), _("verdict"), _("what to know")), rows, 2)
            self.ui.cohortTable.visible = self.ui.cohortSummaryLabel.visible = True

    def _onTrained(self, done, error):
        with self._finishing(error, _("No model was trained.")):
            node = self.logic.getParameterNode()  # also while another module is open
            node.trained, node.report = done["bundle"], done["report"]
            self.logic.publish(done["bundle"], done["report"])
            self._showResult()

    @contextlib.contextmanager
    def _finishing(self, error, title):
        self.ui.trainRow.visible = False
        self._checkCanApply()
        if error is not None and getattr(error, "log", ""):
            self.ui.logSection.collapsed = False
        with self._errorsShown(title):
            if error is not None:
                raise error
            yield

    def _showResult(self):
        report = (
            Path(self._parameterNode.report) if self._parameterNode and self._parameterNode.report else None
        )
        there = report is not None and (report / "evaluation.json").is_file()
        self.ui.trainingResultSection.visible = there
        if not there:
            return
        rows = training_results.auc_rows(training_results.read_evaluation(report))
        headers = (_("model"), _("estimate"), _("AUC (95 % CI)"), _("patients"))
        fill_table(self.ui.aucTable, headers, rows)
        self.ui.trainingStatementLabel.text = _(
            "Out-of-fold and external figures are honest; resubstitution is what the model says of the"
            " patients it was fitted on, and is always too good."
        )
        self.ui.trainingResultSection.collapsed = False

    # What to do with patients and models

    def onOpenPatient(self, row, _column=0):
        """Load the patient of a row of the check with its mask."""
        with self._errorsShown(_("The patient was not opened."), waitCursor=True):
            self.logic.openPatient(self._parameterNode.cohort, self._verdicts[row]["patient_id"])

    def onOpenReport(self, _checked=False):
        """Open the report, or its folder, in the browser."""
        report = Path(self._parameterNode.report)
        page = report / "report.html"
        qt.QDesktopServices.openUrl(qt.QUrl((page if page.is_file() else report).resolve().as_uri()))

    def onUse(self, _checked=False):
        """Choose the trained model in the TACE Response module and go there."""
        with self._errorsShown(_("The model was not taken over.")):
            slicer.util.selectModule("TACEResponse")
            slicer.util.getModuleWidget("TACEResponse").openBundle(self._parameterNode.trained)

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
                log = getattr(error, "log", "")
                details = {"detailedText": log} if log else {}
                slicer.util.errorDisplay(
                    f"{title}\n\n{error}", windowTitle=_("TACE Response Training"), **details
                )


class TACEResponseTrainingLogic(ScriptedLoadableModuleLogic):
    """Everything the panel does, for the Python console and for scripts; needs no window.

    Example: `TACEResponseTraining.TACEResponseTrainingLogic().process("/data/cohort", "/data/model")`.
    """

    def getParameterNode(self):
        """The parameter node of the scene, typed."""
        return TACEResponseTrainingParameterNode(super().getParameterNode())

    def checkArguments(self, cohort):
        """Command line of the preflight; InputError when there is no such cohort."""
        if not cohort or not Path(cohort).exists():
            raise InputError("there is no such cohort", field="cohort", received=str(cohort))
        return ["check", "--cohort", str(cohort)]

    def prepare(self, cohort, bundle, preset=PRESETS[0], folds=5, seed=1, cnn=True):
        """Command line of a training; InputError for a missing cohort or output folder."""
        self.checkArguments(cohort)
        if not bundle:
            raise InputError("there is no folder to write the model to", field="output")
        arguments = ["train", "--cohort", str(cohort), "--out", str(bundle), "--preset", preset]
        arguments += ["--folds", str(folds), "--seed", str(seed)]
        return arguments if cnn else [*arguments, "--no-cnn"]

    def run(self, arguments, onEvent=print, onLog=print, onFinished=print):
        """The command line as a child process; see `background.ChildProcess`."""
        return ChildProcess(arguments, onEvent, onLog, onFinished)

    def publish(self, bundle, report):
        """Bundle and report folder -> AUC table and chart nodes; shows the ROC where there are views."""
        rows = training_results.read_evaluation(Path(report))
        nodes = {"auc": training_results.auc_table(rows, _("TACE training AUC"))}
        nodes |= training_results.chart_nodes(Path(bundle), _honestModels(rows))
        if slicer.app.layoutManager() is not None:
            slicer.modules.plots.logic().ShowChartInLayout(nodes["roc"])
        return nodes

    def process(self, cohort, bundle, publish=True, onEvent=None, timeoutS=7 * 24 * 3600, **recipe):
        """Train and wait; returns the last event: `bundle`, `report`, `left_out`.

        recipe: preset, folds, seed, cnn as in `prepare`. Raises what the child says went wrong.
        """
        arguments = self.prepare(cohort, bundle, **recipe)
        dependencies.require(requirementsPaths(), without=() if recipe.get("cnn", True) else FRAMEWORK)
        outcome = []
        child = self.run(
            arguments, onEvent or (lambda event: None), lambda line: None, lambda *both: outcome.extend(both)
        )
        if not child.waitForCompletion(timeoutS):
            child.abandon()
            raise InputError("the training took longer than allowed", expected=f"at most {timeoutS} s")
        done, error = outcome
        if error is not None:
            raise error
        if publish:
            self.publish(done["bundle"], done["report"])
        return done

    def openPatient(self, cohort, patientId):
        """Load one patient of a cohort with its mask; returns volume and segmentation node."""
        from TACEResponseLib.cohort import read_cohort

        found = [p for p in read_cohort(Path(cohort)).patients if p.patient_id == patientId]
        if not found:
            raise InputError(f"the cohort has no patient {patientId}", field="patient_id")
        case = found[0].read_case()
        volume, segmentation = publish.patient_nodes(patientId, case.image, case.mask)
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        return volume, segmentation

    def workFolder(self, bundle):
        """Where an interrupted training keeps what it has; there is one exactly when it can go on."""
        return Path(f"{bundle}-work") if bundle else Path(tempfile.gettempdir()) / "tace-none"


def requirementsPaths():
    """The lists of packages that training needs: those of a prediction and its own."""
    return [dependencies.PREDICTION, RESOURCES / REQUIREMENTS]


def _honestModels(rows):
    """Up to four models with the best out-of-fold AUC, so that a chart can be read."""
    honest = [row for row in rows if row["estimate"] == "out_of_fold"]
    return [row["model"] for row in sorted(honest, key=lambda row: -row["auc"])[:4]]


def _timeLeft(seconds):
    if seconds < 90:
        return _("{seconds:.0f} s left").format(seconds=seconds)
    return _("{minutes:.0f} min left").format(minutes=seconds / 60)


def _problems(verdict):
    sentences = [
        "; ".join(part for part in (p.get("message", ""), p.get("received", ""), p.get("remedy", "")) if part)
        for p in verdict["problems"]
    ]
    return ". ".join(sentences)


class TACEResponseTrainingTest(ScriptedLoadableModuleTest):
    """What must hold in every Slicer; the child process where a Python for it is found."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """All tests, each from an empty scene."""
        for test in (
            self.test_the_parameter_node_keeps_its_choices,
            self.test_the_panel_says_why_train_is_disabled,
            self.test_a_cohort_is_checked_in_a_child_process,
        ):
            self.setUp()
            self.delayDisplay(test.__name__.replace("_", " "))
            test()
        self.delayDisplay("Test passed")

    def test_the_parameter_node_keeps_its_choices(self):
        """What is chosen is read back; what is outside its limits is refused."""
        node = TACEResponseTrainingLogic().getParameterNode()
        node.folds, node.preset, node.cohort = 7, "recommended", "/somewhere/Köhörte"
        again = TACEResponseTrainingLogic().getParameterNode()
        self.assertEqual((again.folds, again.preset, again.cohort), (7, "recommended", "/somewhere/Köhörte"))
        with self.assertRaises(ValueError):
            node.folds = 1

    def test_the_panel_says_why_train_is_disabled(self):
        """Step by step from nothing chosen to an enabled button."""
        slicer.util.selectModule("TACEResponseTraining")
        panel = slicer.util.getModuleWidget("TACEResponseTraining")
        node = panel._parameterNode
        node.cohort = node.output = ""
        self.assertFalse(panel.ui.trainButton.enabled)
        self.assertIn("cohort", panel.ui.trainButton.toolTip)
        with tempfile.TemporaryDirectory() as folder:
            node.cohort = folder
            self.assertTrue(panel.ui.checkButton.enabled)
            self.assertFalse(panel.ui.trainButton.enabled)
            self.assertIn("folder to write", panel.ui.trainButton.toolTip)
            node.output = str(Path(folder) / "model")
            self.assertTrue(panel.ui.trainButton.enabled)
        node.cohort = node.output = ""

    def test_a_cohort_is_checked_in_a_child_process(self):
        """Two synthetic patients are written, checked by the child, and listed by the panel."""
        from TACEResponseLib.phantom import write_cohort

        slicer.util.selectModule("TACEResponseTraining")
        panel = slicer.util.getModuleWidget("TACEResponseTraining")
        with tempfile.TemporaryDirectory() as folder:
            write_cohort(Path(folder) / "Köhörte", 2, 1)
            panel._parameterNode.cohort = str(Path(folder) / "Köhörte")
            panel.onCheck()
            self.assertEqual(panel.lastError, "")
            self.assertTrue(panel.child.waitForCompletion(120))
            self.assertEqual(panel.lastError, "")
            self.assertEqual(panel.ui.cohortTable.rowCount, 2)
            self.assertEqual([v["verdict"] for v in panel._verdicts], ["ok", "ok"])
            panel.onOpenPatient(0)
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 1)
        panel._parameterNode.cohort = ""
