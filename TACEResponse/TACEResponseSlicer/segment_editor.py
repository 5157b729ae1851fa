"""Slicer's own Segment Editor inside a folded section, made when the section is first opened."""

import slicer


class SegmentEditorSection:
    """The editor of one panel. Its settings node is kept apart from the Segment Editor module's."""

    TAG = "TACEResponseSegmentEditor"

    def __init__(self, section):
        self._section = section
        self._editor = None

    def open_on(self, volume_node, segmentation_node) -> None:
        """Unfold the section and edit this segmentation on this CT."""
        self._section.collapsed = False
        self.show(volume_node, segmentation_node)

    def show(self, volume_node, segmentation_node) -> None:
        """Follow the panel's choice while the section is unfolded."""
        if self._section.collapsed:
            return
        if self._editor is None:
            self._make()
        self._use_settings_node()
        if self._editor.segmentationNode() is not segmentation_node:
            self._editor.setSegmentationNode(segmentation_node)
        if volume_node is not None and segmentation_node is not None:
            self._editor.setSourceVolumeNode(volume_node)

    def leave(self) -> None:
        """Put the brush down: the panel is left, or the scene is about to close."""
        if self._editor is not None:
            self._editor.setActiveEffect(None)
            self._editor.uninstallKeyboardShortcuts()
            self._editor.removeViewObservations()

    def forget_scene(self) -> None:
        """Let go of the nodes of a scene that closes."""
        self.leave()
        if self._editor is not None:
            self._editor.setSegmentationNode(None)

    def _make(self) -> None:
        self._editor = slicer.qMRMLSegmentEditorWidget()
        self._editor.setMaximumNumberOfUndoStates(10)
        self._editor.segmentationNodeSelectorVisible = False
        self._editor.sourceVolumeNodeSelectorVisible = False
        self._editor.switchToSegmentationsButtonVisible = False
        # The settings node goes first, so that choices made when the scene is set are kept in it.
        self._use_settings_node()
        self._editor.setMRMLScene(slicer.mrmlScene)
        self._section.layout().addWidget(self._editor)

    def _use_settings_node(self) -> None:
        node = slicer.mrmlScene.GetSingletonNode(self.TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)  # the Python variable owns it now
            node.SetSingletonTag(self.TAG)
            node = slicer.mrmlScene.AddNode(node)
        if self._editor.mrmlSegmentEditorNode() is not node:
            self._editor.setMRMLSegmentEditorNode(node)
