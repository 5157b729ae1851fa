"""The TACE Response Training panel: a cohort in, a child process beside it, a model and its figures out."""

import contextlib
import sys
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin
from TACEResponseLib.errors import Cancelled, TACEResponseError

from . import dependencies
from .cohort_section import CohortSection
from .training_results import TrainingResultSection

#: What the packages of training weigh as wheels, about, and what the network's framework adds.
DOWNLOAD_MB, FRAMEWORK_MB = 180, 420


class TrainingPanel(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of the module's widget, which says what `makeLogic` is."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.child = None
        self.lastError = ""
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        """Build the panel; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/TACEResponseTraining.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = self.makeLogic()
        self.ui.trainRow.visible = False
        self.cohort = CohortSection(self.ui)
        self.result = TrainingResultSection(self.ui)
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(mrml, mrml.EndCloseEvent, self.onSceneEndClose)
        for button, handler in (
            (self.ui.checkButton, self.onCheck),
            (self.ui.trainButton, self.onTrain),
            (self.ui.openReportButton, self.onOpenReport),
            (self.ui.useButton, self.onUse),
            (self.ui.shareButton, self.onShare),
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
            self.result.show(self._parameterNode.report)
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
                if cohort != node.cohort:
                    self.cohort.clear()
                node.cohort, node.output = cohort, output

    def _running(self):
        return self.child is not None and self.child.running

    def _checkCanApply(self, caller=None, event=None):
        """Enable Check and Train, or say in their tooltips why they are not."""
        running, noCohort = self._running(), self._whyNoCheck()
        withNetwork = bool(self._parameterNode) and self._parameterNode.cnn
        self.ui.epochsSpinBox.enabled = self.ui.deviceComboBox.enabled = withNetwork
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
        self.cohort.clear()
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
                node.cohort,
                node.output,
                preset=node.preset,
                folds=node.folds,
                seed=node.seed,
                cnn=node.cnn,
                repeats=node.repeats,
                epochs=node.epochs,
                device=node.device,
            )
            dependencies.ensure(
                self.logic.requirements(),
                requester=_("TACE Response Training"),
                purpose=_("measure the cohort and train the models"),
                megabytes=DOWNLOAD_MB + (FRAMEWORK_MB if node.cnn else 0),
                without=() if node.cnn else dependencies.FRAMEWORK,
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
            self.cohort.add(event)
        elif event.get("event") == "progress":
            self.ui.trainProgress.setRange(0, event["total"])
            self.ui.trainProgress.setValue(event["done"])
            left = event.get("eta_s")
            stage = f"{event['stage']} {event['done']}/{event['total']}"
            self.ui.trainStageLabel.text = stage if left is None else f"{stage}, {_timeLeft(left)}"

    def _onChecked(self, done, error):
        self._onFinished(error, _("The cohort was not checked."), lambda: self.cohort.show(done))

    def _onTrained(self, done, error):
        self._onFinished(error, _("No model was trained."), lambda: self._takeResult(done))

    def _onFinished(self, error, title, show):
        self.ui.trainRow.visible = False
        self._checkCanApply()
        if getattr(error, "log", ""):
            self.ui.logSection.collapsed = False
        with self._errorsShown(title):
            if error is not None:
                raise error
            show()

    def _takeResult(self, done):
        node = self.logic.getParameterNode()  # also while another module is open
        node.trained, node.report = done["bundle"], done["report"]
        self.logic.publish(done["bundle"], done["report"])
        self.result.show(done["report"])

    # What to do with patients and models

    def onOpenPatient(self, row, _column=0):
        """Load the patient of a row of the check with its mask."""
        with self._errorsShown(_("The patient was not opened."), waitCursor=True):
            self.logic.openPatient(self._parameterNode.cohort, self.cohort.patient_id(row))

    def onOpenReport(self, _checked=False):
        """Open the report, or its folder, in the browser."""
        self.result.open(self._parameterNode.report)

    def onUse(self, _checked=False):
        """Choose the trained model in the TACE Response module and go there."""
        with self._errorsShown(_("The model was not taken over.")):
            slicer.util.selectModule("TACEResponse")
            slicer.util.getModuleWidget("TACEResponse").openBundle(self._parameterNode.trained)

    def onShare(self, _checked=False):
        """Ask for a file and pack the trained model into it."""
        bundle = Path(self._parameterNode.trained)
        archive = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Share the model as"), str(bundle.with_suffix(".zip")), "Zip (*.zip)"
        )
        if archive:
            self.shareAs(archive)

    def shareAs(self, archive):
        """Pack the trained model into the file `archive`."""
        with self._errorsShown(_("The model was not packed."), waitCursor=True):
            path = self.logic.share(self._parameterNode.trained, archive)
            slicer.util.showStatusMessage(_("The model was packed into {path}").format(path=path), 5000)

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


def _timeLeft(seconds):
    if seconds < 90:
        return _("{seconds:.0f} s left").format(seconds=seconds)
    return _("{minutes:.0f} min left").format(minutes=seconds / 60)
