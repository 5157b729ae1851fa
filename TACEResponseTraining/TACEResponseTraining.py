"""TACE Response Training: from a cohort of CTs to a model, its honest evaluation and its report.

The module file is a door. The command line of TACEResponseLib does the work in a process of its own
(TACEResponseSlicer.python_process); here stand the module, its parameter node, the widget, the logic for
the Python console, and the module's own test. Rooms are imported where they are first used: in a
checkout they lie beside the other module, whose folder Slicer knows once both are registered.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import slicer
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

REQUIREMENTS = Path(__file__).parent / "Resources" / "TACEResponseTrainingRequirements.txt"
PRESETS = ["peng2021", "recommended"]
DEVICES = ["auto", "cpu", "gpu"]


def _(text):
    """The text in Slicer's language; in English while the folder of the other module is not known yet."""
    try:
        from TACEResponseSlicer.texts import tr
    except ImportError:
        return text
    return tr(text)


class TACEResponseTraining(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("TACE Response Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["TACEResponse"]
        self.parent.contributors = ["TACEResponse contributors"]  # not a text
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

    cohort: folder or table. output: folder of the bundle. preset, folds, repeats, seed, cnn, epochs,
    device: the recipe, the last two of the CNN. trained: folder of the last bundle; report: of its report.
    """

    cohort: str = ""
    output: str = ""
    preset: Annotated[str, Choice(PRESETS)] = PRESETS[0]
    folds: Annotated[int, WithinRange(3, 50)] = 5
    seed: Annotated[int, WithinRange(0, 2147483647)] = 1
    cnn: bool = True
    repeats: Annotated[int, WithinRange(1, 100)] = 1
    epochs: Annotated[int, WithinRange(1, 10000)] = 30
    device: Annotated[str, Choice(DEVICES)] = DEVICES[0]
    trained: str = ""
    report: str = ""


class TACEResponseTrainingWidget(ScriptedLoadableModuleWidget):
    """What Slicer opens. panel: its contents (`TACEResponseSlicer.training_panel`), once it was opened."""

    panel = None

    def setup(self):
        """Build the panel; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        from TACEResponseSlicer.training_panel import TrainingPanel

        self.panel = TrainingPanel(self, TACEResponseTrainingLogic())

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


class TACEResponseTrainingLogic(ScriptedLoadableModuleLogic):
    """Everything the panel does, for the Python console and for scripts; needs no window.

    Example: `TACEResponseTraining.TACEResponseTrainingLogic().process("/data/cohort", "/data/model")`.
    """

    def getParameterNode(self):
        """The parameter node of the scene, typed."""
        return TACEResponseTrainingParameterNode(super().getParameterNode())

    def checkArguments(self, cohort, folds=5):
        """Command line of the preflight; InputError when there is no such cohort. folds: of the training."""
        from TACEResponseLib.messages.errors import InputError

        if not cohort or not Path(cohort).exists():
            raise InputError(_("there is no such cohort"), field="cohort", received=str(cohort))
        return ["check", "--cohort", str(cohort), "--folds", str(folds)]

    def prepare(
        self,
        cohort,
        bundle,
        preset=PRESETS[0],
        folds=5,
        seed=1,
        cnn=True,
        repeats=1,
        epochs=30,
        device=DEVICES[0],
    ):
        """Command line of a training; InputError for a missing cohort or output folder.

        repeats: of the cross-validation. epochs, device (auto, cpu or gpu): of the CNN.
        """
        from TACEResponseLib.messages.errors import InputError

        self.checkArguments(cohort)
        if not bundle:
            raise InputError(_("there is no folder to write the model to"), field="output")
        arguments = ["train", "--cohort", str(cohort), "--out", str(bundle), "--preset", preset]
        arguments += ["--folds", str(folds), "--repeats", str(repeats), "--seed", str(seed)]
        return [*arguments, *(["--epochs", str(epochs), "--device", device] if cnn else ["--no-cnn"])]

    def run(self, arguments, onEvent=None, onLog=None, onQuiet=None):
        """Run the command line in a process of its own and wait for its last event. On any thread.

        onEvent(event), onLog(line), onQuiet(): see `python_process.PythonProcess.run`, which also says what
        is raised.
        """
        from TACEResponseSlicer.python_process import command_line

        ignore = lambda *content: None
        return command_line(arguments).run(onEvent or ignore, onLog or ignore, onQuiet or ignore)

    def publish(self, bundle, report):
        """Bundle and report folder -> nodes by name: the AUC table and three charts. Main thread."""
        from TACEResponseSlicer import training_results

        rows = training_results.read_evaluation(Path(report))
        nodes = {"auc": training_results.auc_table(rows, _("TACE training AUC"))}
        return nodes | training_results.chart_nodes(Path(bundle), training_results.best_models(rows))

    def process(self, cohort, bundle, publish=True, onEvent=None, timeoutS=7 * 24 * 3600, **recipe):
        """Train and wait; returns the last event: `bundle`, `report`, `left_out`.

        recipe: preset, folds, repeats, seed, cnn, epochs, device as in `prepare`. Raises what the child
        says went wrong.
        """
        from TACEResponseLib.messages.errors import InputError
        from TACEResponseSlicer import dependencies
        from TACEResponseSlicer.background import BackgroundTask

        arguments = self.prepare(cohort, bundle, **recipe)
        dependencies.require(
            self.requirements(), without=() if recipe.get("cnn", True) else dependencies.FRAMEWORK
        )
        outcome = []
        task = BackgroundTask(
            lambda report: self.run(arguments, report, onQuiet=report),
            onEvent or (lambda event: None),
            lambda *both: outcome.extend(both),
            patient=True,
        )
        if not task.waitForCompletion(timeoutS):
            task.abandon()
            raise InputError(
                _("the training took longer than allowed"),
                expected=_("at most {timeoutS} s").format(timeoutS=timeoutS),
            )
        done, error = outcome
        if error is not None:
            raise error
        if publish:
            self.publish(done["bundle"], done["report"])
        return done

    def openPatient(self, cohort, patientId):
        """Load one patient of a cohort with its mask; returns volume and segmentation node."""
        from TACEResponseLib.cohorts.table import read_cohort
        from TACEResponseLib.messages.errors import InputError
        from TACEResponseSlicer import publish

        found = [p for p in read_cohort(Path(cohort)).patients if p.patient_id == patientId]
        if not found:
            raise InputError(
                _("the cohort has no patient {patientId}").format(patientId=patientId), field="patient_id"
            )
        case = found[0].read_case()
        return publish.patient_nodes(patientId, case.image, case.mask)

    def share(self, bundle, archive):
        """Pack the bundle into one `.zip` that TACE Response opens anywhere; returns its path."""
        from TACEResponseLib.bundle import zip_bundle

        return zip_bundle(Path(bundle), Path(archive))

    def requirements(self):
        """The lists of packages that training needs: those of a prediction and its own."""
        from TACEResponseSlicer import dependencies

        return [dependencies.PREDICTION, REQUIREMENTS]

    def workFolder(self, bundle):
        """Where an interrupted training keeps what it has; there is one exactly when it can go on."""
        return Path(f"{bundle}-work") if bundle else Path(tempfile.gettempdir()) / "tace-none"


class TACEResponseTrainingTest(ScriptedLoadableModuleTest):
    """What must hold in every Slicer; the child process where a Python for it is found."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def openPanel(self):
        """The module's panel, also where there is no main window."""
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("TACEResponseTraining")
        widget = slicer.util.getModuleWidget("TACEResponseTraining")
        widget.enter()
        return widget.panel

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
        self.delayDisplay(_("Test passed"))

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
        panel = self.openPanel()
        node = panel._parameterNode
        node.cohort = node.output = ""
        self.assertFalse(panel.ui.trainButton.enabled)
        self.assertIn("cohort", panel.ui.trainButton.toolTip)
        with tempfile.TemporaryDirectory() as folder:
            node.cohort = folder
            self.assertTrue(panel.ui.checkButton.enabled)
            self.assertFalse(panel.ui.trainButton.enabled)
            self.assertEqual(panel.ui.trainButton.toolTip, _("Choose a folder to write the model to"))
            node.output = str(Path(folder) / "model")
            self.assertTrue(panel.ui.trainButton.enabled)
        node.cohort = node.output = ""

    def test_a_cohort_is_checked_in_a_child_process(self):
        """Two synthetic patients are written, checked by the child, and listed by the panel."""
        from TACEResponseLib.phantom import write_cohort

        panel = self.openPanel()
        with tempfile.TemporaryDirectory() as folder:
            write_cohort(Path(folder) / "Köhörte", 2, 1)
            panel._parameterNode.cohort = str(Path(folder) / "Köhörte")
            panel.onCheck()
            self.assertEqual(panel.lastError, "")
            self.assertTrue(panel.task.waitForCompletion(120))
            self.assertEqual(panel.lastError, "")
            self.assertEqual(panel.ui.cohortTable.rowCount, 2)
            self.assertEqual([v["verdict"] for v in panel.cohort.verdicts], ["ok", "ok"])
            panel.onOpenPatient(0)
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 1)
        panel._parameterNode.cohort = ""
