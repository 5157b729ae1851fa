"""The TACE Response panel: choose, predict, cancel, read, close the scene, reload."""

import contextlib
import functools
import json
import time
from html import unescape
from pathlib import Path

import answers
import pytest
import slicer

from slicer_host import application

application.start()

from TACEResponseLib import bundle as bundles
from TACEResponseLib import phantom
from TACEResponseLib.answer.certainty import Certainty
from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity, Variant
from TACEResponseLib.answer.similarity import Similarity
from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.clinical.scores import ClinicalValues, TumourBurden, clinical_scores
from TACEResponseLib.messages.errors import BundleError, Cancelled, FeatureError

NAME = "TACEResponse"
SENTENCE = "This model was trained on synthetic images and is not for patients."


def an_answer(**changes):
    """A likely responder of a demonstration model, one lesion, at the edge of the training data."""
    parts = {
        "patient_id": "P1",
        "probabilities": {"random_forest": 0.74, "cnn": 0.61, "all": 0.72},
        "headline": "all",
        "training_share": 0.64,
        "lesions": Lesions((47.2,), (61.3,), 0),
        "warnings": ("The tumour reaches the edge of the CT",),
        "similarity": Similarity("at the edge", 0.9, ("tumour diameter 96 mm, training 22 to 90 mm",), ()),
        "certainty": Certainty(
            (0.58, 0.7, 0.84),
            ("response",),
            "1 of 2 models are below their cut-off; above it: CNN (61 %)",
        ),
        "clinical_scores": clinical_scores(ClinicalValues(), TumourBurden(1, (4.72,))),
    }
    return answers.an_answer(**{**parts, **changes})


@pytest.fixture(autouse=True)
def one_sample_patient(monkeypatch):
    """The sample patient is computed once for all tests."""
    monkeypatch.setattr("TACEResponseLib.phantom.make_patient", make_patient_once)


make_patient_once = functools.cache(phantom.make_patient)


@pytest.fixture
def a_bundle(tmp_path, monkeypatch):
    """The manifests of the bundles that ship, which are all that the list of models reads."""
    folder = a_manifest(tmp_path / "Demonstration", demonstration=True)
    public = a_manifest(tmp_path / "Public")
    monkeypatch.setattr("TACEResponseSlicer.model_section.public_cohort_bundle", lambda: public)
    monkeypatch.setattr("TACEResponseSlicer.model_section.demonstration_bundle", lambda: folder)
    monkeypatch.setattr(bundles, "demonstration_bundle", lambda: folder)
    return folder


def a_manifest(folder: Path, demonstration=False) -> Path:
    folder.mkdir(parents=True)
    content = {
        "format_version": 2,
        "id": "peng2021-0123",
        "demonstration": demonstration,
        "positive_class": "responder",
        "headline": "all",
        "thresholds": {},
        "versions": {},
        "files": {},
    }
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "model_card.md").write_text("# Trained on synthetic images.\n\nDetails.", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def spoken(request):
    """The language of the panel, English unless a test asks for another one."""
    from slicer_host.layout import speaking

    code = getattr(request, "param", "en")
    with speaking(code):
        yield code


@pytest.fixture
def panel(a_bundle):
    slicer.mrmlScene.Clear(True)
    slicer.app.settings.clear()
    panel = application.open_panel(NAME)
    panel.logic.canPredict = lambda: False  # so that no process gets ready for an answer that is made up
    yield panel
    slicer.mrmlScene.Clear(True)
    application.close_panel(NAME)


@pytest.fixture
def with_sample(panel):
    load_sample(panel)
    assert panel.patient.waitForMeasurement()
    return panel


def load_sample(panel) -> None:
    """Press the button that offers the sample patient, and wait for it."""
    panel.ui.samplePatientButton.click()
    assert panel.task.waitForCompletion(60)
    assert panel.lastError == ""


def answering(panel, compute=None):
    """Let the logic answer without packages; `compute(progress)` may take its time."""

    def run(case, bundle=None, progress=lambda *stage: None, **options):
        progress("measuring", 0, 2)
        if compute is not None:
            compute(progress)
        return an_answer(patient_id=case.patient_id)

    panel.logic.run = run
    return panel


def explained(panel):
    """Predict and press Explain; the logic answers with ten made-up shares and a map of two slices."""

    def run(case, bundle=None, progress=lambda *stage: None):
        progress("map of the network", 4, 5)
        return an_explanation(case)

    answering(panel).logic.runExplanation = run
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    panel.ui.explainButton.click()
    assert panel.task.waitForCompletion(20)
    assert panel.lastError == ""
    return panel


def an_explanation(case, feature="feature "):
    """Ten made-up shares of features, largest first, and a map of two slices."""
    import numpy as np
    import SimpleITK as sitk
    from TACEResponseLib.answer.explanation import Explanation

    voxels = np.zeros(sitk.GetArrayViewFromImage(case.image).shape, np.float32)
    voxels[3:5, 10:20, 30:50] = 0.5
    voxels[3, 10, 30] = -1
    network_map = sitk.GetImageFromArray(voxels)
    network_map.CopyInformation(case.image)
    shares = {f"{feature}{n}": (1.0 if n % 2 else -1.0) / n for n in range(1, 11)}
    return Explanation(
        case.patient_id, "cnn+random_forest", ("random_forest",), "log-odds", shares,
        dict.fromkeys(shares, 0.0), dict.fromkeys(shares, 12.345), 0.25, 0.25 + sum(shares.values()),
        network_map,
    )  # fmt: skip


def settle(panel, milliseconds=600):
    """Let the panel's timers run, and then, on a busy machine too, until what was changed is measured."""
    end, patient = time.monotonic() + milliseconds / 1000, panel.patient
    while time.monotonic() < end:
        slicer.app.processEvents()
    while (patient._settle.isActive() or patient._measuring is not None) and time.monotonic() < end + 30:
        slicer.app.processEvents()


def tooltip(panel) -> str:
    return panel.ui.predictButton.toolTip


def test_an_empty_scene_offers_the_sample_patient_and_says_what_is_missing(panel):
    assert panel.ui.sampleFrame.visible
    assert not panel.ui.predictButton.enabled
    assert tooltip(panel) == "Choose a CT volume"
    assert not panel.ui.resultSection.visible


def test_one_click_loads_the_sample_patient_chosen_and_measured(with_sample):
    panel = with_sample
    assert not panel.ui.sampleFrame.visible
    assert panel.ui.ctVolumeSelector.currentNode().GetName() == "TACE sample patient"
    assert panel.ui.predictButton.enabled, tooltip(panel)
    assert "mm axial" in panel.ui.summaryLabel.text
    assert "mL" in panel.ui.summaryLabel.text
    assert panel.ui.segmentsList.count == len(panel._parameterNode.segmentIds) > 0


def test_predict_is_disabled_step_by_step_with_the_reason(with_sample):
    panel, node = with_sample, with_sample._parameterNode
    segmentation = node.segmentation
    node.segmentIds = []
    assert tooltip(panel) == "Tick the segments that are tumour"
    node.segmentation = None
    assert tooltip(panel) == "Choose the tumour segmentation, or draw one"
    assert panel.ui.segmentsList.count == 0
    node.segmentation = segmentation
    empty = segmentation.GetSegmentation().AddEmptySegment("", "Later")
    node.segmentIds = [empty]
    settle(panel)
    assert not panel.ui.predictButton.enabled
    assert "Segment Later is empty" in tooltip(panel)
    assert "Segment Later is empty" in panel.ui.noticeLabel.text


def test_ticking_a_segment_chooses_it_and_an_edit_measures_again(with_sample):
    import qt

    panel = with_sample
    chosen = list(panel._parameterNode.segmentIds)
    panel.ui.segmentsList.item(0).setCheckState(qt.Qt.Unchecked)
    assert list(panel._parameterNode.segmentIds) == chosen[1:]
    panel.ui.segmentsList.item(0).setCheckState(qt.Qt.Checked)
    assert list(panel._parameterNode.segmentIds) == chosen
    segmentation = panel._parameterNode.segmentation.GetSegmentation()
    segmentation.GetSegment(chosen[0]).SetName("Renamed")
    settle(panel)
    assert panel.ui.segmentsList.item(0).text() == "Renamed"
    segmentation.RemoveSegment(chosen[0])
    settle(panel)
    assert chosen[0] not in list(panel._parameterNode.segmentIds)


def test_the_demonstration_model_is_marked_before_anything_is_predicted(panel):
    assert "synthetic images" in panel.ui.demonstrationLabel.text
    assert "\u26a0" in panel.ui.demonstrationLabel.text  # a sign beside the colour
    assert panel.ui.demonstrationLabel.visible
    assert "Demonstration" in panel.ui.bundleComboBox.currentText


def test_a_model_of_ones_own_is_offered_remembered_and_not_marked(panel, tmp_path):
    folder = a_manifest(tmp_path / "Modell ü")
    panel.openBundle(folder)
    assert panel._parameterNode.bundle == str(folder)
    assert panel.ui.bundleComboBox.currentText == "Modell ü (peng2021-0123)"
    assert not panel.ui.demonstrationLabel.visible
    panel.ui.bundleComboBox.setCurrentIndex(1)
    assert panel._parameterNode.bundle == ""
    assert panel.ui.demonstrationLabel.visible
    application.close_panel(NAME)
    again = application.open_panel(NAME)
    assert again.ui.bundleComboBox.count == 3


def test_a_folder_that_is_no_model_is_refused_and_a_lost_one_disables_predict(with_sample, tmp_path):
    panel = with_sample
    with pytest.raises(BundleError, match="not a model bundle"):
        panel.openBundle(tmp_path)
    panel._parameterNode.bundle = str(tmp_path / "of another computer")
    assert not panel.ui.predictButton.enabled
    assert "not a model bundle" in tooltip(panel)
    panel._parameterNode.bundle = ""
    assert panel.ui.predictButton.enabled


def test_predict_shows_the_answer_its_threshold_and_where_the_model_comes_from(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    assert panel.ui.resultSection.visible
    assert "About 72 of 100 similar patients respond (in training 64 of 100)" in panel.ui.answerLabel.text
    assert "Above this model's cut-off (55 of 100)" in unescape(panel.ui.answerLabel.text)
    assert SENTENCE in panel.ui.statementLabel.text
    assert "edge of the CT" in panel.ui.warningsLabel.text
    table = panel.ui.modelsTable
    shown = {table.item(r, 0).text(): table.item(r, 1).text() for r in range(table.rowCount)}
    assert shown == {"random forest": "74 %", "CNN": "61 %", "all models": "72 %"}
    assert panel.ui.barLabel.pixmap.width() >= 200
    node = panel._parameterNode.resultTable
    assert node.GetTable().GetNumberOfRows() == 4
    assert node.GetDescription() == SENTENCE


def redraw(panel, value: int) -> None:
    """Take the first voxel of the first segment away, or put it back, as a stroke of the brush does."""
    import numpy as np

    node = panel._parameterNode
    identifier = node.segmentIds[0]
    labels = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node.segmentation, identifier)
    if not hasattr(panel, "redrawn"):
        panel.redrawn = tuple(np.argwhere(labels)[0])
    labels[panel.redrawn] = value
    segmentation = node.segmentation.GetSegmentation()
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)


def test_redrawing_after_an_answer_marks_it_as_out_of_date_and_undoing_takes_that_back(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    assert not panel.ui.outdatedLabel.visible
    redraw(panel, 0)
    assert panel.answer.outdated  # at once, before anything was measured again
    settle(panel, 800)
    assert "Out of date" in panel.ui.outdatedLabel.text
    assert "Predict again" in panel.ui.outdatedLabel.text
    assert panel.ui.outdatedLabel.visible
    assert not panel.ui.answerFrame.enabled
    assert "About 72 of 100" in panel.ui.answerLabel.text  # still there to be read, greyed
    redraw(panel, 1)
    settle(panel, 800)
    assert not panel.ui.outdatedLabel.visible
    assert panel.ui.answerFrame.enabled
    redraw(panel, 0)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    settle(panel, 800)
    assert not panel.answer.outdated  # this answer is about what is drawn now


def test_no_label_and_no_table_says_that_an_answer_is_certain(with_sample):
    from PySide6 import QtWidgets

    panel = with_sample
    panel.logic.run = lambda case, bundle=None, progress=None, **options: an_answer(
        probabilities={"random_forest": 0.9996, "cnn": 0.0003, "all": 0.998},
        fused=0.998,
        threshold=0.003,
        certainty=Certainty((0.004, 0.9999), ("response",), "All 2 models agree"),
    )
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    panel.answer.sensitivity.show(
        ContourSensitivity((Variant("as drawn", 61.3, 0.998, True), Variant("grown", 70.0, 0.001, False)))
    )
    texts = [label.text for label in panel.parent.findChildren(QtWidgets.QLabel) if label.text]
    for table in (panel.ui.modelsTable, panel.ui.sensitivityTable):
        texts += [cell for row in rows_of(table) for cell in row]
    assert [text for text in texts if "100 %" in text or " 0 %" in f" {text}" or "100 of 100" in text] == []
    assert "More than 99 of 100" in panel.ui.answerLabel.text
    assert ("CNN", "< 1 %") in rows_of(panel.ui.modelsTable)


def test_an_edit_that_leaves_the_tumour_as_it_is_leaves_the_answer_as_it_is(with_sample):
    panel = answering(with_sample)
    node = panel._parameterNode
    node.segmentIds = list(node.segmentIds)[:1]
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    other = node.segmentation.GetSegmentation().GetNthSegmentID(1)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(node.segmentation, other)[:] = 0
    node.segmentation.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
    settle(panel, 800)
    assert not panel.answer.outdated


def test_changed_hounsfield_units_and_a_moved_segmentation_outdate_an_answer_too(with_sample):
    panel = answering(with_sample)
    node = panel._parameterNode
    for change in ("voxels", "transform"):
        panel.ui.predictButton.click()
        assert panel.task.waitForCompletion(20)
        if change == "voxels":
            slicer.util.arrayFromVolume(node.ctVolume)[:] += 1
            slicer.util.arrayFromVolumeModified(node.ctVolume)
        else:
            moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
            moved.SetMatrixTransformToParent(
                slicer.util.vtkMatrixFromArray(shifted_by_a_voxel(node.ctVolume))
            )
            node.segmentation.SetAndObserveTransformNodeID(moved.GetID())
        settle(panel, 800)
        assert panel.answer.outdated, change


def shifted_by_a_voxel(volume):
    import numpy as np

    matrix = np.eye(4)
    matrix[0, 3] = volume.GetSpacing()[0]
    return matrix


def test_redrawing_while_another_module_is_open_is_noticed_too(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    application.leave_panel(NAME)
    panel._parameterNode = panel.logic.getParameterNode()
    redraw(panel, 0)
    panel._parameterNode = None
    settle(panel, 800)
    application.open_panel(NAME)
    assert panel.answer.outdated


def test_the_bar_is_filled_up_to_the_probability_and_marked_at_the_threshold(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    image = panel.ui.barLabel.pixmap.toImage()
    row = [image.pixelColor(x, 24).rgb() for x in range(8, image.width() - 8)]
    inside, outside = row[len(row) // 4], row[-10]
    assert inside != outside
    edge = next(x for x in range(len(row) - 1, 0, -1) if row[x] == inside)
    assert edge / len(row) == pytest.approx(0.72, abs=0.02)
    line = image.pixelColor(round(8 + 0.55 * (image.width() - 16)), 20).rgb()
    assert line not in (inside, outside)


def test_the_instability_is_drawn_under_the_bar_between_its_two_ends(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    image = panel.ui.barLabel.pixmap.toImage()
    row = [image.pixelColor(x, 43).rgb() for x in range(8, image.width() - 8)]
    drawn = [x / len(row) for x in range(len(row)) if row[x] != row[0]]
    assert min(drawn) == pytest.approx(0.58, abs=0.02)
    assert max(drawn) == pytest.approx(0.84, abs=0.02)


def test_the_answer_says_whether_the_case_is_like_the_training_cases_and_how_sure_it_is(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    similarity, certainty = panel.ui.similarityLabel.text, panel.ui.certaintyLabel.text
    assert (
        "Similar to training patients: at the edge (tumour diameter 96 mm, training 22 to 90 mm)"
        in similarity
    )
    assert "\u26a0" in similarity  # a sign beside the words, because it is not inside
    assert "Instability: 3 models, each trained without a part of the patients, say 58 % to 84 %" in certainty
    assert "Non-response is excluded (90 % conformal)" in certainty
    assert "above it: CNN (61 %)" in certainty


def test_scores_that_can_be_computed_are_listed_and_the_others_say_what_is_missing(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    rows = rows_of(panel.ui.scoresTable)
    assert ("six-and-twelve\nsurvival", "5.72: low") in rows
    assert [row for row in rows if row[0].startswith("ALBI")] == []
    assert panel.ui.scoresLabel.text.startswith("Not computed: HAP, mHAP-II")
    assert "Needs albumin, bilirubin" in panel.ui.scoresLabel.text


def rows_of(table) -> list[tuple[str, ...]]:
    return [tuple(table.item(r, c).text() for c in range(table.columnCount)) for r in range(table.rowCount)]


def clinical_widget(panel, name: str):
    from PySide6 import QtWidgets

    return panel.ui.clinicalSection.findChild(QtWidgets.QWidget, name)


def test_clinical_values_reach_the_prediction_and_survive_in_the_parameter_node(with_sample):
    asked = []
    panel = answering(with_sample)
    run = panel.logic.run
    panel.logic.run = lambda *content, **options: (asked.append(options), run(*content, **options))[1]
    assert panel.ui.clinicalSection.collapsed
    for name, text in {
        "albumin": "3,8",
        "bilirubin": "14",
        "afp": ">1210",
        "lesions": "4",
        "diameter": "61",
    }.items():
        clinical_widget(panel, f"{name}Edit").text = text
    clinical_widget(panel, "albuminComboBox").setCurrentIndex(1)  # g/dL
    clinical_widget(panel, "ascitesComboBox").setCurrentIndex(2)
    clinical_widget(panel, "vascular_invasionComboBox").setCurrentIndex(1)
    node = panel.logic.getParameterNode()
    assert dict(node.clinicalValues) == {
        "albumin_g_dl": "3,8",
        "bilirubin_umol_l": "14",
        "afp_ng_ml": ">1210",
        "ascites": "mild",
        "vascular_invasion": "no",
        "lesions": "4",
        "diameter_mm": "61",
    }
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    clinical = asked[0]["clinical"]
    assert clinical.albumin_g_l.value == pytest.approx(38)
    assert (str(clinical.afp_ng_ml), clinical.ascites, clinical.vascular_invasion) == (">1210", "mild", False)
    assert (clinical.inr, clinical.spread) == (None, None)
    assert (asked[0]["lesions"], asked[0]["diameter_mm"]) == (4, 61)
    application.close_panel(NAME)
    again = application.open_panel(NAME)
    assert clinical_widget(again, "albuminEdit").text == "3,8"
    assert clinical_widget(again, "albuminComboBox").currentText == "g/dL"
    assert clinical_widget(again, "ascitesComboBox").currentText == "mild"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("albumin", "4.0", "Albumin: expected 10 to 70; received 4.0, which looks like g/dl."),
        ("bilirubin", "fourteen", "Bilirubin: expected a number"),
        ("inr", "90", "INR: expected 0.5 to 20; received 90."),
        ("lesions", "2.5", "Lesions: expected a whole number"),
        ("lesions", "0", "Lesions: expected at least 1 lesion; received 0."),
        ("diameter", "0.4", "which looks like cm"),
    ],
)
def test_an_implausible_value_is_refused_with_a_sentence_at_its_field(with_sample, name, text, words):
    panel = with_sample
    clinical_widget(panel, f"{name}Edit").text = text
    problem = clinical_widget(panel, f"{name}ProblemLabel")
    assert words in problem.text
    assert "\u26a0" in problem.text  # not by colour alone
    assert not problem.isHidden()
    assert not panel.ui.predictButton.enabled
    assert words in tooltip(panel)
    clinical_widget(panel, f"{name}Edit").text = ""
    assert problem.isHidden()
    assert panel.ui.predictButton.enabled


def test_the_lesions_that_were_measured_are_shown_until_they_are_overridden(with_sample):
    panel = with_sample
    number, diameter = (clinical_widget(panel, f"{name}Edit") for name in ("lesions", "diameter"))
    measured = panel.patient.summary.lesions
    assert number.placeholderText == f"{measured.number} (measured)"
    assert diameter.placeholderText == f"{measured.largest_diameter_mm:.1f} (measured)"
    panel._parameterNode.segmentIds = []
    assert number.placeholderText == "NA"


def test_values_that_become_known_after_the_answer_change_the_scores_and_not_the_answer(with_sample):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    clinical_widget(panel, "albuminEdit").text = "38"
    clinical_widget(panel, "bilirubinEdit").text = "14"
    albi = next(row for row in rows_of(panel.ui.scoresTable) if row[0].startswith("ALBI\n"))
    assert albi[1].endswith("grade 2")  # 0.66 log10(14) - 0.085 * 38 = -2.47, between -2.60 and -1.39
    clinical_widget(panel, "lesionsEdit").text = "9"
    clinical_widget(panel, "diameterEdit").text = "61"
    assert ("six-and-twelve\nsurvival", "15.1: high") in rows_of(panel.ui.scoresTable)
    assert "About 72 of 100" in panel.ui.answerLabel.text
    assert not panel.answer.outdated
    assert {score.name: score for score in panel.answer.prediction.clinical_scores}["albi"].missing == ()


OUTLINES = (
    Variant("as drawn", 61.3, 0.72, True),
    Variant("shrunk by 2 mm", 41.0, 0.51, False),
    Variant("shrunk by 9 mm", 0.0, None, None, "the tumour vanishes"),
)


def test_other_outlines_are_tried_beside_the_panel_and_shown_in_words_and_rows(with_sample):
    def run(case, bundle=None, progress=lambda *stage: None):
        for done in range(3):
            progress("contour", done, 3)
            time.sleep(0.05)
        return ContourSensitivity(OUTLINES)

    panel = answering(with_sample)
    panel.logic.runSensitivity = run
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    assert not panel.ui.sensitivityTable.visible
    panel.ui.sensitivityButton.click()
    assert panel.ui.predictButton.text == "Cancel"
    assert panel.task.waitForCompletion(20)
    assert panel.lastError == ""
    assert "between 51 % and 72 %; the class changes with: shrunk by 2 mm" in panel.ui.sensitivityLabel.text
    assert "\u26a0" in panel.ui.sensitivityLabel.text
    assert rows_of(panel.ui.sensitivityTable) == [
        ("as drawn\n61.3 mL", "72 %\nabove the cut-off"),
        ("shrunk by 2 mm\n41.0 mL", "51 %\nbelow the cut-off"),
        ("shrunk by 9 mm\n0.0 mL", "NA\nthe tumour vanishes"),
    ]
    panel._parameterNode.segmentIds = list(panel._parameterNode.segmentIds)[:1]
    assert not panel.ui.sensitivityTable.visible


def test_what_runs_about_another_patient_or_model_is_stopped(with_sample, tmp_path):
    panel = answering(
        with_sample, lambda progress: [progress("measuring", 1, 2) or time.sleep(0.02) for _n in range(500)]
    )
    panel.ui.predictButton.click()
    panel.openBundle(a_manifest(tmp_path / "other"))
    assert not panel.task.running
    assert panel.answer.prediction is None
    assert panel.ui.predictButton.text == "Predict"


class Database:
    """What the panel asks of `slicer.dicomDatabase`."""

    isOpen = True

    def __init__(self, files):
        self.files = files

    def fileForInstance(self, uid):
        return str(self.files.get(uid, ""))

    def instanceValue(self, uid, tag):
        return ""


def test_dicom_results_are_offered_only_for_a_ct_from_dicom_and_the_tooltip_says_why_not(
    with_sample, monkeypatch, tmp_path
):
    panel = answering(with_sample)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    button, volume = panel.ui.dicomButton, panel._parameterNode.ctVolume
    assert not button.enabled
    assert button.toolTip.startswith("The CT was not loaded from DICOM.")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.1 1.2.2")
    panel.checkCanApply()
    assert button.toolTip.startswith("No DICOM database is open.")
    slices = {uid: tmp_path / f"{uid}.dcm" for uid in ("1.2.1", "1.2.2")}
    monkeypatch.setattr(slicer, "dicomDatabase", Database(slices), raising=False)
    panel.checkCanApply()
    assert "not in the DICOM database any more" in button.toolTip
    slices["1.2.1"].touch()
    panel.checkCanApply()
    assert button.enabled
    panel.actions.write_dicom(tmp_path / "out")
    assert "Expected 2 slices; received 1 there" in panel.lastError
    slices["1.2.2"].touch()
    written = []
    panel.logic.writeDicom = lambda prediction, case, series, folder, progress: (
        written.append((series, folder)) or ()
    )
    panel.actions.write_dicom(tmp_path / "out")
    assert panel.task.waitForCompletion(20)
    assert written == [(list(slices.values()), tmp_path / "out")]


def test_an_answer_is_kept_in_a_register_under_the_id_that_was_given_and_the_file_is_remembered(
    with_sample, monkeypatch, tmp_path
):
    from TACEResponseLib.follow_up.register import Register
    from TACEResponseSlicer import register_questions

    panel, file = answering(with_sample), tmp_path / "Register \u00e4.sqlite"
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    asked = []
    monkeypatch.setattr(register_questions, "ask_file", lambda: asked.append("file") or str(file))
    monkeypatch.setattr(register_questions, "ask_id", lambda day: asked.append(("ID", day)) or "")
    panel.ui.registerButton.click()  # no ID, nothing kept
    assert (asked, file.exists(), register_questions.remembered()) == (
        ["file", ("ID", None)],
        False,
        "",
    )
    monkeypatch.setattr(register_questions, "ask_id", lambda day: "pseudonym 7")
    panel.ui.registerButton.click()
    assert not panel.ui.registerButton.enabled
    assert panel.task.waitForCompletion(20)
    assert panel.lastError == ""
    assert panel.ui.registerButton.enabled
    with Register(file) as register:
        (kept,) = register.recorded()
    assert (kept.patient_id, kept.probability, kept.similarity) == ("pseudonym 7", 0.72, "at the edge")
    assert panel.answer.prediction.patient_id not in file.read_bytes().decode("latin-1")
    assert register_questions.remembered() == str(file)
    file.write_text("something else", encoding="utf-8")
    panel.ui.registerButton.click()
    assert panel.task.waitForCompletion(20)
    assert "the register is damaged, or is no register" in panel.lastError


@pytest.mark.filterwarnings("ignore:'exec_' will be removed:DeprecationWarning")  # PythonQt's name for it
def test_the_register_is_asked_for_where_it_was_kept_last_and_an_id_is_never_made_up(panel, tmp_path):
    from TACEResponseSlicer import register_questions

    file = tmp_path / "kept.sqlite"
    file.touch()
    register_questions.remember(file)
    with a_dialog_answered():
        assert Path(register_questions.ask_file()) == file  # it exists, and nobody asks to overwrite it
    for text in ("", " 0012 "):
        with a_dialog_answered(text):
            assert register_questions.ask_id() == text.strip()


@contextlib.contextmanager
def a_dialog_answered(text=""):
    """Press OK in the next dialog, after typing `text` where there is one."""
    import qt
    from PySide6 import QtWidgets

    def answer():
        dialog = QtWidgets.QApplication.activeModalWidget()
        if dialog is not None:
            if text:
                dialog.setTextValue(text)
            dialog.accept()
            timer.stop()

    timer = qt.QTimer()
    timer.setInterval(50)
    timer.connect("timeout()", answer)
    timer.start()
    yield
    timer.stop()


def test_the_panel_stays_alive_and_shows_progress_while_it_predicts(with_sample):
    seen, gaps = [], []

    def slow(progress):
        for done in range(40):
            progress("measuring", done, 40)
            time.sleep(0.05)

    panel = answering(with_sample, slow)
    panel.ui.predictButton.click()
    assert panel.ui.predictButton.text == "Cancel"
    assert panel.ui.predictButton.enabled
    last = time.monotonic()
    while panel.task.running:
        slicer.app.processEvents()
        now = time.monotonic()
        gaps.append(now - last)
        last = now
        seen.append((panel.ui.stageLabel.text, panel.ui.predictProgress.value))
    assert any(stage == "measuring" and 0 < done < 39 for stage, done in seen)
    assert sorted(gaps)[len(gaps) // 2] < 0.2  # the usual turn; a busy test machine may skip one
    assert panel.ui.predictButton.text == "Predict"
    assert not panel.ui.runRow.visible


def test_cancel_ends_at_once_and_leaves_no_answer(with_sample):
    stopped = []

    def endless(progress):
        try:
            while True:
                progress("measuring", 1, 10)
                time.sleep(0.02)
        except Cancelled:
            stopped.append(True)
            raise

    panel = answering(with_sample, endless)
    panel.ui.predictButton.click()
    settle(panel, 150)
    panel.ui.predictButton.click()
    assert not panel.task.running
    assert panel.ui.predictButton.text == "Predict"
    settle(panel, 200)
    assert stopped == [True]
    assert panel.answer.prediction is None
    assert not panel.ui.resultSection.visible
    assert panel._parameterNode.resultTable is None


def test_only_the_latest_drawing_is_measured_and_the_line_says_so(with_sample):
    panel, shown = with_sample, []
    original = panel.patient._show_summary
    panel.patient._show_summary = lambda found, problem: (shown.append(found), original(found, problem))
    for value in (0, 1, 0):
        redraw(panel, value)
        panel.patient.measure()
    settle(panel, 1000)
    fingerprints = {found.fingerprint for found in shown if found}
    assert len(fingerprints) == 1  # the first two measurements were overtaken
    redraw(panel, 1)
    assert panel.patient.waitForMeasurement()
    assert panel.patient.summary.fingerprint not in fingerprints


def test_cancel_ends_the_process_that_was_started_even_before_it_was_asked_anything(
    with_sample, monkeypatch, tmp_path
):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    panel = answering(
        with_sample, lambda progress: [progress("measuring", 1, 2) or time.sleep(0.02) for _n in range(900)]
    )
    panel.ui.predictButton.click()
    end = time.monotonic() + 20
    while panel.ui.stageLabel.text != "measuring" and time.monotonic() < end:
        slicer.app.processEvents()
    assert panel.logic.service.alive
    assert len(list(tmp_path.glob("tace-*"))) == 1
    panel.ui.predictButton.click()
    settle(panel, 1500)
    assert not panel.logic.service.alive
    assert list(tmp_path.glob("tace-*")) == []


def test_an_error_of_the_science_is_one_sentence_and_no_answer(with_sample):
    def failing(progress):
        raise FeatureError("no texture", expected="2 voxels", received="1", remedy="draw more")

    panel = answering(with_sample, failing)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    assert panel.lastError == "No texture. Expected 2 voxels; received 1. Draw more."
    assert not panel.ui.resultSection.visible
    assert panel.ui.predictButton.enabled


def test_closing_the_scene_while_predicting_leaves_a_working_panel(with_sample):
    panel = answering(with_sample, lambda progress: time.sleep(0.2))
    panel.ui.predictButton.click()
    slicer.mrmlScene.Clear(False)
    assert not panel.task.running
    assert tooltip(panel) == "Choose a CT volume"
    assert panel.ui.sampleFrame.visible
    settle(panel, 400)
    assert not panel.ui.resultSection.visible
    load_sample(panel)
    assert panel.ui.predictButton.enabled


def test_choices_survive_saving_and_loading_the_scene(with_sample, tmp_path):
    panel, node = with_sample, with_sample._parameterNode
    ids, bundle = list(node.segmentIds)[:1], str(a_manifest(tmp_path / "mine"))
    node.segmentIds, node.bundle = ids, bundle
    for saved, file in ((node.ctVolume, "ct.nrrd"), (node.segmentation, "tumour.seg.nrrd")):
        save_node(saved, tmp_path / file)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(False)
    assert not panel.ui.predictButton.enabled
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    panel.enter()
    assert list(panel._parameterNode.segmentIds) == ids
    assert panel._parameterNode.bundle == bundle
    assert panel.ui.ctVolumeSelector.currentNode().GetName() == "TACE sample patient"
    settle(panel)
    assert panel.ui.predictButton.enabled, tooltip(panel)
    assert "mm axial" in panel.ui.summaryLabel.text


def save_node(node, file: Path) -> None:
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(file))
    assert node.GetStorageNode().WriteData(node)


def test_no_timer_outlives_the_panel_that_it_would_write_into(with_sample):
    panel = with_sample
    panel.ui.samplePatientButton.click()  # and something runs beside it
    redraw(panel, 0)
    assert panel.patient._settle.isActive()
    settle_timer, widget = panel.patient._settle, panel.ui.segmentsList
    panel.cleanup()
    assert not settle_timer.isActive()
    assert settle_timer.parent() is widget  # what Slicer deletes without a word takes it along
    assert not panel._loaded.isActive()
    assert panel.patient._measuring is None
    assert panel.task._timer is None
    assert panel.patient.Observations == panel.Observations == []


def test_making_the_sample_patient_does_not_hold_up_the_application(panel, monkeypatch):
    monkeypatch.undo()  # it is really made
    gaps, last = [], time.monotonic()
    panel.ui.samplePatientButton.click()
    assert panel.ui.predictButton.text == "Cancel"
    stages = set()
    while panel.task.running:
        slicer.app.processEvents()
        stages.add(panel.ui.stageLabel.text)
        now = time.monotonic()
        gaps.append(now - last)
        last = now
    assert "making the sample patient" in stages
    assert len(gaps) > 10
    assert panel.ui.ctVolumeSelector.currentNode().GetName() == "TACE sample patient"
    assert not panel.ui.sampleFrame.visible
    application.leave_panel(NAME)
    panel.onSamplePatient()
    panel.run.cancel()
    application.open_panel(NAME)
    assert panel.ui.predictButton.text == "Predict"


def test_a_patient_that_can_be_predicted_has_the_service_get_ready_once_for_each_model(with_sample, tmp_path):
    panel, asked = with_sample, []
    panel.logic.canPredict = lambda: True
    panel.logic.getReady = lambda bundle, progress: asked.append(bundle)
    for value in (0, 1):
        redraw(panel, value)
        settle(panel)
    assert asked == [panel.model.chosen.path]
    panel.openBundle(a_manifest(tmp_path / "other"))
    redraw(panel, 0)
    settle(panel)
    assert asked[1:] == [tmp_path / "other"]

    def fail(bundle, progress):
        asked.append("failed")
        raise BundleError("not a model bundle")

    panel.logic.getReady = fail
    panel._ready = None
    for value in (1, 0):
        redraw(panel, value)
        settle(panel)
    assert asked[2:] == ["failed", "failed"]  # tried again, and pressing Predict says what is wrong
    assert panel.lastError == ""


def test_leaving_and_coming_back_keeps_the_choice_and_follows_again(with_sample):
    panel = with_sample
    volume = panel._parameterNode.ctVolume
    application.leave_panel(NAME)
    panel.logic.getParameterNode().segmentIds = []
    application.open_panel(NAME)
    assert panel.ui.ctVolumeSelector.currentNode() is volume
    assert tooltip(panel) == "Tick the segments that are tumour"


def test_a_removed_volume_is_noticed(with_sample):
    panel = with_sample
    slicer.mrmlScene.RemoveNode(panel._parameterNode.ctVolume)
    panel._parameterNode.parameterNode.Modified()
    assert tooltip(panel) == "Choose a CT volume"
    assert panel.ui.sampleFrame.visible


def test_reload_brings_a_new_panel_with_the_same_choices_and_a_new_library(with_sample):
    import sys

    library = sys.modules["TACEResponseLib.cases"]
    ids = list(with_sample._parameterNode.segmentIds)
    application.press_reload(NAME)
    panel = application.open_panel(NAME)
    assert panel is not with_sample
    assert sys.modules["TACEResponseLib.cases"] is not library
    assert list(panel._parameterNode.segmentIds) == ids
    assert panel.ui.segmentsList.count == len(ids)


def test_reload_of_one_module_leaves_the_other_with_the_same_classes(panel):
    import sys

    other = application.open_panel("TACEResponseTraining")
    old = sys.modules["TACEResponseLib.messages.errors"].TACEResponseError
    application.press_reload(NAME)
    panels = [application.open_panel(name) for name in (NAME, "TACEResponseTraining")]
    new = sys.modules["TACEResponseLib.messages.errors"].TACEResponseError
    assert new is not old
    assert panels[1] is not other
    for one in panels:
        module = sys.modules[type(one).__module__]
        assert isinstance(one, module.Panel)
        assert sys.modules["TACEResponseSlicer.panel"].TACEResponseError is new
        assert type(one).__mro__[1] is sys.modules["TACEResponseSlicer.panel"].Panel
    application.close_panel("TACEResponseTraining")


def test_draw_makes_a_segmentation_and_opens_the_editor_on_it(with_sample):
    panel, node = with_sample, with_sample._parameterNode
    node.segmentation = None
    panel.ui.drawButton.click()
    assert node.segmentation.GetName() == "Tumour outline"
    assert len(node.segmentIds) == 1
    assert not panel.ui.editorSection.collapsed
    editor = panel.ui.editorSection.findChild(slicer.qMRMLSegmentEditorWidget)
    assert editor.segmentationNode() is node.segmentation
    assert editor.sourceVolumeNode() is node.ctVolume
    settle(panel)
    assert "is empty" in tooltip(panel)


def test_why_lists_the_largest_shares_in_words_and_draws_them_all_as_bars(with_sample):
    import numpy as np

    panel = explained(with_sample)
    table = panel.ui.whyTable
    rows = rows_of(table)
    assert rows[0] == ("feature 1", "+1.00 for\n12.35")
    assert rows[1] == ("feature 2", "-0.50 against\n12.35")
    assert rows[-1] == ("2 others together", "+0.01 for")
    assert len(rows) == 9
    assert panel.ui.whyLabel.text == "Main reasons (10 features, net towards response)"
    assert "Net +0.65 log-odds (random forest: 0.90 here, 0.25 on average" in panel.ui.whyLabel.toolTip
    charts = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    series = charts[0].GetNthPlotSeriesNode(0)
    assert (len(charts), series.GetPlotType()) == (1, series.PlotTypeBar)
    shares = slicer.util.arrayFromTableColumn(series.GetTableNode(), "share")
    np.testing.assert_allclose(shares[:3], [1, -0.5, 1 / 3])
    assert series.GetTableNode().GetDescription() == SENTENCE
    panel.ui.explainButton.click()
    assert panel.task.waitForCompletion(20)
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")) == 1  # replaced, not piled up


def test_the_map_lies_over_the_ct_and_is_taken_away_by_the_same_button(with_sample):
    import numpy as np

    panel = with_sample
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    slice_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "portal phase")
    view.SetForegroundVolumeID(other.GetID())
    view.SetForegroundOpacity(0.25)
    explained(panel)
    before = slicer.mrmlScene.GetNumberOfNodes()
    panel.ui.mapButton.click()
    assert panel.ui.mapButton.text == "Hide map"
    shown = slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID())
    assert shown.GetName() == "TACE response map"
    assert shown.GetDescription() == SENTENCE
    assert view.GetBackgroundVolumeID() == panel._parameterNode.ctVolume.GetID()
    voxels = slicer.util.arrayFromVolume(shown)
    assert (voxels.shape, voxels[0, 0, 0], voxels[1, 9, 19]) == ((2, 10, 20), -1, 0.5)
    volume = panel._parameterNode.ctVolume
    matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras(volume))
    np.testing.assert_allclose(shown.GetOrigin(), (matrix @ [30, 10, 3, 1])[:3], atol=1e-5)
    colours = shown.GetDisplayNode().GetColorNode()
    middle, ends = [0.0] * 4, ([0.0] * 4, [0.0] * 4)
    colours.GetColor(127, middle)
    assert middle[3] < 0.02  # nothing is drawn where the map says nothing
    for end, n in zip(ends, (0, 255), strict=True):
        colours.GetColor(n, end)
    assert ends[0][2] > ends[0][0]  # blue against
    assert ends[1][0] > ends[1][2]  # orange for
    assert slice_node.GetSliceToRAS().GetElement(2, 3) != 0
    panel.ui.mapButton.click()
    assert (view.GetForegroundVolumeID(), view.GetForegroundOpacity()) == (other.GetID(), 0.25)
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert panel.ui.mapButton.text == "Show map on CT"


def ijk_to_ras(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_an_answer_and_its_map_go_when_another_model_tumour_or_scene_is_chosen(with_sample, tmp_path):
    panel = explained(with_sample)
    panel.ui.mapButton.click()
    panel.openBundle(a_manifest(tmp_path / "other"))
    assert panel.answer.prediction is None
    assert not panel.ui.resultSection.visible
    assert slicer.mrmlScene.GetFirstNodeByName("TACE response map") is None
    panel._parameterNode.bundle = ""
    explained(panel)
    panel._parameterNode.segmentIds = list(panel._parameterNode.segmentIds)[:1]
    assert panel.answer.prediction is None
    explained(panel)
    panel.ui.mapButton.click()
    slicer.mrmlScene.Clear(False)
    assert panel.answer.prediction is None
    assert panel.ui.mapButton.text == "Show map on CT"


def test_the_summary_line_says_hu_and_the_phase_of_the_name_and_warns_of_another_phase(with_sample):
    import numpy as np
    import SimpleITK as sitk

    panel, node = with_sample, with_sample._parameterNode
    case = panel.logic.prepare(node.ctVolume, node.segmentation, list(node.segmentIds))
    image, mask = map(sitk.GetArrayFromImage, (case.image, case.mask))
    assert f"median {np.median(image[mask > 0]):.0f} HU" in panel.ui.summaryLabel.text
    assert "phase" not in panel.ui.summaryLabel.text
    node.ctVolume.SetName("3: pre TACE art. 1.0")
    assert panel.patient.waitForMeasurement()
    assert "named as arterial phase" in panel.ui.summaryLabel.text
    assert not panel.ui.noticeLabel.visible
    node.ctVolume.SetName("5: ABDOMEN PORTAL VENOUS")
    assert panel.patient.waitForMeasurement()
    assert "looks like the portal venous phase" in panel.ui.noticeLabel.text
    assert panel.ui.predictButton.enabled  # a reason to look, not an error


def test_the_views_go_to_the_slice_that_the_network_saw(with_sample):
    import numpy as np
    from TACEResponseLib.measuring.patch import largest_layer_patch

    node = with_sample._parameterNode
    case = with_sample.logic.prepare(node.ctVolume, node.segmentation, "all")
    slice_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    answering(with_sample)
    with_sample.ui.predictButton.click()
    assert with_sample.task.waitForCompletion(20)
    with_sample.ui.largestSliceButton.click()
    centre = [slice_node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    left, posterior, superior = largest_layer_patch(case).centre_mm
    np.testing.assert_allclose(centre, [-left, -posterior, superior], atol=1e-6)


def test_with_several_lesions_the_views_go_to_the_largest_one_and_not_to_the_slice_with_most_tumour(panel):
    """Two small lesions share a slice that the large one does not reach, and have more area together."""
    import numpy as np
    import SimpleITK as sitk
    from TACEResponseSlicer import publish, scene

    mask = np.zeros((20, 60, 60), np.uint8)
    mask[3:6, 10:22, 10:22] = 1  # 144 pixels: the largest section of one lesion
    mask[14:16, 5:16, 5:16] = mask[14:16, 30:41, 30:41] = 1  # 121 each, 242 on one slice
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(60, 25, mask.shape).astype(np.int16))
    tumour = sitk.GetImageFromArray(mask)
    for volume in (image, tumour):
        volume.SetSpacing((0.8, 0.8, 2.5))
    node = panel._parameterNode
    node.ctVolume, node.segmentation = publish.patient_nodes("three lesions", image, tumour)
    node.segmentIds = list(scene.segment_names(node.segmentation))
    slice_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    answering(panel).ui.predictButton.click()
    assert panel.task.waitForCompletion(20)
    panel.ui.largestSliceButton.click()
    centre = [slice_node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    np.testing.assert_allclose(centre, [-15.5 * 0.8, -15.5 * 0.8, 4 * 2.5], atol=1e-6)


def test_every_control_has_a_tooltip_and_can_be_reached_with_the_keyboard(panel):
    import qt

    assert len(controls(panel)) >= 30
    assert [w.name for w in controls(panel) if not w.toolTip] == []
    assert [w.name for w in controls(panel) if w.focusPolicy == qt.Qt.NoFocus] == []


def controls(panel) -> list:
    from PySide6 import QtWidgets

    kinds = (
        QtWidgets.QPushButton, QtWidgets.QComboBox, QtWidgets.QListWidget, QtWidgets.QTableWidget,
        QtWidgets.QLineEdit, QtWidgets.QCheckBox,
    )  # fmt: skip
    found = [w for kind in kinds for w in panel.parent.findChildren(kind)]
    return [w for w in found if w.name and not w.name.startswith("qt_")]


def test_the_tab_key_goes_through_the_panel_from_top_to_bottom_and_is_held_by_no_table(with_sample):
    from PySide6 import QtCore, QtWidgets

    panel = explained(with_sample)
    panel.answer.sensitivity.show(ContourSensitivity(OUTLINES))
    unfold(panel)
    settle(panel, 100)
    shown = [w for w in controls(panel) if w.visible]
    first = panel.ui.ctVolumeSelector
    order, widget = [first], first.nextInFocusChain()
    while widget is not first:
        order += [widget] if widget in shown else []
        widget = widget.nextInFocusChain()
    assert len(order) == len(shown)
    places = [w.mapTo(panel.parent, QtCore.QPoint(0, 0)) for w in order]
    rows = [place.y() // 8 for place in places]  # a line edit and its unit may differ by a pixel
    assert rows == sorted(rows), [w.name for w in order]
    tables = [w for w in shown if isinstance(w, QtWidgets.QTableWidget)]
    assert [table.name for table in tables if table.tabKeyNavigation] == []


def unfold(panel) -> None:
    """Open every section."""
    import ctk

    for section in vars(panel.ui).values():
        if isinstance(section, ctk.ctkCollapsibleButton):
            section.collapsed = False


@pytest.mark.parametrize("spoken", ["en", "zh"], indirect=True)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [330, 480, 800])
def test_nothing_is_clipped_at_common_widths_and_in_a_dark_palette(with_sample, width, dark, spoken):
    from slicer_host.layout import layout_faults, look, save

    panel = answering(with_sample)
    with look(dark):
        panel.parent.window_.resize(width, 500)
        panel.model.fill("")
        explained(panel)
        settle(panel, 100)
        picture = f"{spoken}-{width}{'-dark' if dark else ''}.png"
        save(panel, f"prediction-{picture}")
        assert layout_faults(panel.parent) == []
        for name, text in {"albumin": "38", "bilirubin": "14", "afp": ">1210", "inr": "110"}.items():
            clinical_widget(panel, f"{name}Edit").text = text
        panel.answer.sensitivity.show(ContourSensitivity(OUTLINES))
        unfold(panel)
        panel.register._show_waiting([("0012", "2025-03-31")], "Recorded: 0011, PR.")
        settle(panel, 100)
        save(panel, f"prediction-unfolded-{picture}")
        assert layout_faults(panel.parent) == []


LONG = "wavelet-HHL_glszm_SizeZoneNonUniformityNormalized"


def a_wordy_answer():
    """Everything that can be long: models, reasons, agreement and warnings with names of features."""
    return an_answer(
        probabilities={"cnn+random_forest+gbm+svm": 0.74, "cnn": 0.61, "all": 0.72},
        warnings=(
            f"7 of 20 features lie outside the range of the training patients, farthest {LONG}. Take care.",
            f"The CT {LONG * 2} looks portal venous (aorta 152 HU, portal vein 168 HU).",
        ),
        similarity=Similarity("outside", 1.3, (f"radiomics features, farthest {LONG}",), ()),
    )


@pytest.mark.parametrize("point_size", [9, 11])
def test_no_action_makes_the_panel_wider_than_slicers_own(with_sample, tmp_path, point_size):
    from PySide6 import QtWidgets

    from slicer_host.layout import too_wide

    application_ = QtWidgets.QApplication.instance()
    usual = application_.font()
    larger = application_.font()
    larger.setPointSize(point_size)
    panel = with_sample
    try:
        application_.setFont(larger)
        panel.parent.window_.resize(480, 900)
        settle(panel, 50)
        faults = {"before": too_wide(panel.parent)}
        answering(panel).logic.run = lambda case, bundle=None, progress=None, **options: a_wordy_answer()
        panel._parameterNode.ctVolume.SetName(f"3: pre TACE {LONG} portal venous")
        assert panel.patient.waitForMeasurement()
        unfold(panel)
        clinical_widget(panel, "albuminEdit").text = "fourteen"
        clinical_widget(panel, "albuminEdit").text = ""
        panel.openBundle(a_manifest(tmp_path / f"A model of a department whose name is long {LONG}"))
        panel.ui.predictButton.click()
        assert panel.task.waitForCompletion(20)
        assert panel.lastError == ""
        faults["predict"] = too_wide(panel.parent)
        panel.logic.runExplanation = lambda case, bundle=None, progress=None: an_explanation(case, f"{LONG} ")
        panel.ui.explainButton.click()
        assert panel.task.waitForCompletion(20)
        faults["explain"] = too_wide(panel.parent)
        panel.ui.mapButton.click()
        faults["map"] = too_wide(panel.parent)
        panel.answer.sensitivity.show(ContourSensitivity((*OUTLINES, Variant(LONG, 1.0, None, None, LONG))))
        faults["sensitivity"] = too_wide(panel.parent)
        panel.register._show_waiting([(LONG, "2025-03-31")], f"Recorded: {LONG}, PR.")
        panel.answer.say_kept(f"Kept as {LONG}.")
        faults["register"] = too_wide(panel.parent)
        redraw(panel, 0)
        settle(panel, 100)
        faults["outdated"] = too_wide(panel.parent)
        panel.run.show_progress(f"final fit: {LONG}", 3, 10)
        faults["run"] = too_wide(panel.parent)
        panel.ui.runRow.visible = False
        panel.patient.problem = f"Segment {LONG} is empty"
        panel.checkCanApply()
        assert LONG[:20] in panel.ui.whyNotLabel.text
        faults["why not"] = too_wide(panel.parent)
        assert [(action, found) for action, found in faults.items() if found] == []
    finally:
        application_.setFont(usual)


def test_the_sample_patient_is_registered_under_names_that_slicer_takes(panel, monkeypatch):
    import sys
    import types

    registered = []

    class SampleDataLogic:
        """The two functions with the arguments that Slicer 5.13 gives them."""

        @staticmethod
        def registerCustomSampleDataCategory(category, title):
            registered.append((category, title))

        @staticmethod
        def registerCustomSampleDataSource(
            category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None,
            customDownloader=None, thumbnailFileName=None, loadFileTypes=None, loadFiles=None,
            loadFileProperties=None, checksums=None, loadFileType=None,
        ):  # fmt: skip
            assert Path(thumbnailFileName).is_file()
            registered.append((category, sampleName, customDownloader))

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataLogic))
    module = sys.modules[NAME]
    module.registerSampleData()
    assert registered[0] == ("TACEResponse", "TACE Response")
    assert registered[1][:2] == ("TACEResponse", "TACEResponseSamplePatient")
    volume, segmentation = registered[1][2](None)
    assert (volume.GetName(), segmentation.GetSegmentation().GetNumberOfSegments()) == (
        "TACE sample patient",
        3,
    )


def test_the_modules_own_test_passes(panel, monkeypatch):
    import sys

    monkeypatch.undo()
    panel.model.fill("")
    if panel.model.chosen.problem:
        pytest.skip(panel.model.chosen.problem)
    sys.modules[NAME].TACEResponseTest().runTest()


def press(panel, button: str) -> None:
    """Press a button of the panel, and wait until what it began is done without an error."""
    getattr(panel.ui, button).click()
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""


@pytest.mark.parametrize("spoken", ["en", "zh"], indirect=True)
def test_a_whole_answer_is_read_at_every_width_in_the_language_of_the_panel(panel, monkeypatch, spoken):
    from slicer_host.layout import english_texts, layout_faults, look, save, too_wide

    monkeypatch.undo()
    panel.model.fill("")
    if panel.model.chosen.problem:
        pytest.skip(panel.model.chosen.problem)
    load_sample(panel)
    for dark in (False, True):
        with look(dark):
            for button in ("predictButton", "explainButton", "sensitivityButton"):
                press(panel, button)
            panel.ui.explainSection.collapsed = False
            for width in (330, 480, 800):
                panel.parent.window_.resize(width, 500)
                settle(panel, 100)
                assert layout_faults(panel.parent) == []
                save(panel, f"answered-{spoken}-{width}{'-dark' if dark else ''}.png")
    unfold(panel)
    settle(panel, 100)
    assert too_wide(panel.parent) == []
    assert spoken == "en" or english_texts(panel.parent) == []


def test_the_panel_answers_what_the_command_line_answers(panel, monkeypatch, tmp_path):
    import subprocess
    import sys

    monkeypatch.undo()
    try:
        bundles.demonstration_bundle()
    except BundleError as error:
        pytest.skip(str(error))
    panel.model.fill("")
    load_sample(panel)
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    prediction = panel.answer.prediction
    assert prediction.demonstration
    panel.ui.explainButton.click()
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    why = panel.answer.why.explanation
    assert sum(why.contributions.values()) == pytest.approx(why.total - why.base, abs=1e-9)
    assert panel.ui.mapButton.enabled
    panel.ui.sensitivityButton.click()
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    outlines = panel.answer.sensitivity.sensitivity.variants
    assert (outlines[0].name, outlines[0].probability) == ("as drawn", prediction.fused)
    assert panel.ui.sensitivityTable.rowCount == len(outlines) > 5
    pages = []
    panel.actions.write_report(tmp_path / "Bericht", pages.append)
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    page = pages[0]
    written = json.loads((page.parent / "prediction.json").read_text(encoding="utf-8"))
    node = panel._parameterNode
    files = [str(tmp_path / name) for name in ("ct.nrrd", "tumour.seg.nrrd")]
    for saved, file in zip((node.ctVolume, node.segmentation), files, strict=True):
        save_node(saved, Path(file))
    environment_path = str(Path(bundles.__file__).resolve().parents[2])
    subprocess.run(
        [sys.executable, "-m", "TACEResponseLib", "predict", "--image", files[0], "--mask", files[1],
         "--segment", "all", "--out", str(tmp_path / "cli")],
        cwd=environment_path,
        check=True,
        capture_output=True,
    )  # fmt: skip
    by_command_line = json.loads((tmp_path / "cli" / "prediction.json").read_text(encoding="utf-8"))
    assert written["probabilities"] == pytest.approx(by_command_line["probabilities"], abs=1e-6)
    assert written["lesions"] == by_command_line["lesions"]
    assert panel.patient.waitForMeasurement()  # saving rewrites the label maps; nothing was redrawn
    assert not panel.answer.outdated
    panel.ui.copyButton.click()
    assert prediction.statement() in slicer.app.clipboard().text()


def test_a_ct_from_dicom_is_answered_as_dicom_that_points_at_its_slices(panel, monkeypatch, tmp_path):
    import numpy as np
    import pydicom
    from scenes import a_scene, as_labelmap, write_dicom_series
    from TACEResponseSlicer import publish

    monkeypatch.undo()
    panel.model.fill("")
    image, segments = a_scene()
    slices = write_dicom_series(tmp_path, image)
    files = {
        data.SOPInstanceUID: Path(data.filename) for data in map(pydicom.dcmread, tmp_path.glob("*.dcm"))
    }
    volume, segmentation = publish.patient_nodes(
        "from DICOM", image, as_labelmap(image, {"Mass": segments["Mass"]})
    )
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(data.SOPInstanceUID for data in slices))
    monkeypatch.setattr(slicer, "dicomDatabase", Database(files), raising=False)
    node = panel._parameterNode
    node.ctVolume, node.segmentation = volume, segmentation
    node.segmentIds = [segmentation.GetSegmentation().GetNthSegmentID(0)]
    panel.ui.predictButton.click()
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    assert panel.ui.dicomButton.enabled, panel.ui.dicomButton.toolTip
    panel.actions.write_dicom(tmp_path / "out")
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    written = {data.Modality: data for data in map(pydicom.dcmread, (tmp_path / "out").glob("*.dcm"))}
    assert set(written) == {"SR", "SEG"}
    assert written["SEG"].pixel_array.sum() == segments["Mass"].sum()
    referenced = {
        r.ReferencedSOPInstanceUID
        for r in written["SEG"].ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced <= {data.SOPInstanceUID for data in slices}
    assert {data.StudyInstanceUID for data in written.values()} == {slices[0].StudyInstanceUID}
    assert np.isfinite(panel.answer.prediction.fused)
