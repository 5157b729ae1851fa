"""Stand-ins for the widgets of CTK and MRML that the panels use: same names, same few methods."""

import sys
import types

import shiboken6
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt

HEADER = 24


@pythonqt.connecting
class qMRMLWidget(QtWidgets.QWidget):
    def setMRMLScene(self, scene):
        for child in self.findChildren(QtWidgets.QWidget):
            if hasattr(child, "setMRMLScene"):
                child.setMRMLScene(scene)


@pythonqt.connecting
class ctkCollapsibleButton(QtWidgets.QWidget):
    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(0, HEADER, 0, 0)

    def _get_text(self):
        return self._text

    def _set_text(self, text):
        self._text = text

    def _get_collapsed(self):
        return self._collapsed

    def _set_collapsed(self, collapsed):
        changed = collapsed != self._collapsed
        self._collapsed = collapsed
        self.setMaximumHeight(HEADER if collapsed else 16777215)
        if changed:
            self.contentsCollapsed.emit(collapsed)

    text = QtCore.Property(str, _get_text, _set_text)
    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)

    def minimumSizeHint(self):
        """As in CTK: the title must fit beside its arrow."""
        needed = self.fontMetrics().horizontalAdvance(self._text) + 2 * HEADER
        return super().minimumSizeHint().expandedTo(QtCore.QSize(needed, HEADER))

    def mousePressEvent(self, event):
        if event.position().y() < HEADER:
            self.collapsed = not self.collapsed

    def paintEvent(self, event):
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.rect = QtCore.QRect(0, 0, QtWidgets.QWidget.property(self, "width"), HEADER - 2)
        option.state = QtWidgets.QStyle.State_Enabled
        option.text = ("\u25b8 " if self._collapsed else "\u25be ") + self._text
        self.style().drawControl(QtWidgets.QStyle.CE_PushButton, option, painter, self)


@pythonqt.connecting
class qMRMLNodeComboBox(QtWidgets.QComboBox):
    currentNodeChanged = QtCore.Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._types, self._show_children, self._none = [], True, False
        self._nodes, self._current, self._scene, self._tags = [], None, None, []
        self.activated.connect(lambda row: self.setCurrentNode(self._nodes[row]))

    nodeTypes = QtCore.Property("QStringList", lambda self: self._types, lambda self, v: self._take(types=v))
    noneEnabled = QtCore.Property(bool, lambda self: self._none, lambda self, v: self._take(none=v))
    showChildNodeTypes = QtCore.Property(
        bool, lambda self: self._show_children, lambda self, v: self._take(children=v)
    )

    def _take(self, types=None, none=None, children=None):
        self._types = self._types if types is None else list(types)
        self._none = self._none if none is None else none
        self._show_children = self._show_children if children is None else children
        self._refill()

    def setMRMLScene(self, scene):
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent)
        self._tags = [scene.AddObserver(event, lambda caller, event: self._refill()) for event in events]
        self._refill()

    def currentNode(self):
        return self._current

    def setCurrentNode(self, node):
        node = node if node in self._nodes else None
        changed = node is not self._current
        self._current = node
        super().setCurrentIndex(self._nodes.index(node) if node in self._nodes else -1)
        if changed:
            self.currentNodeChanged.emit(node)

    def _refill(self):
        if not shiboken6.isValid(self) or self._scene is None:  # the scene outlives its panels
            return
        nodes = [node for kind in self._types for node in slicer.util.getNodesByClass(kind, self._scene)]
        if not self._show_children:
            nodes = [node for node in nodes if node.GetClassName() in self._types]
        self._nodes = ([None] if self._none else []) + nodes
        self.clear()
        self.addItems(["None" if node is None else node.GetName() for node in self._nodes])
        self.setCurrentNode(self._current)


@pythonqt.connecting
class qMRMLSegmentEditorWidget(QtWidgets.QLabel):
    """Remembers what it was given; draws nothing."""

    def __init__(self, parent=None):
        super().__init__("(the Segment Editor of Slicer stands here)", parent)
        self.setWordWrap(True)  # how wide Slicer's own is, only Slicer shows
        self._segmentation = self._volume = self._settings = None

    def setMRMLScene(self, scene):
        pass

    def setMRMLSegmentEditorNode(self, node):
        self._settings = node

    def mrmlSegmentEditorNode(self):
        return self._settings

    def setSegmentationNode(self, node):
        self._segmentation = node

    def segmentationNode(self):
        return self._segmentation

    def setSourceVolumeNode(self, node):
        self._volume = node

    def sourceVolumeNode(self):
        return self._volume

    def setMaximumNumberOfUndoStates(self, count):
        pass

    def setActiveEffect(self, effect):
        pass

    def uninstallKeyboardShortcuts(self):
        pass

    def installKeyboardShortcuts(self):
        pass

    def setupViewObservations(self):
        pass

    def removeViewObservations(self):
        pass


@pythonqt.connecting
class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._line = QtWidgets.QLineEdit(self)
        self._line.textChanged.connect(self._on_text)
        self._valid, self.history = False, []
        layout.addWidget(self._line)
        layout.addWidget(QtWidgets.QToolButton(self))

    def _on_text(self, text):
        """As in CTK, an empty field only says that it is not valid any more."""
        valid, self._valid = self._valid, bool(text)
        if text:
            self.currentPathChanged.emit(text)
        if valid != self._valid:
            self.validInputChanged.emit(self._valid)

    def _get_path(self):
        return QtCore.QObject.property(self._line, "text")

    def _set_path(self, path):
        self._line.setText(path)

    currentPath = QtCore.Property(str, _get_path, _set_path)

    def addCurrentPathToHistory(self):
        self.history.append(self.currentPath)


def install() -> None:
    """Enter the stand-ins into `ctk`, `slicer` and the .ui loader."""
    ctk = types.ModuleType("ctk")
    for class_ in (
        qMRMLWidget,
        qMRMLNodeComboBox,
        qMRMLSegmentEditorWidget,
        ctkCollapsibleButton,
        ctkPathLineEdit,
    ):
        pythonqt.UiLoader.classes[class_.__name__] = class_
        setattr(ctk if class_.__name__.startswith("ctk") else slicer, class_.__name__, class_)
    # Slicer's own parameter node code asks for these names; no panel of ours uses the widgets.
    for name in ("ctkCheckBox", "ctkCheckablePushButton", "ctkSliderWidget", "ctkDoubleSlider", "ctkComboBox",
                 "ctkDoubleSpinBox", "ctkRangeWidget", "ctkDoubleRangeSlider", "ctkDirectoryButton",
                 "ctkColorPickerButton"):  # fmt: skip
        setattr(ctk, name, type(name, (QtWidgets.QWidget,), {}))
    for name in ("qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget"):
        setattr(slicer, name, type(name, (QtWidgets.QWidget,), {}))
    sys.modules["ctk"] = ctk
