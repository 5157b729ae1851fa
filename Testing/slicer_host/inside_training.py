"""The TACE Response Training panel: check, train, cancel, results as nodes - with real children."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer

from slicer_host import application

application.start()

from TACEResponseLib.messages.errors import Cancelled, InputError
from TACEResponseLib.phantom import write_cohort

NAME = "TACEResponseTraining"


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Path:
    """Two synthetic patients in a folder with letters that many programs stumble over."""
    return write_cohort(tmp_path_factory.mktemp("患者") / "Köhörte eins", 2, 1)


@pytest.fixture(autouse=True)
def spoken(request):
    """The language of the panel, English unless a test asks for another one."""
    from slicer_host.layout import speaking

    code = getattr(request, "param", "en")
    with speaking(code):
        yield code


@pytest.fixture
def panel():
    slicer.mrmlScene.Clear(True)
    panel = application.open_panel(NAME)
    yield panel
    slicer.mrmlScene.Clear(True)
    application.close_panel(NAME)


def a_child(code: str):
    """A run of the logic in which the process runs `code` in the place of the command line."""
    from TACEResponseSlicer.python_process import PythonProcess

    def run(arguments, onEvent=None, onLog=None, onQuiet=None):
        ignore = lambda *content: None
        process = PythonProcess(command=[sys.executable, "-c", code])
        return process.run(onEvent or ignore, onLog or ignore, onQuiet or ignore)

    return run


def a_trained_model(folder: Path) -> tuple[Path, Path]:
    """What a training leaves behind, with made-up scores: those of each fold on a level of their own."""
    random = np.random.default_rng(0)
    labels, folds = np.repeat([0, 1], 30), np.arange(60) % 3
    scores = {
        name: np.clip(0.3 + 0.2 * folds + 0.2 * (labels - 0.5) + random.normal(0, 0.1, 60), 0, 1)
        for name in ("cnn", "all")
    }
    bundle, report = folder / "model", folder / "model-report"
    for made in (bundle, report):
        made.mkdir(parents=True)
    lines = ["patient_id,label,fold,cnn,all"]
    lines += [
        f"P{n},{labels[n]},{folds[n] + 1},{scores['cnn'][n]:.6f},{scores['all'][n]:.6f}" for n in range(60)
    ]
    (bundle / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    numbers = {
        "threshold": 0.5,
        "sensitivity": 0.7,
        "specificity": 0.6,
        "brier": 0.2,
        "n": 60,
        "responders": 30,
    }
    rows = [
        {"model": name, "estimate": estimate, "cohort": "training", "center": "", "auc": auc, "ci_low": 0.6,
         "ci_high": 0.9, **numbers}
        for name, estimate, auc in (
            ("cnn", "resubstitution", 0.99),
            ("cnn", "out_of_fold", 0.75),
            ("all", "out_of_fold", 0.8),
            ("cnn", "external", 0.7),
            ("svm", "resubstitution", 0.9),
        )
    ]  # fmt: skip
    rows.append({**rows[3], "center": "B", "auc": 0.65})
    (report / "evaluation.json").write_text(json.dumps(rows), encoding="utf-8")
    return bundle, report


def trained(bundle: Path, report: Path, after: str = "") -> str:
    """Code of a child that reports progress and ends with this bundle and report."""
    done = {"event": "done", "bundle": str(bundle), "report": str(report), "left_out": 0}
    step = {"event": "progress", "stage": "features", "done": 3, "total": 10, "eta_s": 120.0}
    return (
        f"import json, time\nprint(json.dumps({step!r}), flush=True)\nprint('reading P1', flush=True)\n"
        f"{after}\nprint(json.dumps({done!r}), flush=True)\n"
    )


def wait_until(condition, timeout_s=20):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        slicer.app.processEvents()
    assert condition()


def test_train_and_check_say_why_they_are_disabled(panel, cohort):
    assert "Choose the cohort" in panel.ui.trainButton.toolTip
    panel.ui.cohortPathEdit.currentPath = str(cohort / "not there")
    assert panel.ui.checkButton.toolTip == "The cohort does not exist"
    panel.ui.cohortPathEdit.currentPath = str(cohort)
    assert panel._parameterNode.cohort == str(cohort)
    assert panel.ui.checkButton.enabled
    assert panel.ui.trainButton.toolTip == "Choose a folder to write the model to"
    panel.ui.bundlePathEdit.currentPath = str(cohort / "model")
    assert panel.ui.trainButton.enabled
    assert panel.ui.trainButton.text == "Train"


def test_an_interrupted_training_is_offered_to_go_on(panel, cohort, tmp_path):
    (tmp_path / "model-work").mkdir()
    panel._parameterNode.cohort, panel._parameterNode.output = str(cohort), str(tmp_path / "model")
    assert panel.ui.trainButton.text == "Resume"


def test_check_lists_every_patient_and_double_click_opens_one(panel, cohort):
    table = (cohort / "cohort.csv").read_text(encoding="utf-8")
    panel._parameterNode.cohort = str(cohort)
    panel.ui.checkButton.click()
    assert panel.ui.trainButton.text == "Cancel"
    assert panel.task.waitForCompletion(120)
    assert panel.lastError == ""
    assert panel.ui.cohortSummaryLabel.text == "2 patients: 2 ok, 0 with warnings, 0 with errors"
    first = panel.ui.cohortTable.item(0, 0).text()
    assert first in table
    panel.onOpenPatient(0)
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode").GetName() == first
    segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert segmentation.GetSegmentation().GetNumberOfSegments() >= 1


def test_a_cohort_that_cannot_be_read_is_the_command_lines_sentence(panel, tmp_path):
    (tmp_path / "cohort.csv").write_text("name,picture\na,b\n", encoding="utf-8")
    panel._parameterNode.cohort = str(tmp_path)
    panel.ui.checkButton.click()
    assert panel.task.waitForCompletion(120)
    assert "patient_id" in panel.lastError
    assert "Traceback" not in panel.lastError
    assert panel.ui.checkButton.enabled


def test_an_emptied_path_is_taken_over_and_a_used_one_is_remembered(panel, cohort):
    panel.ui.cohortPathEdit.currentPath, panel.ui.bundlePathEdit.currentPath = str(cohort), "model"
    assert panel.ui.trainButton.enabled
    panel.ui.bundlePathEdit.currentPath = ""
    assert panel._parameterNode.output == ""
    assert not panel.ui.trainButton.enabled
    panel.ui.checkButton.click()
    assert panel.task.waitForCompletion(120)
    assert panel.ui.cohortPathEdit.history[-1] == str(cohort)


def test_the_recipe_becomes_the_command_line(panel, cohort):
    panel.ui.foldsSpinBox.setValue(7)
    panel.ui.seedSpinBox.setValue(11)
    panel.ui.presetComboBox.setCurrentText("recommended")
    panel.ui.cnnCheckBox.setChecked(False)
    node = panel._parameterNode
    panel.ui.repeatsSpinBox.setValue(3)
    assert (node.folds, node.seed, node.preset, node.cnn) == (7, 11, "recommended", False)
    assert not panel.ui.deviceComboBox.enabled
    arguments = panel.logic.prepare(cohort, "out", node.preset, node.folds, node.seed, node.cnn, node.repeats)
    assert arguments == [
        "train", "--cohort", str(cohort), "--out", "out", "--preset", "recommended", "--folds", "7",
        "--repeats", "3", "--seed", "11", "--no-cnn",
    ]  # fmt: skip
    from TACEResponseLib.commands.options import command_line

    options = command_line().parse_args([*arguments, "--json"])
    assert (options.folds, options.seed, options.no_cnn, options.json) == (7, 11, True, True)
    with pytest.raises(InputError, match="no such cohort"):
        panel.logic.prepare("nowhere", "out")


def test_epochs_and_device_of_the_network_reach_its_settings(panel, cohort):
    from TACEResponseLib.commands.options import command_line
    from TACEResponseLib.commands.training import _training_settings

    panel.ui.epochsSpinBox.setValue(12)
    panel.ui.deviceComboBox.setCurrentText("cpu")
    node = panel._parameterNode
    arguments = panel.logic.prepare(cohort, "out", epochs=node.epochs, device=node.device)
    settings = _training_settings(command_line().parse_args(arguments))
    assert (settings.network.epochs, settings.network.device) == (12, "cpu")
    assert panel.ui.settingsSection.collapsed


def test_a_trained_model_is_shared_as_one_zip_that_opens_again(panel, tmp_path):
    from TACEResponseLib.bundle import demonstration_bundle, load_bundle, read_manifest

    panel._parameterNode.trained = str(demonstration_bundle())
    panel.shareAs(tmp_path / "Modell ü.zip")
    assert panel.lastError == ""
    assert load_bundle(tmp_path / "Modell ü.zip").identity == read_manifest(demonstration_bundle()).id
    panel._parameterNode.trained = str(tmp_path)
    panel.shareAs(tmp_path / "nothing.zip")
    assert "not a model bundle" in panel.lastError
    assert not (tmp_path / "nothing.zip").exists()


def test_training_shows_progress_then_figures_as_nodes_with_estimates_kept_apart(panel, cohort, tmp_path):
    bundle, report = a_trained_model(tmp_path)
    panel._parameterNode.cohort, panel._parameterNode.output = str(cohort), str(bundle)
    panel.logic.run = a_child(trained(bundle, report, "time.sleep(1)"))
    panel.ui.trainButton.click()
    wait_until(lambda: panel.ui.trainStageLabel.text == "features 3/10, 2 min left")
    assert panel.ui.trainProgress.value == 3
    assert panel.task.waitForCompletion(30)
    assert panel.lastError == ""
    assert "reading P1" in panel.ui.trainingLog.toPlainText()
    table = panel.ui.aucTable
    assert [table.horizontalHeaderItem(c).text() for c in range(4)] == [
        "model", "out of fold", "external", "optimism",
    ]  # fmt: skip
    rows = [[table.item(r, c).text() for c in range(4)] for r in range(table.rowCount)]
    assert rows == [  # one a model, none of training patients alone, none a centre
        ["CNN", "0.750\n0.600–0.900", "0.700\n0.600–0.900", "+0.240"],
        ["all\nmodels", "0.800\n0.600–0.900", "–", "–"],
    ]
    assert panel.ui.trainingStatementLabel.text.endswith(
        "Responders: out of fold 30 of 60, external 30 of 60."
    )
    charts = {c.GetName(): c for c in slicer.util.getNodesByClass("vtkMRMLPlotChartNode")}
    assert set(charts) == {
        "TACE training ROC, out of fold",
        "TACE training calibration, out of fold",
        "TACE training decision curve, out of fold",
    }
    roc = charts["TACE training ROC, out of fold"]
    names = [roc.GetNthPlotSeriesNode(n).GetName() for n in range(roc.GetNumberOfPlotSeriesNodes())]
    assert names == ["all models", "CNN", "no information"]
    assert panel._parameterNode.trained == str(bundle)
    node = slicer.mrmlScene.GetFirstNodeByName("TACE training AUC")
    np.testing.assert_allclose(slicer.util.arrayFromTableColumn(node, "out_of_fold_auc"), [0.75, 0.8])


def test_the_roc_chart_is_the_mean_of_the_folds_and_pooled_only_where_folds_are_not_known(panel, tmp_path):
    from TACEResponseLib.statistics.discrimination import auc_delong
    from TACEResponseSlicer.training_results import chart_nodes, read_scores

    def area(chart):
        columns = slicer.util.arrayFromTableColumn
        series = chart.GetNthPlotSeriesNode(0)
        x, y = (columns(series.GetTableNode(), name) for name in ("1 - specificity", "sensitivity"))
        return np.trapezoid(y, x)

    bundle, _report = a_trained_model(tmp_path)
    labels, folds, scores = read_scores(bundle)
    of_folds = [auc_delong(labels[folds == k], scores["cnn"][folds == k]).auc for k in (1, 2, 3)]
    together = auc_delong(labels, scores["cnn"]).auc
    assert abs(np.mean(of_folds) - together) > 0.1
    chart = chart_nodes(bundle, ["cnn"])["roc"]
    assert area(chart) == pytest.approx(np.mean(of_folds), abs=1e-12)

    lines = (bundle / "scores.csv").read_text(encoding="utf-8").splitlines()
    without = [",".join(cell for n, cell in enumerate(line.split(",")) if n != 2) for line in lines]
    (bundle / "scores.csv").write_text("\n".join(without) + "\n", encoding="utf-8")
    chart = chart_nodes(bundle, ["cnn"])["roc"]
    assert chart.GetName() == "TACE training ROC, out of fold, folds pooled"
    assert area(chart) == pytest.approx(together, abs=1e-12)


def test_the_table_of_a_training_has_a_row_a_model_with_numbers_as_numbers(panel, tmp_path):
    from TACEResponseSlicer.training_results import auc_table, read_evaluation

    _bundle, report = a_trained_model(tmp_path)
    node = auc_table(read_evaluation(report), "AUC")
    column = lambda name: slicer.util.arrayFromTableColumn(node, name)
    models = node.GetTable().GetColumnByName("model")
    assert [models.GetValue(n) for n in range(models.GetNumberOfValues())] == ["cnn", "all"]
    np.testing.assert_array_equal(column("out_of_fold_auc"), [0.75, 0.8])
    np.testing.assert_array_equal(column("external_auc"), [0.7, np.nan])
    np.testing.assert_allclose(column("optimism"), [0.24, np.nan])


def test_cancel_ends_the_training_and_the_panel_is_ready_again(panel, cohort, tmp_path):
    panel._parameterNode.cohort, panel._parameterNode.output = str(cohort), str(tmp_path / "model")
    panel.logic.run = a_child("import time; print('started', flush=True); time.sleep(60)")
    panel.ui.trainButton.click()
    wait_until(lambda: "started" in panel.ui.trainingLog.toPlainText())
    panel.ui.trainButton.click()
    assert panel.task.waitForCompletion(10)
    assert panel.lastError == ""
    assert panel.ui.trainButton.text == "Train"
    assert not panel.ui.trainRow.visible


def test_a_crash_opens_the_log_and_says_what_to_do(panel, cohort, tmp_path):
    panel._parameterNode.cohort, panel._parameterNode.output = str(cohort), str(tmp_path / "model")
    panel.logic.run = a_child("raise RuntimeError('the disk is on fire')")
    panel.ui.trainButton.click()
    assert panel.task.waitForCompletion(20)
    assert "ended unexpectedly" in panel.lastError
    assert "the disk is on fire" in panel.ui.trainingLog.toPlainText()
    assert not panel.ui.logSection.collapsed


def test_training_goes_on_while_the_scene_is_closed_or_another_module_is_open(panel, cohort, tmp_path):
    bundle, report = a_trained_model(tmp_path)
    panel._parameterNode.cohort, panel._parameterNode.output = str(cohort), str(bundle)
    panel.logic.run = a_child(trained(bundle, report, "time.sleep(0.5)"))
    panel.ui.trainButton.click()
    slicer.mrmlScene.Clear(False)
    application.leave_panel(NAME)
    assert panel.task.waitForCompletion(30)
    assert panel.lastError == ""
    application.open_panel(NAME)
    assert panel._parameterNode.trained == str(bundle)
    assert panel.ui.trainingResultSection.visible


def test_a_script_trains_without_a_panel_and_gets_errors_as_exceptions(panel, cohort, tmp_path, monkeypatch):
    bundle, report = a_trained_model(tmp_path)
    logic = sys.modules[NAME].TACEResponseTrainingLogic()
    monkeypatch.setattr("TACEResponseSlicer.dependencies.require", lambda *arguments, **options: None)
    logic.run = a_child(trained(bundle, report))
    seen = []
    assert logic.process(cohort, bundle, onEvent=seen.append)["bundle"] == str(bundle)
    assert seen[0]["stage"] == "features"
    logic.run = a_child('print(\'{"event": "error", "kind": "cancelled", "message": ""}\')')
    with pytest.raises(Cancelled):
        logic.process(cohort, bundle)


def test_the_trained_model_is_taken_over_by_the_other_panel(panel, tmp_path):
    from TACEResponseLib.bundle import MANIFEST

    bundle, _report = a_trained_model(tmp_path)
    content = {"format_version": 2, "id": "x", "demonstration": False, "positive_class": "responder",
               "headline": "all", "versions": {}, "files": {}}  # fmt: skip
    (bundle / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    panel._parameterNode.trained = str(bundle)
    panel.onUse()
    assert panel.lastError == ""
    assert application.open_panel("TACEResponse")._parameterNode.bundle == str(bundle)
    application.close_panel("TACEResponse")


def test_choices_survive_leaving_and_reloading_the_module(panel, cohort):
    panel._parameterNode.cohort, panel._parameterNode.folds = str(cohort), 9
    application.leave_panel(NAME)
    application.open_panel(NAME)
    assert panel.ui.foldsSpinBox.value == 9
    application.press_reload(NAME)
    again = application.open_panel(NAME)
    assert again is not panel
    assert again.ui.cohortPathEdit.currentPath == str(cohort)
    assert again.ui.foldsSpinBox.value == 9


@pytest.mark.parametrize("point_size", [9, 11])
def test_no_action_makes_the_panel_wider_than_slicers_own(panel, cohort, tmp_path, point_size):
    from PySide6 import QtWidgets

    from slicer_host.layout import too_wide

    application_ = QtWidgets.QApplication.instance()
    usual = application_.font()
    larger = application_.font()
    larger.setPointSize(point_size)
    long = "a folder whose name is longer than the panel is wide/" * 2
    bundle, report = a_trained_model(tmp_path / long)
    try:
        application_.setFont(larger)
        panel.ui.settingsSection.collapsed = panel.ui.logSection.collapsed = False
        panel._parameterNode.cohort, panel._parameterNode.output = str(cohort), str(bundle)
        faults = {"chosen": too_wide(panel.parent)}
        panel.cohort.add({"patient_id": "P" * 40, "verdict": "ok", "problems": [{"message": long}]})
        panel.cohort.show({"ok": 1, "warning": 0, "error": 0})
        faults["check"] = too_wide(panel.parent)
        panel.logic.run = a_child(trained(bundle, report, f"print({long!r} * 3, flush=True)"))
        panel.ui.trainButton.click()
        panel.run.show_progress("final fit: wavelet-HHL_glszm_SizeZoneNonUniformityNormalized", 3, 10)
        faults["train"] = too_wide(panel.parent)
        assert panel.task.waitForCompletion(30)
        faults["trained"] = too_wide(panel.parent)
        assert [(action, found) for action, found in faults.items() if found] == []
    finally:
        application_.setFont(usual)


@pytest.mark.parametrize("spoken", ["en", "zh"], indirect=True)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [330, 480, 800])
def test_nothing_is_clipped_at_common_widths_and_in_a_dark_palette(
    panel, tmp_path, width, dark, spoken, monkeypatch
):
    from slicer_host.layout import layout_faults, look, save

    bundle, report = a_trained_model(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cohort").mkdir()
    node = panel._parameterNode
    with look(dark):
        node.cohort, node.output, node.trained, node.report = map(str, ("cohort", "model", bundle, report))
        panel.cohort.add({"patient_id": "P0001", "verdict": "ok", "problems": []})
        problem = {
            "message": "the CT looks like the portal venous phase",
            "remedy": "choose the arterial one",
        }
        panel.cohort.add({"patient_id": "P0002", "verdict": "warning", "problems": [problem]})
        panel.cohort.show({"ok": 1, "warning": 1, "error": 0})
        panel.result.show(str(report))
        panel.parent.window_.resize(width, 500)
        for _turn in range(5):
            slicer.app.processEvents()
        save(panel, f"training-{spoken}-{width}{'-dark' if dark else ''}.png")
        assert layout_faults(panel.parent) == []


def test_the_modules_own_test_passes(panel):
    sys.modules[NAME].TACEResponseTrainingTest().runTest()
