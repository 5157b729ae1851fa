"""PySide6 with the manners of PythonQt: properties are attributes, `connect` takes signatures.

PythonQt reads `label.text` and writes `label.text = "..."`; PySide6 has methods. Here every Qt
class that is used gets Python properties for its meta-properties, so that code written for Slicer
runs; code that would call `label.text()`, which Slicer refuses, fails here too.
"""

import ctypes
import sys
import types
from typing import ClassVar

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

#: Qt classes that the panels create or connect.
CONNECTED = (
    "QCheckBox",
    "QComboBox",
    "QFrame",
    "QLabel",
    "QLineEdit",
    "QListWidget",
    "QPlainTextEdit",
    "QProgressBar",
    "QPushButton",
    "QSlider",
    "QSpinBox",
    "QTableWidget",
    "QTimer",
    "QWidget",
)


#: Class -> properties that are read through methods which Qt itself calls.
VIRTUAL = {"QWidget": ("sizeHint", "minimumSizeHint"), "QProgressBar": ("text",)}


def module() -> types.ModuleType:
    """The module `qt`, also entered in `sys.modules`."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    _spare_singletons()
    qt = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets):
        for name in dir(source):
            if name.startswith("Q") and not hasattr(qt, name):
                setattr(qt, name, getattr(source, name))
    classes = [c for c in vars(qt).values() if isinstance(c, type) and issubclass(c, QtCore.QObject)]
    for class_ in sorted(classes, key=lambda c: len(c.__mro__)):
        give_properties(class_)
    QtCore.QObject.name = property(_getter("objectName"), _setter("objectName"))
    for name in CONNECTED:
        class_ = connecting(type(name, (getattr(qt, name),), {}))
        setattr(qt, name, class_)
        UiLoader.classes.setdefault(name, class_)
    qt.QUiLoader = UiLoader
    sys.modules["qt"] = qt
    return qt


def _spare_singletons() -> None:
    """Keep Python 3.11 alive: PySide6 6.12 does not count its references to None, True and False.

    From 3.12 on they are immortal and nothing is counted.
    """
    if sys.version_info < (3, 12):
        for singleton in (None, True, False):
            ctypes.c_ssize_t.from_address(id(singleton)).value += 1 << 40


def give_properties(class_) -> None:
    """A Python property for every meta-property that the class itself declares."""
    meta = class_.staticMetaObject
    for n in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(n).name()
        if name in VIRTUAL.get(
            class_.__name__, ()
        ):  # Qt would call a Python property of this name in the place of the method
            continue
        setattr(class_, name, property(_getter(name), _setter(name)))


def _getter(name):
    return lambda self: QtCore.QObject.property(self, name)


def _setter(name):
    def write(self, value):
        if not QtCore.QObject.setProperty(self, name, value):
            raise ValueError(f"{type(self).__name__}.{name} cannot be set to {value!r}")

    return write


#: Object's id -> the slots that its signals call, for as long as the object lives.
_HELD: dict[int, list] = {}


def _hold(sender, slot) -> None:
    """Keep `slot` as PythonQt does: out of the sight of Python's collector, until the sender is deleted."""
    key = id(sender)
    if key not in _HELD:
        _HELD[key] = []
        sender.destroyed.connect(lambda: _HELD.pop(key, None))
    _HELD[key].append(slot)


def connecting(class_):
    """Give a Python subclass PythonQt's `connect("signal(type)", slot)`.

    PySide6 keeps the name `connect` for itself on its own classes and on what they inherit.
    """

    def connect(self, signature: str, slot) -> bool:
        getattr(self, signature.partition("(")[0]).connect(slot)
        _hold(self, slot)
        return True

    def disconnect(self, signature: str, slot) -> bool:
        getattr(self, signature.partition("(")[0]).disconnect(slot)
        return True

    class_.connect, class_.disconnect = connect, disconnect
    return class_


class UiLoader(QtUiTools.QUiLoader):
    """Reads a .ui file as Slicer does, with stand-ins for the widgets of CTK and MRML."""

    #: Class name in the .ui -> Python class; `widgets` adds its stand-ins.
    classes: ClassVar[dict] = {}

    def createWidget(self, class_name, parent=None, name=""):
        if class_name not in self.classes:
            raise LookupError(f"no stand-in for {class_name} ({name}) in the test host")
        widget = self.classes[class_name](parent)
        widget.setObjectName(name)
        return widget

    def load(self, file):
        text = bytes(file.readAll()).decode("utf-8")
        file.close()
        # The connections carry a scene as C++ pointer; `qMRMLWidget.setMRMLScene` hands it on instead.
        start, end = text.find("<connections>"), text.find("</connections>")
        if start >= 0:
            text = text[:start] + text[end + len("</connections>") :]
        buffer = QtCore.QBuffer()
        buffer.setData(text.encode("utf-8"))
        buffer.open(QtCore.QIODevice.ReadOnly)
        return super().load(buffer)
