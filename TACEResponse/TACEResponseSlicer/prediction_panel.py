"""The TACE Response panel: patient, model and answer are sections of their own; here they meet."""

import contextlib
import logging

import qt
import slicer
from TACEResponseLib.cases.fingerprint import tumour_fingerprint
from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.errors import Cancelled

from . import dependencies, sample_patient, scene
from .answer_actions import AnswerActions
from .answer_section import AnswerSection
from .background import BackgroundTask
from .clinical_section import ClinicalSection, as_options, burden_of
from .first_choice import FirstChoice
from .main_button import MainButton
from .model_section import ModelSection, remember
from .panel import WIDGET_GONE, Panel
from .patient_section import PatientSection
from .proposal_section import ProposalSection
from .register_section import RegisterSection
from .run_section import RunSection
from .texts import tr as _
from .volume_phases import VolumePhases

#: What the packages of a prediction weigh as wheels, about.
DOWNLOAD_MB = 110
#: Quiet time after the last node that was added or removed before something is chosen for the user.
LOADED_MS = 300


class PredictionPanel(Panel):
    """What the module's widget holds."""

    title = _("TACE Response")

    def build(self):
        """The sections, and what follows the scene."""
        ui = self.ui
        self._asked = self._ready = self._gettingReady = None
        self.predict = MainButton(ui.predictButton, ui.whyNotLabel)
        self.firstChoice, self.phases = FirstChoice(), VolumePhases(ui.phasesLabel)
        self._loaded = qt.QTimer(ui.sampleFrame)
        self._loaded.setSingleShot(True)
        self._loaded.setInterval(LOADED_MS)
        self._loaded.connect("timeout()", self._chooseWhatWasLoaded)
        self.run = RunSection(
            ui.runRow, ui.predictProgress, ui.stageLabel, self.errorsShown, self.checkCanApply
        )
        self.answer = AnswerSection(ui)
        self.model = ModelSection(ui, self._onModelChosen)
        self.patient = PatientSection(ui, self._onSegmentsChosen, self._onEdited, self._onMeasured)
        self.proposal = ProposalSection(
            ui,
            self.run,
            self.errorsShown,
            lambda: self._parameterNode,
            self._takeOutline,
            self.checkCanApply,
        )
        self.clinical = ClinicalSection(ui, self._onClinicalValues)
        self.register = RegisterSection(ui, self.logic, self.run, self.checkCanApply)
        self.actions = AnswerActions(
            ui,
            self.logic,
            self.answer,
            self.run,
            self.errorsShown,
            lambda: self._parameterNode,
            lambda: self.model.chosen.path,
            self.register.show_file,
        )
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.NodeAddedEvent, self._onNodesChanged)
        self.addObserver(mrml, mrml.NodeRemovedEvent, self._onNodesChanged)
        self.connectButtons(
            {
                ui.samplePatientButton: self.onSamplePatient,
                ui.drawButton: self.onDraw,
                ui.openBundleButton: self.onOpenBundle,
                ui.cardButton: self.onCard,
                ui.predictButton: self.onPredict,
            }
        )

    def leave(self):
        """End what runs, and the process that computes."""
        self.run.abandon()
        if self._gettingReady is not None:
            self._gettingReady.drop()
        self.logic.endService()
        self.patient.close()
        self.proposal.close()
        with contextlib.suppress(*WIDGET_GONE):
            self._loaded.stop()

    def exit(self):
        """Called each time another module is opened; a running prediction goes on."""
        if not self.closed:
            self.patient.editor.leave()
            self.proposal.leave()
        Panel.exit(self)

    def onSceneStartClose(self, caller, event):
        """The scene's nodes are about to go, and with them what was asked about them."""
        self.run.cancel()
        self.proposal.release()
        Panel.onSceneStartClose(self, caller, event)
        self.patient.release()
        self.answer.clear()
        self.firstChoice.forget()

    def initializeParameterNode(self):
        """Make sure the parameter node exists and is observed; choose what there is to choose."""
        node = self.logic.getParameterNode()
        self.firstChoice.complete(node)
        self.setParameterNode(node)
        self.patient.offer_sample()
        self.phases.show()

    # Following the user's choices

    def onParameters(self, node):
        """Show what is chosen; an answer about something else goes."""
        self.firstChoice.follow(node)
        self.firstChoice.follow_ct(node)
        if node.segmentation and len(node.segmentIds):
            present = scene.segment_names(node.segmentation)
            kept = [identifier for identifier in node.segmentIds if identifier in present]
            if kept != list(node.segmentIds):
                node.segmentIds = kept  # calls this again, with what is left
                return
        if self._choice() != self._asked:  # what runs or is shown is about another patient, tumour or model
            if self._asked is not None and not self.proposal.searching:
                self.run.cancel()
            self.answer.clear()
        self.patient.show(node)
        self.proposal.show(node)
        self.clinical.show(node.clinicalValues)
        self.model.show(node.bundle)

    def _choice(self):
        node = self._parameterNode
        chosen = (node.ctVolume, node.segmentation)
        return (*(n.GetID() if n else "" for n in chosen), *node.segmentIds, node.bundle)

    def _onNodesChanged(self, caller, event):
        self.patient.offer_sample()
        self._loaded.start()

    def _chooseWhatWasLoaded(self):
        """Something was loaded or removed while the panel is open."""
        node = self._parameterNode
        if node and not (node.ctVolume and node.segmentation):
            self.firstChoice.complete(node)
        self.phases.show()

    def _onSegmentsChosen(self, segmentIds):
        if self._parameterNode:
            self._parameterNode.segmentIds = segmentIds

    def _onModelChosen(self, folder):
        if self._parameterNode:
            self._parameterNode.bundle = folder

    def _onClinicalValues(self, columns):
        if self._parameterNode:
            self._parameterNode.clinicalValues = columns
        if self.answer.prediction is not None and not self.clinical.problem:
            self.answer.show_scores(self._scores(columns))
        self.checkCanApply()

    def _scores(self, columns):
        """The clinical scores of what was predicted, with the values that are known now."""
        from TACEResponseLib.clinical.scores import clinical_scores

        return clinical_scores(
            as_options(columns)["clinical"], burden_of(self.answer.prediction.lesions, columns)
        )

    def _onEdited(self):
        """Something was drawn or moved: whether the answer still holds is known after measuring."""
        self.answer.mark_outdated(True)
        self.proposal.on_edited()

    def _onMeasured(self):
        summary = self.patient.summary
        self.clinical.show_measured(None if summary is None else summary.lesions)
        if summary is not None:
            self.answer.mark_outdated(summary.fingerprint != self.answer.fingerprint)
            if self._parameterNode:
                self.phases.remember(self._parameterNode.ctVolume, summary.measured_phase)
        self.checkCanApply()
        if summary is not None and not self._whyNot():
            self._getReady()

    def _getReady(self):
        """Have the service load the model and compile while the user looks at the patient, once a model."""
        bundle = self.model.chosen.path
        if self._ready == bundle or self.run.running or not self.logic.canPredict():
            return
        self._ready = bundle
        self._gettingReady = BackgroundTask(
            lambda report: self.logic.getReady(bundle, lambda *step: report()),
            lambda *step: None,
            self._onReady,
            patient=True,
        )

    def _onReady(self, _result, error):
        self._gettingReady = None
        if error is not None:
            self._ready = None
            if not isinstance(error, Cancelled):  # pressing Predict says what is wrong
                logging.info(f"TACE Response was not made ready: {error}")

    def checkCanApply(self):
        """Enable Predict, or say below it why it is not; while it runs it is Cancel."""
        running = self.run.running
        if running:
            self.predict.offer_cancel(_("Cancel"), _("Stop what is being computed"))
        else:
            tip = _("Estimate how likely this tumour is to respond to the first TACE")
            self.predict.offer(_("Predict"), tip, self._whyNot())
        self.ui.samplePatientButton.enabled = not running
        self.proposal.check()
        self.actions.check()
        self.register.check()

    def _whyNot(self):
        node = self._parameterNode
        if not node or not node.ctVolume:
            return _("Choose a CT volume")
        if not node.segmentation:
            return _("Choose the tumour segmentation, or draw one")
        if not len(node.segmentIds):
            return _("Tick the segments that are tumour")
        problem = self.patient.problem or self.proposal.reason()
        return problem or self.clinical.problem or self.model.chosen.problem

    # Buttons

    def onSamplePatient(self, _checked=False):
        """Make the synthetic patient beside the panel, load it and choose it."""

        def make(report):
            report(_("making the sample patient"), 0, 0)
            return sample_patient.make()

        self._asked = None  # nothing is asked about what is chosen now
        self.run.start(make, _("The sample patient was not made."), self._showSamplePatient)

    def _showSamplePatient(self, patient):
        volume, segmentation = sample_patient.nodes_of(patient)
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.logic.getParameterNode().ctVolume = volume
        self._takeOutline(segmentation, list(scene.segment_names(segmentation)))

    def _takeOutline(self, segmentation, segmentIds):
        """Choose a segmentation and its segments, also while another module is open."""
        node = self.logic.getParameterNode()
        node.segmentation = segmentation
        node.segmentIds = segmentIds

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

    def onPredict(self, _checked=False):
        """Predict, or cancel the prediction that runs."""
        if self.run.running:
            self.run.cancel()
            return
        with self.errorsShown(_("No prediction was made.")):
            dependencies.ensure(
                [dependencies.PREDICTION],
                requester=_("TACE Response"),
                purpose=_("measure and classify the tumour"),
                megabytes=DOWNLOAD_MB,
            )
            node = self._parameterNode
            drawn = Outline("drawn") if self.proposal.is_drawn() else None
            segmentIds = list(node.segmentIds)
            voxels = scene.voxels_of_nodes(node.ctVolume, node.segmentation, segmentIds, outline=drawn)
            bundle, options = self.model.chosen.path, as_options(node.clinicalValues)
            self.answer.clear()
            self._asked = self._choice()
            self.run.start(
                lambda report: self._predicted(voxels, bundle, options, report),
                _("No prediction was made."),
                self._showAnswer,
            )

    def _predicted(self, voxels, bundle, options, report):
        """Case, its fingerprint, Prediction; on the worker's thread."""
        try:
            self.logic.startService()
            case = voxels.case(progress=report)
            return case, tumour_fingerprint(case), self.logic.run(case, bundle, report, **options)
        except Cancelled:
            self.logic.endService()
            raise

    def _showAnswer(self, outcome):
        self.answer.show(*outcome)
        node = self.logic.getParameterNode()  # also while another module is open
        node.resultTable = self.logic.publish(self.answer.prediction, node.resultTable)
        self._onMeasured()  # the tumour may have been redrawn meanwhile
