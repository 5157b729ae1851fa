"""The real MRML of the slicer-core wheel, with the logics that segmentations and files need."""

import importlib.util
import sys
from types import SimpleNamespace

from . import stand_ins

#: Raised by `start` where the wheel is not installed; tests skip with this reason.
MISSING = "slicer-core is not installed here (pip install slicer-core), so no MRML node can be made"


def start():
    """Give `slicer` a scene, an application logic and the module logics; returns the scene.

    Called once a process; a second call returns the same scene, cleared.
    """
    import slicer

    scene = getattr(slicer, "mrmlScene", None)
    if scene is not None:
        scene.Clear(True)
        return scene
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    logics = {
        "colors": slicer.vtkMRMLColorLogic(),
        "segmentations": slicer.vtkSlicerSegmentationsModuleLogic(),
        "volumes": slicer.vtkSlicerVolumesLogic(),
        "sequences": slicer.vtkSlicerSequencesLogic(),
        "markups": slicer.vtkSlicerMarkupsLogic(),
    }
    slicer.modules = SimpleNamespace()
    for name, logic in logics.items():
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(name.capitalize(), logic)
        setattr(slicer.modules, name, SimpleNamespace(logic=lambda logic=logic: logic))
    application.SetColorLogic(logics["colors"])
    slicer.applicationLogic = application
    scene.AddObserver(scene.EndCloseEvent, lambda *event: _bring_back_singletons(application, scene))
    if importlib.util.find_spec("slicer.i18n") is None:  # names of nodes are translated texts
        slicer.i18n = sys.modules.setdefault("slicer.i18n", stand_ins.i18n())
    return scene


def _bring_back_singletons(application, scene) -> None:
    """A scene of Slicer always has a selection node and one for the mouse mode; tests clear all nodes."""
    if scene.GetNodeByID("vtkMRMLSelectionNodeSingleton") is None:
        application.SetMRMLScene(None)
        application.SetMRMLScene(scene)
