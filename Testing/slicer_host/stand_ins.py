"""Stand-ins for the Python files of Slicer that its wheel leaves out; only what the panels use."""

import types
import unittest


def i18n() -> types.ModuleType:
    """`slicer.i18n`: English."""
    module = types.ModuleType("slicer.i18n")
    module.tr = lambda text: text
    module.translate = lambda context, text: text
    return module


def packaging() -> types.ModuleType:
    """`slicer.packaging`: looks whether packages are there, refuses to install any."""
    from importlib import metadata
    from pathlib import Path

    from packaging.requirements import Requirement

    module = types.ModuleType("slicer.packaging")

    def load_requirements(path):
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]

    def pip_check(requirement):
        requirement = Requirement(str(requirement))
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
        try:
            return metadata.version(requirement.name) in requirement.specifier
        except metadata.PackageNotFoundError:
            return False

    def pip_ensure(requirements, **options):
        raise RuntimeError("the test host installs nothing")

    module.load_requirements, module.pip_check, module.pip_ensure = load_requirements, pip_check, pip_ensure
    return module


def ScriptedLoadableModule() -> types.ModuleType:
    """`slicer.ScriptedLoadableModule`: the four base classes."""
    import os

    import slicer

    module = types.ModuleType("slicer.ScriptedLoadableModule")

    class Module:
        def __init__(self, parent):
            self.parent = parent
            self.moduleName = type(self).__name__

    class Widget:
        def __init__(self, parent=None):
            self.moduleName = type(self).__name__.removesuffix("Widget")
            self.parent, self.layout = parent, parent.layout()

        def setup(self):
            pass

        def cleanup(self):
            pass

        def onReload(self):
            slicer.util.reloadScriptedModule(self.moduleName)

        def resourcePath(self, name):
            path = getattr(slicer.modules, self.moduleName.lower()).path
            return os.path.join(os.path.dirname(path), "Resources", name)  # noqa: PTH118, PTH120

    class Logic:
        def __init__(self, parent=None):
            self.moduleName = type(self).__name__.removesuffix("Logic")

        def getParameterNode(self):
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is None:
                node = slicer.vtkMRMLScriptedModuleNode()
                node.SetSingletonTag(self.moduleName)
                node.SetName(self.moduleName)
                node = slicer.mrmlScene.AddNode(node)
            node.SetAttribute("ModuleName", self.moduleName)
            return node

    class Test(unittest.TestCase):
        def delayDisplay(self, message, *_ignored):
            slicer.app.processEvents()

    for suffix, class_ in (("", Module), ("Widget", Widget), ("Logic", Logic), ("Test", Test)):
        setattr(module, f"ScriptedLoadableModule{suffix}", class_)
    return module


def parameterNodeWrapper() -> types.ModuleType:
    """`slicer.parameterNodeWrapper`: see `parameter_node`."""
    from . import parameter_node

    module = types.ModuleType("slicer.parameterNodeWrapper")
    for name in ("parameterNodeWrapper", "WithinRange", "Choice"):
        setattr(module, name, getattr(parameter_node, name))
    return module
