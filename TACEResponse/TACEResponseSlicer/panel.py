"""What both panels share: start-up, the comings and goings of module and scene, errors as sentences."""

import contextlib
import sys

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin
from TACEResponseLib.errors import Cancelled, TACEResponseError


class Panel(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """A module's widget around its `.ui` file and its parameter node.

    A panel says what `makeLogic` and `title` are, builds its sections in `build`, follows the user's
    choices in `onParameters`, and lets go of what runs in `leave`. lastError: the last sentence that
    was shown, empty when there was none.
    """

    title = ""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.lastError = ""
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        """Build the panel; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = self.makeLogic()
        self.build()
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(mrml, mrml.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()

    def connectButtons(self, handlers):
        """Connect each button to what it does."""
        for button, handler in handlers.items():
            button.connect("clicked(bool)", handler)

    def cleanup(self):
        """Let go of everything: the application closes or the module is reloaded."""
        self.leave()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        """Called each time the module is opened."""
        self.initializeParameterNode()

    def exit(self):
        """Called each time another module is opened; what runs goes on."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        """The scene's nodes are about to go."""
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
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified)
        self._onModified()

    def _onModified(self, caller=None, event=None):
        if self._parameterNode:
            self.onParameters(self._parameterNode)
        self.checkCanApply()

    @contextlib.contextmanager
    def errorsShown(self, sentence, waitCursor=False):
        """A named error becomes a sentence in a dialog; anything else shows its details, as everywhere."""
        self.lastError = ""
        with slicer.util.tryWithErrorDisplay(sentence, waitCursor=waitCursor):
            try:
                yield
            except Cancelled:
                slicer.util.showStatusMessage(_("Cancelled"), 3000)
            except TACEResponseError as error:
                self.lastError = str(error)
                log = getattr(error, "log", "")
                details = {"detailedText": log} if log else {}
                slicer.util.errorDisplay(f"{sentence}\n\n{error}", windowTitle=self.title, **details)
