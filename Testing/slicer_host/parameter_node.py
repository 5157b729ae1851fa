"""A small parameterNodeWrapper on a real vtkMRMLScriptedModuleNode: the types and widgets we use.

Types: text, int, float, bool, list[str], dict[str, str], one node class; `Annotated` with its limits.
Widgets: exactly QCheckBox, QSpinBox, QComboBox and qMRMLNodeComboBox, as Slicer compares `type()`.
"""

import contextlib
import json
import typing
from dataclasses import dataclass

import qt
import slicer
import vtk


@dataclass
class WithinRange:
    minimum: float
    maximum: float

    def check(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} to {self.maximum}")


@dataclass
class Choice:
    choices: list

    def check(self, value):
        if value not in self.choices:
            raise ValueError(f"{value} is none of {self.choices}")


def parameterNodeWrapper(class_):
    """Turn the annotated class into a typed view of a vtkMRMLScriptedModuleNode."""
    hints = typing.get_type_hints(class_, include_extras=True)
    parameters = {name: _Parameter(name, hint, getattr(class_, name, None)) for name, hint in hints.items()}
    for name, parameter in parameters.items():
        setattr(class_, name, property(parameter.read, parameter.write))

    def initialise(self, node):
        self.parameterNode = node
        self._connections, self._updating = {}, False
        for parameter in parameters.values():
            if not node.HasParameter(parameter.name):
                parameter.write(self, parameter.default)

    class_.__init__ = initialise
    class_.connectGui = lambda self, ui: _connect(self, ui, parameters)
    class_.disconnectGui = _disconnect
    class_.AddObserver = lambda self, *arguments: self.parameterNode.AddObserver(*arguments)
    class_.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    class_.HasObserver = lambda self, *arguments: self.parameterNode.HasObserver(*arguments)
    return class_


class _Parameter:
    def __init__(self, name, hint, default):
        self.name = name
        self.checks = getattr(hint, "__metadata__", ())
        self.type = typing.get_args(hint)[0] if self.checks else hint
        self.is_node = isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)
        empty = {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}}
        self.default = empty.get(typing.get_origin(self.type) or self.type)
        self.default = self.default if default is None else default

    def read(self, wrapper):
        if self.is_node:
            return wrapper.parameterNode.GetNodeReference(self.name)
        return json.loads(wrapper.parameterNode.GetParameter(self.name))

    def write(self, wrapper, value):
        for check in self.checks:
            check.check(value)
        node = wrapper.parameterNode
        if not self.is_node:
            node.SetParameter(self.name, json.dumps(value))
            return
        if value is not None and not isinstance(value, self.type):
            raise ValueError(f"{self.name} must be {self.type.__name__}, not {value!r}")
        node.SetParameter(self.name, "")
        node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)


def _access(widget, parameter):
    """(signal, read, write) of a widget for a parameter."""
    if type(widget) is qt.QCheckBox:
        return widget.stateChanged, lambda: widget.checked, widget.setChecked
    if type(widget) is qt.QSpinBox:
        for bounds in parameter.checks:
            widget.setRange(bounds.minimum, bounds.maximum)
        return widget.valueChanged, lambda: widget.value, widget.setValue
    if type(widget) is qt.QComboBox:
        choices = parameter.checks[0].choices
        widget.clear()
        widget.addItems(choices)
        return widget.currentIndexChanged, lambda: widget.currentText, widget.setCurrentText
    if type(widget) is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [parameter.type.__name__]
        return widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode
    raise RuntimeError(f"no connection from {parameter.type} to {type(widget)}")


def _connect(wrapper, ui, parameters):
    links, tag = [], len(wrapper._connections) + 1
    for widget in vars(ui).values():
        name = widget.property("SlicerParameterName")
        if not name:
            continue
        parameter = parameters[name]
        signal, read, write = _access(widget, parameter)
        write(parameter.read(wrapper))

        def changed(*_arguments, parameter=parameter, read=read):
            if not wrapper._updating:
                parameter.write(wrapper, read())

        signal.connect(changed)
        links.append((signal, changed, write, parameter))

    def update(caller, event):
        if not wrapper._updating:
            wrapper._updating = True
            for _signal, _changed, write, parameter in links:
                write(parameter.read(wrapper))
            wrapper._updating = False

    observer = wrapper.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, update)
    wrapper._connections[tag] = (links, observer)
    return tag


def _disconnect(wrapper, tag):
    links, observer = wrapper._connections.pop(tag, ((), None))
    if observer is not None:
        wrapper.parameterNode.RemoveObserver(observer)
    for signal, changed, _write, _parameter in links:
        with contextlib.suppress(RuntimeError):
            signal.disconnect(changed)
