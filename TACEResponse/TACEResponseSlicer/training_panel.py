"""The TACE Response Training panel: a cohort in, a process beside it, a model and its figures out."""

from pathlib import Path

import qt
import slicer

from . import dependencies
from .cohort_section import CohortSection
from .main_button import MainButton
from .panel import Panel
from .run_section import RunSection
from .texts import tr as _
from .training_results import TrainingResultSection

#: What the packages of training weigh as wheels, about, and what the network's framework adds.
DOWNLOAD_MB, FRAMEWORK_MB = 180, 420


class TrainingPanel(Panel):
    """What the module's widget holds."""

    title = _("TACE Response Training")

    def build(self):
        """The sections."""
        ui = self.ui
        self.train = MainButton(ui.trainButton, ui.whyNotLabel)
        self.run = RunSection(
            ui.trainRow,
            ui.trainProgress,
            ui.trainStageLabel,
            self.errorsShown,
            self.checkCanApply,
            patient=True,
        )
        self.cohort = CohortSection(ui)
        self.result = TrainingResultSection(ui)
        self.connectButtons(
            {
                ui.checkButton: self.onCheck,
                ui.trainButton: self.onTrain,
                ui.openReportButton: self.onOpenReport,
                ui.useButton: self.onUse,
                ui.shareButton: self.onShare,
            }
        )
        for edit in (ui.cohortPathEdit, ui.bundlePathEdit):
            edit.connect("currentPathChanged(QString)", self._onPaths)
            edit.connect("validInputChanged(bool)", self._onPaths)  # the only signal of an emptied field
        ui.cohortTable.connect("cellDoubleClicked(int,int)", self.onOpenPatient)

    def leave(self):
        """What still runs is ended with all it started."""
        self.run.abandon()

    def initializeParameterNode(self):
        """Follow the scene's parameter node, and show the report that it names."""
        Panel.initializeParameterNode(self)
        self.result.show(self._parameterNode.report)

    # Following the user's choices

    def onParameters(self, node):
        """Show the paths that are chosen; everything else is connected to its widget."""
        for edit, path in ((self.ui.cohortPathEdit, node.cohort), (self.ui.bundlePathEdit, node.output)):
            if edit.currentPath != path:
                edit.currentPath = path

    def _onPaths(self, _path=""):
        node = self._parameterNode
        if node:
            cohort, output = self.ui.cohortPathEdit.currentPath, self.ui.bundlePathEdit.currentPath
            if (cohort, output) != (node.cohort, node.output):
                if cohort != node.cohort:
                    self.cohort.clear()
                node.cohort, node.output = cohort, output

    def checkCanApply(self, caller=None, event=None):
        """Enable Check and Train, or say below Train what is missing."""
        running, noCohort = self.run.running, self._whyNoCheck()
        withNetwork = bool(self._parameterNode) and self._parameterNode.cnn
        self.ui.epochsSpinBox.enabled = self.ui.deviceComboBox.enabled = withNetwork
        noTraining = noCohort or self._whyNoTraining()
        self.ui.checkButton.enabled = not running and not noCohort
        self.ui.checkButton.toolTip = noCohort or _(
            "Read every patient and list every problem; nothing is computed"
        )
        if running:
            self.train.offer_cancel(_("Cancel"), _("Stop; what is done is kept"))
        else:
            resume = bool(self._parameterNode) and self.logic.workFolder(self._parameterNode.output).exists()
            text = _("Resume") if resume else _("Train")
            self.train.offer(text, _("Train the model and evaluate it"), noTraining)

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
        self.ui.cohortPathEdit.addCurrentPathToHistory()
        with self.errorsShown(_("The cohort was not checked.")):
            arguments = self.logic.checkArguments(self._parameterNode.cohort, self._parameterNode.folds)
            self._start(arguments, _("The cohort was not checked."), self.cohort.show)

    def onTrain(self, _checked=False):
        """Train, or cancel what runs."""
        if self.run.running:
            self.run.stop()
            return
        node = self._parameterNode
        for edit in (self.ui.cohortPathEdit, self.ui.bundlePathEdit):
            edit.addCurrentPathToHistory()
        with self.errorsShown(_("The training was not started.")):
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
            self._start(arguments, _("No model was trained."), self._takeResult)

    def _start(self, arguments, sentence, show):
        self.ui.trainingLog.clear()
        reports = {"event": self._onEvent, "log": self.ui.trainingLog.appendPlainText}
        self.run.start(
            lambda report: self.logic.run(
                arguments, lambda event: report("event", event), lambda line: report("log", line), report
            ),
            sentence,
            show,
            lambda kind, content: reports[kind](content),
            self._onFailed,
        )

    def _onEvent(self, event):
        if "verdict" in event:
            self.cohort.add(event)
        elif event.get("event") == "progress":
            left = event.get("eta_s")
            stage = f"{event['stage']} {event['done']}/{event['total']}"
            stage = stage if left is None else f"{stage}, {_timeLeft(left)}"
            self.run.show_progress(stage, event["done"], event["total"])

    def _onFailed(self, error):
        """Open the log where the process wrote one before it ended."""
        if getattr(error, "log", ""):
            self.ui.logSection.collapsed = False

    def _takeResult(self, done):
        node = self.logic.getParameterNode()  # also while another module is open
        node.trained, node.report = done["bundle"], done["report"]
        nodes = self.logic.publish(done["bundle"], done["report"])
        if slicer.app.layoutManager() is not None:
            slicer.modules.plots.logic().ShowChartInLayout(nodes["roc"])
        self.result.show(done["report"])

    # What to do with patients and models

    def onOpenPatient(self, row, _column=0):
        """Load the patient of a row of the check with its mask."""
        with self.errorsShown(_("The patient was not opened."), waitCursor=True):
            patientId = self.cohort.patient_id(row)
            volume, _segmentation = self.logic.openPatient(self._parameterNode.cohort, patientId)
            slicer.util.setSliceViewerLayers(background=volume, fit=True)

    def onOpenReport(self, _checked=False):
        """Open the report, or its folder, in the browser."""
        self.result.open(self._parameterNode.report)

    def onUse(self, _checked=False):
        """Choose the trained model in the TACE Response module and go there."""
        with self.errorsShown(_("The model was not taken over.")):
            slicer.util.selectModule("TACEResponse")
            slicer.util.getModuleWidget("TACEResponse").panel.openBundle(self._parameterNode.trained)

    def onShare(self, _checked=False):
        """Ask for a file and pack the trained model into it."""
        bundle = Path(self._parameterNode.trained)
        archive = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(),
            _("Share the model as"),
            str(bundle.with_suffix(".zip")),
            _("Zip (*.zip)"),
        )
        if archive:
            self.shareAs(archive)

    def shareAs(self, archive):
        """Pack the trained model into the file `archive`."""
        with self.errorsShown(_("The model was not packed."), waitCursor=True):
            path = self.logic.share(self._parameterNode.trained, archive)
            slicer.util.showStatusMessage(_("The model was packed into {path}").format(path=path), 5000)


def _timeLeft(seconds):
    if seconds < 90:
        return _("{seconds:.0f} s left").format(seconds=seconds)
    return _("{minutes:.0f} min left").format(minutes=seconds / 60)
