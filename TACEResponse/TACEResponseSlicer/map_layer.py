"""The network's map in the slice views: half transparent over the CT, the tumour as an outline."""

import slicer

from . import publish

OPACITY = 0.5


class MapLayer:
    """Shows one map at a time and gives the views back as they were."""

    def __init__(self):
        self._map, self._layers, self._segments = None, {}, None

    @property
    def shown(self) -> bool:
        """Whether a map lies over the CT now."""
        return self._map is not None

    def show(self, explanation, volume_node, segmentation_node, statement: str) -> None:
        """Lay the map of an explanation over `volume_node`, in the slice that the map is about."""
        self._map = publish.map_node(explanation, statement)
        for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self._layers[view.GetID()] = (view.GetForegroundVolumeID(), view.GetForegroundOpacity())
        slicer.util.setSliceViewerLayers(
            background=volume_node, foreground=self._map, foregroundOpacity=OPACITY
        )
        self._draw_outline_only(segmentation_node)
        jump_to(publish.middle_of_map(self._map))

    def hide(self) -> None:
        """Give the slice views and the segments back what they showed, and remove the map's nodes."""
        for identifier, (foreground, opacity) in self._layers.items():
            view = slicer.mrmlScene.GetNodeByID(identifier)
            if view is not None:
                view.SetForegroundVolumeID(foreground)
                view.SetForegroundOpacity(opacity)
        if self._segments is not None:
            identifier, filled, outlined = self._segments
            display = slicer.mrmlScene.GetNodeByID(identifier)
            if display is not None:
                display.SetVisibility2DFill(filled)
                display.SetVisibility2DOutline(outlined)
        if self._map is not None:
            publish.remove_map(self._map)
        self._map, self._layers, self._segments = None, {}, None

    def _draw_outline_only(self, segmentation_node) -> None:
        """A filled segment would hide the colours of the map inside the tumour."""
        display = segmentation_node.GetDisplayNode() if segmentation_node is not None else None
        if display is not None:
            self._segments = (
                display.GetID(),
                display.GetVisibility2DFill(),
                display.GetVisibility2DOutline(),
            )
            display.SetVisibility2DFill(False)
            display.SetVisibility2DOutline(True)


def jump_to(ras_mm) -> None:
    """Centre all slice views on a position (right, anterior, superior) in mm."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, *map(float, ras_mm), slicer.vtkMRMLSliceNode.CenteredJumpSlice
    )
