"""The application around a panel: `slicer.app`, the module base classes, and one scene.

Where `TACE_SLICER_PYTHON` names the folder `Base/Python` of Slicer's sources, Slicer's own
parameter nodes, packaging, translation and module base classes are used instead of the stand-ins.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path
from types import SimpleNamespace

from . import mrml

ROOT = Path(__file__).resolve().parents[2]


class Application:
    """`slicer.app`: what the panels ask of it, in testing mode unless told otherwise."""

    applicationName = "slicer_host"

    def __init__(self, qapplication):
        self._qapplication = qapplication
        self.testing = True
        self.settings = {}
        self.startup = []

    def testingEnabled(self):
        return self.testing

    def processEvents(self):
        self._qapplication.processEvents()

    def thread(self):
        return self._qapplication.thread()

    def clipboard(self):
        return self._qapplication.clipboard()

    def layoutManager(self):
        return None

    def applicationLogic(self):
        import slicer

        return slicer.applicationLogic

    def extensionsManagerModel(self):
        raise AssertionError("nothing is installed by name here")

    def connect(self, signal, slot):
        self.startup.append((signal, slot))

    def disconnect(self, signal, slot):
        pass

    def moduleManager(self):
        return self

    def translate(self, context, text):
        return text

    def setOverrideCursor(self, cursor):
        pass

    def restoreOverrideCursor(self):
        pass

    def userSettings(self):
        return SimpleNamespace(value=self.settings.get, setValue=self.settings.__setitem__)


def start():
    """Scene, Qt, `slicer.app` and the modules that Slicer has and the wheel has not; once a process."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    scene = mrml.start()
    import slicer

    if hasattr(slicer, "app"):
        return scene
    from PySide6 import QtWidgets

    from . import pythonqt, widgets

    qapplication = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["slicer_host"])
    pythonqt.module()
    widgets.install()
    slicer.app = Application(qapplication)
    slicer.selfTests = {}
    slicer.util.mainWindow = lambda: None
    slicer.util.selectModule = lambda name: open_panel(name)
    slicer.util.getModuleWidget = lambda name: open_panel(name) and _widgets[name]
    slicer.util.reloadScriptedModule = reload_module
    slicer.util.showStatusMessage = lambda message, duration=0: None
    sources = os.environ.get("TACE_SLICER_PYTHON")
    if sources:
        slicer.__path__.append(str(Path(sources) / "slicer"))
    else:
        from . import stand_ins

        for name in ("i18n", "packaging", "parameterNodeWrapper", "ScriptedLoadableModule"):
            module = getattr(stand_ins, name)()
            sys.modules[f"slicer.{name}"] = module
            setattr(slicer, name, module)
    for folder in ("TACEResponse", "TACEResponseTraining"):
        sys.path.append(str(ROOT / folder))  # as Slicer does with every module's folder
    return scene


class PanelParent:
    """The parent that Slicer gives to a module's widget: a layout, and whether it is shown.

    It lies in a scroll area, as in Slicer's module panel: never lower than it needs to be, and as
    wide as the window, which is what `resize` changes.
    """

    def __new__(cls, name):
        import slicer
        from PySide6 import QtCore, QtWidgets

        parent = slicer.qMRMLWidget()
        layout = QtWidgets.QVBoxLayout(parent)
        layout.setContentsMargins(0, 0, 0, 0)
        parent.isEntered = False
        parent.window_ = QtWidgets.QScrollArea()
        parent.window_.setFrameShape(QtWidgets.QFrame.NoFrame)
        parent.window_.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        parent.window_.setWidgetResizable(True)
        parent.window_.setWidget(parent)
        parent.window_.resize(420, 900)
        return parent


_widgets: dict = {}


def load_module(name: str):
    """Import a module file as Slicer does, by its path, and make the module object once."""
    import slicer

    file = ROOT / name / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    entry = types.SimpleNamespace(path=str(file), title="", icon=None)
    setattr(slicer.modules, name.lower(), entry)
    instance = getattr(module, name)(entry)
    setattr(slicer.modules, f"{name}Instance", instance)
    return module


def open_panel(name: str):
    """The panel in the module's widget, set up and entered; the same one on every call."""
    if name not in _widgets:
        module = sys.modules.get(name) or load_module(name)
        import slicer

        parent = PanelParent(name)
        widget = getattr(module, f"{name}Widget")(parent)
        setattr(slicer.modules, f"{name}Widget", widget)
        widget.setup()
        parent.window_.show()
        _widgets[name] = widget
    widget = _widgets[name]
    if not widget.parent.isEntered:
        widget.parent.isEntered = True
        widget.enter()
    return widget.panel


def leave_panel(name: str) -> None:
    """Open another module, as far as this panel can tell."""
    widget = _widgets[name]
    widget.parent.isEntered = False
    widget.exit()


def close_panel(name: str) -> None:
    """Unload the module: its widget is cleaned up and gone."""
    widget = _widgets.pop(name)
    widget.cleanup()
    widget.parent.window_.close()
    widget.parent.window_.deleteLater()


def press_reload(name: str) -> None:
    """Press the developer's button Reload of a module."""
    _widgets[name].onReload()


def reload_module(name: str) -> None:
    """`slicer.util.reloadScriptedModule`: import the file again; a widget that was there is made again."""
    if name in _widgets:
        close_panel(name)
    load_module(name)
    open_panel(name)
