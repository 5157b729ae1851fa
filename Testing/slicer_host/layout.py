"""What is wrong with a laid-out panel: texts that are cut, widgets on top of each other, hidden rows."""

import contextlib
import os
import re
from itertools import combinations
from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets


def layout_faults(panel) -> list[str]:
    """One sentence a fault of everything visible in `panel`; empty where it can be read as a whole."""
    seen = [w for w in panel.findChildren(QtWidgets.QWidget) if w.isVisible() and w.name and not _folded(w)]
    faults = []
    if panel.width > panel.window_.width:
        faults.append(f"the panel is {panel.width - panel.window_.width} pixels wider than its window")
    for widget in seen:
        if isinstance(widget, (QtWidgets.QPushButton, QtWidgets.QLabel)) and not _fits(widget):
            faults.append(f"{widget.name} is cut")
        if isinstance(widget, QtWidgets.QTableWidget) and _hides_rows(widget):
            faults.append(f"{widget.name} hides rows")
        if isinstance(widget, QtWidgets.QTableWidget) and widget.horizontalScrollBar().maximum > 0:
            faults.append(f"{widget.name} hides columns")
    for one, other in combinations([w for w in seen if not w.name.startswith("qt_")], 2):
        if one.parentWidget() is other.parentWidget() and one.geometry.intersects(other.geometry):
            faults.append(f"{one.name} and {other.name} lie on top of each other")
    return faults


def too_wide(panel, most: int = 300) -> list[str]:
    """One sentence a widget that would make Slicer's module panel wider than `most` pixels, shown or not.

    Slicer gives a module the width that its minimum size hint asks for, and takes it from the slice views.
    The panel itself counts as it is shown now.
    """
    widgets = panel.findChildren(QtWidgets.QWidget)
    needed = {f"{w.name} ({type(w).__name__} {n})": _least_width(w) for n, w in enumerate(widgets)}
    needed["the whole panel"] = _least_width(panel)
    return [f"{name} needs {width} pixels" for name, width in needed.items() if width > most]


def _least_width(widget) -> int:
    return max(widget.minimumSizeHint().width(), widget.minimumSize.width())


def _folded(widget) -> bool:
    """Whether it lies in a collapsed section, however deep."""
    while (widget := widget.parentWidget()) is not None:
        if getattr(widget, "collapsed", False) is True:
            return True
    return False


def _fits(widget) -> bool:
    if getattr(widget, "wordWrap", False):
        needed = widget.heightForWidth(QtCore.QObject.property(widget, "width"))
        return QtCore.QObject.property(widget, "height") >= needed
    if widget.name == "barLabel":  # a picture drawn to the width that is there
        return True
    return widget.width >= widget.minimumSizeHint().width()


def _hides_rows(table) -> bool:
    return table.height < table.maximumHeight and table.verticalScrollBar().maximum > 0


#: What the host writes where Slicer's own widget stands.
STAND_IN = "(the Segment Editor of Slicer stands here)"
#: Four English words one after the other.
ENGLISH = re.compile(r"[A-Za-z]{2,}(?:[,;:]? [A-Za-z]{2,}){3}[^<]*")


def english_texts(panel) -> list[str]:
    """Texts and tooltips of everything in `panel`, shown or not, that hold four English words in a row."""
    texts = []
    for widget in panel.findChildren(QtWidgets.QWidget):
        for name in ("text", "plainText", "title", "toolTip", "placeholderText", "currentText"):
            texts.append((widget.name, QtCore.QObject.property(widget, name)))
        if isinstance(widget, QtWidgets.QTableWidget):
            places = [(row, column) for row in range(widget.rowCount) for column in range(widget.columnCount)]
            texts += [(widget.name, cell.text()) for place in places if (cell := widget.item(*place))]
            heads = map(widget.horizontalHeaderItem, range(widget.columnCount))
            texts += [(widget.name, head.text()) for head in heads if head]
        if isinstance(widget, QtWidgets.QListWidget):
            texts += [(widget.name, widget.item(row).text()) for row in range(widget.count)]
    found = [(name, text) for name, text in texts if isinstance(text, str) and ENGLISH.search(text)]
    return [f"{name}: {text}" for name, text in found if text != STAND_IN]


@contextlib.contextmanager
def speaking(code: str):
    """The panels that are opened here speak a language, and so do the processes that they start."""
    from TACEResponseLib.messages.language import speak

    speak(code)
    try:
        yield
    finally:
        speak("en")


@contextlib.contextmanager
def look(dark: bool):
    """Everything in a dark palette, or in the usual light one."""
    application = QtWidgets.QApplication.instance()
    usual = application.palette()
    try:
        if dark:
            application.setPalette(_dark_palette())
        yield
    finally:
        application.setPalette(usual)


def save(panel, name: str) -> None:
    """Keep a picture of the panel where TACE_SCREENSHOTS names a folder."""
    folder = os.environ.get("TACE_SCREENSHOTS")
    if folder:
        assert panel.parent.grab().save(str(Path(folder) / name))


def _dark_palette():
    palette = QtGui.QPalette(QtGui.QColor(53, 53, 53))
    for role in (QtGui.QPalette.WindowText, QtGui.QPalette.Text, QtGui.QPalette.ButtonText):
        palette.setColor(role, QtGui.QColor(230, 230, 230))
        palette.setColor(QtGui.QPalette.Disabled, role, QtGui.QColor(130, 130, 130))
    palette.setColor(QtGui.QPalette.Base, QtGui.QColor(35, 35, 35))
    palette.setColor(QtGui.QPalette.AlternateBase, QtGui.QColor(45, 45, 45))
    return palette
