"""Plain data -> nodes: prediction tables, curves, maps, and a patient as CT with segments.

Every node made here can be saved with the scene. What a demonstration model said carries its
sentence along: in the table and in the node's description.
"""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from scipy import ndimage
from TACEResponseLib.service import where_not_zero
from vtk.util.numpy_support import numpy_to_vtk

from .node_voxels import ijk_to_ras_of_image
from .texts import tr as _

#: Attribute by which a table of ours is recognised in a scene.
KIND = "TACEResponse.Kind"
#: Orange and blue are told apart also by eyes that do not tell red from green.
FOR, AGAINST, COLOURS = (0.90, 0.45, 0.05), (0.10, 0.40, 0.85), 256


def prediction_table(prediction, node=None):
    """vtkMRMLTableNode with one row a model and the fused row last; `node` is filled when given.

    Columns: model, probability of response (0 to 1), the class, note. The note
    of the fused row is the demonstration sentence where there is one.
    """
    from TACEResponseLib.models.combination import title  # there is a prediction, so this room loads

    rows = [(title(name), p, "") for name, p in prediction.probabilities.items()]
    sentence = prediction.statement() if prediction.demonstration else ""
    read = prediction.reading()
    rows.append((_("fused"), prediction.fused, read.banner or read.verdict))
    notes = [""] * (len(rows) - 1) + [sentence]
    columns = {
        "model": [row[0] for row in rows],
        "probability of response": np.array([row[1] for row in rows], float),  # not a text
        "verdict": [row[2] for row in rows],
        "note": notes,
    }
    node = table(_("TACE response {patient}").format(patient=prediction.patient_id), columns, node)
    node.SetDescription(sentence)
    node.SetAttribute(KIND, "prediction")
    node.SetAttribute("TACEResponse.BundleId", prediction.bundle_id)
    node.SetAttribute("TACEResponse.Threshold", f"{prediction.threshold:.6g}")
    node.SetAttribute("TACEResponse.Fused", f"{prediction.fused:.6g}")
    return node


def table(name: str, columns: Mapping[str, object], node=None):
    """vtkMRMLTableNode of equally long columns: lists of text, or arrays of numbers."""
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    content = vtk.vtkTable()
    for title, values in columns.items():
        if isinstance(values, np.ndarray):
            column = numpy_to_vtk(np.ascontiguousarray(values, float), deep=True)
        else:
            column = vtk.vtkStringArray()
            for text in values:
                column.InsertNextValue(str(text))
        column.SetName(title)
        content.AddColumn(column)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetAndObserveTable(content)
    return node


def curve_chart(title: str, curves: Mapping[str, tuple], x_title: str, y_title: str, diagonal=False):
    """vtkMRMLPlotChartNode of curves, name -> (x, y) arrays; each curve has a table of its own.

    diagonal: adds the line from (0, 0) to (1, 1), dashed. The chart of the same title is replaced.
    """
    _remove_chart(title)
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", title)
    chart.SetTitle(title)
    chart.SetXAxisTitle(x_title)
    chart.SetYAxisTitle(y_title)
    chart.SetAttribute(KIND, "chart")
    lines, reference = dict(curves), _("no information")
    if diagonal:
        lines[reference] = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    for name, (x, y) in lines.items():
        series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
        columns = {x_title: np.asarray(x, float), y_title: np.asarray(y, float)}
        series.SetAndObserveTableNodeID(table(f"{title} {name}", columns).GetID())
        series.SetXColumnName(x_title)
        series.SetYColumnName(y_title)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetUniqueColor()
        if diagonal and name == reference:
            series.SetColor(0.5, 0.5, 0.5)
            series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleDash)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart


def contribution_chart(explanation, sentence: str = ""):
    """vtkMRMLPlotChartNode with a bar a feature, above 0 where it speaks for response.

    The bars' table has the columns feature, value (the patient's) and share, largest share first.
    """
    title = _("TACE response, what speaks for it")
    _remove_chart(title)
    names = list(explanation.contributions)
    columns = {
        "feature": names,
        "value": np.array([explanation.values[name] for name in names], float),
        "share": np.array([explanation.contributions[name] for name in names], float),
    }
    content = table(_("TACE response shares {patient}").format(patient=explanation.patient_id), columns)
    content.SetDescription(sentence)
    content.SetAttribute(KIND, "shares")
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", _("share of the feature"))
    series.SetAndObserveTableNodeID(content.GetID())
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
    series.SetYColumnName("share")
    series.SetLabelColumnName("feature")  # shown when the mouse is over a bar
    series.SetColor(*FOR)
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", title)
    chart.SetTitle(title)
    chart.SetXAxisTitle(_("feature, largest share first"))
    chart.SetYAxisTitle(f"{_('for response')} ({explanation.unit})")
    chart.SetAttribute(KIND, "chart")
    chart.SetDescription(sentence)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart


def map_node(explanation, sentence: str = ""):
    """The network's map as vtkMRMLScalarVolumeNode with colours: orange for response, blue against.

    Only the box in which the map is not 0 becomes voxels, so that a large CT is not doubled; where
    the map is 0 the colours are clear. `remove_map` takes node and colours away.
    """
    node = volume_from_image(where_not_zero(explanation.network_map), _("TACE response map"))
    node.SetDescription(sentence)
    node.SetAttribute(KIND, "map")
    node.CreateDefaultDisplayNodes()
    display, most = node.GetDisplayNode(), float(np.abs(slicer.util.arrayFromVolume(node)).max())
    display.AutoWindowLevelOff()
    display.SetWindowLevel(2 * (most or 1.0), 0)
    display.SetAndObserveColorNodeID(_map_colours().GetID())
    return node


def remove_map(node) -> None:
    """Remove what `map_node` made, where it is still in the scene."""
    if slicer.mrmlScene.IsNodePresent(node):
        display = node.GetDisplayNode()
        colours = display.GetColorNode()
        for made in (node, display, colours):
            slicer.mrmlScene.RemoveNode(made)


def middle_of_map(node) -> np.ndarray:
    """(right, anterior, superior) in mm: the middle of the slice of a map in which it says most."""
    voxels = np.abs(slicer.util.arrayFromVolume(node))
    layer = voxels.sum(axis=(1, 2)).argmax()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    middle = ((voxels.shape[2] - 1) / 2, (voxels.shape[1] - 1) / 2, layer, 1)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ middle)[:3]


def _map_colours():
    colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", _("TACE response map colours"))
    colours.SetTypeToUser()
    colours.SetNumberOfColors(COLOURS)
    for n in range(COLOURS):
        level = 2 * n / (COLOURS - 1) - 1  # -1 against response, 1 for it
        colours.SetColor(n, f"{level:+.2f}", *(FOR if level > 0 else AGAINST), min(1.0, 1.5 * abs(level)))
    return colours


def _remove_chart(title: str) -> None:
    """Remove the chart of this title with its series and tables, so that runs do not pile up."""
    for chart in slicer.util.getNodesByClass("vtkMRMLPlotChartNode"):
        if chart.GetName() != title or chart.GetAttribute(KIND) != "chart":
            continue
        for n in reversed(range(chart.GetNumberOfPlotSeriesNodes())):
            series = chart.GetNthPlotSeriesNode(n)
            if series is not None:
                slicer.mrmlScene.RemoveNode(series.GetTableNode())
                slicer.mrmlScene.RemoveNode(series)
        slicer.mrmlScene.RemoveNode(chart)


def volume_from_image(image: sitk.Image, name: str):
    """vtkMRMLScalarVolumeNode of a SimpleITK image, for example a map over the CT."""
    voxels = sitk.GetArrayFromImage(image)
    return slicer.util.addVolumeFromArray(voxels, ijk_to_ras_of_image(image), name)


def patient_nodes(name: str, image: sitk.Image, mask: sitk.Image):
    """The volume and segmentation nodes of a patient; every lesion is a segment "Tumour n".

    image: HU. mask: same grid, above 0 in the tumour; lesions are its connected components,
    largest first.
    """
    volume = volume_from_image(image, name)
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    if display is not None:
        display.AutoWindowLevelOff()
        display.SetWindowLevel(350, 50)  # the usual abdominal window in HU
    segmentation = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", _("{name} segmentation").format(name=name)
    )
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    components, count = ndimage.label(sitk.GetArrayFromImage(mask) > 0, np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    for n, component in enumerate(np.argsort(-sizes, kind="stable") + 1, start=1):
        labelmap = oriented_labelmap(components == component, ijk_to_ras_of_image(image))
        colour = (0.9, 0.75 - 0.15 * (n % 5), 0.2)
        segmentation.AddSegmentFromBinaryLabelmapRepresentation(labelmap, _("Tumour {n}").format(n=n), colour)
    return volume, segmentation


def oriented_labelmap(voxels: np.ndarray, ijk_to_ras: np.ndarray):
    """vtkOrientedImageData (uint8) of a (k, j, i) boolean array."""
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetDimensions(*voxels.shape[::-1])
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    scalars = numpy_to_vtk(voxels.astype(np.uint8).ravel(), deep=True)
    labelmap.GetPointData().SetScalars(scalars)
    labelmap.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    return labelmap
