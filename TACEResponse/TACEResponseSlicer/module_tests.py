"""Parts of the module's own test that need more than a line or two; they need no network."""

import time

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from TACEResponseLib.cases.lesions import largest_slice
from TACEResponseLib.messages.errors import TACEResponseError
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.proposal.draft import dice

from . import publish


def nodes_become_their_case(test, logic) -> None:
    """The sample patient's nodes give its voxels, its mask and its lesions back."""
    patient = make_patient(0, seed=2, size="small")
    volume, segmentation = publish.patient_nodes("patient", patient.image, patient.mask)
    case = logic.prepare(volume, segmentation, "all")
    for ours, theirs in ((case.image, patient.image), (case.mask, patient.mask)):
        test.assertTrue(np.array_equal(*map(sitk.GetArrayFromImage, (ours, theirs))))
        test.assertTrue(np.allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-6))
    with test.assertRaises(TACEResponseError):
        logic.prepare(volume, segmentation, ["absent"])


def a_click_is_a_draft(test, panel, logic) -> None:
    """A point placed in the middle of the largest lesion: a draft like it, which a person confirms."""
    node = panel._parameterNode
    drawn = logic.prepare(node.ctVolume, node.segmentation, list(node.segmentIds)[:1])
    x, y, z = largest_slice(drawn).centre_mm
    panel.proposal.click()
    _place((-x, -y, z))
    _wait(lambda: not panel.proposal.point.waiting)
    test.assertTrue(panel.proposal.growth.waitForCompletion(30))
    test.assertEqual(panel.lastError, "")
    likeness = dice(drawn.mask, logic.prepare(node.ctVolume, node.segmentation, node.segmentIds).mask)
    test.assertGreater(likeness, 0.5)
    test.assertEqual(panel.proposal.reason(), panel.ui.predictButton.toolTip)
    test.assertFalse(panel.ui.predictButton.enabled)
    panel.proposal.confirm()
    confirmed = logic.prepare(node.ctVolume, node.segmentation, node.segmentIds).outline
    test.assertEqual((confirmed.source, panel.proposal.reason()), ("confirmed", ""))
    test.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode"), 0)


def _place(ras_mm) -> None:
    """Add a point to the list that is being placed, as a click in a view does."""
    identifier = slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID()
    slicer.mrmlScene.GetNodeByID(identifier).AddControlPointWorld(vtk.vtkVector3d(*ras_mm))


def _wait(condition, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        slicer.app.processEvents()
