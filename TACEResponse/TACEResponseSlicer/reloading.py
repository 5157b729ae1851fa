"""Reload, for developers: both modules together, so that neither keeps classes that the other forgot."""

import sys

import slicer

MODULES = ("TACEResponse", "TACEResponseTraining")
SHARED = ("TACEResponseLib", "TACEResponseSlicer")


def forget_and_reload_others(module: str) -> None:
    """Forget library and shared rooms, and reload the module beside `module`, which reloads itself."""
    for name in list(sys.modules):
        if name.partition(".")[0] in SHARED:
            del sys.modules[name]
    for other in MODULES:
        if other != module and hasattr(slicer.modules, other.lower()):
            slicer.util.reloadScriptedModule(other)
