"""One point that the user places in a slice view, with Slicer's own placing of markups."""

import qt
import slicer
from slicer.util import VTKObservationMixin

from .texts import tr as _


class ClickPoint(VTKObservationMixin):
    """Waits for one click; on_placed(ras_mm) with its position in the world, or on_left() without one.

    button: the widget with which it goes.

    The point goes as soon as its position is known, and the views have their usual mouse mode again.
    """

    def __init__(self, button, on_placed, on_left):
        VTKObservationMixin.__init__(self)
        self._on_placed, self._on_left = on_placed, on_left
        self._node = self._before = None
        self._soon = qt.QTimer(button)  # the node is not removed while it tells its observers
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.connect("timeout()", self._finish)

    @property
    def waiting(self) -> bool:
        """Whether the next click in a slice view is the one."""
        return self._node is not None

    def start(self) -> None:
        """Let the next click in a view be the point."""
        self.stop()
        application = slicer.app.applicationLogic()
        selection, interaction = application.GetSelectionNode(), application.GetInteractionNode()
        self._before = selection.GetActivePlaceNodeID()
        self._node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _("Tumour"))
        self._node.SetSaveWithScene(False)
        self._node.CreateDefaultDisplayNodes()
        slicer.modules.markups.logic().SetActiveList(self._node)
        self.addObserver(self._node, self._node.PointPositionDefinedEvent, self._on_event)
        self.addObserver(interaction, interaction.EndPlacementEvent, self._on_event)
        interaction.SwitchToSinglePlaceMode()

    def stop(self) -> None:
        """Wait no longer; no point, no display of it and no mouse mode is left over."""
        node, self._node = self._node, None
        self.removeObservers()
        if node is None:
            return
        application = slicer.app.applicationLogic()
        interaction = application.GetInteractionNode()
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()
        application.GetSelectionNode().SetReferenceActivePlaceNodeID(self._before)
        for gone in (node.GetDisplayNode(), node):
            if gone is not None and slicer.mrmlScene.IsNodePresent(gone):
                slicer.mrmlScene.RemoveNode(gone)

    def _on_event(self, caller, event) -> None:
        """The point was placed, or another mouse mode was chosen, which placing it does as well."""
        self._soon.start()

    def _finish(self) -> None:
        if self._node is None:
            return
        placed = self._position()
        self.stop()
        if placed is None:
            self._on_left()
        else:
            self._on_placed(placed)

    def _position(self) -> tuple[float, float, float] | None:
        if not self._node.GetNumberOfDefinedControlPoints():
            return None
        for n in range(self._node.GetNumberOfControlPoints()):
            if self._node.GetNthControlPointPositionStatus(n) == self._node.PositionDefined:
                position = [0.0, 0.0, 0.0]
                self._node.GetNthControlPointPositionWorld(n, position)
                return tuple(position)
        return None
