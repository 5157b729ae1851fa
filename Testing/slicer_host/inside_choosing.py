"""What the TACE Response panel does before and after the one click: first choices, map, register, the end."""

import contextlib
import datetime
import shutil
import sqlite3
import time
from pathlib import Path

import answers
import pytest
import slicer

from slicer_host import application

application.start()

from TACEResponseLib.answer.explanation import Explanation
from TACEResponseLib.bundle import demonstration_bundle, public_cohort_bundle
from TACEResponseLib.follow_up.register import Register
from TACEResponseLib.messages.errors import RegisterError
from TACEResponseLib.phantom import make_patient
from TACEResponseSlicer import first_choice, publish, register_questions, sample_patient, scene

NAME = "TACEResponse"


@pytest.fixture(scope="session")
def patient():
    return make_patient(21, seed=1, size="small")


@pytest.fixture
def panel():
    slicer.mrmlScene.Clear(True)
    slicer.app.settings.clear()
    yield an_open_panel()
    slicer.mrmlScene.Clear(True)
    application.close_panel(NAME)


def an_open_panel():
    """The panel, whose logic answers at once and starts no process."""
    panel = application.open_panel(NAME)
    panel.logic.canPredict = lambda: False
    panel.logic.startService = lambda: None
    panel.logic.run = lambda case, bundle=None, progress=None, **options: answers.an_answer(
        patient_id=case.patient_id
    )
    return panel


def done(panel) -> None:
    assert panel.task.waitForCompletion(60)
    assert panel.lastError == ""


def turn(condition, timeout_s=30) -> None:
    """Turn the event loop until a condition holds."""
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        slicer.app.processEvents()
    assert condition()


def two_phases(patient):
    """A portal venous CT first, then the arterial one with three lesions drawn on it."""
    portal = publish.volume_from_image(patient.image, "5: portal venous")
    arterial, segmentation = publish.patient_nodes("3: art. 1.0", patient.image, patient.mask)
    return portal, arterial, segmentation


def test_one_click_from_a_ct_and_an_outline_to_the_answer(patient):
    slicer.mrmlScene.Clear(True)
    publish.volume_from_image(patient.image, "2: arterial, another patient")
    volume, segmentation = publish.patient_nodes("series 3", patient.image, patient.mask)
    panel = an_open_panel()
    node = panel._parameterNode
    assert node.ctVolume is volume  # on which it was drawn; neither the first nor the one with a good name
    assert list(node.segmentIds) == list(scene.segment_names(segmentation))
    assert panel.ui.predictButton.enabled
    assert not panel.ui.whyNotLabel.visible
    panel.ui.predictButton.click()
    done(panel)
    assert "About 72 of 100 similar patients respond" in panel.ui.answerLabel.text
    node.ctVolume = None
    application.leave_panel(NAME)
    application.open_panel(NAME)
    assert panel._parameterNode.ctVolume is volume
    slicer.mrmlScene.Clear(True)
    application.close_panel(NAME)


def test_what_is_loaded_while_the_panel_is_open_is_chosen_too(panel, patient):
    assert panel.ui.whyNotLabel.text == "Choose a CT volume"
    assert panel.ui.whyNotLabel.visible
    portal = publish.volume_from_image(patient.image, "5: portal venous")
    turn(lambda: panel._parameterNode.ctVolume is portal)
    assert panel.ui.whyNotLabel.text == "Choose the tumour segmentation, or draw one"
    arterial, segmentation = publish.patient_nodes("3: art. 1.0", patient.image, patient.mask)
    turn(lambda: panel._parameterNode.segmentation is segmentation)
    assert panel._parameterNode.ctVolume is arterial  # the panel chose the other one, so it may
    assert panel.ui.predictButton.enabled


def test_a_ct_that_the_user_chose_and_segments_that_the_user_took_away_stay_as_they_are(panel, patient):
    portal, arterial, segmentation = two_phases(patient)
    panel.ui.ctVolumeSelector.setCurrentNode(portal)
    panel.ui.segmentationSelector.setCurrentNode(segmentation)
    node = panel._parameterNode
    assert node.ctVolume is portal
    assert len(node.segmentIds) == 3
    node.segmentIds = []
    application.leave_panel(NAME)
    application.open_panel(NAME)
    assert (panel._parameterNode.ctVolume, list(panel._parameterNode.segmentIds)) == (portal, [])
    assert arterial is not portal


@pytest.mark.parametrize(
    ("names", "ticked"),
    [
        (["Liver", "HCC"], ["HCC"]),
        (["liver", "liver_tumor", "aorta"], ["liver_tumor"]),
        (["Tumour 1", "Tumour 2", "Liver"], ["Tumour 1", "Tumour 2"]),
        (["Lesions", "Vessels"], ["Lesions"]),
        (["肝脏", "肿瘤"], ["肿瘤"]),
        (["Segment_1"], ["Segment_1"]),
        (["Mass"], ["Mass"]),
        (["Liver"], []),  # alone, and no tumour
        (["Segment_1", "Segment_2"], []),
        (["Tumour reader A", "Tumour reader B"], []),  # the same tumour twice: the user says which
        (["peritumoral", "non-tumour", "massive ascites"], []),
    ],
)
def test_the_segments_that_are_tumour_by_their_names_are_ticked(names, ticked):
    assert first_choice.likely_tumour(dict(zip(names, names, strict=True))) == ticked


def test_phases_stand_beside_the_names_of_volumes_by_name_or_by_what_was_measured(panel, patient):
    publish.volume_from_image(patient.image, "2: no phase in its name")
    publish.volume_from_image(patient.image, "5: portal venous")
    arterial, _segmentation = publish.patient_nodes("series 3", patient.image, patient.mask)
    turn(lambda: panel.ui.phasesLabel.visible)
    assert panel.ui.phasesLabel.text == "5: portal venous: portal venous phase (by name)"
    panel.phases.remember(arterial, "arterial")
    assert panel.ui.phasesLabel.text.splitlines()[1] == "series 3: arterial phase (measured)"
    slicer.mrmlScene.Clear(False)
    turn(lambda: not panel.ui.phasesLabel.visible)


def a_map(case) -> Explanation:
    """A map that says most in slice 7."""
    import numpy as np
    import SimpleITK as sitk

    voxels = np.zeros(sitk.GetArrayViewFromImage(case.image).shape, np.float32)
    voxels[5:8, 10:21, 30:51] = 0.1
    voxels[7, 10:21, 30:51] = 0.5
    network_map = sitk.GetImageFromArray(voxels)
    network_map.CopyInformation(case.image)
    return Explanation(case.patient_id, "cnn", (), "log-odds", {}, {}, {}, 0.0, 0.0, network_map)


def test_unfolding_explain_explains_and_the_map_is_half_transparent_in_its_own_slice(panel, patient):
    import numpy as np

    volume, segmentation = publish.patient_nodes("P1", patient.image, patient.mask)
    turn(lambda: panel.ui.predictButton.enabled)
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    slice_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    asked = []
    panel.logic.runExplanation = lambda case, bundle, progress: asked.append(1) or a_map(case)
    panel.ui.explainSection.collapsed = False
    assert asked == []  # there is nothing to explain yet
    panel.ui.predictButton.click()
    done(panel)
    assert panel.ui.explainSection.collapsed
    panel.ui.explainSection.collapsed = False
    done(panel)
    panel.ui.explainSection.collapsed = True
    panel.ui.explainSection.collapsed = False
    assert asked == [1]
    display = segmentation.GetDisplayNode()
    display.SetVisibility2DFill(True)
    panel.ui.mapButton.click()
    assert view.GetForegroundOpacity() == 0.5
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (0, 1)
    centre = [slice_node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    np.testing.assert_allclose(centre, (ijk_to_ras(volume) @ (40, 15, 7, 1))[:3], atol=1e-4)
    panel.ui.mapButton.click()
    assert display.GetVisibility2DFill() == 1


def ijk_to_ras(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


class Database:
    """What is asked of `slicer.dicomDatabase` for a date and a series."""

    isOpen = True

    def __init__(self, written):
        self.written = written

    def fileForInstance(self, uid):
        return ""

    def instanceValue(self, uid, tag):
        assert uid == "1.2.3"
        return {"0008,0020": self.written, "0020,0011": "4", "0008,103E": "liver art. "}[tag]


@pytest.mark.parametrize(
    ("written", "day", "said"),
    [
        ("20250331", "2025-03-31", "Scan date: 2025-03-31, from DICOM."),
        ("", None, "The date of the scan is not known: today's date is kept."),
        ("unknown", None, "The date of the scan is not known: today's date is kept."),
    ],
)
def test_an_answer_is_kept_with_the_date_of_the_scan_or_says_that_it_is_todays(
    panel, patient, tmp_path, monkeypatch, written, day, said
):
    volume, _segmentation = publish.patient_nodes("P1", patient.image, patient.mask)
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    monkeypatch.setattr(slicer, "dicomDatabase", Database(written), raising=False)
    turn(lambda: panel.ui.predictButton.enabled)
    panel.ui.predictButton.click()
    done(panel)
    scan = {"series_number": "4", "series_description": "liver art.", **({"study_date": day} if day else {})}
    about = panel.answer.case.provenance["image"]
    assert {name: about.get(name) for name in scan} == scan and ("study_date" in about) == bool(day)
    asked, file = [], tmp_path / "register.sqlite"
    monkeypatch.setattr(register_questions, "ask_file", lambda: str(file))
    monkeypatch.setattr(register_questions, "ask_id", lambda known: asked.append(known) or "0012")
    panel.ui.registerButton.click()
    done(panel)
    assert asked == [day]
    with Register(file) as register:
        assert register.recorded()[0].day == (day or datetime.date.today().isoformat())
    assert panel.ui.keptLabel.text == f"Kept as 0012 in register.sqlite. {said}"
    assert panel.ui.registerFileLabel.text == "register.sqlite"
    panel._parameterNode.segmentIds = []
    assert panel.ui.keptLabel.text == ""  # it was about the answer that is gone


@pytest.fixture
def kept(panel, tmp_path) -> Path:
    """A register with three patients, each predicted by two models; one has a response."""
    file = tmp_path / "register.sqlite"
    with Register(file, create=True) as register:
        for n, day in ((1, "2025-01-31"), (2, "2025-02-28"), (3, "2025-03-31")):
            register.keep(answers.an_answer(patient_id=f"P{n}"), day)
            register.keep(answers.an_answer(patient_id=f"P{n}", bundle_id="another"), day)
        register.record_outcome("P1", "CR")
    register_questions.remember(file)
    return file


def texts(combo) -> list[str]:
    return [combo.itemText(n) for n in range(combo.count)]


def test_a_response_is_recorded_later_for_one_of_the_open_patients(panel, kept):
    ui = panel.ui
    assert not ui.recordButton.enabled
    ui.registerSection.collapsed = False
    done(panel)
    assert texts(ui.openPatientsComboBox) == ["P2, scan 2025-02-28", "P3, scan 2025-03-31"]
    assert ui.registerLabel.text == "Without a response: 2."
    assert not ui.recordButton.enabled  # no response is chosen, and none is guessed
    ui.openPatientsComboBox.setCurrentIndex(1)
    ui.responseComboBox.setCurrentIndex(2)
    assert ui.responseComboBox.currentText == "PR: partial response"
    ui.recordButton.click()
    done(panel)
    with Register(kept) as register:
        found = {one.patient_id: one.response for one in register.recorded()}
    assert found == {"P1": "CR", "P2": None, "P3": "PR"}
    assert texts(ui.openPatientsComboBox) == ["P2, scan 2025-02-28"]
    assert ui.registerLabel.text == "Recorded: P3, PR. Without a response: 1."
    assert (ui.responseComboBox.currentIndex, ui.recordButton.enabled) == (0, False)


def test_a_response_that_somebody_else_recorded_meanwhile_is_a_sentence_and_not_overwritten(panel, kept):
    panel.ui.registerSection.collapsed = False
    done(panel)
    with Register(kept) as register:
        register.record_outcome("P2", "PD")
    panel.ui.responseComboBox.setCurrentIndex(1)
    panel.ui.recordButton.click()
    assert panel.task.waitForCompletion(20)
    assert "the response of this patient is recorded already" in panel.lastError
    with contextlib.closing(sqlite3.connect(kept)) as connection:
        found = connection.execute("SELECT response FROM outcomes WHERE patient_id = 'P2'").fetchall()
    assert found == [("PD",)]


def test_the_audit_is_written_beside_the_register_and_opened(panel, kept):
    from TACEResponseLib.service import PredictionService

    pages = []
    panel.logic._ask = lambda question, progress, **content: getattr(PredictionService(), question)(**content)
    panel.ui.registerSection.collapsed = False
    done(panel)
    assert panel.ui.auditButton.enabled
    panel.register.audit(show=pages.append)
    done(panel)
    assert pages == [kept.parent / "register-audit" / "audit.html"]
    assert "3 patients" in pages[0].read_text(encoding="utf-8")


def test_a_register_that_is_gone_or_new_offers_nothing_and_raises_nothing(panel, tmp_path, monkeypatch):
    register_questions.remember(tmp_path / "gone.sqlite")
    panel.ui.registerSection.collapsed = False
    assert (panel.task, panel.ui.auditButton.enabled) == (None, False)
    monkeypatch.setattr(register_questions, "ask_file", lambda: str(tmp_path / "new.sqlite"))
    panel.ui.chooseRegisterButton.click()
    assert panel.ui.registerFileLabel.text == "new.sqlite"
    assert panel.ui.registerLabel.text == "No answer was kept in this file yet."
    with pytest.raises(RegisterError, match="no such register"):
        panel.logic.register.waiting(tmp_path / "new.sqlite")


def test_widgets_that_are_gone_before_the_panel_are_not_written_into(patient, monkeypatch):
    """As at Slicer's end: the main window is deleted, then timers fire, then the module is unloaded."""
    import shiboken6

    slicer.mrmlScene.Clear(True)
    publish.patient_nodes("P1", patient.image, patient.mask)
    panel = an_open_panel()
    panel.ui.drawButton.click()  # and the Segment Editor is there
    panel.patient.measure()  # a thread measures, and a timer waits for it
    panel.patient._settle.start()
    panel._loaded.start()
    raised = []
    monkeypatch.setattr("sys.excepthook", lambda *error: raised.append(error))
    monkeypatch.setattr("sys.unraisablehook", lambda error: raised.append(error.exc_value))
    shiboken6.delete(panel.parent.window_)
    assert panel.closed
    assert panel.Observations == panel.patient.Observations == []
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        slicer.app.processEvents()
    panel.exit()
    panel.cleanup()
    publish.volume_from_image(patient.image, "loaded later")
    assert raised == []
    application._widgets.pop(NAME)
    slicer.mrmlScene.Clear(True)


def test_a_patient_s_ct_gets_the_public_cohort_and_the_sample_patient_the_demonstration(panel, patient):
    node, box = panel._parameterNode, panel.ui.bundleComboBox
    assert [box.itemText(n) for n in range(box.count)] == [
        "Public cohort (90 patients, research)",
        "Demonstration (synthetic images)",
    ]
    publish.patient_nodes("series 3", patient.image, patient.mask)
    turn(lambda: node.ctVolume is not None)
    assert box.currentText == "Public cohort (90 patients, research)"
    assert "never tried at another one. For research only." in panel.ui.demonstrationLabel.text
    assert panel.model.chosen.path == public_cohort_bundle()
    sample, _ = sample_patient.nodes_of(patient)
    node.ctVolume = sample
    assert box.currentText == "Demonstration (synthetic images)"
    assert panel.model.chosen.path == demonstration_bundle()


def test_a_model_that_the_user_chose_for_a_ct_stays(panel, patient, tmp_path):
    publish.patient_nodes("series 3", patient.image, patient.mask)
    node = panel._parameterNode
    turn(lambda: node.ctVolume is not None)
    panel.ui.bundleComboBox.setCurrentIndex(1)
    assert node.bundle == ""
    node.segmentIds = []  # any other change
    assert node.bundle == "" and panel.ui.bundleComboBox.currentIndex == 1
    own = shutil.copytree(demonstration_bundle(), tmp_path / "mine")
    panel.openBundle(own)
    sample, _ = sample_patient.nodes_of(patient)
    node.ctVolume = sample
    assert node.bundle == str(own)
