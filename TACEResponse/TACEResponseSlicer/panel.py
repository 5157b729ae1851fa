"""What both panels share: start-up, the comings and goings of module and scene, errors as sentences."""

import contextlib

import slicer
import vtk
from slicer.util import VTKObservationMixin
from TACEResponseLib.messages.errors import Cancelled, TACEResponseError

from .texts import load_ui
from .texts import tr as _

#: What PythonQt, and PySide in the tests, raise where a widget is asked that was deleted.
WIDGET_GONE = (ValueError, RuntimeError)


class Panel(VTKObservationMixin):
    """The `.ui` file of a module inside its widget, and its parameter node.

    A panel builds its sections in `build`, among them `run` (`run_section`), follows the user's choices in
    `onParameters`, and lets go of what runs in `leave`. widget: the module's ScriptedLoadableModuleWidget.
    logic: what the panel runs. lastError: the last sentence that was shown, empty when there was none.
    closed: whether `cleanup` was called.
    """

    title = ""

    def __init__(self, widget, logic):
        VTKObservationMixin.__init__(self)
        self.parent, self.logic = widget.parent, logic
        self.lastError = ""
        self.closed = False
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        uiWidget = load_ui(widget.resourcePath(f"UI/{widget.moduleName}.ui"))
        widget.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        uiWidget.connect("destroyed()", self.cleanup)  # at Slicer's end the widgets go first
        self.build()
        mrml = slicer.mrmlScene
        self.addObserver(mrml, mrml.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(mrml, mrml.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()

    @property
    def task(self):
        """What runs beside the panel, or ran last; None before the first."""
        return self.run.task

    def connectButtons(self, handlers):
        """Connect each button to what it does."""
        for button, handler in handlers.items():
            button.connect("clicked(bool)", handler)

    def cleanup(self):
        """Let go of everything: the application closes or the module is reloaded.

        The widgets may be gone already, so nothing is written into them any more.
        """
        if self.closed:
            return
        self.closed = True
        self.leave()
        node, self._parameterNode = self._parameterNode, None
        self.removeObservers()
        if node:
            with contextlib.suppress(*WIDGET_GONE):
                node.disconnectGui(self._parameterNodeGuiTag)

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
        if self.closed:
            return
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
