"""A draft from TotalSegmentator's stand-in or from a click: cancelled, corrected, confirmed, recorded."""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import answers
import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from conftest import ROOT

from slicer_host import application

application.start()

import vtk
from TACEResponseLib.answer.prediction import Prediction
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.proposal.draft import dice
from TACEResponseSlicer import ct_frame, draft_node, publish, scene, segmentator

NAME = "TACEResponse"
WAIT = "The outline is a proposal. Look at it, correct it, then press Confirm outline"


@pytest.fixture(scope="session")
def patient():
    return make_patient(21, seed=1, size="small")


@pytest.fixture
def panel():
    slicer.mrmlScene.Clear(False)
    slicer.app.settings.clear()
    panel = application.open_panel(NAME)
    panel.logic.canPredict = lambda: False
    panel.logic.startService = lambda: None
    panel.logic.run = an_answer_about
    yield panel
    slicer.mrmlScene.Clear(False)
    application.close_panel(NAME)


def an_answer_about(case, bundle=None, progress=None, **options) -> Prediction:
    return answers.an_answer(patient_id=case.patient_id, outline=case.outline)


@pytest.fixture
def ct(panel, patient):
    """The sample patient's CT alone, chosen, under its usual orientation."""
    volume = publish.volume_from_image(patient.image, "3: arterial")
    volume.CreateDefaultDisplayNodes()
    panel._parameterNode.ctVolume = volume
    return volume


class Partner:
    """TotalSegmentator as Slicer has it: a module, its logic, and its script among Python's scripts."""

    def __init__(self, folder: Path, monkeypatch):
        self.set_up, self.refusal, self.calls = 0, None, folder / "calls.txt"
        scripts = folder / "scripts"
        scripts.mkdir()
        shutil.copy(ROOT / "Testing" / "stand_in_segmentator.py", scripts / "TotalSegmentator")
        module = ModuleType("TotalSegmentator")
        module.TotalSegmentatorLogic = lambda: SimpleNamespace(setupPythonRequirements=self._set_up)
        monkeypatch.setitem(sys.modules, "TotalSegmentator", module)
        monkeypatch.setattr(slicer.modules, "totalsegmentator", SimpleNamespace(), raising=False)
        monkeypatch.setattr(segmentator.sysconfig, "get_path", lambda name: str(scripts))
        monkeypatch.setattr(slicer.app, "testing", False)
        monkeypatch.setenv("TACE_STAND_IN_CALLS", str(self.calls))
        monkeypatch.setattr(slicer.util, "errorDisplay", lambda *said, **more: None)
        self.behave = lambda *modes: monkeypatch.setenv("TACE_STAND_IN", ",".join(modes))

    def _set_up(self):
        self.set_up += 1
        if self.refusal:
            raise self.refusal

    def processes(self) -> list[int]:
        """Of the program and of what it started."""
        if not self.calls.exists():
            return []
        return [int(pid) for line in self.calls.read_text("utf-8").splitlines() for pid in line.split()[:2]]


@pytest.fixture
def partner(tmp_path, monkeypatch):
    return Partner(tmp_path, monkeypatch)


class ExtensionsManager:
    """`slicer.app.extensionsManagerModel()`: remembers what it was asked to install, and how."""

    def __init__(self, succeeds=True):
        self.succeeds, self.asked, self.interactive = succeeds, [], True

    def installExtensionFromServer(self, name, restart=True, update=False):
        self.asked.append((name, restart, update, self.interactive))
        return self.succeeds


@pytest.fixture
def manager(monkeypatch):
    manager = ExtensionsManager()
    monkeypatch.setattr(slicer.app, "extensionsManagerModel", lambda: manager)
    monkeypatch.setattr(slicer.app, "testing", False)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda *said, **more: None)
    return manager


def answer_questions(monkeypatch, accept: bool) -> list[str]:
    """Every question is answered this way; what was asked."""
    asked = []
    ask = lambda text, *titles, **more: asked.append(text) or accept
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", ask)
    return asked


def turn(condition, timeout_s=30) -> None:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        slicer.app.processEvents()
    assert condition()


def search(panel) -> None:
    """Press the button and wait for what the program finds."""
    panel.ui.proposalSection.collapsed = False
    panel.ui.proposeButton.click()
    assert panel.task.waitForCompletion(60)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]


def left_in_scene() -> list[str]:
    """What a click or a draft could leave: points, segmentations."""
    kinds = ("vtkMRMLMarkupsNode", "vtkMRMLMarkupsDisplayNode", "vtkMRMLSegmentationNode")
    return [node.GetName() for kind in kinds for node in slicer.util.getNodesByClass(kind)]


def names(panel) -> list[str]:
    return list(scene.segment_names(panel._parameterNode.segmentation).values())


def ticked(panel) -> list[str]:
    all_names = scene.segment_names(panel._parameterNode.segmentation)
    return [all_names[identifier] for identifier in panel._parameterNode.segmentIds]


def case_of(panel):
    node = panel._parameterNode
    return scene.case_from_nodes(node.ctVolume, node.segmentation, list(node.segmentIds))


def remove_slices(panel, identifier: str, count: int) -> np.ndarray:
    """Erase the first `count` drawn slices of a segment, as the Segment Editor would; what it was."""
    node = panel._parameterNode
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node.segmentation, identifier, node.ctVolume)
    before = voxels.copy()
    first = np.flatnonzero(voxels.any(axis=(1, 2)))[:count]
    voxels[first] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node.segmentation, identifier, node.ctVolume)
    return before


# The partner


def test_without_the_partner_the_button_says_what_it_would_do_and_installs_it_by_name(
    panel, ct, manager, monkeypatch
):
    ui = panel.ui
    ui.proposalSection.collapsed = False
    assert ui.proposeLabel.text == (
        "TotalSegmentator would outline liver lesions. It is not installed; the button offers that."
    )
    asked = answer_questions(monkeypatch, False)
    ui.proposeButton.click()
    assert (len(asked), manager.asked) == (1, [])
    assert "Slicer has to be restarted afterwards" in asked[0]
    answer_questions(monkeypatch, True)
    ui.proposeButton.click()
    assert manager.asked == [("TotalSegmentator", False, False, False)]  # not asked twice, not restarted
    assert manager.interactive is True
    assert ui.proposeLabel.text == (
        "TotalSegmentator is installed. Save your scene and restart Slicer to use it."
    )
    assert panel.lastError == ""


def test_an_extension_that_is_not_installed_after_all_is_a_sentence(panel, ct, manager, monkeypatch):
    manager.succeeds = False
    answer_questions(monkeypatch, True)
    panel.ui.proposeButton.click()
    assert panel.lastError == (
        "The extension TotalSegmentator was not installed. Check the network, or install it in the"
        " Extensions Manager."
    )
    assert "It is not installed" in panel.ui.proposeLabel.text


def test_nothing_is_installed_in_testing_mode(panel, ct, manager, monkeypatch):
    monkeypatch.setattr(slicer.app, "testing", True)
    panel.ui.proposeButton.click()
    assert manager.asked == []
    assert "Nothing is installed in testing mode" in panel.lastError


def test_its_packages_are_installed_by_its_own_installer_and_a_refusal_is_a_sentence(panel, ct, partner):
    partner.refusal = RuntimeError("User cancelled.")
    panel.ui.proposeButton.click()
    assert panel.task is None
    assert panel.lastError.startswith("The packages of TotalSegmentator were not installed")
    assert "User cancelled." in panel.lastError
    partner.refusal.restartRequired = True
    panel.ui.proposeButton.click()
    assert "Restart Slicer" in panel.lastError
    partner.refusal = None
    search(panel)
    assert (partner.set_up, panel.lastError) == (3, "")


def test_on_macos_it_is_said_before_that_numpy_is_replaced(panel, ct, partner, monkeypatch):
    monkeypatch.setattr(segmentator.sys, "platform", "darwin")
    monkeypatch.setattr(segmentator.metadata, "version", lambda name: "2.4.6")
    asked = answer_questions(monkeypatch, False)
    panel.ui.proposeButton.click()
    assert "numpy below version 2" in asked[0]
    assert (partner.set_up, panel.task, panel.lastError) == (0, None, "")
    monkeypatch.setattr(segmentator.metadata, "version", lambda name: "1.26.4")
    search(panel)
    assert (partner.set_up, len(asked)) == (1, 1)


def test_what_the_program_finds_is_a_draft_that_predict_waits_for(panel, ct, partner):
    slices = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    panel.checkCanApply()
    assert "on a CPU it may take 5 to 50 minutes" in panel.ui.proposeLabel.text
    search(panel)
    assert panel.lastError == ""
    node, ui = panel._parameterNode, panel.ui
    assert node.segmentation.GetName() == "Proposed outline, 3: arterial"
    assert names(panel) == ticked(panel) == [names(panel)[0]]
    assert names(panel) == ["Tumour (proposed) 1"]
    assert ui.segmentsList.item(0).text() == names(panel)[0]
    assert panel.patient.waitForMeasurement()
    assert (ui.predictButton.enabled, ui.whyNotLabel.text) == (False, WAIT)
    assert ui.draftLabel.text.startswith("Proposed by TotalSegmentator. Look at every slice")
    assert ui.draftLabel.text.splitlines()[1].startswith("1: 14.")
    assert not ui.extentRow.visible
    display = node.segmentation.GetDisplayNode()
    assert display.GetVisibility2DFill() and display.GetVisibility2DOutline()
    assert (display.GetOpacity2DFill(), display.GetOpacity2DOutline()) == (0.3, 1.0)
    centre = [slices.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    image = ct_frame.image_of(ct)()
    middle = image.TransformIndexToPhysicalPoint([n // 2 for n in image.GetSize()])
    np.testing.assert_allclose(centre, (-middle[0], -middle[1], middle[2]), atol=1.5)
    ui.confirmButton.click()
    assert ui.predictButton.enabled
    assert (names(panel), ui.confirmButton.visible) == (["Tumour 1"], False)
    assert ui.draftLabel.text == "Proposed by TotalSegmentator. You confirmed it."
    options = partner.calls.read_text("utf-8").split()
    assert options[-5:] == ["--task", "liver_lesions", "--ml", "--device", "cpu"]


def test_progress_and_the_device_are_said_while_it_looks(panel, ct, partner, monkeypatch):
    partner.behave("slow")
    monkeypatch.setenv("TACE_STAND_IN_SECONDS", "2")
    said, bars = set(), set()
    panel.ui.proposeButton.click()
    assert panel.ui.predictButton.text == "Cancel"
    while panel.run.running:
        slicer.app.processEvents()
        said.add(panel.ui.stageLabel.text.replace("\u200b", ""))
        bars.add((panel.ui.predictProgress.value, panel.ui.predictProgress.maximum))
        assert panel.ui.runRow.visible or not panel.run.running
        assert not panel.ui.proposeButton.enabled or not panel.run.running
    assert "looking for a GPU" in said
    assert any(line.endswith("; without a GPU this may take 5 to 50 minutes") for line in said)
    assert len([done for done, total in bars if total == 100 and 0 < done < 100]) > 5
    assert not panel.ui.runRow.visible


def test_a_gpu_is_used_where_pytorch_finds_one(panel, ct, partner, monkeypatch):
    monkeypatch.setattr(segmentator, "SEES_GPU", "raise SystemExit(0)")
    monkeypatch.setattr(segmentator.metadata, "version", lambda name: "2.13.0")
    said = []
    show = panel.run.show_progress
    panel.run.show_progress = lambda stage, done, total: said.append(stage) or show(stage, done, total)
    search(panel)
    assert partner.calls.read_text("utf-8").split()[-1] == "gpu"
    assert draft_node.program_of(panel._parameterNode.segmentation) == "TotalSegmentator 2.13.0"
    assert any(stage.endswith(", on the GPU") for stage in said)


@pytest.mark.parametrize("how", ["cancel", "scene", "ct", "removed", "panel"])
def test_whatever_ends_the_search_no_process_and_no_file_is_left(
    panel, ct, patient, partner, monkeypatch, tmp_path, how
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    partner.behave("stubborn")
    panel.ui.proposeButton.click()
    turn(lambda: len(partner.processes()) == 2)
    assert all(map(is_alive, partner.processes()))
    panel._parameterNode.segmentIds = []  # any other choice lets it go on
    assert panel.run.running
    if how == "cancel":
        panel.ui.predictButton.click()
    elif how == "scene":
        slicer.mrmlScene.Clear(False)
    elif how == "ct":
        panel._parameterNode.ctVolume = publish.volume_from_image(patient.image, "4: another")
    elif how == "removed":
        slicer.mrmlScene.RemoveNode(ct)
    else:
        panel.leave()
    if how != "panel":
        assert not panel.run.running
        assert panel.ui.predictButton.text == "Predict"
    turn(lambda: not any(map(is_alive, partner.processes())), 10)
    turn(lambda: not list(temporary.iterdir()), 10)
    assert panel.lastError == ""
    assert left_in_scene() == []


def test_a_search_goes_on_while_another_module_is_open(panel, ct, partner, monkeypatch):
    partner.behave("slow")
    monkeypatch.setenv("TACE_STAND_IN_SECONDS", "1")
    panel.ui.proposeButton.click()
    application.leave_panel(NAME)
    assert panel.task.waitForCompletion(30)
    application.open_panel(NAME)
    assert panel.proposal.reason() == WAIT
    assert len(panel._parameterNode.segmentIds) == 1


def test_a_program_that_fails_is_a_sentence_with_its_last_lines(panel, ct, partner):
    partner.behave("fail")
    search(panel)
    assert "CUDA error: no kernel image" in panel.lastError
    assert left_in_scene() == []
    assert panel.ui.proposeButton.enabled


def test_finding_nothing_is_an_answer_and_no_error(panel, ct, patient, partner):
    partner.behave("empty")
    search(panel)
    assert panel.lastError == ""
    assert panel.ui.draftLabel.text.startswith("TotalSegmentator found no lesion in the liver. That does not")
    assert left_in_scene() == []
    panel._parameterNode.ctVolume = publish.volume_from_image(patient.image, "4: another")
    assert panel.ui.draftLabel.text == ""  # it was about the other one


def test_several_lesions_are_segments_of_their_own_and_small_ones_are_not_ticked(panel, ct, partner):
    partner.behave("several")
    search(panel)
    assert names(panel) == [f"Tumour (proposed) {n}" for n in (1, 2, 3)]
    lines = panel.ui.draftLabel.text.splitlines()[1:]
    diameters = [float(line.split()[3]) for line in lines]
    assert [line.endswith("(small)") for line in lines] == [False, False, True]
    np.testing.assert_allclose(diameters, (30, 16, 6), atol=1.5)
    assert ticked(panel) == names(panel)[:2]
    panel.ui.confirmButton.click()
    outline = case_of(panel).outline
    assert (outline.source, outline.program, outline.dice) == ("confirmed", "TotalSegmentator", None)
    assert names(panel)[:2] == ["Tumour 1", "Tumour 2"] and "(proposed)" in names(panel)[2]
    panel._parameterNode.segmentIds = list(panel._parameterNode.segmentIds)[:1]
    outline = case_of(panel).outline  # a lesion that was rejected is a change of the proposal
    assert outline.source == "edited" and 0.8 < outline.dice < 1
    assert panel.ui.predictButton.enabled


# What a person does with it


def test_an_edited_draft_is_recorded_with_its_dice_and_an_undone_edit_is_none(panel, ct, partner):
    search(panel)
    identifier = panel._parameterNode.segmentIds[0]
    proposal = case_of(panel)
    assert proposal.outline.history() == "proposed, not confirmed"  # as a script would get it
    before = remove_slices(panel, identifier, 2)
    assert panel.ui.whyNotLabel.text == WAIT
    panel.ui.confirmButton.click()
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(60)
    case, outline = panel.answer.case, panel.answer.prediction.outline
    kept = sitk.GetArrayFromImage(case.mask).sum()
    assert outline.dice == pytest.approx(2 * kept / (kept + before.sum()))
    assert outline.dice == pytest.approx(dice(proposal.mask, case.mask))
    assert f"proposed, edited (Dice {outline.dice:.2f} to the proposal)" in panel.ui.answerLabel.text
    node = panel._parameterNode
    slicer.util.updateSegmentBinaryLabelmapFromArray(before, node.segmentation, identifier, ct)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(60)
    assert panel.answer.prediction.outline.history() == "proposed, confirmed"


def test_what_was_not_proposed_is_drawn_also_beside_a_draft(panel, ct, patient, partner):
    _volume, segmentation = publish.patient_nodes("drawn", patient.image, patient.mask)
    panel._parameterNode.ctVolume, panel._parameterNode.segmentation = ct, segmentation
    panel._parameterNode.segmentIds = list(scene.segment_names(segmentation))
    assert panel.patient.waitForMeasurement()
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(60)
    assert panel.answer.prediction.outline.history() == "drawn"
    search(panel)
    draft = panel._parameterNode.segmentation
    assert draft is not segmentation  # nothing that a person drew is drawn over
    by_hand = draft.GetSegmentation().AddEmptySegment("", "by hand")
    voxels = sitk.GetArrayFromImage(patient.mask)
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, draft, by_hand, ct)
    assert panel.ui.whyNotLabel.text == WAIT
    panel._parameterNode.segmentIds = [by_hand]
    assert panel.patient.waitForMeasurement()
    assert panel.ui.predictButton.enabled
    assert panel.ui.draftLabel.text == ""


def test_the_record_stands_in_answer_page_json_and_structured_report(panel, monkeypatch, tmp_path, partner):
    import pydicom
    from scenes import a_scene, write_dicom_series

    monkeypatch.setattr(panel, "logic", sys.modules[NAME].TACEResponseLogic())
    panel.actions._logic = panel.logic
    image, _segments = a_scene()
    write_dicom_series(tmp_path, image)
    panel._parameterNode.ctVolume = publish.volume_from_image(image, "from DICOM")
    panel._parameterNode.bundle = ""
    search(panel)
    remove_slices(panel, panel._parameterNode.segmentIds[0], 1)
    panel.ui.confirmButton.click()
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    prediction, case = panel.answer.prediction, panel.answer.case
    said = f"proposed, edited (Dice {prediction.outline.dice:.2f} to the proposal)"
    assert f"Outline: {said}" in panel.ui.answerLabel.text
    pages = []
    panel.actions.write_report(tmp_path / "report", pages.append)
    assert panel.task.waitForCompletion(120)
    assert said in pages[0].read_text(encoding="utf-8")
    written = json.loads((pages[0].parent / "prediction.json").read_text(encoding="utf-8"))["outline"]
    assert written == {
        "source": "edited",
        "program": "TotalSegmentator",
        "dice": round(prediction.outline.dice, 3),
    }
    series = sorted(tmp_path.glob("*.dcm"))
    panel.logic.writeDicom(prediction, case, series, tmp_path / "out")
    written = list(map(pydicom.dcmread, (tmp_path / "out").glob("*.dcm")))
    assert said in next(data for data in written if data.Modality == "SR").to_json()


# The click


def lesion_centre(patient) -> tuple[float, float, float]:
    """The middle of the largest lesion, as RAS in mm."""
    components = sitk.RelabelComponent(sitk.ConnectedComponent(patient.mask))
    x, y, z = ct_frame.middle_of(components == 1)
    return (-x, -y, z)


def true_lesion(patient) -> sitk.Image:
    return sitk.RelabelComponent(sitk.ConnectedComponent(patient.mask)) == 1


def place(point_ras) -> None:
    """Do to the active list of points what Slicer does on a click in a view."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    points = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
    points.AddControlPointWorld(vtk.vtkVector3d(*point_ras))
    interaction.SwitchToViewTransformMode()  # as after the last point that is placed


def click_on(panel, point_ras) -> None:
    panel.ui.clickButton.click()
    place(point_ras)
    turn(lambda: not panel.proposal.point.waiting)
    assert panel.proposal.growth.waitForCompletion(30)


def test_one_click_is_a_draft_in_under_a_second_and_a_slider_changes_it(panel, ct, patient):
    ui, interaction = panel.ui, slicer.app.applicationLogic().GetInteractionNode()
    ui.proposalSection.collapsed = False
    ui.clickButton.click()
    assert ui.clickButton.text == "Stop clicking"
    assert ui.draftLabel.text == "Click into the middle of the lesion, in any slice view."
    began = time.process_time()  # of this process: other programs may be busy here
    place(lesion_centre(patient))
    turn(lambda: not panel.proposal.point.waiting)
    assert panel.proposal.growth.waitForCompletion(30)
    assert time.process_time() - began < 1
    assert panel.lastError == ""
    node = panel._parameterNode
    assert ticked(panel) == ["Tumour (proposed) 1"]
    assert ui.whyNotLabel.text == WAIT and ui.extentRow.visible and ui.confirmButton.visible
    assert ui.clickButton.text == "Click on the tumour"
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert [n for n in left_in_scene() if n != node.segmentation.GetName()] == []
    likeness = dice(case_of(panel).mask, true_lesion(patient))
    assert likeness > 0.7, likeness
    middle = case_of(panel).mask
    identifier = node.segmentIds[0]
    sizes = {}
    for value in (20, 90):
        ui.extentSlider.setValue(value)
        assert panel.proposal.growth.waitForCompletion(30)
        sizes[value] = sitk.GetArrayFromImage(case_of(panel).mask).sum()
    assert sizes[20] < sitk.GetArrayFromImage(middle).sum() < sizes[90]
    assert list(node.segmentIds) == [identifier]
    ui.confirmButton.click()
    assert not ui.extentRow.visible
    outline = case_of(panel).outline
    assert (outline.source, outline.program) == ("confirmed", "one click")  # as it was after the slider
    assert ui.draftLabel.text == "Proposed around your click. You confirmed it."


def test_of_many_extents_only_the_last_is_drawn(panel, ct, patient):
    click_on(panel, lesion_centre(patient))
    drawn = []
    draw = panel.proposal._draw
    panel.proposal._draw = lambda *content: drawn.append(1) or draw(*content)
    for value in range(51, 91):
        panel.ui.extentSlider.setValue(value)
    assert panel.proposal.growth.waitForCompletion(30)
    assert 1 <= len(drawn) <= 3
    expected = case_of(panel).mask
    panel.ui.extentSlider.setValue(10)
    panel.ui.extentSlider.setValue(90)
    assert panel.proposal.growth.waitForCompletion(30)
    assert dice(expected, case_of(panel).mask) == 1


def test_the_event_loop_goes_on_while_a_region_is_worked_out(panel, ct, patient, monkeypatch):
    from TACEResponseLib.proposal import click

    prepare = click.prepare
    monkeypatch.setattr(click, "prepare", lambda *content: time.sleep(0.5) or prepare(*content))
    panel.proposal.grow_from(lesion_centre(patient))
    assert not panel.ui.clickButton.enabled  # another click now would lose this one
    gaps, last = [], time.perf_counter()
    while panel.proposal.growth.running:
        slicer.app.processEvents()
        gaps.append(time.perf_counter() - last)
        last = time.perf_counter()
    assert len(gaps) > 20 and sorted(gaps)[-2] < 0.2, max(gaps)  # the last draws the segment
    assert panel.ui.clickButton.enabled


@pytest.mark.parametrize("how", ["translated", "turned"])
def test_a_click_on_a_ct_under_a_transform_finds_the_same_region_and_goes_with_the_ct(
    panel, ct, patient, how
):
    click_on(panel, lesion_centre(patient))
    without = sitk.GetArrayFromImage(case_of(panel).mask)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkTransform()
    matrix.Translate(30, -20, 12)
    if how == "turned":
        matrix.RotateWXYZ(30, 1, 2, 3)
    transform.SetMatrixTransformToParent(matrix.GetMatrix())
    panel._parameterNode.segmentation = None
    ct.SetAndObserveTransformNodeID(transform.GetID())
    click_on(panel, matrix.TransformPoint(lesion_centre(patient)))
    assert panel.lastError == ""
    assert panel._parameterNode.segmentation.GetTransformNodeID() == transform.GetID()
    assert np.array_equal(sitk.GetArrayFromImage(case_of(panel).mask), without)
    panel.ui.confirmButton.click()
    matrix.Translate(5, 5, 5)
    transform.SetMatrixTransformToParent(matrix.GetMatrix())
    assert case_of(panel).outline.source == "confirmed"


def test_a_ct_that_is_bent_by_its_transform_is_refused_with_a_sentence(panel, ct):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    bend = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50)):
        source.InsertNextPoint(point)
        target.InsertNextPoint(point[0] + 3, point[1], point[2] * 1.1)
    bend.SetSourceLandmarks(source)
    bend.SetTargetLandmarks(target)
    bend.SetBasisToR()
    transform.SetAndObserveTransformToParent(bend)
    ct.SetAndObserveTransformNodeID(transform.GetID())
    panel.ui.clickButton.click()
    assert "The CT stands under a transform that is not linear" in panel.lastError
    assert not panel.proposal.point.waiting
    assert left_in_scene() == []


def test_a_click_beside_the_body_or_the_ct_is_a_sentence_and_no_draft(panel, ct):
    click_on(panel, (2000.0, 0.0, 0.0))
    assert "The point lies outside the CT" in panel.lastError
    assert left_in_scene() == []
    assert not panel.ui.extentRow.visible


def second_lesion(patient) -> tuple[float, float, float]:
    """The middle of the second largest lesion, as RAS in mm."""
    components = sitk.RelabelComponent(sitk.ConnectedComponent(patient.mask))
    x, y, z = ct_frame.middle_of(components == 2)
    return (-x, -y, z)


def segment_mask(panel, identifier: str) -> np.ndarray:
    node = panel._parameterNode
    return slicer.util.arrayFromSegmentBinaryLabelmap(node.segmentation, identifier, node.ctVolume) > 0


def test_each_click_adds_a_lesion_that_is_ticked_and_the_slider_changes_the_last_one(panel, ct, patient):
    click_on(panel, lesion_centre(patient))
    draft, (first,) = panel._parameterNode.segmentation, panel._parameterNode.segmentIds
    before = segment_mask(panel, first)
    click_on(panel, second_lesion(patient))
    assert panel._parameterNode.segmentation is draft
    assert ticked(panel) == names(panel) == ["Tumour (proposed) 1", "Tumour (proposed) 2"]
    said = panel.ui.draftLabel.text.replace("\u200b", "").splitlines()
    assert said[0].endswith("Click on each further lesion, or draw it: what is not outlined does not count.")
    assert [line[:2] for line in said[1:]] == ["1:", "2:"]
    second = panel._parameterNode.segmentIds[1]
    sizes = []
    for value in (20, 90):
        panel.ui.extentSlider.setValue(value)
        assert panel.proposal.growth.waitForCompletion(30)
        sizes.append(segment_mask(panel, second).sum())
    assert sizes[0] < sizes[1]
    assert np.array_equal(segment_mask(panel, first), before)
    both = before | segment_mask(panel, second)
    assert np.array_equal(sitk.GetArrayFromImage(case_of(panel).mask) > 0, both)
    assert panel.ui.whyNotLabel.text == WAIT
    panel.ui.confirmButton.click()
    outline = case_of(panel).outline
    assert (outline.source, outline.program) == ("confirmed", "one click")
    panel._parameterNode.segmentIds = [first]  # what is kept as the proposal is both lesions
    outline = case_of(panel).outline
    assert outline.source == "edited"
    assert outline.dice == pytest.approx(2 * before.sum() / (before.sum() + both.sum()))


def test_a_click_inside_a_proposed_lesion_proposes_that_one_again(panel, ct, patient):
    click_on(panel, lesion_centre(patient))
    click_on(panel, second_lesion(patient))
    first, second = panel._parameterNode.segmentIds
    before = segment_mask(panel, first), segment_mask(panel, second)
    panel.ui.extentSlider.setValue(80)
    assert panel.proposal.growth.waitForCompletion(30)
    other = segment_mask(panel, second)
    click_on(panel, lesion_centre(patient))
    assert list(panel._parameterNode.segmentIds) == [first, second]
    assert names(panel) == ["Tumour (proposed) 1", "Tumour (proposed) 2"]
    assert segment_mask(panel, first).sum() > before[0].sum()  # by the slider's extent now
    assert np.array_equal(segment_mask(panel, second), other)
    panel.ui.confirmButton.click()
    assert case_of(panel).outline.source == "confirmed"  # the region that was replaced is no proposal


def test_a_click_after_confirm_adds_to_the_same_segmentation_and_waits_again(panel, ct, patient):
    click_on(panel, lesion_centre(patient))
    draft = panel._parameterNode.segmentation
    panel.ui.confirmButton.click()
    assert panel.proposal.reason() == ""
    click_on(panel, second_lesion(patient))
    assert panel._parameterNode.segmentation is draft
    assert ticked(panel) == ["Tumour 1", "Tumour (proposed) 2"]
    assert panel.patient.waitForMeasurement()
    assert (panel.ui.whyNotLabel.text, panel.ui.predictButton.enabled) == (WAIT, False)
    assert case_of(panel).outline.history() == "proposed, not confirmed"
    panel.ui.confirmButton.click()
    assert names(panel) == ["Tumour 1", "Tumour 2"]
    assert case_of(panel).outline.history() == "proposed, confirmed"


def test_a_click_beside_a_correction_leaves_it_and_one_on_another_ct_is_another_draft(panel, ct, patient):
    click_on(panel, lesion_centre(patient))
    draft, (first,) = panel._parameterNode.segmentation, panel._parameterNode.segmentIds
    remove_slices(panel, first, 2)
    corrected = segment_mask(panel, first)
    click_on(panel, second_lesion(patient))
    assert panel._parameterNode.segmentation is draft and len(panel._parameterNode.segmentIds) == 2
    assert np.array_equal(segment_mask(panel, first), corrected)
    panel.ui.confirmButton.click()
    assert case_of(panel).outline.source == "edited"
    assert 0.8 < case_of(panel).outline.dice < 1
    panel._parameterNode.ctVolume = publish.volume_from_image(patient.image, "4: another")
    click_on(panel, second_lesion(patient))
    assert panel._parameterNode.segmentation is not draft
    assert names(panel) == ["Tumour (proposed) 1"]


def test_what_a_person_corrects_is_not_drawn_over_by_the_slider(panel, ct, patient):
    click_on(panel, lesion_centre(patient))
    remove_slices(panel, panel._parameterNode.segmentIds[0], 2)
    corrected = case_of(panel).mask
    assert not panel.ui.extentRow.visible
    panel.ui.extentSlider.setValue(90)
    turn(lambda: not panel.proposal.growth.running)
    assert dice(corrected, case_of(panel).mask) == 1
    assert panel.ui.confirmButton.visible


@pytest.mark.parametrize("how", ["button", "mouse mode", "module", "ct", "removed", "scene", "panel"])
def test_a_click_that_does_not_come_leaves_nothing(panel, ct, patient, how):
    application_logic = slicer.app.applicationLogic()
    interaction, selection = application_logic.GetInteractionNode(), application_logic.GetSelectionNode()
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "own")
    selection.SetReferenceActivePlaceNodeID(own.GetID())
    before = left_in_scene()
    panel.ui.clickButton.click()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    panel._parameterNode.segmentIds = []  # another choice does not end it
    assert panel.proposal.point.waiting
    if how == "button":
        panel.ui.clickButton.click()
    elif how == "mouse mode":
        interaction.SwitchToViewTransformMode()
        turn(lambda: not panel.proposal.point.waiting)
    elif how == "module":
        application.leave_panel(NAME)
    elif how == "ct":
        panel._parameterNode.ctVolume = publish.volume_from_image(patient.image, "4: another")
    elif how == "removed":
        slicer.mrmlScene.RemoveNode(ct)
    elif how == "scene":
        slicer.mrmlScene.Clear(False)
    else:
        panel.proposal.close()
    assert not panel.proposal.point.waiting
    assert panel.proposal.point.Observations == []
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    if how != "scene":
        assert left_in_scene() == before
        assert selection.GetActivePlaceNodeID() == own.GetID()
    slicer.app.processEvents()


def test_a_draft_and_its_proposal_survive_saving_and_loading_the_scene(panel, ct, patient, tmp_path):
    click_on(panel, lesion_centre(patient))
    node = panel._parameterNode
    for saved, file in ((node.ctVolume, "ct.nrrd"), (node.segmentation, "draft.seg.nrrd")):
        saved.AddDefaultStorageNode()
        saved.GetStorageNode().SetFileName(str(tmp_path / file))
        assert saved.GetStorageNode().WriteData(saved)
    proposal = case_of(panel).mask
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(False)
    assert panel.proposal.reason() == ""
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    panel.enter()
    assert panel.patient.waitForMeasurement()
    assert panel.ui.whyNotLabel.text == WAIT
    assert panel.ui.confirmButton.visible and not panel.ui.extentRow.visible
    assert case_of(panel).outline.program == "one click"
    remove_slices(panel, panel._parameterNode.segmentIds[0], 2)
    panel.ui.confirmButton.click()
    case = case_of(panel)
    assert case.outline.dice == pytest.approx(dice(proposal, case.mask))
    assert 0.5 < case.outline.dice < 1


def test_a_draft_that_is_removed_or_left_for_another_ends_its_slider(panel, ct, patient):
    click_on(panel, lesion_centre(patient))
    slicer.mrmlScene.RemoveNode(panel._parameterNode.segmentation)
    ui = panel.ui
    assert (ui.extentRow.visible, ui.confirmButton.visible, ui.draftLabel.text) == (False, False, "")
    assert left_in_scene() == []
    click_on(panel, lesion_centre(patient))
    draft = panel._parameterNode.segmentation
    _volume, drawn = publish.patient_nodes("drawn", patient.image, patient.mask)
    panel._parameterNode.segmentation = drawn
    assert not ui.extentRow.visible
    panel._parameterNode.segmentation = draft
    panel._parameterNode.segmentIds = list(scene.segment_names(draft))
    assert ui.whyNotLabel.text == WAIT and ui.confirmButton.visible


def test_the_buttons_say_what_is_missing_without_a_ct(panel):
    for button in (panel.ui.proposeButton, panel.ui.clickButton):
        assert (button.enabled, button.toolTip) == (False, "Choose a CT volume")


def test_the_modules_own_test_of_a_click_passes(panel):
    test = sys.modules[NAME].TACEResponseTest()
    test.setUp()
    test.test_a_click_on_the_tumour_is_a_draft()
    test.setUp()
    test.test_nodes_become_the_case_they_came_from()


# How it looks


@pytest.mark.parametrize("point_size", [9, 11])
def test_no_state_makes_the_panel_wider_than_slicers_own(
    panel, ct, patient, partner, point_size, monkeypatch
):
    from PySide6 import QtWidgets

    from slicer_host.layout import too_wide

    application_ = QtWidgets.QApplication.instance()
    usual, larger = application_.font(), application_.font()
    larger.setPointSize(point_size)
    faults = {}

    def look(state):
        slicer.app.processEvents()
        faults[state] = too_wide(panel.parent)

    try:
        application_.setFont(larger)
        ct.SetName("3: wavelet-HHL_glszm_SizeZoneNonUniformityNormalized")
        panel.ui.proposalSection.collapsed = False
        look("present")
        partner.behave("several")
        search(panel)
        look("draft")
        panel.ui.confirmButton.click()
        look("confirmed")
        partner.behave("empty")
        search(panel)
        panel._parameterNode.segmentation = None
        look("empty")
        panel.run.show_progress("TotalSegmentator: Predicting part 1 of 1 ...; without a GPU", 3, 100)
        look("running")
        panel.ui.clickButton.click()
        look("placing")
        place(lesion_centre(patient))
        turn(lambda: panel.proposal.growth.known)
        look("slider")
        monkeypatch.delattr(slicer.modules, "totalsegmentator")
        panel.checkCanApply()
        look("absent")
        assert "not installed" in panel.ui.proposeLabel.text
        panel.proposal._installed = True
        panel.checkCanApply()
        look("installed")
        assert {state: found for state, found in faults.items() if found} == {}
    finally:
        application_.setFont(usual)


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_clipped_while_a_draft_waits_and_pictures_are_kept(panel, ct, patient, partner, dark):
    from slicer_host.layout import layout_faults, look, save

    suffix = "-dark" if dark else ""
    with look(dark):
        panel.parent.window_.resize(330, 500)
        partner.behave("several")
        search(panel)
        assert panel.patient.waitForMeasurement()
        _settle()
        save(panel, f"proposal-330{suffix}.png")
        assert layout_faults(panel.parent) == []
        click_on(panel, lesion_centre(patient))
        click_on(panel, second_lesion(patient))
        assert panel.patient.waitForMeasurement()
        _settle()
        save(panel, f"proposal-click-330{suffix}.png")
        assert layout_faults(panel.parent) == []


def _settle(duration_s=0.2) -> None:
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        slicer.app.processEvents()
